"""How a plan's nodes are wired: interfaces, addresses, queues, translation, and the messages for its routes."""

from __future__ import annotations

import ipaddress
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.emulation import addresses
from testbed.emulation.nodes import EmulatedIntf, EmulatedNode
from testbed.emulation.uplinks import Uplinks
from testbed.ground.errors import KernelError, PlanError
from testbed.kernel import filters, links, queues
from testbed.kernel.netlink import Message
from testbed.plan.chosen import system_of
from testbed.plan.model import PathStep, Plan, Route

_FAMILIES: Final = (0, 1)  # IPv4, IPv6
_DOWNWARDS: Final = 100
"""Routing table of what comes from above at satellites and gateways, where users are not told apart by a NAT."""
_ABOVE: Final = {"satellite": "gateway", "gateway": "pop"}


@dataclass(frozen=True)
class LinkEnd:
    """Where a direction leaves (node and interface index) and where it arrives.

    what: its name in an error. room: is there room for darkness at its far end (`filters.ingress`)? narrow: has it a
    bottleneck? Links between satellites have none.
    """

    node: str
    index: int
    far_node: str
    far_index: int
    what: str
    buffer_bytes: int
    drop: Literal["tail", "head"]
    room: bool
    narrow: bool


class Wiring:
    """The nodes of one plan, once Mininet has made them."""

    def __init__(self, plan: Plan, *, impaired: bool = True) -> None:
        """`impaired`: with netem and queues; without, only to see what a network costs where there is no netem."""
        self.plan = plan
        self._impaired = impaired
        self.pairs = _pairs(plan)
        self.lans = {lan.host: addresses.lan(plan, number) for number, lan in enumerate(plan.lans)}
        self.uplinks = Uplinks(plan)
        self.nodes: dict[str, EmulatedNode] = {}
        self._interfaces: dict[tuple[str, str], EmulatedIntf] = {}
        self.limits = _in_flight(plan)
        self._darkening = _may_darken(plan)
        self.access = str(plan.traffic.get("access", "cgnat"))

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
        return LinkEnd(
            node=direction.a,
            index=leaves.index,
            far_node=direction.b,
            far_index=arrives.index,
            what=what,
            buffer_bytes=direction.buffer_bytes,
            drop=direction.drop,
            room=link in self._darkening,
            narrow=direction.kind != "isl",
        )

    def neighbours(self, name: str) -> list[tuple[str, EmulatedIntf]]:
        """Each neighbour of a node, and its interface there."""
        return [(there, interface) for (here, there), interface in self._interfaces.items() if here == name]

    def address(self, name: str) -> links.Address:
        """The IPv4 address under which a path's end is reached: a host's in its LAN, or a numbered node's own."""
        if name in self.lans:
            return self.lans[name].host[0]
        number = self.plan.node(name).number
        if number is None:
            raise PlanError(f"plan of {self.plan.topology}: a path ends at {name}, which is no host and has no number")
        return addresses.own(number)[0]

    def target(self, path: tuple[PathStep, ...]) -> links.Address:
        """The address that a probe of a planned path is sent to: it takes that path, whatever a run has chosen."""
        end = path[0].nodes[-1]
        return self.uplinks.address(self.lans[end], system_of(self.plan, path)) if self.uplinks else self.address(end)

    def configure(self) -> None:
        """Addresses, neighbours, queues and routes, as they are at the schedule's first instant, node by node.

        One node's messages at a time: a user-mode kernel gives a process some 65,000 scattered pages (its host's
        vm.max_map_count), which all messages of a whole constellation at once would fill.
        """
        for node in self.nodes.values():
            for interface in node.emulated_interfaces():
                link: Any = interface.link
                ends = {link.intf1.node.name, link.intf2.node.name}
                self._interfaces[node.name, (ends - {node.name}).pop()] = interface
        lengths = self._assign_addresses()
        first = self.plan.steps[np.searchsorted(self.plan.steps["link"], np.arange(len(self.plan.links)))]
        leaving, arriving, routes = _by_node(self.plan)
        counts_packets = any(link.drop == "head" for link in self.plan.links)
        for name, node in self.nodes.items():
            messages = self._own_address(name)
            for interface in node.emulated_interfaces():
                messages += self._interface_addresses(interface, lengths)
            if name in self.lans:
                index, router = node.emulated_interfaces()[0].index, self.lans[name].router
                messages += [links.route(addresses.default(family), index, router[family]) for family in _FAMILIES]
                if counts_packets:
                    messages.append(links.single_frames(index))
            if self._impaired:
                for number in arriving[name]:
                    messages += self._darkness(number, lit=bool(first["up"][number]))
                for number in leaving[name]:
                    messages += self._queues(number, first[number])
            for route in routes[name] if self.plan.routing == "plan" else ():
                messages += self.routes(name, route.destination, route.via)
            node.tell(messages + self._hauling(name) + self.uplinks.setting_up(self, name))
            node.settle()

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
        table = _DOWNWARDS if self._only_downwards(node, destination) else links.TABLE_MAIN
        return [
            links.route(prefixes[family], leaves.index, gateway[family], source[family], table) for family in _FAMILIES
        ]

    def _only_downwards(self, node: str, destination: str) -> bool:
        """With public addresses: no satellite and no gateway turns what one user sends to another, the PoP does."""
        return self.access != "cgnat" and self.plan.node(node).role in _ABOVE and destination in self.lans

    def _hauling(self, name: str) -> list[Message]:
        """The rules by which what comes from above finds the routes down, and only that."""
        above = _ABOVE.get(self.plan.node(name).role)
        if self.access == "cgnat" or above is None:
            return []
        down = [port for there, port in self.neighbours(name) if self.plan.node(there).role == above]
        return [links.rule_for_arrivals(port.name, _DOWNWARDS, version) for port in down for version in (4, 6)]

    def outer(self, host: str) -> links.Address:
        """The address of a host that its encrypted packets bear."""
        return self.lans[host].host[1 if self.access == "ipv6" else 0]

    def _prefixes(self, destination: str) -> Sequence[links.Prefix]:
        """A route's destination in both families: a host's LAN, the default, or a block of numbers."""
        if destination == addresses.DEFAULT:
            return [addresses.default(family) for family in _FAMILIES]
        if destination in self.lans:
            return self.lans[destination].networks
        return addresses.block(destination)

    def _assign_addresses(self) -> dict[str, list[int]]:
        """Give every interface its addresses; returns prefix lengths by the name of a LAN's host, '' for all others."""
        for number, (a, b) in enumerate(self.pairs):
            if a in self.lans:
                ends = self.lans[a].host, self.lans[a].router
                length = self.lans[a].networks[0].prefixlen
            else:
                ends, length = addresses.link_ends(number), 31
            for here, there, own in ((a, b, ends[0]), (b, a, ends[1])):
                interface = self.interface(here, there)
                interface.ip, interface.prefixLen, interface.addresses = str(own[0]), str(length), own
                if self.plan.routing == "frr":
                    interface.link_local = addresses.link_local(number, int(here == b))
        lengths = {host: [network.prefixlen for network in lan.networks] for host, lan in self.lans.items()}
        return lengths | {"": [31, 127]}

    def _own_address(self, name: str) -> list[Message]:
        number = self.plan.node(name).number
        if number is None:
            return []
        own = addresses.own(number)
        return [links.address(links.LOOPBACK_INDEX, address, address.max_prefixlen) for address in own]

    def _interface_addresses(self, interface: EmulatedIntf, lengths: dict[str, list[int]]) -> list[Message]:
        """The interface's own addresses, and its neighbour's, known for good."""
        link: Any = interface.link
        other = link.intf2 if link.intf1 is interface else link.intf1
        host = next((end.node.name for end in (interface, other) if end.node.name in self.lans), "")
        mac = bytes.fromhex(other.mac.replace(":", ""))
        own, peer, index = interface.addresses, other.addresses, interface.index
        messages = [links.address(index, own[family], lengths[host][family]) for family in _FAMILIES]
        messages += [links.neighbour(index, peer[family], mac) for family in _FAMILIES]
        if interface.link_local is not None:
            messages += [links.address(index, interface.link_local, 64), links.neighbour(index, other.link_local, mac)]
        return messages

    def _queues(self, number: int, first: Any) -> list[Message]:
        end = self.end(number)
        bottleneck = queues.Bottleneck(int(first["rate_bps"]), end.buffer_bytes, end.drop) if end.narrow else None
        return queues.build(end.index, self.impairment(number, first), bottleneck, end.what)

    def _darkness(self, number: int, *, lit: bool) -> list[Message]:
        """Room for darkness at the far end of a link, where it may fall, and darkness where the link is down at first.

        At link 0 it falls once in any case: at its first use the kernel loads modules, and that may take longer than a
        tick has time.
        """
        if number and number not in self._darkening:
            return []
        end = self.end(number)
        messages = [filters.ingress(end.far_index, end.what)]
        if number == 0:
            messages += [filters.darken(end.far_index, end.what), filters.relight(end.far_index, end.what)]
        if not lit:
            messages += [filters.darken(end.far_index, end.what), links.signal(end.far_index, present=False)]
        return messages

    def impairment(self, number: int, step: Any) -> queues.Impairment:
        """netem's state at a step of link `number`: a link that is down loses everything."""
        loss = float(step["loss"]) if step["up"] else 1.0
        return queues.Impairment(int(step["delay_ns"]), loss, int(self.limits[number]))

    def _translate(self, name: str) -> None:
        """Carrier-grade NAT at a PoP, towards every neighbour that is outside, which learns the way back."""
        node = self.nodes[name]
        public = addresses.public(self.plan, name)
        node.tell([links.address(links.LOOPBACK_INDEX, public, 32)])
        node.settle()
        rules = ["*nat"]
        for (here, neighbour), interface in self._interfaces.items():
            if here == name and not self.plan.node(neighbour).inside:
                source = f"-s {addresses.SHARED_SPACE} -o {interface.name}"
                rules.append(f"-A POSTROUTING {source} -j SNAT --to-source {public}")
                if sum(planned.nat for planned in self.plan.nodes) > 1:  # else its default route leads here
                    back = self.interface(neighbour, name)
                    route = links.route(ipaddress.IPv4Network(public), back.index, interface.addresses[0])
                    self.nodes[neighbour].tell([route])
                    self.nodes[neighbour].settle()
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


