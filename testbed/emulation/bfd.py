"""Bidirectional Forwarding Detection (RFC 5880), asynchronous mode over many hops (RFC 5883): does a path answer?

Each end sends small packets at an interval and takes the path for down when it has heard none for so many intervals, or
when the other end says that it hears none. A session knows no sockets and no clock: it is told what came and when.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PORT: Final = 4784
"""UDP destination port of BFD over many hops (RFC 5883, 5)."""

SLOW_NS: Final = 1_000_000_000
"""Packets of a session that is not up are at least this far apart (RFC 5880, 6.8.3)."""

_VERSION: Final = 1
_LAYOUT: Final = struct.Struct("!BBBBIIIII")  # RFC 5880, 4.1
_POLL, _FINAL = 0x20, 0x10
_NO_ECHO: Final = 0
_LEAST_SHARE: Final = 0.75  # of the interval: jitter against synchronised ends (RFC 5880, 6.8.7)


class State(enum.IntEnum):
    """Of a session (RFC 5880, 4.1)."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(enum.IntEnum):
    """Why a session last left Up (RFC 5880, 4.1)."""

    NONE = 0
    EXPIRED = 1
    """Nothing was heard for the detection time."""
    NEIGHBOUR = 3
    """The other end said that it is down."""


@dataclass(frozen=True)
class Packet:
    """A control packet without authentication. Intervals in µs."""

    state: State
    diagnostic: int
    multiplier: int
    mine: int  # discriminators
    yours: int
    desired_tx_us: int
    required_rx_us: int
    poll: bool = False
    final: bool = False

    def pack(self) -> bytes:
        """On the wire, 24 bytes."""
        flags = self.state << 6 | (_POLL if self.poll else 0) | (_FINAL if self.final else 0)
        first = _VERSION << 5 | self.diagnostic
        times = self.desired_tx_us, self.required_rx_us, _NO_ECHO
        return _LAYOUT.pack(first, flags, self.multiplier, _LAYOUT.size, self.mine, self.yours, *times)


def parse(data: bytes) -> Packet | None:
    """The packet; None for what must be discarded (RFC 5880, 6.8.6)."""
    if len(data) < _LAYOUT.size:
        return None
    first, flags, multiplier, length, mine, yours, desired_us, required_us, _ = _LAYOUT.unpack_from(data)
    state, known = State(flags >> 6), flags & 0x0F == 0  # no authentication, demand mode or multipoint
    if first >> 5 != _VERSION or not known or not _LAYOUT.size <= length <= len(data) or not multiplier or not mine:
        return None
    if yours == 0 and state not in (State.DOWN, State.ADMIN_DOWN):
        return None
    poll, final = bool(flags & _POLL), bool(flags & _FINAL)
    return Packet(state, first & 0x1F, multiplier, mine, yours, desired_us, required_us, poll, final)


class Session:
    """One end. `number`: its discriminator, not 0. `interval_ns`: between its packets while it is up, and the least
    that it accepts. `drawn`: numbers from 0 up to below 1, for the jitter. Times are of any one clock, ns.
    """

    def __init__(self, number: int, interval_ns: int, multiplier: int, drawn: Callable[[], float]) -> None:
        self.number = number
        self.state = State.DOWN
        self.fell = False  # was it ever up and is, or was, down again?
        self.diagnostic = Diagnostic.NONE
        self.changed_ns = 0
        self.due_ns = 0  # of its next packet
        self._yours = 0
        self._interval_ns, self._multiplier, self._drawn = interval_ns, multiplier, drawn
        self._polling = self._answering = False
        self._heard_ns: int | None = None
        self._detection_ns = 0
        self._their_rx_ns = 0

    @property
    def is_up(self) -> bool:
        """Does the path answer, both ways?"""
        return self.state is State.UP

    @property
    def expires_ns(self) -> int | None:
        """When it goes down unless something is heard before; None where nothing was heard for long anyway."""
        return None if self._heard_ns is None else self._heard_ns + self._detection_ns

    def send(self, now_ns: int) -> bytes:
        """The packet that is due, and the next one is put on the schedule."""
        desired_ns = self._interval_ns if self.is_up else max(self._interval_ns, SLOW_NS)
        packet = Packet(
            self.state,
            self.diagnostic,
            self._multiplier,
            self.number,
            self._yours,
            desired_ns // 1000,
            self._interval_ns // 1000,
            poll=self._polling and not self._answering,
            final=self._answering,
        )
        self._answering = False
        share = _LEAST_SHARE + (1 - _LEAST_SHARE) * self._drawn()
        self.due_ns = now_ns + round(max(desired_ns, self._their_rx_ns) * share)
        return packet.pack()

    def receive(self, packet: Packet, time_ns: int) -> bool:
        """Take a packet in that arrived at that time; did the state change?"""
        self._yours = packet.mine
        self._heard_ns = time_ns
        self._their_rx_ns = packet.required_rx_us * 1000
        self._detection_ns = packet.multiplier * max(self._interval_ns, packet.desired_tx_us * 1000)
        if packet.final:
            self._polling = False
        if packet.poll:
            self._answering, self.due_ns = True, time_ns
        theirs = packet.state
        if theirs is State.ADMIN_DOWN or (theirs is State.DOWN and self.is_up):
            return self.state is not State.DOWN and self._become(State.DOWN, time_ns, Diagnostic.NEIGHBOUR)
        if self.state is State.DOWN and theirs in (State.DOWN, State.INIT):
            return self._become(State.UP if theirs is State.INIT else State.INIT, time_ns)
        if self.state is State.INIT and theirs in (State.INIT, State.UP):
            return self._become(State.UP, time_ns)
        return False

    def expire(self, now_ns: int) -> bool:
        """Has nothing been heard for too long? Did the state change by it?"""
        if self.expires_ns is None or now_ns < self.expires_ns:
            return False
        self._yours, self._heard_ns, self._their_rx_ns = 0, None, 0
        return self.state is not State.DOWN and self._become(State.DOWN, now_ns, Diagnostic.EXPIRED)

    def excuse(self, late_ns: int) -> None:
        """This end could neither send nor hear for so long: that was no silence of the other."""
        if self._heard_ns is not None:
            self._heard_ns += late_ns

    def _become(self, state: State, time_ns: int, diagnostic: Diagnostic | None = None) -> bool:
        """Say at once that it changed (RFC 5880, 6.8.7)."""
        self.fell |= self.is_up
        self.state, self.changed_ns, self.due_ns = state, time_ns, time_ns
        self.diagnostic = self.diagnostic if diagnostic is None else diagnostic
        if self.is_up:
            self._polling, self.diagnostic = True, Diagnostic.NONE
        return True
