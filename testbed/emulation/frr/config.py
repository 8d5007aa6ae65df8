"""What FRR's daemons are told: configuration files from a router's interfaces.

Timers are for links that come and go with satellites: hello 1 s, dead 4 s, and a first SPF after 50 ms.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

HELLO_S: Final = 1  # least that OSPF's field holds
DEAD_S: Final = 4  # RFC 2328, C.3: four hellos
_SPF_MS: Final = (50, 200, 2_000)  # first wait, step, longest: Assumption, for topologies below a hundred routers
_COST_MAX: Final = 65_535  # 16 bits, RFC 2328, A.4.2
_AREA: Final = "0.0.0.0"  # noqa: S104 - the backbone area, no address to bind


@dataclass(frozen=True, slots=True)
class Adjacency:
    """A point-to-point interface. cost: the way's price, 1 to 65535; a passive one is announced and not spoken on."""

    interface: str
    cost: int
    passive: bool = False


@dataclass(frozen=True, slots=True)
class Router:
    """A node that routes."""

    name: str
    identifier: ipaddress.IPv4Address
    adjacencies: tuple[Adjacency, ...]


def cost(delay_ns: int) -> int:
    """A link's price: its one-way delay in units of 10 µs, so that the cheapest way is the fastest; at least 1."""
    return min(max(1, round(delay_ns / 10_000)), _COST_MAX)


def zebra(router: Router) -> str:
    """The daemon that writes into the kernel."""
    return f"hostname {router.name}\n"


def ospfd(router: Router) -> str:
    """OSPF version 2: IPv4 (RFC 2328)."""
    lines = [f"hostname {router.name}"]
    for adjacency in router.adjacencies:
        lines += [f"interface {adjacency.interface}", f" ip ospf area {_AREA}", f" ip ospf cost {adjacency.cost}"]
        if adjacency.passive:
            lines.append(" ip ospf passive")
        else:
            lines += [" ip ospf network point-to-point", *_timers("ip ospf")]
    lines += ["router ospf", f" ospf router-id {router.identifier}", " timers throttle spf {} {} {}".format(*_SPF_MS)]
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
            lines += [" ipv6 ospf6 network point-to-point", *_timers("ipv6 ospf6")]
    lines += ["router ospf6", f" ospf6 router-id {router.identifier}"]
    lines.append(" timers throttle spf {} {} {}".format(*_SPF_MS))
    return "\n".join([*lines, ""])


def _timers(prefix: str) -> list[str]:
    return [f" {prefix} hello-interval {HELLO_S}", f" {prefix} dead-interval {DEAD_S}"]
