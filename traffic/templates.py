"""Any packet as a flow: a Scapy packet, a list or a generator of them, prepared once and patched as it is sent.

A packet keeps its headers and its payload. What the testbed needs is set: the hosts' inner addresses, the flow's DSCP,
lengths and checksums; and behind the payload stand canary, flow and sequence number, by which it is known on arrival.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from traffic.errors import ConfigurationError, FlowError
from traffic.packets import CANARY_BYTES, TAG, UDP, InnerFlow, checksum

MOST_PACKETS: Final = 1_000
"""Assumption: of a list or generator; after the last comes the first again."""

LARGEST_BYTES: Final = 1_428
"""Of an inner packet with what is appended: as LARGEST_PAYLOAD_BYTES of traffic.flows, and inner IPv6 and UDP."""

TRAILER_BYTES: Final = CANARY_BYTES + TAG.size

_IPV4_BYTES, _IPV6_BYTES = 20, 40
_CHECKSUM_AT: Final = {UDP: 6, 6: 16, 1: 2, 58: 2}  # UDP, TCP, ICMP, ICMPv6: where in their header
_WITHOUT_PSEUDO_HEADER: Final = frozenset({1})  # ICMP (RFC 792)


def as_hex(packets: Any) -> list[str]:
    """For a flow's `packets`: the IP packets of a Scapy packet, list or generator; layers below IP are left out.

    Raises FlowError.
    """
    from scapy.layers.inet import IP  # here: it takes seconds in the guest, which never makes templates
    from scapy.layers.inet6 import IPv6
    from scapy.packet import Packet

    chosen = [packets] if isinstance(packets, Packet) else itertools.islice(packets, MOST_PACKETS)
    found = []
    for number, packet in enumerate(chosen):
        inner = next((packet[layer] for layer in (IP, IPv6) if layer in packet), None)
        if inner is None:
            raise FlowError(f"packet {number} ({packet.summary()}) has no IP layer: begin with IP() or IPv6()")
        found.append(bytes(inner).hex())
    return found


def declare(packets: Any, **fields: Any) -> dict[str, Any]:
    """A flow's declaration, kind 'packet', from Scapy packets and the other fields of `traffic.flows.Flow`.

    As in `declare(IP()/UDP(dport=53)/DNS(), name="dns", src="rome", dst="milan", dscp=0, rate_pps=5, start_ns=0,
    stop_ns=10**10)`. Raises FlowError.
    """
    templates = as_hex(packets)
    longest = max((len(template) // 2 for template in templates), default=0)
    return {"kind": "packet", "packets": templates, "payload_bytes": max(longest, TRAILER_BYTES)} | fields


def check_template(template: str) -> bytes:
    """The bytes of a template; raises FlowError."""
    try:
        data = bytes.fromhex(template)
    except ValueError:
        raise FlowError(f"packet '{template[:16]}…' is not hexadecimal") from None
    version = data[0] >> 4 if data else 0
    shortest = {4: _IPV4_BYTES, 6: _IPV6_BYTES}.get(version)
    if shortest is None or len(data) < shortest:
        raise FlowError(f"packet '{template[:16]}…' is neither IPv4 nor IPv6")
    if len(data) + 1 + TRAILER_BYTES > LARGEST_BYTES:
        most = LARGEST_BYTES - 1 - TRAILER_BYTES
        raise FlowError(f"packet '{template[:16]}…' has {len(data)} bytes: at most {most} fit")
    if version == 4 and struct.unpack_from(">H", data, 6)[0] & 0x3FFF:
        raise FlowError(f"packet '{template[:16]}…' is a fragment: give the whole packet")
    return data


class TemplatePackets:
    """Builds the packets of a flow from templates, one after the other, and from the first again.

    Raises ConfigurationError for a template of another IP version than the flow's addresses.
    """

    def __init__(self, flow: InnerFlow) -> None:
        self._prepared = [_prepare(template, flow) for template in flow.templates]

    def build(self, sequence: int) -> bytearray:
        """The packet of that number. The buffer is reused by a later call."""
        packet, checksum_at, total = self._prepared[sequence % len(self._prepared)]
        struct.pack_into(">Q", packet, len(packet) - 8, sequence)
        if checksum_at is not None:
            struct.pack_into(">H", packet, checksum_at, 0xFFFF - (total + sequence) % 0xFFFF)
        return packet


def _prepare(template: bytes, flow: InnerFlow) -> tuple[bytearray, int | None, int]:
    """(the packet of number 0, where its checksum stands, the sum under it); the number's bytes lie on even places."""
    six = ":" in flow.source
    if template[0] >> 4 != (6 if six else 4):
        raise ConfigurationError(f"a packet of IPv{template[0] >> 4} between {flow.source} and {flow.destination}")
    header = _IPV6_BYTES if six else (template[0] & 15) << 2
    trailer = bytes(len(template) % 2) + flow.canary + TAG.pack(flow.index, 0)
    packet = bytearray(template + trailer)
    family = socket.AF_INET6 if six else socket.AF_INET
    addresses = socket.inet_pton(family, flow.source) + socket.inet_pton(family, flow.destination)
    if six:
        packet[8:40] = addresses
        first = int.from_bytes(packet[:4], "big") & 0xF03FFFFF | flow.dscp << 22
        packet[:6] = struct.pack(">IH", first, len(packet) - header)
        protocol = packet[6]
    else:
        packet[1] = packet[1] & 3 | flow.dscp << 2
        packet[12:20] = addresses
        packet[2:4] = len(packet).to_bytes(2, "big")
        packet[10:12] = bytes(2)
        packet[10:12] = checksum(bytes(packet[:header])).to_bytes(2, "big")
        protocol = packet[9]
    place = _CHECKSUM_AT.get(protocol)
    if place is None or header + place + 2 > len(template):
        return packet, None, 0
    upper = len(packet) - header
    if protocol == UDP:
        packet[header + 4 : header + 6] = upper.to_bytes(2, "big")
    at = header + place
    packet[at : at + 2] = bytes(2)
    covered = b"" if protocol in _WITHOUT_PSEUDO_HEADER else addresses + struct.pack(">II", upper, protocol)
    total = int.from_bytes(covered + bytes(packet[header:]), "big") % 0xFFFF
    return packet, at, total


def captured(path: Path) -> Iterator[Any]:
    """Every packet of a pcap or pcapng file as a Scapy packet, with its `time`."""
    from scapy.layers import inet, inet6, l2  # noqa: F401 - so that Scapy knows Ethernet and IP
    from scapy.utils import PcapReader

    with PcapReader(str(path)) as reader:
        yield from reader
