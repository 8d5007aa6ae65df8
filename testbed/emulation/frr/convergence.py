"""When routing has settled: the kernels' own notices of routes, in every node, with the time of each."""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Final

from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import align, parse_attributes

_GROUPS: Final = 1 << 6 | 1 << 10  # RTNLGRP_IPV4_ROUTE 7, RTNLGRP_IPV6_ROUTE 11: linux/rtnetlink.h
_NEWROUTE, _DELROUTE = 24, 25
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_OSPF, _BGP = 188, 186  # RTPROT_OSPF, of both versions; RTPROT_BGP
_RECEIVE_BYTES: Final = 1 << 16
_BUFFER_BYTES: Final = 4 << 20
_SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h

Key = tuple[str, str]
"""Node and destination, as 'address/length'."""


class Monitor:
    """Routes that OSPF and BGP have put into the kernels, followed by their notices. A context manager."""

    def __init__(self, spaces: Mapping[str, Namespace]) -> None:
        self.routes: dict[Key, str] = {}
        """Next hop by node and destination; '' where there are several."""
        self.by_bgp: set[Key] = set()
        """Those of the routes that BGP has made."""
        self.ever_by_bgp: set[Key] = set()
        """All that it has ever made."""
        self.changed_s = time.monotonic()
        """When the last notice came, on the monotonic clock."""
        self.changes = 0
        self._names: dict[int, str] = {}
        self._sockets: list[socket.socket] = []
        self._poll = select.poll()
        for name, space in spaces.items():
            with space.entered():
                listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            listener.bind((0, _GROUPS))
            listener.setblocking(False)
            self._names[listener.fileno()] = name
            self._sockets.append(listener)
            self._poll.register(listener, select.POLLIN)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the sockets."""
        for listener in self._sockets:
            listener.close()

    def wait(self, settled: Callable[[Monitor], bool], timeout_s: float) -> float:
        """Until `settled(self)`, asked after every notice; returns when the last notice came (monotonic, seconds).

        Raises TimeoutError.
        """
        deadline = time.monotonic() + timeout_s
        while not settled(self):
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError(f"routing has not settled in {timeout_s:g} s: {len(self.routes)} routes")
            self.listen(min(remaining_s, 0.2))
        return self.changed_s

    def listen(self, seconds: float) -> None:
        """Take in the notices that come within `seconds`, or those that wait."""
        for descriptor, _ in self._poll.poll(seconds * 1e3):
            listener = next(listener for listener in self._sockets if listener.fileno() == descriptor)
            while True:
                try:
                    data = listener.recv(_RECEIVE_BYTES)
                except BlockingIOError:
                    break
                self._take(self._names[descriptor], data)

    def _take(self, node: str, data: bytes) -> None:
        at = 0
        while at + 16 <= len(data):
            length, kind, _, _, _ = struct.unpack_from("=IHHII", data, at)
            if kind in (_NEWROUTE, _DELROUTE):
                self._route(node, kind, data[at + 16 : at + length])
            at += align(length)

    def _route(self, node: str, kind: int, payload: bytes) -> None:
        family, length, _, _, _, protocol, _, _ = struct.unpack_from("=8B", payload)
        if protocol not in (_OSPF, _BGP):
            return
        attributes = parse_attributes(payload[12:])
        address = attributes.get(_RTA_DST, bytes(4 if family == socket.AF_INET else 16))
        key = node, f"{ipaddress.ip_address(address)}/{length}"
        self.changed_s = time.monotonic()
        self.changes += 1
        if kind == _NEWROUTE:
            gateway = attributes.get(_RTA_GATEWAY)
            self.routes[key] = str(ipaddress.ip_address(gateway)) if gateway else ""
            if protocol == _BGP:
                self.by_bgp.add(key)
                self.ever_by_bgp.add(key)
            else:
                self.by_bgp.discard(key)
        elif (key in self.by_bgp) == (protocol == _BGP):  # else another has taken its place already
            self.routes.pop(key, None)
            self.by_bgp.discard(key)
