"""Packets as bytes: headers built with struct, captured frames taken apart, and the layout of what ESP carries.

Headers: IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC 768), RTP (RFC 3550). One inner packet holds, after its UDP header,

    voice only: RTP header, 12 bytes
    canary      16 random bytes of the flow: no one may see them outside ESP
    flow        32 bits, index of the flow
    sequence    64 bits, number of the packet in its flow, from 0
    body        of flows that carry something, see traffic.messages
    zeros       up to the flow's payload size

A sealed flow has all behind its RTP header encrypted, and a tag behind it (traffic.srtp).
"""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

ETHERNET_BYTES: Final = 14
UDP_BYTES: Final = 8
TCP_BYTES: Final = 20
"""Its header without options (RFC 9293, 3.1)."""
RTP_BYTES: Final = 12
CANARY_BYTES: Final = 16
TAG: Final = struct.Struct(">IQ")
"""Flow index and sequence number, behind the canary."""
SEAL_BYTES: Final = 16
"""By how much a sealed RTP packet is longer (RFC 7714, 13.2)."""
NAT_T_PORT: Final = 4500
"""UDP port of encapsulated ESP (RFC 3948)."""
NON_ESP_MARKER: Final = bytes(4)
"""Begins what is no ESP on that port, where ESP has its SPI, which is never 0 (RFC 3948, 2.2)."""
INNER_PORT: Final = 5004
"""UDP port of all inner packets: the default of RTP (RFC 3551, 8)."""
RTP_CLOCK_HZ: Final = 8000
"""Clock of the RTP timestamp of telephone speech, payload type 0, PCMU (RFC 3551, table 4)."""

IP_IN_IP: Final = 4
TCP: Final = 6
UDP: Final = 17
IPV6_IN_IP: Final = 41
ESP: Final = 50
NO_NEXT_HEADER: Final = 59

_ETHERTYPE_IPV4: Final = 0x0800
_ETHERTYPE_ARP: Final = 0x0806
_ETHERTYPE_IPV6: Final = 0x86DD
_ICMP: Final = 1
_ICMPV6: Final = 58
_FRAGMENT_HEADER: Final = 44
_EXTENSION_HEADERS: Final = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options (RFC 8200, 4)
_DONT_FRAGMENT: Final = 0x4000
_HOP_LIMIT: Final = 64

_IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
_IPV6: Final = struct.Struct(">IHBB16s16s")
_FRAGMENT: Final = struct.Struct(">BBHI")
_UDP: Final = struct.Struct(">HHHH")
_RTP: Final = struct.Struct(">BBHII")
_PORTS: Final = struct.Struct(">HH")


class Kind(enum.Enum):
    """What a captured frame is, as far as its headers say."""

    UDP = "UDP datagram"
    TCP = "TCP segment"
    ESP = "ESP directly over IP"
    ICMP = "ICMP or ICMPv6"
    ARP = "ARP"
    FRAGMENT = "fragment of an IP packet"
    CUT = "shorter than its headers say, or not an IP packet although it claims to be"
    OTHER = "any other protocol"


class Fragment(NamedTuple):
    """A part of an IP packet. `datagram`: what all its parts have in common (RFC 791, 3.2; RFC 8200, 4.5).

    `protocol` is that of the whole; with IPv6 only the first part's counts.
    """

    datagram: tuple[bytes, bytes, int, int]  # source, destination, protocol or 44, identification
    protocol: int
    offset: int  # bytes
    more: bool  # not the last part
    data: bytes


class Packet(NamedTuple):
    """A frame taken apart. Ports are 0 unless it is UDP or TCP; addresses are empty unless it is IP."""

    kind: Kind
    source: bytes = b""
    destination: bytes = b""
    traffic_class: int = 0
    source_port: int = 0
    destination_port: int = 0
    payload: bytes = b""  # behind the UDP header, or behind the last IP header
    fragment: Fragment | None = None  # of a FRAGMENT


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of data of even length.

    2¹⁶ is 1 modulo 65,535, so the remainder of the whole number is the ones' complement sum of its 16-bit words.
    """
    number = int.from_bytes(data, "big")
    remainder = number % 0xFFFF
    return 0xFFFF - remainder if remainder or not number else 0


def ip_header(source: str, destination: str, protocol: int, payload_bytes: int, dscp: int = 0) -> bytes:
    """An IPv4 or IPv6 header, as the addresses say; IPv4 with don't-fragment and identification 0 (RFC 6864, 4.1)."""
    if ":" in source:
        addresses = (socket.inet_pton(socket.AF_INET6, address) for address in (source, destination))
        return _IPV6.pack(6 << 28 | dscp << 22, payload_bytes, protocol, _HOP_LIMIT, *addresses)
    addresses = (socket.inet_aton(address) for address in (source, destination))
    fields = [0x45, dscp << 2, 20 + payload_bytes, 0, _DONT_FRAGMENT, _HOP_LIMIT, protocol, 0, *addresses]
    fields[7] = checksum(_IPV4.pack(*fields))
    return _IPV4.pack(*fields)


