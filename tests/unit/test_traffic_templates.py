"""Scapy packets as flows, held against Scapy itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap
from traffic_pair import CANARY, KEY, SALT, SPI, frame

from traffic.errors import ConfigurationError, FlowError
from traffic.esp import InboundSa, OutboundSa
from traffic.flows import Flow, parse_flows
from traffic.packets import TAG, InnerFlow
from traffic.templates import LARGEST_BYTES, MOST_PACKETS, TRAILER_BYTES, TemplatePackets, as_hex, captured, declare
from traffic.verdicts import Content, InboundEndpoint, Verdict

FIELDS: dict[str, Any] = {"name": "any", "src": "a", "dst": "b", "dscp": 10, "rate_pps": 5, "start_ns": 0, "stop_ns": 9}
ADDRESSES = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
PACKETS: dict[str, tuple[int, Packet]] = {
    "dns": (4, IP() / UDP(dport=53) / DNS(qd=DNSQR(qname="protezionecivile.example"))),
    "odd": (4, IP(tos=3) / UDP() / Raw(b"odd")),
    "tcp": (4, IP(dst="192.0.2.9") / TCP(dport=443, flags="S", options=[("MSS", 1400)])),
    "ping": (4, IP() / ICMP(id=7, seq=3) / Raw(b"x" * 33)),
    "options": (4, IP(options=[b"\x94\x04\x00\x00"]) / UDP() / Raw(b"router alert")),
    "tunnel": (4, IP(proto=47) / Raw(b"\0" * 20)),
    "empty": (4, IP(proto=59)),
    "dns6": (6, IPv6() / UDP(dport=53) / DNS(qd=DNSQR(qname="x.example"))),
    "tcp6": (6, IPv6(fl=5) / TCP(dport=80)),
    "ping6": (6, IPv6() / ICMPv6EchoRequest(data=b"abc")),
}


def flow_of(packets: Any, version: int, **fields: Any) -> InnerFlow:
    (flow,) = parse_flows([declare(packets, **(FIELDS | fields))])
    return InnerFlow(*ADDRESSES[version], flow.dscp, 7, CANARY, flow.payload_bytes, templates=flow.templates)


def worked_out_by_scapy(data: bytes, layer: type[Packet]) -> bytes:
    """The packet with lengths and checksums left to Scapy."""
    packet = layer(data)
    inner: Any = packet
    while inner:
        for name in ("len", "plen", "chksum", "cksum"):
            if name in inner.fields and (name != "len" or isinstance(inner, IP | UDP)):
                del inner.fields[name]
        inner = inner.payload
    return bytes(packet)


@pytest.mark.parametrize("name", PACKETS)
@settings(deadline=None)
@given(sequence=st.integers(0, (1 << 64) - 1), dscp=st.integers(0, 63))
def test_lengths_and_checksums_are_those_of_scapy(name: str, sequence: int, dscp: int) -> None:
    version, packet = PACKETS[name]
    flow = flow_of(packet, version, dscp=dscp)
    built = bytes(TemplatePackets(flow).build(sequence))
    layer = IP if version == 4 else IPv6
    assert worked_out_by_scapy(built, layer) == built
    found = layer(built)
    assert (found.src, found.dst) == ADDRESSES[version]
    assert (found.tos >> 2 if version == 4 else found.tc >> 2) == dscp
    assert built[-TRAILER_BYTES:] == CANARY + TAG.pack(7, sequence)


def test_what_the_user_wrote_stays() -> None:
    version, packet = PACKETS["dns"]
    built = IP(bytes(TemplatePackets(flow_of(packet, version)).build(3)))
    assert built[DNS].qd[0].qname == b"protezionecivile.example."
    assert built[UDP].dport == 53
    assert IP(bytes(TemplatePackets(flow_of(PACKETS["odd"][1], 4)).build(0))).tos == 10 << 2 | 3  # ECN stays


def test_lists_and_generators_begin_again() -> None:
    flow = flow_of((IP() / UDP(dport=port) for port in (1, 2, 3)), 4)
    packets = TemplatePackets(flow)
    assert [IP(bytes(packets.build(number)))[UDP].dport for number in range(5)] == [1, 2, 3, 1, 2]
    assert Flow.from_packets(IP() / UDP(), **FIELDS) == parse_flows([declare(IP() / UDP(), **FIELDS)])[0]
    endless = (IP() / UDP(dport=7) for _ in iter(int, 1))
    assert len(as_hex(endless)) == MOST_PACKETS


def test_layers_below_ip_are_left_out() -> None:
    assert as_hex(Ether() / IP() / UDP()) == as_hex(IP() / UDP())
    with pytest.raises(FlowError, match=r"packet 1 \(.* Raw\) has no IP layer"):
        as_hex([IP(), Ether() / Raw(b"x")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packets": []}, "packets are for kind packet, which needs them"),
        ({"kind": "bulk"}, "packets are for kind packet"),
        ({"packets": ["zz"]}, "packet 'zz…' is not hexadecimal"),
        ({"packets": ["45"]}, "packet '45…' is neither IPv4 nor IPv6"),
        ({"packets": [""]}, "packet '…' is neither IPv4 nor IPv6"),
        ({"packets": [bytes(IP(flags="MF") / UDP()).hex()]}, "is a fragment: give the whole packet"),
        ({"packets": [bytes(IP() / Raw(bytes(1380))).hex()]}, "has 1400 bytes: at most 1399 fit"),
        ({"acceptance": {"mos_min": 3}}, "mos_min is nothing that a packet flow has"),
        ({"packets": 5}, "packets 5 is not of type list"),
    ],
)
def test_what_is_no_template_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError, match=message):
        parse_flows([declare(IP() / UDP(), **FIELDS) | change])


def test_the_largest_packet_fits() -> None:
    flow = flow_of(IP() / Raw(bytes(LARGEST_BYTES - 1 - TRAILER_BYTES - 20)), 4)
    packet = TemplatePackets(flow).build(0)
    esp = OutboundSa(300, bytes(32), bytes(4)).encrypt(packet, 4)
    assert len(esp) + 20 + 8 <= 1500
    with pytest.raises(ConfigurationError, match="a packet of IPv4 between fd77::1 and fd77::2"):
        TemplatePackets(flow_of(IP() / UDP(), 6))


@pytest.mark.parametrize("name", PACKETS)
def test_any_packet_is_known_on_arrival(name: str) -> None:
    version, packet = PACKETS[name]
    flow = flow_of(packet, version)
    packets, outbound = TemplatePackets(flow), OutboundSa(SPI, KEY, SALT)
    content = Content(7, SPI, CANARY, False, trails=True)
    endpoint = InboundEndpoint({SPI: InboundSa(SPI, KEY, SALT)}, [content])
    for number in range(3):
        data = frame(outbound.encrypt(packets.build(number), flow.next_header))
        judgement = endpoint.judge(data)
        assert judgement is not None
        assert (judgement.verdict, judgement.flow, judgement.sequence) == (Verdict.GENUINE, 7, number)
    clear = endpoint.judge(bytes(12) + (b"\x08\x00" if version == 4 else b"\x86\xdd") + bytes(packets.build(4)))
    assert clear is not None
    assert (clear.verdict, clear.flow) == (Verdict.PLAINTEXT_LEAK, 7)
    cut = bytes(packets.build(9))[:-1]
    judgement = endpoint.judge(frame(outbound.encrypt(cut, flow.next_header)))
    assert judgement is not None
    assert judgement.verdict is Verdict.FORGED


def test_captures_come_back_as_scapy_packets(tmp_path: Path) -> None:
    sent = [Ether() / IP(dst="192.0.2.1") / UDP(dport=port) / Raw(b"abc") for port in (1, 2)]
    wrpcap(str(tmp_path / "a.pcap"), sent)
    found = list(captured(tmp_path / "a.pcap"))
    assert [packet[UDP].dport for packet in found] == [1, 2]
    assert all(packet.time > 0 for packet in found)
