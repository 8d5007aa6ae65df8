"""How a plan's nodes are wired: interfaces, addresses, queues, translation, and the messages for its routes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any, Final

from testbed.emulation import addresses
from testbed.emulation.nodes import EmulatedIntf, EmulatedNode
from testbed.ground.errors import KernelError, PlanError
from testbed.kernel import filters, links, queues
from testbed.kernel.netlink import Message
from testbed.plan.model import Plan

_FAMILIES: Final = (0, 1)  # IPv4, IPv6


@dataclass(frozen=True)
class LinkEnd:
    """Where a direction leaves (node and interface index) and where it arrives."""

    node: str
    index: int
    far_node: str
    far_index: int


class Wiring:
    """The nodes of one plan, once Mininet has made them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pairs = _pairs(plan)
        self.lans = {lan.host: addresses.lan(plan, number) for number, lan in enumerate(plan.lans)}
        self.nodes: dict[str, EmulatedNode] = {}
        self._interfaces: dict[tuple[str, str], EmulatedIntf] = {}
        self._limits = [_in_flight(plan, number) for number in range(len(plan.links))]

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
        return LinkEnd(direction.a, leaves.index, direction.b, arrives.index)

    def configure(self) -> None:
        """Addresses, neighbours, queues, translation and routes, as they are at the schedule's first instant."""
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
            self.nodes[host].netlink.send(defaults)
        if self.plan.links:
            self._darken_once()
        for number in range(len(self.plan.links)):
            self._queue(number)
        for planned in self.plan.nodes:
            if planned.nat:
                self._translate(planned.name)
        for route in self.plan.routes:
            if route.time_ns == 0:
                self.nodes[route.node].netlink.send(self.routes(route.node, route.destination, route.via))

    def routes(self, node: str, destination: str, via: str) -> list[Message]:
        """The messages, one per family, of a route of the plan."""
        leaves = self.interface(node, via)
        gateway = self.interface(via, node).addresses
        prefixes = (
            [addresses.default(family) for family in _FAMILIES]
            if destination == addresses.DEFAULT
            else self.lans[destination].networks
        )
        return [links.route(prefixes[family], leaves.index, gateway[family]) for family in _FAMILIES]

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
            self.nodes[here].netlink.send(messages)

    def _queue(self, number: int) -> None:
        link, end = self.plan.links[number], self.end(number)
        first = self.plan.link_steps(number)[0]
        what = f"{link.a}→{link.b}"
        bottleneck = queues.Bottleneck(int(first["rate_bps"]), link.buffer_bytes)
        self.nodes[link.a].netlink.send(queues.build(end.index, self.impairment(number, first), bottleneck, what))
        if not first["up"]:
            self.nodes[link.b].netlink.send([filters.darken(end.far_index, what)])

    def _darken_once(self) -> None:
        """Have the kernel load its modules now: at the first darkness that may take longer than a tick has time."""
        end = self.end(0)
        messages = [change(end.far_index, "link 0") for change in (filters.darken, filters.relight)]
        self.nodes[end.far_node].netlink.send(messages)

    def impairment(self, number: int, step: Any) -> queues.Impairment:
        """netem's state at a step of link `number`: a link that is down loses everything."""
        loss = float(step["loss"]) if step["up"] else 1.0
        return queues.Impairment(int(step["delay_ns"]), loss, self._limits[number])

    def _translate(self, name: str) -> None:
        """Carrier-grade NAT at a PoP, towards every neighbour that is outside."""
        node = self.nodes[name]
        node.netlink.send([links.address(links.LOOPBACK_INDEX, addresses.PUBLIC_ADDRESS, 32)])
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


def _in_flight(plan: Plan, number: int) -> int:
    """netem's limit for a direction: enough for its largest delay, constant over the plan; raises PlanError."""
    link, steps = plan.links[number], plan.link_steps(number)
    rate_bps = int(steps["rate_bps"][0])
    changed = steps["time_ns"][steps["rate_bps"] != rate_bps]
    if len(changed):
        raise PlanError(
            f"plan of {plan.topology}: the rate of link {link.a}→{link.b} changes at {changed[0] / 1e9:g} s: "
            "make a plan with constant rates, only delay, loss and up or down can be played"
        )
    return queues.in_flight_limit(rate_bps, int(steps["delay_ns"].max()), link.buffer_bytes)


def _pairs(plan: Plan) -> list[tuple[str, str]]:
    """Every link once: the LANs, host first, then the links with netem."""
    pairs = dict.fromkeys((lan.host, lan.router) for lan in plan.lans)
    for link in plan.links:
        if (link.b, link.a) not in pairs:
            pairs[link.a, link.b] = None
    return list(pairs)