def udp_packet(
    source: str, destination: str, source_port: int, destination_port: int, payload: bytes, dscp: int = 0
) -> bytes:
    """An IP packet with a UDP datagram, both checksums filled in."""
    length = UDP_BYTES + len(payload)
    header = ip_header(source, destination, UDP, length, dscp)
    datagram = _UDP.pack(source_port, destination_port, length, 0) + payload
    total = checksum(_pseudo_header(header, length) + datagram + bytes(len(datagram) % 2))
    return header + datagram[:6] + (total or 0xFFFF).to_bytes(2, "big") + payload


def _pseudo_header(ip: bytes, length: int) -> bytes:
    """What the UDP checksum covers of the IP header (RFC 768; RFC 8200, 8.1)."""
    addresses = ip[8:40] if ip[0] >> 4 == 6 else ip[12:20]
    return addresses + struct.pack(">II", length, UDP)


@dataclass(frozen=True)
class InnerFlow:
    """What all packets of one flow have in common, before encryption. IPv4 or IPv6, as the addresses say."""

    source: str
    destination: str
    dscp: int
    index: int
    canary: bytes
    payload_bytes: int
    rtp_interval: int | None = None  # RTP clock ticks per packet; None: no RTP
    ssrc: int = 0
    body: Callable[[int], bytes] | None = None  # content of packet n, always of the same, even length
    seal: Callable[[bytes], bytes] | None = None  # of an RTP packet, longer by SEAL_BYTES
    templates: tuple[bytes, ...] = ()  # whole IP packets instead of all this, see traffic.templates

    def payload(self, sequence: int) -> bytes:
        """The UDP payload of packet n, before it is sealed."""
        rtp = b""
        if self.rtp_interval is not None:  # version 2, payload type 0
            rtp = _RTP.pack(0x80, 0, sequence & 0xFFFF, sequence * self.rtp_interval & 0xFFFFFFFF, self.ssrc)
        body = b"" if self.body is None else self.body(sequence)
        return (rtp + self.canary + TAG.pack(self.index, sequence) + body).ljust(self.payload_bytes, b"\0")

    @property
    def next_header(self) -> int:
        """How ESP announces these packets."""
        return IPV6_IN_IP if ":" in self.source else IP_IN_IP


class InnerPackets:
    """Builds the packets of one flow fast: a template of which each packet changes a few fields."""

    def __init__(self, flow: InnerFlow) -> None:
        payload = flow.payload(0)
        packet = udp_packet(flow.source, flow.destination, INNER_PORT, INNER_PORT, payload, flow.dscp)
        self._packet = bytearray(packet)
        self._rtp_interval = flow.rtp_interval
        self._rtp = len(packet) - flow.payload_bytes
        self._checksum = self._rtp - 2
        self._sequence = self._rtp + (0 if flow.rtp_interval is None else RTP_BYTES) + CANARY_BYTES + 4
        self._sum = 0xFFFF - int.from_bytes(packet[self._checksum : self._rtp], "big")  # of packet number 0
        self._body = flow.body
        if flow.body is not None:  # as of now the sum is that of a packet without a body
            self._sum += 0xFFFF - int.from_bytes(flow.body(0), "big") % 0xFFFF
        self._seal = None if flow.seal is None else _Seal(flow)

    def build(self, sequence: int) -> bytearray:
        """The packet of that number. The buffer is reused by the next call."""
        packet, total = self._packet, self._sum + sequence
        struct.pack_into(">Q", packet, self._sequence, sequence)
        if self._rtp_interval is not None:
            timestamp = sequence * self._rtp_interval & 0xFFFFFFFF
            struct.pack_into(">HI", packet, self._rtp + 2, sequence & 0xFFFF, timestamp)
            total += (sequence & 0xFFFF) + timestamp
        if self._body is not None:
            body, start = self._body(sequence), self._sequence + 8
            packet[start : start + len(body)] = body
            total += int.from_bytes(body, "big")
        if self._seal is not None:
            return self._seal.packet(bytes(packet[self._rtp :]))
        # All that changes lies on 16-bit borders, so it adds to the checksum as it is; 0 is sent as 65,535.
        struct.pack_into(">H", packet, self._checksum, 0xFFFF - total % 0xFFFF)
        return packet


class _Seal:
    """The packets of a sealed flow: nearly all of them changes, so the checksum is worked out whole."""

    def __init__(self, flow: InnerFlow) -> None:
        assert flow.seal is not None
        self._seal = flow.seal
        blank = bytes(flow.payload_bytes + SEAL_BYTES)
        packet = udp_packet(flow.source, flow.destination, INNER_PORT, INNER_PORT, blank, flow.dscp)
        self._packet = bytearray(packet)
        self._payload = len(packet) - len(blank)
        self._sum = 0xFFFF - int.from_bytes(packet[self._payload - 2 : self._payload], "big")

    def packet(self, rtp: bytes) -> bytearray:
        sealed, packet = self._seal(rtp), self._packet
        packet[self._payload :] = sealed
        total = self._sum + int.from_bytes(sealed + bytes(len(sealed) % 2), "big")
        struct.pack_into(">H", packet, self._payload - 2, 0xFFFF - total % 0xFFFF)
        return packet