def _by_node(plan: Plan) -> tuple[dict[str, list[int]], dict[str, list[int]], dict[str, list[Route]]]:
    """Numbers of the links that leave each node and of those that arrive, and its routes at time 0."""
    leaving: dict[str, list[int]] = defaultdict(list)
    arriving: dict[str, list[int]] = defaultdict(list)
    routes: dict[str, list[Route]] = defaultdict(list)
    for number, link in enumerate(plan.links):
        leaving[link.a].append(number)
        arriving[link.b].append(number)
    for route in plan.routes:
        if route.time_ns == 0:
            routes[route.node].append(route)
    return leaving, arriving, routes


def _may_darken(plan: Plan) -> set[int]:
    """Links that need room for darkness made beforehand: all but those between satellites which the plan keeps up.

    A whole constellation has tens of thousands of these, and only faults darken them, with what is in flight there.
    """
    down = set(plan.steps["link"][~plan.steps["up"]].tolist())
    return {number for number, link in enumerate(plan.links) if link.kind != "isl" or number in down}


def _in_flight(plan: Plan) -> NDArray[np.int64]:
    """netem's limit for each direction: enough for its largest delay at its highest rate, constant over the plan."""
    begins = np.searchsorted(plan.steps["link"], np.arange(len(plan.links)))
    rates = np.maximum.reduceat(plan.steps["rate_bps"], begins)
    for number in np.flatnonzero(rates > queues.NOMINAL_RATE_BPS)[:1]:
        link = plan.links[number]
        raise PlanError(
            f"plan of {plan.topology}: link {link.a}→{link.b} has {rates[number] / 1e9:g} Gbit/s: at most "
            f"{queues.NOMINAL_RATE_BPS / 1e9:g} can be emulated"
        )
    delays = np.maximum.reduceat(plan.steps["delay_ns"], begins)
    found = [
        queues.in_flight_limit(rate_bps, delay_ns, link.buffer_bytes)
        for rate_bps, delay_ns, link in zip(rates.tolist(), delays.tolist(), plan.links, strict=True)
    ]
    return np.array(found, np.int64)


def _pairs(plan: Plan) -> list[tuple[str, str]]:
    """Every link once: the LANs, host first, then cables, then the links with netem."""
    pairs = dict.fromkeys((lan.host, lan.router) for lan in plan.lans)
    pairs |= dict.fromkeys((cable.a, cable.b) for cable in plan.cables)
    for link in plan.links:
        if (link.b, link.a) not in pairs:
            pairs[link.a, link.b] = None
    return list(pairs)
