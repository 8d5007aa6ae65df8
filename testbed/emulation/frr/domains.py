"""Who speaks BGP with whom: a plan's domains as autonomous systems, and what each announces to the others.

A domain's edge is its router with a neighbour in another one. It announces what networks accept from each other: a /24
of IPv4, a /48 of IPv6, whole and always, whatever becomes of the LANs inside: a handover is no news to the Internet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from testbed.emulation import addresses
from testbed.emulation.frr.config import Network, Peer, Speaker
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.plan.model import Plan

FIRST_SYSTEM: Final = 64_496
"""AS numbers 64496 to 64511 are for documentation (RFC 5398): no network on the Internet has one."""

_SYSTEMS: Final = 16
_LONGEST: Final = {4: 24, 6: 48}  # prefixes that networks take from each other (RFC 7454, 6.1.3)


def speakers(wiring: Wiring) -> dict[str, Speaker]:
    """The edges by name; none where the plan is one domain. Raises PlanError."""
    plan = wiring.plan
    systems = _systems(plan)
    found: dict[str, Speaker] = {}
    edges: dict[str, str] = {}
    for node in plan.nodes:
        peers = tuple(
            Peer(wiring.interface(there, node.name).addresses, systems[plan.node(there).domain])
            for there, _ in wiring.neighbours(node.name)
            if plan.node(there).domain != node.domain
        )
        if not peers:
            continue
        other = edges.setdefault(node.domain, node.name)
        if other != node.name:
            raise PlanError(
                f"plan of {plan.topology}: {other} and {node.name} are both edges of '{node.domain}': routing=frr "
                "takes one for each domain"
            )
        transit = len({peer.system for peer in peers}) > 1
        found[node.name] = Speaker(systems[node.domain], peers, announced(wiring, node.domain), transit)
    return found


def announced(wiring: Wiring, domain: str) -> tuple[Network, ...]:
    """What the world is to know of a domain: its LANs, but those of its NAT, whose public address stands for them."""
    plan = wiring.plan
    translators = [node.name for node in plan.nodes if node.nat and node.domain == domain]
    networks: list[Network] = [ipaddress.ip_network(addresses.public(plan, name)) for name in translators]
    for lan in plan.lans:
        if plan.node(lan.router).domain == domain:
            four, six = wiring.lans[lan.host].networks
            networks += [six] if plan.node(lan.host).inside else [four, six]
    whole = {_whole(network) for network in networks}
    return tuple(sorted(whole, key=lambda network: (network.version, int(network.network_address))))


def learned(edges: Mapping[str, Speaker]) -> dict[str, frozenset[str]]:
    """What each edge is to learn by BGP, as 'address/length': all that the others announce."""
    return {
        name: frozenset(str(network) for other in edges if other != name for network in edges[other].announced)
        for name in edges
    }


def _systems(plan: Plan) -> dict[str, int]:
    """AS numbers by domain, in the order of the nodes."""
    domains = list(dict.fromkeys(node.domain for node in plan.nodes))
    if len(domains) > _SYSTEMS:
        raise PlanError(f"plan of {plan.topology}: {len(domains)} domains; RFC 5398 has AS numbers for {_SYSTEMS}")
    return {domain: FIRST_SYSTEM + number for number, domain in enumerate(domains)}


def _whole(network: Network) -> Network:
    length = _LONGEST[network.version]
    return network.supernet(new_prefix=length) if network.prefixlen > length else network
