"""A packet in an attacker's hands: read by field, and built anew with another content or other numbers."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from traffic.esp import HEADER_BYTES, ICV_BYTES, SMALLEST_BYTES
from traffic.packets import ETHERNET_BYTES, NAT_T_PORT, NON_ESP_MARKER, UDP_BYTES, checksum

IPV4_BYTES: Final = 20
"""Of a header without options; packets with options are left alone."""
OUTER_BYTES: Final = IPV4_BYTES + UDP_BYTES

_MORE_FRAGMENTS: Final = 0x2000
_UDP_PROTOCOL: Final = 17
_PORTS: Final = struct.Struct(">HH")


@dataclass(frozen=True)
class Caught:
    """An IPv4 packet without options that carries a whole UDP datagram; `packet` begins with the IP header."""

    packet: bytes

    @property
    def source(self) -> str:
        """Outer address."""
        return socket.inet_ntoa(self.packet[12:16])

    @property
    def destination(self) -> str:
        """Outer address."""
        return socket.inet_ntoa(self.packet[16:20])

    @property
    def dscp(self) -> int:
        """The outer traffic class, 0 to 63."""
        return self.packet[1] >> 2

    @property
    def payload(self) -> bytes:
        """What UDP carries: ESP, or a message of a key exchange."""
        return self.packet[OUTER_BYTES:]

    @property
    def is_esp(self) -> bool:
        """Whether the payload is a whole ESP packet by its length, and no key exchange (RFC 3948, 2.2)."""
        return len(self.packet) >= OUTER_BYTES + SMALLEST_BYTES and self.payload[:4] != NON_ESP_MARKER

    @property
    def spi(self) -> int:
        """Of ESP."""
        return int.from_bytes(self.packet[OUTER_BYTES : OUTER_BYTES + 4], "big")

    @property
    def sequence(self) -> int:
        """Of ESP: the number's lower 32 bits, which are all that is sent."""
        return int.from_bytes(self.packet[OUTER_BYTES + 4 : OUTER_BYTES + 8], "big")

    @property
    def iv(self) -> bytes:
        """Of ESP, 8 bytes."""
        return self.packet[OUTER_BYTES + 8 : OUTER_BYTES + HEADER_BYTES]

    @property
    def ciphertext(self) -> bytes:
        """Of ESP, without the ICV."""
        return self.packet[OUTER_BYTES + HEADER_BYTES : -ICV_BYTES]

    @property
    def icv(self) -> bytes:
        """Of ESP, 16 bytes."""
        return self.packet[-ICV_BYTES:]

    @cached_property
    def way(self) -> tuple[bytes, int]:
        """Outer addresses and class: what has this in common and another SPI is another generation of keys."""
        return self.packet[12:20], self.dscp

    def with_payload(self, payload: bytes) -> bytes:
        """The same packet with another UDP payload; lengths fit, and the UDP checksum is 0: not used (RFC 768)."""
        datagram = self.packet[IPV4_BYTES : IPV4_BYTES + 4] + struct.pack(">HH", UDP_BYTES + len(payload), 0)
        return ip_packet(self.packet, datagram + payload)

    def with_esp(
        self,
        *,
        spi: bytes | None = None,
        sequence: bytes | None = None,
        iv: bytes | None = None,
        ciphertext: bytes | None = None,
        icv: bytes | None = None,
    ) -> bytes:
        """The same packet with other fields of ESP."""
        old = self.payload
        parts = (spi or old[:4], sequence or old[4:8], iv or self.iv)
        body = self.ciphertext if ciphertext is None else ciphertext
        return self.with_payload(b"".join(parts) + body + (self.icv if icv is None else icv))

    def flipped(self, bit: int) -> bytes:
        """The same packet with bit number `bit` of its UDP payload flipped."""
        payload = bytearray(self.payload)
        payload[bit >> 3] ^= 1 << (bit & 7)
        return self.with_payload(bytes(payload))

    def fragment(self, begin: int, end: int, *, more: bool, identification: int) -> bytes:
        """Bytes `begin` to `end` of what the IP packet carries, as a fragment; `begin` is a multiple of 8."""
        data = self.packet[IPV4_BYTES : IPV4_BYTES + 6] + bytes(2) + self.packet[OUTER_BYTES:]  # UDP checksum 0
        place = begin >> 3 | (_MORE_FRAGMENTS if more else 0)
        return ip_packet(self.packet, data[begin:end], place=place, identification=identification)

    @property
    def carried_bytes(self) -> int:
        """How much the IP packet carries, with the UDP header."""
        return len(self.packet) - IPV4_BYTES


def ip_packet(like: bytes, data: bytes, *, place: int | None = None, identification: int | None = None) -> bytes:
    """An IPv4 packet of `data` with the header of `like`, its length and checksum made to fit.

    `place`: flags and fragment offset; both as in `like` if None.
    """
    header = bytearray(like[:IPV4_BYTES])
    header[2:4] = (IPV4_BYTES + len(data)).to_bytes(2, "big")
    if identification is not None:
        header[4:6] = identification.to_bytes(2, "big")
    if place is not None:
        header[6:8] = place.to_bytes(2, "big")
    header[10:12] = bytes(2)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + data


def caught(frame: bytes) -> Caught | None:
    """What a frame carries, as a router would send it on: one hop less. None unless it is UDP to or from port 4500.

    Fragments, IP options and what would not outlive the hop are left alone, as is what claims to be longer than it is.
    """
    if len(frame) < ETHERNET_BYTES + OUTER_BYTES or frame[12:15] != b"\x08\x00\x45":
        return None
    length = int.from_bytes(frame[16:18], "big")
    packet = bytearray(frame[ETHERNET_BYTES : ETHERNET_BYTES + length])  # without Ethernet's padding
    if len(packet) != length or length < OUTER_BYTES or packet[9] != _UDP_PROTOCOL or packet[8] < 2:
        return None
    if int.from_bytes(packet[6:8], "big") & 0x3FFF or NAT_T_PORT not in _PORTS.unpack_from(packet, IPV4_BYTES):
        return None
    packet[8] -= 1
    packet[10:12] = bytes(2)
    packet[10:12] = checksum(bytes(packet[:IPV4_BYTES])).to_bytes(2, "big")
    return Caught(bytes(packet))
