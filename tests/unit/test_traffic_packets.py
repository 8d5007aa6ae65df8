"""traffic.packets held against Scapy, which builds and reads the same headers."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP, Ether
from scapy.layers.rtp import RTP
from scapy.packet import Raw

from traffic.packets import (
    CANARY_BYTES,
    INNER_PORT,
    TAG,
    InnerFlow,
    InnerPackets,
    Kind,
    checksum,
    parse_frame,
    udp_packet,
)

CANARY = bytes(range(100, 116))
ADDRESSES = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}


def dissect(packet: bytes, version: int) -> IP | IPv6:
    return (IP if version == 4 else IPv6)(packet)


def with_scapys_checksums(packet: IP | IPv6) -> bytes:
    """The same packet with all checksums and lengths worked out by Scapy."""
    copy = packet.copy()
    if isinstance(copy, IP):
        del copy.chksum, copy.len
    else:
        del copy.plen
    del copy[UDP].chksum, copy[UDP].len
    return bytes(copy)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("rtp_interval", [None, 160])
@given(
    sequence=st.integers(0, (1 << 64) - 1),
    payload_bytes=st.integers(40, 300),
    dscp=st.integers(0, 63),
    flow=st.integers(0, 0xFFFFFFFF),
)
def test_inner_packets_are_what_scapy_would_build(
    version: int, rtp_interval: int | None, sequence: int, payload_bytes: int, dscp: int, flow: int
) -> None:
    source, destination = ADDRESSES[version]
    inner = InnerFlow(source, destination, dscp, flow, CANARY, payload_bytes, rtp_interval, ssrc=0x01020304)
    built = bytes(InnerPackets(inner).build(sequence))
    packet = dissect(built, version)
    assert with_scapys_checksums(packet) == built
    assert (packet.src, packet.dst) == (source, destination)
    assert (packet.tos if version == 4 else packet.tc) == dscp << 2
    assert packet[UDP].dport == INNER_PORT
    payload = bytes(packet[UDP].payload)
    assert len(payload) == payload_bytes
    if rtp_interval is not None:
        rtp = RTP(payload[:12])
        assert (rtp.version, rtp.payload_type, rtp.sourcesync) == (2, 0, 0x01020304)
        assert rtp.sequence == sequence & 0xFFFF
        assert rtp.timestamp == sequence * 160 & 0xFFFFFFFF
        payload = payload[12:]
    assert payload[:CANARY_BYTES] == CANARY
    assert TAG.unpack_from(payload, CANARY_BYTES) == (flow, sequence)
    assert not any(payload[CANARY_BYTES + TAG.size :])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("rtp_interval", [None, 160])
@pytest.mark.parametrize("sealed", [False, True])
@settings(deadline=None)
@given(sequence=st.integers(0, (1 << 64) - 1), bodies=st.lists(st.binary(min_size=22, max_size=22), min_size=1))
def test_bodies_and_seals_are_inside_and_the_checksum_is_scapys(
    version: int, rtp_interval: int | None, sealed: bool, sequence: int, bodies: list[bytes]
) -> None:
    def body(number: int) -> bytes:
        return bodies[number % len(bodies)]

    def seal(rtp: bytes) -> bytes:  # some length-changing function of everything
        return bytes(octet ^ 0x5A for octet in rtp) + rtp[-16:]

    source, destination = ADDRESSES[version]
    flow = InnerFlow(source, destination, 18, 3, CANARY, 64, rtp_interval, 7, body, seal if sealed else None)
    packets = InnerPackets(flow)
    for number in (0, sequence, 1):
        built = bytes(packets.build(number))
        packet = dissect(built, version)
        assert with_scapys_checksums(packet) == built
        plain = flow.payload(number)
        assert bytes(packet[UDP].payload) == (seal(plain) if sealed else plain)
        start = (12 if rtp_interval else 0) + CANARY_BYTES + TAG.size
        assert plain[start : start + 22] == body(number)
        assert len(plain) == 64


@given(payload=st.binary(max_size=100), dscp=st.integers(0, 63))
@pytest.mark.parametrize("version", [4, 6])
def test_udp_packets_are_what_scapy_would_build(version: int, payload: bytes, dscp: int) -> None:
    built = udp_packet(*ADDRESSES[version], 4500, 4500, payload, dscp)
    assert with_scapys_checksums(dissect(built, version)) == built


@given(words=st.lists(st.integers(0, 0xFFFF), max_size=20))
def test_checksum_is_the_ones_complement_sum(words: list[int]) -> None:
    """RFC 1071 by its own words: add with end-around carry, then complement."""
    total = 0
    for word in words:
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    assert checksum(b"".join(word.to_bytes(2, "big") for word in words)) == total ^ 0xFFFF


ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = ETHERNET / IP(src="192.0.2.1", dst="198.51.100.7", tos=0xB8)
V6 = ETHERNET / IPv6(src="2001:db8::1", dst="2001:db8::2", tc=0xB8)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (ETHERNET / ARP(), Kind.ARP),
        (V4 / ICMP(), Kind.ICMP),
        (V6 / ICMPv6EchoRequest(), Kind.ICMP),
        (V6 / IPv6ExtHdrHopByHop() / ICMPv6EchoRequest(), Kind.ICMP),  # as multicast listener reports are
        (V4 / TCP(), Kind.TCP),
        (V6 / TCP(), Kind.TCP),
        (Ether(src=ETHERNET.src, dst=ETHERNET.dst, type=0x88CC) / Raw(b"LLDP"), Kind.OTHER),
        (ETHERNET / IP(proto=50) / Raw(bytes(40)), Kind.ESP),
        (ETHERNET / IP(flags="MF") / UDP() / Raw(bytes(16)), Kind.FRAGMENT),
        (ETHERNET / IP(frag=100, proto=17) / Raw(bytes(16)), Kind.FRAGMENT),
        (V6 / IPv6ExtHdrFragment(offset=10) / Raw(bytes(16)), Kind.FRAGMENT),
        (V6 / IPv6ExtHdrRouting() / IPv6ExtHdrFragment(m=1) / UDP(), Kind.FRAGMENT),
    ],
)
def test_kinds_of_frames(frame: Ether, kind: Kind) -> None:
    assert parse_frame(bytes(frame)).kind is kind


@pytest.mark.parametrize("options", [b"", bytes(8)])
def test_udp_over_ipv4_is_taken_apart(options: bytes) -> None:
    frame = V4.copy()
    frame[IP].options = [] if not options else [b"\x01" * 8]
    packet = parse_frame(bytes(frame / UDP(sport=1234, dport=4500) / Raw(b"content")) + b"ethernet padding")
    assert packet.kind is Kind.UDP
    assert (socket.inet_ntoa(packet.source), socket.inet_ntoa(packet.destination)) == ("192.0.2.1", "198.51.100.7")
    assert (packet.source_port, packet.destination_port, packet.traffic_class) == (1234, 4500, 0xB8)
    assert packet.payload == b"content"


def test_udp_over_ipv6_is_taken_apart() -> None:
    packet = parse_frame(bytes(V6 / IPv6ExtHdrHopByHop() / UDP(sport=1, dport=2) / Raw(b"content")))
    assert packet.kind is Kind.UDP
    assert socket.inet_ntop(socket.AF_INET6, packet.destination) == "2001:db8::2"
    assert (packet.destination_port, packet.traffic_class, packet.payload) == (2, 0xB8, b"content")


@pytest.mark.parametrize("frame", [V4 / UDP() / Raw(b"content"), V6 / IPv6ExtHdrHopByHop() / UDP() / Raw(b"content")])
def test_every_truncation_is_noticed(frame: Ether) -> None:
    whole = bytes(frame)
    assert parse_frame(whole).kind is Kind.UDP
    assert {parse_frame(whole[:length]).kind for length in range(len(whole))} == {Kind.CUT}


@pytest.mark.parametrize("length", [0, 7, 24])
def test_udp_lengths_that_cannot_be_are_noticed(length: int) -> None:
    """The datagram has 8 bytes of header and 15 of payload."""
    for frame in (V4, V6):
        assert parse_frame(bytes(frame / UDP(len=23) / Raw(bytes(15)))).kind is Kind.UDP
        assert parse_frame(bytes(frame / UDP(len=length) / Raw(bytes(15)))).kind is Kind.CUT


@pytest.mark.parametrize("length", range(8))
@pytest.mark.parametrize("header", [0, 43, 44, 60])
def test_extension_headers_without_room_are_noticed(header: int, length: int) -> None:
    assert parse_frame(bytes(ETHERNET / IPv6(nh=header, plen=length) / Raw(bytes(length)))).kind is Kind.CUT


@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x08\x06"]))
def test_any_bytes_give_a_kind(data: bytes, ethertype: bytes) -> None:
    assert parse_frame(data).kind in Kind
    assert parse_frame(bytes(12) + ethertype + data).kind in Kind


@pytest.mark.parametrize("frame", [V4 / UDP() / Raw(bytes(40)), V6 / IPv6ExtHdrHopByHop() / UDP() / Raw(bytes(40))])
@given(data=st.data())
def test_any_mutation_gives_a_kind(frame: Ether, data: st.DataObject) -> None:
    mutated = bytearray(bytes(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    assert parse_frame(bytes(mutated)).kind in Kind
