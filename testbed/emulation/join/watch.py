"""What the kernel says of the run's network as it changes: routing netlink, one socket in each node's namespace.

A default route that moves at a terminal is a handover, at another node a route. A signal that comes or goes at an
interface is a link direction that arrives there, lit or dark. Layouts: linux/rtnetlink.h, if_link.h.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from testbed.emulation.addresses import DEFAULT
from testbed.emulation.player import Player
from testbed.emulation.wiring import Wiring
from testbed.kernel.netlink import align, parse_attributes

MOST_NODES: Final = 1_000
"""Assumption: beyond it satellites are not listened to; what moves is seen at the ground's end as well."""

_GROUPS: Final = 0x1 | 0x40  # RTMGRP_LINK, RTMGRP_IPV4_ROUTE
_NEWLINK, _DELLINK, _NEWROUTE = 16, 17, 24
_IFLA_OPERSTATE, _RTA_OIF, _RTA_TABLE = 16, 4, 15
_TABLE_MAIN: Final = 254
_OPER_UP: Final = 6  # RFC 2863, ifOperStatus; linux/if.h
_IFF_UP: Final = 1
_HEADER: Final = struct.Struct("=IHHII")
_BUFFER_BYTES: Final = 1 << 20

Event = dict[str, Any]


class Watch:
    """Listens from now on. A context manager. `start_realtime_ns`: CLOCK_REALTIME of schedule time 0."""

    def __init__(self, wiring: Wiring, player: Player, start_realtime_ns: Callable[[], int]) -> None:
        self._wiring, self._start_realtime_ns = wiring, start_realtime_ns
        self._roles = {node.name: node.role for node in wiring.plan.nodes}
        few = len(self._roles) <= MOST_NODES
        self._names = [name for name, role in self._roles.items() if few or role != "satellite"]
        listened = set(self._names)
        self._neighbours: dict[tuple[str, int], str] = {}
        for a, b in wiring.pairs:
            for here, there in ((a, b), (b, a)):
                if here in listened:
                    self._neighbours[here, wiring.interface(here, there).index] = there
        self._lit: dict[tuple[str, int], bool] = {}
        for number in range(len(wiring.plan.links)):
            end = wiring.end(number)
            if end.far_node in listened:
                self._lit[end.far_node, end.far_index] = player.wanted(number).loss < 1
        self._up: dict[tuple[str, int], bool] = {}
        self._via = self._default_routes()
        self._selector = selectors.DefaultSelector()

    def _default_routes(self) -> dict[str, str]:
        """Where the plan has sent everything by now, neighbour by node; nothing where daemons set the routes."""
        now_ns = time.time_ns() - self._start_realtime_ns()
        plan = self._wiring.plan
        planned = plan.routes if plan.routing == "plan" else ()
        return {
            route.node: route.via
            for route in planned
            if route.destination == DEFAULT and (route.time_ns == 0 or route.time_ns <= now_ns)
        }

    def __enter__(self) -> Watch:
        for name in self._names:
            with self._wiring.nodes[name].namespace.entered():
                sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            sock.setblocking(False)
            sock.bind((0, _GROUPS))
            self._selector.register(sock, selectors.EVENT_READ, name)
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr] # the sockets registered above
        self._selector.close()

    def events(self, timeout_s: float) -> list[Event]:
        """What has happened, at once or within `timeout_s`; in the order in which the kernel told it of each node."""
        return [event for key, _ in self._selector.select(timeout_s) for event in self._read(key.data, key.fileobj)]

    def _read(self, name: str, sock: Any) -> Iterator[Event]:
        while True:
            try:
                data = sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield self._event("missed", name, detail="the kernel told more than could be taken")
                continue
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, at)
                yield from self._understand(name, kind, data[at + _HEADER.size : at + length])
                at += align(length)

    def _understand(self, name: str, kind: int, payload: bytes) -> Iterator[Event]:
        if kind == _NEWROUTE:
            yield from self._route(name, payload)
        elif kind in (_NEWLINK, _DELLINK):
            _, _, index, flags, _ = struct.unpack_from("=BxHiII", payload)
            place = name, index
            if place not in self._neighbours:
                return
            up = kind == _NEWLINK and bool(flags & _IFF_UP)
            if up != self._up.get(place, True):
                yield self._event("interface", name, to=self._neighbours[place], up=up)
            self._up[place] = up
            state = parse_attributes(payload[16:]).get(_IFLA_OPERSTATE)
            if place in self._lit and state is not None:
                lit = state[0] == _OPER_UP
                if lit != self._lit[place]:
                    self._lit[place] = lit
                    yield self._event("link", self._neighbours[place], to=name, up=lit)

    def _route(self, name: str, payload: bytes) -> Iterator[Event]:
        """A default route of the main table, at a node of the ground."""
        family, length, _, _, table = struct.unpack_from("=BBBBB", payload)
        attributes = parse_attributes(payload[12:])
        if _RTA_TABLE in attributes:
            (table,) = struct.unpack("=I", attributes[_RTA_TABLE])
        if family != socket.AF_INET or length or table != _TABLE_MAIN or _RTA_OIF not in attributes:
            return
        via = self._neighbours.get((name, struct.unpack("=i", attributes[_RTA_OIF])[0]))
        if via is None or via == self._via.get(name) or self._roles[name] == "satellite":
            return
        before, self._via[name] = self._via.get(name), via
        kind = "handover" if self._roles[name] == "terminal" else "route"
        yield self._event(kind, name, to=via, **({} if before is None else {"from": before}))

    def _event(self, kind: str, node: str, **more: Any) -> Event:
        time_s = (time.time_ns() - self._start_realtime_ns()) / 1e9
        return {"time_s": round(time_s, 3), "kind": kind, "node": node, "by": "kernel"} | more