def parse_frame(frame: bytes) -> Packet:
    """Take an Ethernet frame apart, down to the UDP payload. Never raises, whatever the bytes."""
    if len(frame) < ETHERNET_BYTES:
        return Packet(Kind.CUT)
    ethertype = frame[12] << 8 | frame[13]
    if ethertype == _ETHERTYPE_IPV4:
        return parse_ip(frame, 4, ETHERNET_BYTES)
    if ethertype == _ETHERTYPE_IPV6:
        return parse_ip(frame, 6, ETHERNET_BYTES)
    return Packet(Kind.ARP if ethertype == _ETHERTYPE_ARP else Kind.OTHER)


def parse_ip(data: bytes, version: int, start: int = 0) -> Packet:
    """Take apart the IP packet of that version that begins at `start`. Never raises, whatever the bytes.

    Checksums are not verified.
    """
    if version == 6:
        return _parse_ipv6(data, start)
    room = len(data) - start
    if room < 20:
        return Packet(Kind.CUT)
    first, traffic_class, total, number, place, _, protocol, _, source, destination = _IPV4.unpack_from(data, start)
    header = (first & 15) << 2
    if first >> 4 != 4 or header < 20 or not header <= total <= room:
        return Packet(Kind.CUT, source, destination, traffic_class)
    begin, end = start + header, start + total
    if place & 0x3FFF:  # more fragments, or an offset
        datagram = source, destination, protocol, number
        part = Fragment(datagram, protocol, (place & 0x1FFF) << 3, bool(place & 0x2000), data[begin:end])
        return Packet(Kind.FRAGMENT, source, destination, traffic_class, fragment=part)
    return _upper_layer(data, begin, end, protocol, source, destination, traffic_class)


def _parse_ipv6(data: bytes, start: int) -> Packet:
    if len(data) - start < 40:
        return Packet(Kind.CUT)
    first, length, protocol, _, source, destination = _IPV6.unpack_from(data, start)
    traffic_class, begin, end = first >> 20 & 0xFF, start + 40, start + 40 + length
    if first >> 28 != 6 or end > len(data):
        return Packet(Kind.CUT, source, destination, traffic_class)
    while protocol in _EXTENSION_HEADERS or protocol == _FRAGMENT_HEADER:
        if begin + 8 > end:
            return Packet(Kind.CUT, source, destination, traffic_class)
        following, after = data[begin], begin + 8
        if protocol == _FRAGMENT_HEADER:
            _, _, place, number = _FRAGMENT.unpack_from(data, begin)
            if place & 0xFFF9:  # an offset, or more to come; without both it is whole (RFC 6946)
                datagram = source, destination, _FRAGMENT_HEADER, number
                part = Fragment(datagram, following, place & 0xFFF8, bool(place & 1), data[after:end])
                return Packet(Kind.FRAGMENT, source, destination, traffic_class, fragment=part)
        else:
            after += data[begin + 1] << 3
        protocol, begin = following, after
    return _upper_layer(data, begin, end, protocol, source, destination, traffic_class)


def reassembled(first: Packet, data: bytes) -> Packet:
    """The packet of which all parts together carry `data`, and `first` is the first. Never raises."""
    assert first.fragment is not None
    protocol, start = first.fragment.protocol, 0
    if first.fragment.datagram[2] == _FRAGMENT_HEADER:
        while protocol in _EXTENSION_HEADERS and start + 8 <= len(data):
            protocol, start = data[start], start + 8 + 8 * data[start + 1]
    return _upper_layer(data, start, len(data), protocol, first.source, first.destination, first.traffic_class)


def _upper_layer(
    data: bytes, start: int, end: int, protocol: int, source: bytes, destination: bytes, traffic_class: int
) -> Packet:
    if protocol == UDP:
        if start + UDP_BYTES > end:
            return Packet(Kind.CUT, source, destination, traffic_class)
        source_port, destination_port, length, _ = _UDP.unpack_from(data, start)
        if length < UDP_BYTES or start + length > end:
            return Packet(Kind.CUT, source, destination, traffic_class, source_port, destination_port)
        payload = data[start + UDP_BYTES : start + length]
        return Packet(Kind.UDP, source, destination, traffic_class, source_port, destination_port, payload)
    if start > end:
        return Packet(Kind.CUT, source, destination, traffic_class)
    if protocol == TCP:
        if start + TCP_BYTES > end:
            return Packet(Kind.CUT, source, destination, traffic_class)
        source_port, destination_port = _PORTS.unpack_from(data, start)
        payload = data[start:end]
        return Packet(Kind.TCP, source, destination, traffic_class, source_port, destination_port, payload)
    kind = Kind.ICMP if protocol in (_ICMP, _ICMPV6) else Kind.ESP if protocol == ESP else Kind.OTHER
    return Packet(kind, source, destination, traffic_class, payload=data[start:end])
