"""Fragments of IP packets put together again (RFC 791, 3.2; RFC 8200, 4.5), and attacks with them named.

A datagram whose parts overlap or contradict each other is refused whole (RFC 5722); a part that comes again exactly
as it was is ignored, because links duplicate.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Final

from traffic.packets import Packet, reassembled

TIMEOUT_NS: Final = 30_000_000_000
"""After its first part arrived, a datagram must be whole: Linux's default, net.ipv4.ipfrag_time."""
MOST_BYTES: Final = 4 << 20
"""Held for unfinished datagrams together: Linux's default, net.ipv4.ipfrag_high_thresh."""

_PART_BYTES: Final = 512  # Assumption: what a part costs in memory beside its content
_LARGEST: Final = 65_535  # bytes of an IP packet


class Outcome(enum.Enum):
    """What a part means that completes nothing."""

    WAITING = "other parts are still to come"
    OVERLAP = "parts overlap or contradict each other"
    BROKEN = "a part as no sender makes it: empty, beyond 65,535 bytes, or not of 8-byte units before the last"


@dataclass
class _Datagram:
    since_ns: int
    parts: dict[int, Packet] = field(default_factory=dict)  # by offset
    offsets: list[int] = field(default_factory=list)  # sorted
    content_bytes: int = 0
    end: int | None = None  # where the last part ends
    refused: bool = False


class Reassembly:
    """Datagrams waiting for parts, at most `most_bytes` of them; beyond it the oldest is given up.

    `timeout_ns` counts from the first part that arrived. Times are the caller's, in ns.
    """

    def __init__(self, timeout_ns: int = TIMEOUT_NS, most_bytes: int = MOST_BYTES) -> None:
        self._timeout_ns = timeout_ns
        self._most_bytes = most_bytes
        self._datagrams: dict[tuple[bytes, bytes, int, int], _Datagram] = {}  # in order of arrival
        self._held_bytes = 0
        self._given_up: list[str] = []

    def add(self, packet: Packet, time_ns: int) -> tuple[Packet, bytes] | Outcome:
        """Take a part; (the whole packet, what its parts carried) when it was the missing one."""
        part = packet.fragment
        assert part is not None
        stop = part.offset + len(part.data)
        if not part.data or stop > _LARGEST or (part.more and len(part.data) & 7):
            return Outcome.BROKEN
        self._give_up(time_ns)
        datagram = self._datagrams.setdefault(part.datagram, _Datagram(time_ns))
        if datagram.refused:
            return Outcome.OVERLAP
        known = datagram.parts.get(part.offset)
        if known is not None and known.fragment == part:
            return Outcome.WAITING
        if _contradicts(datagram, part.offset, stop, part.more):
            self._refuse(datagram)
            return Outcome.OVERLAP
        datagram.parts[part.offset] = packet
        insort(datagram.offsets, part.offset)
        datagram.content_bytes += len(part.data)
        self._held_bytes += len(part.data) + _PART_BYTES
        if not part.more:
            datagram.end = stop
        if datagram.content_bytes == datagram.end:  # without overlaps, nothing is missing
            del self._datagrams[part.datagram]
            self._held_bytes -= _cost(datagram)
            data = b"".join(_data(datagram.parts[offset]) for offset in datagram.offsets)
            return reassembled(datagram.parts[0], data), data
        return Outcome.WAITING

    def given_up(self, time_ns: int | None) -> list[str]:
        """One line for each datagram given up since the last call; at time None all that are not whole are."""
        self._give_up(time_ns)
        lines, self._given_up = self._given_up, []
        return lines

    def _give_up(self, time_ns: int | None) -> None:
        for key, datagram in list(self._datagrams.items()) if time_ns is None else self._oldest(time_ns):
            del self._datagrams[key]
            self._held_bytes -= _cost(datagram)
            if not datagram.refused:
                whole = "?" if datagram.end is None else str(datagram.end)
                self._given_up.append(f"{datagram.content_bytes} of {whole} bytes in {len(datagram.parts)} fragments")

    def _oldest(self, time_ns: int) -> list[tuple[tuple[bytes, bytes, int, int], _Datagram]]:
        """Those that waited too long, and as many as it takes to come below the limit of memory."""
        chosen, held_bytes = [], self._held_bytes
        for key, datagram in self._datagrams.items():
            if time_ns - datagram.since_ns <= self._timeout_ns and held_bytes <= self._most_bytes:
                break
            chosen.append((key, datagram))
            held_bytes -= _cost(datagram)
        return chosen

    def _refuse(self, datagram: _Datagram) -> None:
        """Keep only that it was refused, so that its later parts are as well, until its time is over."""
        self._held_bytes -= _cost(datagram)
        datagram.refused, datagram.parts, datagram.offsets, datagram.content_bytes = True, {}, [], 0
        self._held_bytes += _cost(datagram)


def _data(packet: Packet) -> bytes:
    assert packet.fragment is not None
    return packet.fragment.data


def _cost(datagram: _Datagram) -> int:
    """Bytes that a datagram counts for; a refused one as one part."""
    return datagram.content_bytes + (len(datagram.parts) + datagram.refused) * _PART_BYTES


def _contradicts(datagram: _Datagram, offset: int, stop: int, more: bool) -> bool:
    """Does a new part overlap another, or disagree about where the datagram ends?"""
    offsets, end = datagram.offsets, datagram.end
    at = bisect_left(offsets, offset)
    if at < len(offsets) and offsets[at] < stop:
        return True
    if at and offsets[at - 1] + len(_data(datagram.parts[offsets[at - 1]])) > offset:
        return True
    if more:
        return end is not None and stop >= end
    return end is not None or at < len(offsets)
