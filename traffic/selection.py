"""Which packets an attacker acts on, in a form that a kernel filter and the attacker understand alike.

One packet in 2^k by the low bits of its sequence number, or a share of all by a hash of it with a seed: the same seed
chooses the same numbers again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from traffic.errors import AdversaryError
from traffic.packets import ETHERNET_BYTES, NAT_T_PORT

Words = tuple[tuple[int, int, int], ...]
"""(offset from the IPv4 header in bytes, mask, value) of 32-bit words, all to match."""

_UDP: Final = 17
_SPI, _SEQUENCE = 28, 32  # bytes from the beginning of an IPv4 header without options
_ALL: Final = 0xFFFFFFFF
_MULTIPLY_1, _MULTIPLY_2 = 0x85EBCA77, 0xC2B2AE3D  # the primes of XXH32's last mixing
_SHIFTS: Final = (15, 13, 16)  # its shifts

# Classic BPF operations (linux/bpf_common.h)
_LOAD, _AND, _XOR, _XOR_X, _MULTIPLY, _SHIFT, _TO_X = 0x20, 0x54, 0xA4, 0xAC, 0x24, 0x74, 0x07
_IF_EQUAL, _IF_NOT_BELOW, _RETURN = 0x15, 0x35, 0x06
_Row = tuple[int, int, int, int]  # operation, jump if true, jump if false, operand


@dataclass(frozen=True)
class Selection:
    """`words`: what every selected packet matches. `share`: of 2³², how many of all hashes; None: all that match."""

    words: Words
    share: int | None = None
    seed: int = 0

    def matches(self, packet: bytes) -> bool:
        """Whether an IPv4 packet is selected."""
        for offset, mask, value in self.words:
            if len(packet) < offset + 4 or int.from_bytes(packet[offset : offset + 4], "big") & mask != value:
                return False
        return self.share is None or mix(int.from_bytes(packet[_SEQUENCE:][:4], "big") ^ self.seed) < self.share

    def program(self) -> bytes:
        """The same as a classic BPF program on Ethernet frames (struct sock_filter): all ones if selected, else 0."""
        rows: list[_Row] = []
        for offset, mask, value in self.words:
            rows += [(_LOAD, 0, 0, ETHERNET_BYTES + offset), (_AND, 0, 0, mask), (_IF_EQUAL, 0, -1, value)]
        if self.share is not None:
            rows += [(_LOAD, 0, 0, ETHERNET_BYTES + _SEQUENCE), (_XOR, 0, 0, self.seed)]
            for shift, factor in zip(_SHIFTS, (_MULTIPLY_1, _MULTIPLY_2, None), strict=True):
                rows += [(_TO_X, 0, 0, 0), (_SHIFT, 0, 0, shift), (_XOR_X, 0, 0, 0)]
                if factor is not None:
                    rows.append((_MULTIPLY, 0, 0, factor))
            rows.append((_IF_NOT_BELOW, -1, 0, self.share))
        rows += [(_RETURN, 0, 0, _ALL), (_RETURN, 0, 0, 0)]
        return b"".join(_assemble(rows))


def _assemble(rows: list[_Row]) -> Iterable[bytes]:
    """As the kernel reads it; a jump of -1 leads to the last row."""
    for number, (operation, *jumps, operand) in enumerate(rows):
        forward = [len(rows) - number - 2 if jump < 0 else jump for jump in jumps]
        yield struct.pack("=HBBI", operation, *forward, operand)


def mix(number: int) -> int:
    """A number of 32 bits mixed well: the last step of XXH32 (xxHash specification, 'avalanche')."""
    number ^= number >> _SHIFTS[0]
    number = number * _MULTIPLY_1 & _ALL
    number ^= number >> _SHIFTS[1]
    number = number * _MULTIPLY_2 & _ALL
    return number ^ number >> _SHIFTS[2]


def one_in(every: int, *, reply: bool = False) -> Selection:
    """ESP in UDP port 4500, IPv4 without options, not a fragment, whose number has its lowest bits all set: one packet
    in `every`, a power of two. `reply`: from port 4500 instead of to it, as a NAT may leave it. Raises AdversaryError.
    """
    if every < 1 or every & (every - 1):
        raise AdversaryError(f"the attacker takes one packet in {every}: choose a power of two")
    return Selection((*_encapsulated(reply), (_SEQUENCE, every - 1, every - 1)))


def percent(share: float, seed: int, *, reply: bool = False) -> Selection:
    """As `one_in`, but `share` per cent of all numbers, chosen by `seed` alone. Raises AdversaryError."""
    if not 0 < share <= 100:
        raise AdversaryError(f"the attacker takes {share:g} % of the packets: choose more than 0 and up to 100")
    threshold = round(share / 100 * (1 << 32))
    return Selection(_encapsulated(reply), None if threshold > _ALL else threshold, seed & _ALL)


def exchanges(*, reply: bool = False) -> Selection:
    """The messages of key exchanges: what begins with the non-ESP marker on that port."""
    return Selection((*_encapsulated(reply), (_SPI, _ALL, 0)))


def _encapsulated(reply: bool) -> Words:
    port = (20, 0xFFFF0000, NAT_T_PORT << 16) if reply else (20, 0x0000FFFF, NAT_T_PORT)
    return ((0, 0xFF000000, 0x45000000), (4, 0x00003FFF, 0), (8, 0x00FF0000, _UDP << 16), port)
