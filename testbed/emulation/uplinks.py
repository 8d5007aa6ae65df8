"""Hosts with several systems: an address for each of them, and the routes by which edges steer.

In its LAN, a /29, a host has besides its own address (.2):

.3, .4, .5    one for each system, in their order: what is sent there takes that system, whatever was chosen
.6            the other one: what is sent there takes a system that the host's own address does not take

All systems route the whole LAN. Only the edges tell the addresses apart, by routes for single addresses.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbed.emulation.addresses import LanAddresses
from testbed.ground.errors import PlanError
from testbed.kernel import links
from testbed.kernel.netlink import Message
from testbed.plan.model import Plan, Uplink

if TYPE_CHECKING:
    from testbed.emulation.wiring import Wiring

_FIRST: Final = 3
_OTHER: Final = 6


@dataclass(frozen=True)
class Uplinks:
    """The uplinks of a plan. Empty, and then false, where hosts have one system."""

    plan: Plan

    def __bool__(self) -> bool:
        return bool(self.plan.uplinks)

    @property
    def systems(self) -> tuple[str, ...]:
        """In the order of preference."""
        return tuple(dict.fromkeys(uplink.system for uplink in self.plan.uplinks))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Those that have uplinks."""
        return tuple(dict.fromkeys(uplink.host for uplink in self.plan.uplinks))

    def find(self, host: str, system: str) -> Uplink:
        """The host's uplink over that system; raises PlanError."""
        for uplink in self.plan.uplinks:
            if (uplink.host, uplink.system) == (host, system):
                return uplink
        raise PlanError(f"plan of {self.plan.topology}: {host} has no uplink over {system}")

    def address(self, lan: LanAddresses, system: str) -> links.Address:
        """Where a host is reached over that system alone."""
        return lan.networks[0][_FIRST + self.systems.index(system)]

    def other(self, lan: LanAddresses) -> links.Address:
        """Where a host is reached over a system that its own address does not take."""
        return lan.networks[0][_OTHER]

    def setting_up(self, wiring: Wiring, name: str) -> list[Message]:
        """What a node needs before the schedule starts."""
        return [*self._at_host(wiring, name), *self._at_edge(wiring, name)]

    def move(self, wiring: Wiring, host: str, peer: str, system: str) -> list[Message]:
        """Have the edge of `host` send what is for `peer` over that system, in both families."""
        uplink = self.find(host, system)
        return wiring.routes(uplink.router, peer, uplink.via)

    def move_other(self, wiring: Wiring, host: str, peer: str, system: str) -> list[Message]:
        """Have the edge of `host` send second copies for `peer` over that system."""
        return [self._pinned(wiring, self.find(host, system), self.other(wiring.lans[peer]))]

    def _at_host(self, wiring: Wiring, name: str) -> list[Message]:
        if name not in self.hosts:
            return []
        index = wiring.nodes[name].emulated_interfaces()[0].index
        return [links.address(index, address, 32) for address in self._own(wiring.lans[name])]

    def _at_edge(self, wiring: Wiring, name: str) -> list[Message]:
        found = []
        for host in {uplink.host: None for uplink in self.plan.uplinks if uplink.router == name}:
            towards, host_end = wiring.interface(name, host), wiring.interface(host, name)
            mac = bytes.fromhex(host_end.mac.replace(":", ""))
            found += [links.neighbour(towards.index, address, mac) for address in self._own(wiring.lans[host])]
            for peer in self.hosts:
                if peer == host:
                    continue
                lan = wiring.lans[peer]
                for system in self.systems:
                    found.append(self._pinned(wiring, self.find(host, system), self.address(lan, system)))
                found.append(self._pinned(wiring, self.find(host, self.systems[1]), self.other(lan)))
        return found

    def _own(self, lan: LanAddresses) -> list[links.Address]:
        return [*(self.address(lan, system) for system in self.systems), self.other(lan)]

    def _pinned(self, wiring: Wiring, uplink: Uplink, address: links.Address) -> Message:
        leaves, gateway = wiring.interface(uplink.router, uplink.via), wiring.interface(uplink.via, uplink.router)
        return links.route(ipaddress.ip_network(address), leaves.index, gateway.addresses[0])
