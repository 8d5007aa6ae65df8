"""Anti-replay: the sliding window of RFC 4303 (3.4.3, appendix A), and memories of what was accepted.

The window alone decides what is delivered. Only the memory of all numbers can tell a replay from a genuine packet that
came too late: both lie below the window. Only the memory of IVs can tell a replay from another packet under an old IV.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Collection
from typing import Final

from traffic.errors import ConfigurationError

SMALLEST_WINDOW: Final = 32
"""Packets; RFC 4303 (3.4.3) demands at least this."""
LARGEST_WINDOW: Final = 4096
"""Packets; what Linux allows (XFRMA_REPLAY_ESN_MAX)."""

REMEMBERED_IVS: Final = 1 << 20
"""The latest of an association: 24 MiB when full, taken in steps of 96 KiB; at 2,000 packets/s nearly 9 minutes."""

_CHUNK_BITS: Final = 15  # of the memory: 2^15 sequence numbers in 4 KiB
_IV_CHUNK_BITS: Final = 12
_IV_CHUNK: Final = 1 << _IV_CHUNK_BITS


class Position(enum.Enum):
    """Where a sequence number lies, seen from the window."""

    NEW = "not yet seen, in or above the window"
    SEEN = "in the window, and seen before"
    OLD = "below the window"


class ReplayWindow:
    """The last `size` sequence numbers up to `highest`, T. T - size + 1 is the lowest still accepted.

    Ask first, authenticate, then `accept`: a forged packet must never move the window. Raises ConfigurationError.
    """

    __slots__ = ("_bits", "_mask", "highest", "size")

    def __init__(self, size: int, highest: int = 0) -> None:
        if not SMALLEST_WINDOW <= size <= LARGEST_WINDOW:
            raise ConfigurationError(
                f"anti-replay window {size} is refused: choose {SMALLEST_WINDOW} to {LARGEST_WINDOW} packets"
            )
        self.size = size
        self.highest = highest
        self._bits = 0  # bit i: number `highest` - i was accepted
        self._mask = (1 << size) - 1

    def position(self, sequence: int) -> Position:
        """Where `sequence` (all 64 bits with ESN) lies. Number 0 is never sent (RFC 4303, 3.3.3): OLD."""
        lag = self.highest - sequence
        if lag < 0:
            return Position.NEW
        if lag >= self.size or sequence == 0:
            return Position.OLD
        return Position.SEEN if self._bits >> lag & 1 else Position.NEW

    def accept(self, sequence: int) -> None:
        """Mark an authentic packet whose position is NEW, and move the window if it is the highest so far."""
        lag = self.highest - sequence
        if lag >= 0:
            self._bits |= 1 << lag
        else:
            self._bits = 1 if -lag >= self.size else self._bits << -lag & self._mask | 1
            self.highest = sequence

    def infer_high(self, low: int) -> int:
        """The upper 32 bits of an extended sequence number of which `low` came on the wire (RFC 4303, A2.2).

        Case A: the window lies in one sub-space of 2³² numbers; what is below its bottom belongs to the next one.
        Case B: it spans two; what is above its bottom belongs to the previous one.
        """
        high, top = self.highest >> 32, self.highest & 0xFFFFFFFF
        bottom = top - self.size + 1
        if bottom >= 0:
            return high if low >= bottom else high + 1
        return high if low < bottom + (1 << 32) or high == 0 else high - 1


class Copies:
    """Which copies of an association's packets have come: each address may bring each number once.

    The association's own window decides what is delivered. What it refuses as seen is the second copy if it is the
    first of its number at its address; if not, somebody has sent it again.
    """

    def __init__(self, addresses: Collection[bytes], window: int) -> None:
        """`addresses`: of the receiver, packed, one for each path. `window`: in packets, as of the association."""
        self._windows = {address: ReplayWindow(window) for address in addresses}

    def first_here(self, address: bytes, number: int) -> bool:
        """Is this authentic packet the first of its number at that address? Remembers it."""
        window = self._windows.get(address)
        if window is None or window.position(number) is not Position.NEW:
            return False
        window.accept(number)
        return True


class SeenSet:
    """One bit per sequence number ever accepted, without bound: 12.5 MB for 10⁸ packets."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def add(self, sequence: int) -> bool:
        """Remember `sequence`; says whether it was remembered already."""
        chunk = self._chunks.get(sequence >> _CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[sequence >> _CHUNK_BITS] = bytearray(1 << _CHUNK_BITS - 3)
        index, bit = sequence >> 3 & (1 << _CHUNK_BITS - 3) - 1, 1 << (sequence & 7)
        known = bool(chunk[index] & bit)
        chunk[index] |= bit
        return known


class IvMemory:
    """What came under the latest `size` IVs, a power of two not below 4,096: a digest of 64 bits and a time in ns each.

    With counters for IVs, which this package demands, these are exactly the last `size`. Random ones push each other
    out by chance. Two different packets pass for the same once in 2⁶³ pairs.
    """

    __slots__ = ("_chunks", "_mask")

    def __init__(self, size: int = REMEMBERED_IVS) -> None:
        if size < _IV_CHUNK or size & (size - 1):
            raise ConfigurationError(f"a memory of {size} IVs is refused: choose a power of two from {_IV_CHUNK}")
        self._chunks: list[array[int] | None] = [None] * (size >> _IV_CHUNK_BITS)
        self._mask = len(self._chunks) - 1

    def find(self, iv: int) -> tuple[int, int] | None:
        """(digest, time) of what was put under this IV, if it is remembered."""
        chunk = self._chunks[iv >> _IV_CHUNK_BITS & self._mask]
        if chunk is None:
            return None
        slot = (iv & _IV_CHUNK - 1) * 3
        return (chunk[slot + 1], chunk[slot + 2]) if chunk[slot] == iv and chunk[slot + 1] else None

    def put(self, iv: int, digest: int, time_ns: int) -> None:
        """Remember; `digest` is not 0, which marks an empty place."""
        at = iv >> _IV_CHUNK_BITS & self._mask
        chunk = self._chunks[at]
        if chunk is None:
            chunk = self._chunks[at] = array("Q", bytes(8)) * (3 * _IV_CHUNK)
        slot = (iv & _IV_CHUNK - 1) * 3
        chunk[slot], chunk[slot + 1], chunk[slot + 2] = iv, digest, time_ns
