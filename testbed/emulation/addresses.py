"""Who is called what: addresses, interface names and MAC addresses, all a function of the plan alone.

100.64.k.0/24, 2001:db8:k::/64    LAN number k behind the operator's NAT (RFC 6598 shared space)
198.51.100.8k/29, 2001:db8:k::/64 LAN number k outside (RFC 5737 documentation space), users' where no NAT is
10.0.0.0/8, fd00::/64             /31 and /127 for each link between routers
172.16.0.0/12, fd01::/108         a satellite's own address in a numbered constellation: one for each number
fe80::/64                         with FRR: of each link's end, because OSPFv3 speaks from it
203.0.113.k                       the k-th PoP's public address, to which inside traffic is translated
10.64.k.1                         a host's address inside its ESP tunnels
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from testbed.ground.errors import PlanError
from testbed.kernel.links import Address, Prefix
from testbed.plan.model import NUMBER_BITS, Node, Plan

SHARED_SPACE: Final = ipaddress.ip_network("100.64.0.0/10")
PUBLIC_ADDRESS: Final = ipaddress.IPv4Address("203.0.113.1")  # of the first PoP
_INSIDE: Final = list(ipaddress.IPv4Network("100.64.0.0/16").subnets(new_prefix=24))
_OUTSIDE: Final = list(ipaddress.IPv4Network("198.51.100.0/24").subnets(new_prefix=29))
_LINKS: Final = ipaddress.IPv4Address("10.0.0.0")
_LINKS6: Final = ipaddress.IPv6Address("fd00::")
LINK_NETWORKS: Final = (ipaddress.IPv4Network("10.0.0.0/8"), ipaddress.IPv6Network("fd00::/64"))
_LINK_LOCAL: Final = ipaddress.IPv6Address("fe80::1:0")
_OWN: Final = ipaddress.IPv4Address("172.16.0.0")
_OWN6: Final = ipaddress.IPv6Address("fd01::")
_LAN6: Final = ipaddress.IPv6Address("2001:db8::")
_INNER: Final = ipaddress.IPv4Address("10.64.0.0")
_NAME_MAX: Final = 15  # IFNAMSIZ − 1, linux/if.h
_PREFIXES: Final = ("ut", "vt", "gw", "pop", "pe", "ce")
DEFAULT: Final = "default"


@dataclass(frozen=True)
class LanAddresses:
    """One host's LAN, in both families: the network, the router's address and the host's."""

    networks: tuple[Prefix, Prefix]
    router: tuple[Address, Address]
    host: tuple[Address, Address]
    inner: str  # of the host, in its ESP tunnels


def lan(plan: Plan, number: int) -> LanAddresses:
    """Addresses of LAN `number` of the plan; raises PlanError when there are none left."""
    inside = [plan.node(lan.host).inside for lan in plan.lans[: number + 1]]
    networks = _INSIDE if inside[number] else _OUTSIDE
    place = number % len(networks)
    if any(inside[other] == inside[number] for other in range(place, number, len(networks))):
        raise PlanError(
            f"plan of {plan.topology}: no addresses left for the LAN of '{plan.lans[number].host}': take fewer hosts"
        )
    network = networks[place]
    network6 = ipaddress.IPv6Network((int(_LAN6) + (number << 80), 64))
    return LanAddresses(
        networks=(network, network6),
        router=(network[1], network6[1]),
        host=(network[2], network6[2]),
        inner=str(_INNER + (number << 8) + 1),
    )


def public(plan: Plan, name: str) -> ipaddress.IPv4Address:
    """The public address of the PoP of that name: each translates to its own."""
    return PUBLIC_ADDRESS + [node.name for node in plan.nodes if node.nat].index(name)


def link_ends(number: int) -> tuple[tuple[Address, Address], tuple[Address, Address]]:
    """Addresses of router link `number`: of its first end and of its second, each in both families."""
    return (
        (_LINKS + 2 * number, _LINKS6 + 2 * number),
        (_LINKS + 2 * number + 1, _LINKS6 + 2 * number + 1),
    )


def link_local(number: int, end: int) -> Address:
    """Of end 0 or 1 of pair `number`."""
    return _LINK_LOCAL + 2 * number + end


def own(number: int) -> tuple[Address, Address]:
    """A numbered node's own address in each family."""
    return _OWN + number, _OWN6 + number


def block(written: str) -> tuple[Prefix, Prefix]:
    """The addresses of a block of numbers, 'BASE/LENGTH' (`plan.model.Route`), in each family."""
    base, length = (int(part) for part in written.split("/"))
    first = own(base)
    return (
        ipaddress.IPv4Network((int(first[0]), 32 - NUMBER_BITS + length)),
        ipaddress.IPv6Network((int(first[1]), 128 - NUMBER_BITS + length)),
    )


def mac(number: int, end: int) -> str:
    """A locally administered MAC address for end 0 or 1 of pair `number`."""
    value = 2 * number + end
    return "02:00:00:" + ":".join(f"{byte:02x}" for byte in value.to_bytes(3, "big"))


def interface(node: Node, port: int) -> str:
    """Name of a node's interface, 15 characters at most: 57698-eth1, rome-eth0, but milano-gw12 at gw-milano.

    A node named after its role and site says its role where others say eth: there is room for no more.
    """
    role, dash, site = node.name.partition("-")
    prefixed = dash and role in _PREFIXES
    name = f"{site}-{role}{port}" if prefixed else f"{node.name.removeprefix('NORAD')}-eth{port}"
    if len(name) > _NAME_MAX:
        raise PlanError(f"interface name '{name}' has more than {_NAME_MAX} characters: shorten the name '{node.name}'")
    return name


def default(family: int) -> Prefix:
    """The default route's destination; family 0 is IPv4, 1 is IPv6."""
    return ipaddress.IPv4Network("0.0.0.0/0") if family == 0 else ipaddress.IPv6Network("::/0")
