"""How a plan's nodes are wired: interfaces, addresses, queues, translation, and the messages for its routes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation import addresses
from testbed.emulation.nodes import EmulatedIntf, EmulatedNode
from testbed.ground.errors import KernelError, PlanError
from testbed.kernel import filters, links, queues
from testbed.kernel.netlink import Message
from testbed.plan.model import Plan

LATER_NS: Final = 100_000_000
"""Assumption: no fault adds more than this to a delay; netem's limit leaves room for it."""

_FAMILIES: Final = (0, 1)  # IPv4, IPv6


@dataclass(frozen=True)
class LinkEnd:
    """Where a direction leaves (node and interface index) and where it arrives; what it is called in an error."""

    node: str
    index: int
    far_node: str
    far_index: int
    what: str
    buffer_bytes: int


class Wiring:
    """The nodes of one plan, once Mininet has made them."""

    def __init__(self, plan: Plan, *, impaired: bool = True) -> None:
        """`impaired`: with netem and queues; without, only to see what a network costs where there is no netem."""
        self.plan = plan
        self._impaired = impaired
        self.pairs = _pairs(plan)
        self.lans = {lan.host: addresses.lan(plan, number) for number, lan in enumerate(plan.lans)}
        self.nodes: dict[str, EmulatedNode] = {}
        self._interfaces: dict[tuple[str, str], EmulatedIntf] = {}
        self.limits = _in_flight(plan)

    def interface(self, name: str, neighbour: str) -> EmulatedIntf:
        """The interface of node `name` towards `neighbour`; raises PlanError."""
        try:
            return self._interfaces[name, neighbour]
        except KeyError:
            raise PlanError(f"plan of {self.plan.topology}: no link from {name} to {neighbour}") from None

    def end(self, link: int) -> LinkEnd:
        """Both interfaces of direction number `link`: where it leaves and where it arrives."""
        direction = self.plan.links[link]
        leaves = self.interface(direction.a, direction.b)
        arrives = self.interface(direction.b, direction.a)
        what = f"{direction.a}→{direction.b}"
        return LinkEnd(direction.a, leaves.index, direction.b, arrives.index, what, direction.buffer_bytes)

    def configure(self) -> None:
        """Gather addresses, neighbours, queues and routes, as they are at the schedule's first instant."""
        for node in self.nodes.values():
            for interface in node.intfList():
                ends = {interface.link.intf1.node.name, interface.link.intf2.node.name}
                self._interfaces[node.name, (ends - {node.name}).pop()] = interface
        for number, (a, b) in enumerate(self.pairs):
            if a in self.lans:
                lan = self.lans[a]
                self._address_pair(a, b, lan.host, lan.router, [network.prefixlen for network in lan.networks])
            else:
                first, second = addresses.link_ends(number)
                self._address_pair(a, b, first, second, [31, 127])
        for host, lan in self.lans.items():
            index = self.nodes[host].intfList()[0].index
            defaults = [links.route(addresses.default(family), index, lan.router[family]) for family in _FAMILIES]
            self.nodes[host].tell(defaults)
        for planned in self.plan.nodes:
            if planned.number is not None:
                own = addresses.own(planned.number)
                lengths = [address.max_prefixlen for address in own]
                self.nodes[planned.name].tell(
                    [links.address(links.LOOPBACK_INDEX, own[family], lengths[family]) for family in _FAMILIES]
                )
        if self._impaired and self.plan.links:
            self._impair()
        for route in self.plan.routes:
            if route.time_ns == 0:
                self.nodes[route.node].tell(self.routes(route.node, route.destination, route.via))

    def translate(self) -> None:
        """Carrier-grade NAT at the PoPs, once their interfaces are there."""
        for planned in self.plan.nodes:
            if planned.nat:
                self._translate(planned.name)

    def routes(self, node: str, destination: str, via: str) -> list[Message]:
        """The messages, one per family, of a route of the plan."""
        leaves = self.interface(node, via)
        gateway = self.interface(via, node).addresses
        prefixes = self._prefixes(destination)
        number = self.plan.node(node).number
        source = (None, None) if number is None else addresses.own(number)
        return [links.route(prefixes[family], leaves.index, gateway[family], source[family]) for family in _FAMILIES]

    def _prefixes(self, destination: str) -> Sequence[links.Prefix]:
        """A route's destination in both families: a host's LAN, the default, or a block of numbers."""
        if destination == addresses.DEFAULT:
            return [addresses.default(family) for family in _FAMILIES]
        if destination in self.lans:
            return self.lans[destination].networks
        return addresses.block(destination)

    def _address_pair(
        self,
        a: str,
        b: str,
        first: tuple[links.Address, links.Address],
        second: tuple[links.Address, links.Address],
        lengths: list[int],
    ) -> None:
        for here, there, own, peer in ((a, b, first, second), (b, a, second, first)):
            interface, other = self.interface(here, there), self.interface(there, here)
            interface.ip, interface.prefixLen = str(own[0]), str(lengths[0])
            interface.addresses = own
            mac = bytes.fromhex(other.mac.replace(":", ""))
            messages = [links.address(interface.index, own[family], lengths[family]) for family in _FAMILIES]
            messages += [links.neighbour(interface.index, peer[family], mac) for family in _FAMILIES]
            self.nodes[here].tell(messages)

    def _impair(self) -> None:
        """Queues at every link end, darkness where a link is down at first."""
        self._darken_once()
        steps = self.plan.steps
        for number, row in enumerate(np.searchsorted(steps["link"], np.arange(len(self.plan.links)))):
            self._queue(number, steps[row])

    def _queue(self, number: int, first: Any) -> None:
        link, end = self.plan.links[number], self.end(number)
        bottleneck = queues.Bottleneck(int(first["rate_bps"]), link.buffer_bytes)
        self.nodes[link.a].tell(queues.build(end.index, self.impairment(number, first), bottleneck, end.what))
        if not first["up"]:
            self.nodes[link.b].tell([filters.darken(end.far_index, end.what)])

    def _darken_once(self) -> None:
        """Have the kernel load its modules now: at the first darkness that may take longer than a tick has time."""
        end = self.end(0)
        messages = [change(end.far_index, "link 0") for change in (filters.darken, filters.relight)]
        self.nodes[end.far_node].tell(messages)

    def impairment(self, number: int, step: Any) -> queues.Impairment:
        """netem's state at a step of link `number`: a link that is down loses everything."""
        loss = float(step["loss"]) if step["up"] else 1.0
        return queues.Impairment(int(step["delay_ns"]), loss, int(self.limits[number]))

    def _translate(self, name: str) -> None:
        """Carrier-grade NAT at a PoP, towards every neighbour that is outside."""
        node = self.nodes[name]
        node.tell([links.address(links.LOOPBACK_INDEX, addresses.PUBLIC_ADDRESS, 32)])
        node.settle()
        rules = ["*nat"]
        for (here, neighbour), interface in self._interfaces.items():
            if here == name and not self.plan.node(neighbour).inside:
                source = f"-s {addresses.SHARED_SPACE} -o {interface.name}"
                rules.append(f"-A POSTROUTING {source} -j SNAT --to-source {addresses.PUBLIC_ADDRESS}")
        done = subprocess.run(
            ["iptables-legacy-restore"],
            input="\n".join([*rules, "COMMIT", ""]),
            text=True,
            capture_output=True,
            preexec_fn=node.namespace.enter,
            check=False,
        )
        if done.returncode:
            raise KernelError(f"address translation at {name}: iptables-legacy-restore: {done.stderr.strip()}")


def _in_flight(plan: Plan) -> NDArray[np.int64]:
    """netem's limit for each direction: enough for its largest delay at its highest rate, constant over the plan."""
    begins = np.searchsorted(plan.steps["link"], np.arange(len(plan.links)))
    rates = np.maximum.reduceat(plan.steps["rate_bps"], begins)
    delays = np.maximum.reduceat(plan.steps["delay_ns"], begins) + LATER_NS
    found = [
        queues.in_flight_limit(rate_bps, delay_ns, link.buffer_bytes)
        for rate_bps, delay_ns, link in zip(rates.tolist(), delays.tolist(), plan.links, strict=True)
    ]
    return np.array(found, np.int64)


def _pairs(plan: Plan) -> list[tuple[str, str]]:
    """Every link once: the LANs, host first, then the links with netem."""
    pairs = dict.fromkeys((lan.host, lan.router) for lan in plan.lans)
    for link in plan.links:
        if (link.b, link.a) not in pairs:
            pairs[link.a, link.b] = None
    return list(pairs)
