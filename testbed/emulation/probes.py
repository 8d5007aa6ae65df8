"""Probes: small CS6 packets over every link and path in use, stamped by the kernel at both ends.

A probe leaves with TX_SCHED, before the sender's queues, and arrives with RX: what lies between is what the emulation
did to it. All probes of a node share one socket. The order of the targets is drawn anew for every round, and
the instant within each turn: a link always probed in the same phase of something periodic, as the ticks are, would take
the blame for it (RFC 2330, 11.1).
"""

from __future__ import annotations

import random
import select
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation.nodes import EmulatedNode
from testbed.ground.clock import Clock
from testbed.kernel.namespaces import Namespace
from traffic import timestamps

PORT: Final = 862
"""STAMP's port (RFC 8762, 4.1): what the audit sends to. A host's clear-text policy lets it in."""

DSCP_CS6: Final = 48  # network control, RFC 4594
_PAYLOAD: Final = struct.Struct("!QQ")  # probe number, padding
WIRE_BYTES: Final = 14 + 20 + 8 + _PAYLOAD.size
"""A probe as the queues count it: Ethernet, IPv4, UDP, payload."""

LINK, PATH, CONTROL = 0, 1, 2
_PERIOD_NS: Final = 200_000_000  # between probes of one target,
LEAST_GAP_NS: Final = 2_500_000  # and of all: beyond some 400 packets a second the guest's own timers suffer
_DRAIN_NS: Final = 100_000_000
_BEHIND_NS: Final = 20_000_000  # Assumption: a turn missed by this much stays missed: catching up would delay the ticks
_UNLEARNT: Final = ("", 0)

RAW_DTYPE: Final = np.dtype([("kind", "u1"), ("index", "<i4"), ("tx_ns", "<i8"), ("rx_ns", "<i8")])
"""One row per probe; CLOCK_REALTIME stamps, 0 where the kernel gave none: not sent, or not arrived."""


@dataclass
class Target:
    """Something to probe: from a node to an address, while `usable(now_ns)`.

    A path's far end may be behind a NAT: its address is learnt from the probes that come from there (`learns`).
    """

    kind: int
    index: int
    sender: str
    address: tuple[str, int]
    usable: Callable[[int], bool]
    learns: str = ""  # name of the host whose probes teach the address


class Prober:
    """Sends and collects probes; an Activity of the loop. `sockets` by node name."""

    def __init__(self, targets: Sequence[Target], sockets: dict[str, socket.socket], until_ns: int) -> None:
        self._sockets = sockets
        self._until_ns = until_ns
        self._gap_ns = max(_PERIOD_NS // max(len(targets), 1), LEAST_GAP_NS)
        self._random = random.Random(1)  # noqa: S311 - phases, not secrets; the same in every run
        self._order = list(targets)
        self._turn = -1
        self._due_ns = 0
        self._next_turn(0)
        self._drained_ns = 0
        self._sent: list[tuple[int, int]] = []  # kind and index by probe number
        self._numbers: dict[str, list[int]] = {name: [] for name in sockets}  # probe number by socket's own counter
        self._tx: dict[int, int] = {}
        self._rx: dict[int, int] = {}
        self._names = {sock.fileno(): name for name, sock in sockets.items()}
        self._poll = select.poll()
        for sock in sockets.values():
            self._poll.register(sock, select.POLLIN | select.POLLERR)
        self._learners = {  # by the host that learns, and the path by which the host comes that it wants to reach
            (learner.sender, teacher.index): learner
            for learner in targets
            for teacher in targets
            if learner.learns and teacher.kind == PATH and teacher.sender == learner.learns
        }
        self._taught: dict[int, int] = {}  # the latest probe that taught, by path
        self._newest: dict[int, int] = {}  # the probe that has arrived last, by path

    def due_ns(self) -> int | None:
        return self._due_ns if self._order and self._due_ns < self._until_ns else None

    def _next_turn(self, turn: int) -> None:
        if self._order and turn // len(self._order) > self._turn // len(self._order):
            self._random.shuffle(self._order)
        self._turn = turn
        self._due_ns = self._turn * self._gap_ns + self._random.randrange(self._gap_ns)

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        if now_ns - self._due_ns > _BEHIND_NS:
            self._next_turn(now_ns // self._gap_ns)
        target = self._order[self._turn % len(self._order)]
        self._next_turn(self._turn + 1)
        if target.address != _UNLEARNT and target.usable(now_ns):
            number = len(self._sent)
            self._sockets[target.sender].sendto(_PAYLOAD.pack(number, 0), target.address)
            self._sent.append((target.kind, target.index))
            self._numbers[target.sender].append(number)
        if now_ns - self._drained_ns >= _DRAIN_NS:
            self._drained_ns = now_ns
            self.drain()

    def drain(self) -> None:
        """Take in the stamps and packets that wait in the sockets."""
        for descriptor, _ in self._poll.poll(0):
            name = self._names[descriptor]
            sock = self._sockets[name]
            for counter, time_ns in timestamps.tx_stamps(sock):
                self._tx[self._numbers[name][counter]] = time_ns
            for payload, address, time_ns in timestamps.receive(sock):
                if len(payload) != _PAYLOAD.size:
                    continue
                number = _PAYLOAD.unpack(payload)[0]
                if number >= len(self._sent):
                    continue
                self._rx[number] = time_ns
                if self._sent[number][0] == PATH:
                    self._newest[self._sent[number][1]] = number
                self._learn(name, number, (address[0], address[1]))

    def _learn(self, receiver: str, number: int, address: tuple[str, int]) -> None:
        """What answers the host that this probe came from goes to where the newest probe came from: a NAT may have been
        lost, and another have taken over."""
        kind, path = self._sent[number]
        learner = self._learners.get((receiver, path)) if kind == PATH else None
        if learner is not None and number >= self._taught.get(path, 0):
            self._taught[path] = number
            learner.address = address

    def newest(self, path: int) -> tuple[int, int] | None:
        """When the latest probe of a path that has arrived was sent, CLOCK_REALTIME, and how long it took; in ns."""
        number = self._newest.get(path, -1)
        sent_ns, arrived_ns = self._tx.get(number, 0), self._rx.get(number, 0)
        return (sent_ns, arrived_ns - sent_ns) if sent_ns and arrived_ns else None

    def raw(self) -> NDArray[np.void]:
        """All probes, shape (n,), of RAW_DTYPE."""
        self.drain()
        rows = np.zeros(len(self._sent), RAW_DTYPE)
        for number, (kind, index) in enumerate(self._sent):
            rows[number] = (kind, index, self._tx.get(number, 0), self._rx.get(number, 0))
        return rows


def open_socket(node: EmulatedNode | Namespace) -> socket.socket:
    """The probing socket of a node."""
    namespace = node if isinstance(node, Namespace) else node.namespace
    with namespace.entered():
        return timestamps.open_udp("0.0.0.0", PORT, dscp=DSCP_CS6, tx_stamps=True, rx_stamps=True)  # noqa: S104
