"""Messages for interfaces, addresses, neighbours, routes and their rules.

Layouts: linux/if_link.h, if_addr.h, neighbour.h, rtnetlink.h, fib_rules.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from testbed.kernel import netlink
from testbed.kernel.netlink import Message

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK_INDEX: Final = 1  # in every namespace

_NEWLINK, _DELLINK, _NEWADDR, _NEWNEIGH, _NEWROUTE, _DELROUTE = 16, 17, 20, 28, 24, 25
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_IFLA_OPERSTATE, _IFLA_LINKMODE = 16, 17
_OPER_DORMANT, _OPER_UP = 5, 6  # RFC 2863, ifOperStatus; linux/if.h
_MODE_DEFAULT, _MODE_DORMANT = 0, 1
_IFLA_TX_QUEUES, _IFLA_RX_QUEUES, _IFLA_GSO_MAX_SEGS = 31, 32, 40
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFF_UP: Final = 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 0x02
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
TABLE_MAIN: Final = 254
_PROTOCOL_STATIC, _SCOPE_UNIVERSE, _TYPE_UNICAST = 4, 0, 1
_NEWRULE, _TO_TABLE, _FRA_IIFNAME, _FRA_PRIORITY = 32, 1, 3, 6  # linux/fib_rules.h
_RULE_PRIORITY: Final = 100  # before the main table's 32,766
_REPLACE: Final = netlink.CREATE | netlink.REPLACE


def _interface(index: int, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def veth(
    *,
    names: tuple[str, str],
    indices: tuple[int, int],
    macs: tuple[bytes, bytes],
    namespaces: tuple[int, int],
    mtu: int,
) -> Message:
    """A veth pair with each end made in its own namespace (file descriptors), under the interface index asked for."""
    ends = [
        _interface(index)
        + netlink.text(_IFLA_IFNAME, name)
        + netlink.attribute(_IFLA_ADDRESS, mac)
        + netlink.u32(_IFLA_MTU, mtu)
        + netlink.u32(_IFLA_TX_QUEUES, 1)  # not one for each CPU: a link is one queue
        + netlink.u32(_IFLA_RX_QUEUES, 1)
        + netlink.u32(_IFLA_NET_NS_FD, namespace)
        for index, name, mac, namespace in zip(indices, names, macs, namespaces, strict=True)
    ]
    data = netlink.nested(_INFO_DATA, netlink.attribute(_VETH_INFO_PEER, ends[1]))
    info = netlink.nested(_IFLA_LINKINFO, netlink.attribute(_INFO_KIND, b"veth"), data)
    flags = netlink.CREATE | netlink.EXCLUSIVE
    return netlink.message(_NEWLINK, flags, ends[0] + info, f"the link {names[0]}–{names[1]}")


def set_up(index: int, *, up: bool = True) -> Message:
    """Raise an interface, or take it down. A veth's ends can only be raised once both exist."""
    payload = _interface(index, _IFF_UP if up else 0, _IFF_UP)
    return netlink.message(_NEWLINK, 0, payload, f"interface {index} {'up' if up else 'down'}")


def signal(index: int, *, present: bool) -> Message:
    """Give an interface its signal, or take it: without, `ip link` says NO-CARRIER and routing daemons leave it.

    The kernel's word for it is 'dormant' (RFC 2863). The interface keeps its addresses, neighbours and routes, all of
    which it would lose if one end of the veth were taken down, the only other way.
    """
    states = (_OPER_UP, _MODE_DEFAULT) if present else (_OPER_DORMANT, _MODE_DORMANT)
    payload = _interface(index)
    for kind, state in zip((_IFLA_OPERSTATE, _IFLA_LINKMODE), states, strict=True):
        payload += netlink.attribute(kind, bytes([state]))
    return netlink.message(_NEWLINK, 0, payload, f"signal of interface {index}")


def single_frames(index: int) -> Message:
    """Have TCP hand over one frame at a time on an interface, instead of bundles that a queue counts as one packet."""
    payload = _interface(index) + netlink.u32(_IFLA_GSO_MAX_SEGS, 1)
    return netlink.message(_NEWLINK, 0, payload, f"interface {index} in single frames")


def delete(index: int) -> Message:
    """Remove an interface; of a veth pair, both."""
    return netlink.message(_DELLINK, 0, _interface(index), f"removal of interface {index}")


def address(index: int, local: Address, prefix_length: int) -> Message:
    """Give an interface an address; without duplicate address detection, which would delay IPv6 by a second."""
    header = struct.pack("=BBBBI", _family(local.version), prefix_length, _IFA_F_NODAD, 0, index)
    payload = header + netlink.attribute(_IFA_LOCAL, local.packed) + netlink.attribute(_IFA_ADDRESS, local.packed)
    return netlink.message(_NEWADDR, _REPLACE, payload, f"address {local}/{prefix_length} on interface {index}")


def neighbour(index: int, peer: Address, mac: bytes) -> Message:
    """A permanent neighbour entry, so that no address resolution crosses an emulated delay."""
    header = struct.pack("=BxxxiHBB", _family(peer.version), index, _NUD_PERMANENT, 0, 0)
    payload = header + netlink.attribute(_NDA_DST, peer.packed) + netlink.attribute(_NDA_LLADDR, mac)
    return netlink.message(_NEWNEIGH, _REPLACE, payload, f"neighbour {peer} on interface {index}")


def route(
    destination: Prefix, index: int, gateway: Address, source: Address | None = None, table: int = TABLE_MAIN
) -> Message:
    """Send `destination` through interface `index` to `gateway`, in place of any earlier route for it in its table.

    `source`: the address that the node's own packets take which go this way.
    """
    header = struct.pack(
        "=BBBBBBBBI",
        _family(destination.version),
        destination.prefixlen,
        0,
        0,
        table,
        _PROTOCOL_STATIC,
        _SCOPE_UNIVERSE,
        _TYPE_UNICAST,
        0,
    )
    payload = header + netlink.u32(_RTA_OIF, index) + netlink.attribute(_RTA_GATEWAY, gateway.packed)
    if destination.prefixlen:
        payload += netlink.attribute(_RTA_DST, destination.network_address.packed)
    if source is not None:
        payload += netlink.attribute(_RTA_PREFSRC, source.packed)
    return netlink.message(_NEWROUTE, _REPLACE, payload, f"route to {destination} via {gateway}")


def rule_for_arrivals(interface: str, table: int, version: int) -> Message:
    """Look up what arrives at that interface in `table` first, and only then, if nothing is there, in the main one."""
    header = struct.pack("=BBBBBBBBI", _family(version), 0, 0, 0, table, 0, 0, _TO_TABLE, 0)
    payload = header + netlink.text(_FRA_IIFNAME, interface) + netlink.u32(_FRA_PRIORITY, _RULE_PRIORITY)
    return netlink.message(_NEWRULE, netlink.CREATE | netlink.EXCLUSIVE, payload, f"rule for what comes by {interface}")
