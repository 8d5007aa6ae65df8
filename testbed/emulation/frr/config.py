"""What FRR's daemons are told: configuration files from a router's interfaces and its neighbours in other domains.

Timers are for links that come and go with satellites: hello 1 s, dead 4 s, and a first SPF after 50 ms.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

DEAD_HELLOS: Final = 4  # RFC 2328, C.3: a neighbour is dead after four hellos
_WORDS: Final = {4: "ip", 6: "ipv6"}
_COST_MAX: Final = 65_535  # 16 bits, RFC 2328, A.4.2
KEEPALIVE_S: Final = 3  # Assumption: FRR's own for data centres; RFC 4271, 10, suggests 30
HOLD_S: Final = 3 * KEEPALIVE_S  # RFC 4271, 4.4: a third of the hold time between two keepalives
CONNECT_S: Final = 1  # Assumption: until a session is tried again; RFC 4271, 10, suggests 120
_AREA: Final = "0.0.0.0"  # noqa: S104 - the backbone area, no address to bind


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
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
class Peer:
    """A neighbour in another domain: its addresses on the link to it (IPv4, IPv6) and its AS number."""

    addresses: tuple[Address, Address]
    system: int


@dataclass(frozen=True, slots=True)
class Speaker:
    """A domain's edge, which speaks BGP. announced: its own domain's networks; nothing else goes out, unless it hands
    on (`transit`) what others have announced to it."""

    system: int
    peers: tuple[Peer, ...]
    announced: tuple[Network, ...]
    transit: bool = False


@dataclass(frozen=True, slots=True)
class Router:
    """A node that routes. unrouted: destinations inside these are learned, and not given to the kernel.

    bgp: at a domain's edge. There the others in the domain are told by OSPF: everything else is this way.
    """

    name: str
    identifier: ipaddress.IPv4Address
    adjacencies: tuple[Adjacency, ...]
    timers: Timers = QUICK
    unrouted: tuple[Network, ...] = ()
    bgp: Speaker | None = None

    @property
    def speaks_ospf(self) -> bool:
        """Has it a neighbour in its domain?"""
        return any(not adjacency.passive for adjacency in self.adjacencies)


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
    lines += [f" timers lsa min-arrival {router.timers.arrival_ms}", " maximum-paths 1", *_default(router)]
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
    lines += [f" timers lsa min-arrival {router.timers.arrival_ms}", " maximum-paths 1", *_default(router)]
    return "\n".join([*lines, ""])


def bgpd(router: Router) -> str:
    """BGP version 4 with the neighbours in other domains (RFC 4271), IPv6 in sessions of its own (RFC 2545)."""
    speaker = router.bgp
    if speaker is None:
        raise ValueError(f"{router.name} has no neighbour in another domain")
    lines = [f"hostname {router.name}"]
    for version, word in _WORDS.items():
        own = [network for network in speaker.announced if network.version == version]
        lines += [f"{word} prefix-list own{version} permit {network}" for network in own]
        lines.append(f"{word} prefix-list own{version} deny any")
    lines += [f"router bgp {speaker.system}", f" bgp router-id {router.identifier}", " no bgp default ipv4-unicast"]
    lines += [" no bgp network import-check", f" timers bgp {KEEPALIVE_S} {HOLD_S}"]
    lines.append(" no bgp ebgp-requires-policy")  # RFC 8212; who hands on takes and gives everything
    for peer in speaker.peers:
        for address in peer.addresses:
            lines += [f" neighbor {address} remote-as {peer.system}"]
            lines += [f" neighbor {address} timers connect {CONNECT_S}"]
    for version in _WORDS:
        lines.append(f" address-family ipv{version} unicast")
        lines += [f"  network {network}" for network in speaker.announced if network.version == version]
        for address in (address for peer in speaker.peers for address in peer.addresses if address.version == version):
            lines.append(f"  neighbor {address} activate")
            if not speaker.transit:
                lines.append(f"  neighbor {address} prefix-list own{version} out")
        lines.append(" exit-address-family")
    return "\n".join([*lines, ""])


def _default(router: Router) -> list[str]:
    """Always: an edge that has lost its neighbour has no better way to offer, and its domain need not know."""
    return [" default-information originate always"] if router.bgp else []


def _timers(prefix: str, timers: Timers) -> list[str]:
    return [
        f" {prefix} hello-interval {timers.hello_s}",
        f" {prefix} dead-interval {DEAD_HELLOS * timers.hello_s}",
        f" {prefix} retransmit-interval {timers.retransmit_s}",
    ]
