"""The attacker's leash: no packet of an attack may leave the emulated network."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from traffic.errors import AdversaryError

_SIOCGSKNS: Final = 0x894C  # a descriptor of the network namespace that a socket belongs to
_CLONE_NEWNET: Final = 0x40000000
_RTM_GETLINK: Final = 18
_RTM_GETNSID: Final = 90
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLM_F_REQUEST: Final = 1
_NLM_F_DUMP: Final = 0x300
_IFF_UP: Final = 1
_ARPHRD_LOOPBACK: Final = 772
_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_KIND: Final = 1
_IFLA_LINK_NETNSID: Final = 37
_NETNSA_NSID: Final = 1
_NETNSA_FD: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE: Final = struct.Struct("=HH")
_READ_BYTES: Final = 1 << 16


class _Interface(NamedTuple):
    name: str
    kind: str  # as `ip -details link` shows it; empty for hardware
    peer_namespace: int | None  # the kernel's number for it in this namespace; None: this one


def refuse_way_out(sockets: Iterable[socket.socket]) -> None:
    """Refuse if a network namespace of these sockets has a way out of the emulated network; raises AdversaryError.

    Each namespace must not be the machine's own (that of process 1, or of this process), every interface in it that is
    up must be the loopback or a veth, and no veth may end in the machine's own namespace. Given one socket of every
    emulated namespace, no packet can leave through them. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
    """
    own = _own_namespaces()
    checked: set[int] = set()
    try:
        for sock in sockets:
            namespace = fcntl.ioctl(sock, _SIOCGSKNS)
            try:
                inode = os.fstat(namespace).st_ino
                if inode in own:
                    raise AdversaryError("the attacker refuses: a socket lies in the machine's own network namespace")
                if inode not in checked:
                    checked.add(inode)
                    _check(namespace, own)
            finally:
                os.close(namespace)
    except OSError as error:
        raise AdversaryError(f"the attacker refuses: its namespace cannot be inspected ({error.strerror})") from error
    finally:
        for descriptor in own.values():
            os.close(descriptor)


def _own_namespaces() -> dict[int, int]:
    """Descriptors of the machine's own namespaces, by inode. Containers may not let process 1's be read."""
    own: dict[int, int] = {}
    for process in ("self", "1"):
        try:
            descriptor = os.open(Path("/proc") / process / "ns" / "net", os.O_RDONLY)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM) and process == "1":
                continue
            raise
        inode = os.fstat(descriptor).st_ino
        if inode in own:
            os.close(descriptor)
        else:
            own[inode] = descriptor
    return own


def _check(namespace: int, own: dict[int, int]) -> None:
    """Look at one namespace from inside, in a thread of its own: entering one cannot be undone everywhere."""
    errors: list[AdversaryError | OSError] = []

    def inspect() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
                ways_out = {_namespace_number(netlink, descriptor) for descriptor in own.values()}
                for interface in _interfaces(netlink):
                    if interface.kind != "veth":
                        kind = interface.kind or "hardware"
                        raise AdversaryError(
                            f"the attacker refuses: interface {interface.name} ({kind}) is no veth and may lead out"
                        )
                    if interface.peer_namespace is not None and interface.peer_namespace in ways_out:
                        raise AdversaryError(
                            f"the attacker refuses: interface {interface.name} ends in the machine's own namespace"
                        )
        except (AdversaryError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=inspect)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _interfaces(netlink: socket.socket) -> list[_Interface]:
    """Every interface of the netlink socket's namespace that is up, without the loopback."""
    interfaces = []
    for body in _request(netlink, _RTM_GETLINK, _NLM_F_REQUEST | _NLM_F_DUMP, bytes(_LINK.size)):
        _, hardware, _, flags, _ = _LINK.unpack_from(body)
        if hardware == _ARPHRD_LOOPBACK or not flags & _IFF_UP:
            continue
        attributes = dict(_attributes(body[_LINK.size :]))
        kind = dict(_attributes(attributes.get(_IFLA_LINKINFO, b""))).get(_IFLA_INFO_KIND, b"")
        peer = attributes.get(_IFLA_LINK_NETNSID)
        number = None if peer is None else _number(peer)
        interfaces.append(_Interface(_text(attributes[_IFLA_IFNAME]), _text(kind), number))
    return interfaces


def _namespace_number(netlink: socket.socket, descriptor: int) -> int:
    """The number by which the netlink socket's namespace knows another one; -1 if it does not."""
    request = bytes(4) + _ATTRIBUTE.pack(8, _NETNSA_FD) + struct.pack("=I", descriptor)
    (body,) = _request(netlink, _RTM_GETNSID, _NLM_F_REQUEST, request)
    return _number(dict(_attributes(body[4:]))[_NETNSA_NSID])


def _request(netlink: socket.socket, kind: int, flags: int, body: bytes) -> list[bytes]:
    """The bodies of the kernel's answer to one message; raises OSError."""
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    bodies: list[bytes] = []
    while True:
        data = netlink.recv(_READ_BYTES)
        while data:
            length, answer, _, _, _ = _HEADER.unpack_from(data)
            if answer == _NLMSG_DONE:
                return bodies
            if answer == _NLMSG_ERROR:
                number = -_number(data[_HEADER.size : _HEADER.size + 4])
                raise OSError(number, os.strerror(number))
            bodies.append(data[_HEADER.size : length])
            data = data[(length + 3) & ~3 :]
        if not flags & _NLM_F_DUMP:
            return bodies


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder, signed=True)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()
