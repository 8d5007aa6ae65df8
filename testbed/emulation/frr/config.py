"""What FRR's daemons are told: configuration files from a router's interfaces.

Timers are for links that come and go with satellites: hello 1 s, dead 4 s, and a first SPF after 50 ms.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

DEAD_HELLOS: Final = 4  # RFC 2328, C.3: a neighbour is dead after four hellos
_COST_MAX: Final = 65_535  # 16 bits, RFC 2328, A.4.2
_AREA: Final = "0.0.0.0"  # noqa: S104 - the backbone area, no address to bind


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Timers:
    """How soon a router says things, and says them again."""

    hello_s: int
    retransmit_s: int  # RFC 2328 suggests 5; two routers whose first words cross need that long to agree
    lsa_ms: int  # between two of its own LSAs; RFC 2328: 5 s
    arrival_ms: int  # between two of another's; RFC 2328: 1 s
    spf_ms: tuple[int, int, int]  # first wait, step, longest


QUICK: Final = Timers(1, 1, 100, 100, (50, 200, 2_000))
"""Assumption: what fits links that come and go with satellites; on one processor for some twenty routers."""

CALM: Final = Timers(5, 5, 5_000, 1_000, (200, 1_000, 10_000))
"""RFC 2328's, with half its hello; for more routers than have a processor's time to speak every second."""


@dataclass(frozen=True, slots=True)
class Adjacency:
    """A point-to-point interface. cost: the way's price, 1 to 65535; a passive one is announced and not spoken on."""

    interface: str
    cost: int
    passive: bool = False


@dataclass(frozen=True, slots=True)
class Router:
    """A node that routes. unrouted: destinations inside these are learned, and not given to the kernel."""

    name: str
    identifier: ipaddress.IPv4Address
    adjacencies: tuple[Adjacency, ...]
    timers: Timers = QUICK
    unrouted: tuple[Network, ...] = ()


def cost(delay_ns: int) -> int:
    """A link's price: its one-way delay in units of 10 µs, so that the cheapest way is the fastest; at least 1."""
    return min(max(1, round(delay_ns / 10_000)), _COST_MAX)


def zebra(router: Router) -> str:
    """The daemon that writes into the kernel."""
    lines = [f"hostname {router.name}"]
    for version, word, protocol in ((4, "ip", "ospf"), (6, "ipv6", "ospf6")):
        refused = [network for network in router.unrouted if network.version == version]
        if refused:
            name = f"routed{version}"
            lines += [f"{word} prefix-list {name} deny {network} le {network.max_prefixlen}" for network in refused]
            lines += [f"{word} prefix-list {name} permit any", f"route-map {name} permit 10"]
            lines += [
                f" match {word} address prefix-list {name}",
                "exit",
                f"{word} protocol {protocol} route-map {name}",
            ]
    return "\n".join([*lines, ""])


def ospfd(router: Router) -> str:
    """OSPF version 2: IPv4 (RFC 2328)."""
    lines = [f"hostname {router.name}"]
    for adjacency in router.adjacencies:
        lines += [f"interface {adjacency.interface}", f" ip ospf area {_AREA}", f" ip ospf cost {adjacency.cost}"]
        if adjacency.passive:
            lines.append(" ip ospf passive")
        else:
            lines += [" ip ospf network point-to-point", *_timers("ip ospf", router.timers)]
    lines += [
        "router ospf",
        f" ospf router-id {router.identifier}",
        " timers throttle spf {} {} {}".format(*router.timers.spf_ms),
    ]
    lines += [f" timers throttle lsa all {router.timers.lsa_ms}"]
    lines += [f" timers lsa min-arrival {router.timers.arrival_ms}", " maximum-paths 1"]
    return "\n".join([*lines, ""])


def ospf6d(router: Router) -> str:
    """OSPF version 3: IPv6 (RFC 5340). Its interfaces need link-local addresses."""
    lines = [f"hostname {router.name}"]
    for adjacency in router.adjacencies:
        lines += [f"interface {adjacency.interface}", f" ipv6 ospf6 area {_AREA}"]
        lines.append(f" ipv6 ospf6 cost {adjacency.cost}")
        if adjacency.passive:
            lines.append(" ipv6 ospf6 passive")
        else:
            lines += [" ipv6 ospf6 network point-to-point", *_timers("ipv6 ospf6", router.timers)]
    lines += ["router ospf6", f" ospf6 router-id {router.identifier}"]
    lines.append(" timers throttle spf {} {} {}".format(*router.timers.spf_ms))
    lines += [f" timers lsa min-arrival {router.timers.arrival_ms}", " maximum-paths 1"]
    return "\n".join([*lines, ""])


def _timers(prefix: str, timers: Timers) -> list[str]:
    return [
        f" {prefix} hello-interval {timers.hello_s}",
        f" {prefix} dead-interval {DEAD_HELLOS * timers.hello_s}",
        f" {prefix} retransmit-interval {timers.retransmit_s}",
    ]
