"""What FRR's daemons are told: configuration files from a router's interfaces.

Timers are for links that come and go with satellites: hello 1 s, dead 4 s, and a first SPF after 50 ms.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

HELLO_S: Final = 1  # least that OSPF's field holds
DEAD_S: Final = 4  # RFC 2328, C.3: four hellos
_RETRANSMIT_S: Final = 1  # RFC 2328 suggests 5: then two routers whose first words cross need 5 s more to agree
_LSA_MS: Final = 100  # between two of its own, and of others'; RFC 2328 has 5 s and 1 s. Assumption, as for the SPF
_SPF_MS: Final = (50, 200, 2_000)  # first wait, step, longest: Assumption, for topologies below a hundred routers
_COST_MAX: Final = 65_535  # 16 bits, RFC 2328, A.4.2
_AREA: Final = "0.0.0.0"  # noqa: S104 - the backbone area, no address to bind


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
            lines += [" ip ospf network point-to-point", *_timers("ip ospf")]
    lines += ["router ospf", f" ospf router-id {router.identifier}", " timers throttle spf {} {} {}".format(*_SPF_MS)]
    lines += [f" timers throttle lsa all {_LSA_MS}", f" timers lsa min-arrival {_LSA_MS}", " maximum-paths 1"]
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
    lines += [f" timers lsa min-arrival {_LSA_MS}", " maximum-paths 1"]
    return "\n".join([*lines, ""])


def _timers(prefix: str) -> list[str]:
    return [
        f" {prefix} hello-interval {HELLO_S}",
        f" {prefix} dead-interval {DEAD_S}",
        f" {prefix} retransmit-interval {_RETRANSMIT_S}",
    ]
