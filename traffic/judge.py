"""A capture judged after the fact, with the keys of its security associations.

Each interface of the file is one place where packets pass, in both directions; what passes several of them is judged at
each. What a flow's packets look like inside is learned from those that authenticate: nobody else can make them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from traffic.esp import split_trailer
from traffic.keys import Association
from traffic.packets import (
    CANARY_BYTES,
    ESP,
    ETHERNET_BYTES,
    INNER_PORT,
    IP_IN_IP,
    IPV6_IN_IP,
    NAT_T_PORT,
    RTP_BYTES,
    TAG,
    Kind,
    parse_frame,
    parse_ip,
)
from traffic.pcapng import Captured
from traffic.timestamps import NO_STAMP
from traffic.verdicts import Content, InboundEndpoint, Judgement, Verdict

ALARMS_KEPT: Final = 100

_IPV4_BYTES: Final = 4  # of an address
_IPV6_BYTES: Final = 40  # of a header
_RTP_VERSION: Final = 0x80  # first byte of an RTP header without padding, extension and contributors (RFC 3550, 5.1)


class OpenEndpoint(InboundEndpoint):
    """Takes what authenticates for what the association carries, and learns the canaries of our own flows.

    `only_esp`: anything else in the clear is PLAINTEXT_IN; without it, it is judged only if it leaks what it must not.
    """

    def __init__(
        self, associations: Iterable[Association], contents: Collection[Content], clear: Collection[int], only_esp: bool
    ) -> None:
        super().__init__({sa.spi: sa.inbound() for sa in associations}, contents, (), clear)
        self._only_esp = only_esp
        self.key_exchange = lambda _payload, _source: None  # a capture holds them; they are judged by those who speak
        self.learned: dict[bytes, Content] = {}

    def judge(self, frame: bytes, time_ns: int = NO_STAMP) -> Judgement | None:
        judgement = super().judge(frame, time_ns)
        if judgement is None or self._only_esp:
            return judgement
        clear = judgement.verdict is Verdict.PLAINTEXT_IN
        if judgement.verdict is Verdict.TRUNCATED and judgement.spi is None:
            clear = not concerns_esp(frame)
        return None if clear else judgement

    def _identify(self, spi: int, plain: bytes, fresh: bool) -> tuple[int | None, int | None] | None:  # noqa: ARG002
        inside = split_trailer(plain)
        if inside is None:
            return None  # padding that no sender makes
        content = learn(spi, *inside)
        if content is None:
            return None, None
        self.learned.setdefault(content.canary, content)
        payload = _inner_payload(*inside)
        start = CANARY_BYTES + (RTP_BYTES if content.has_rtp else 0)
        flow, sequence = TAG.unpack_from(payload, start)
        return flow, sequence


def concerns_esp(frame: bytes) -> bool:
    """Whether a frame is ESP, or UDP to the port of ESP, as far as its headers can be read."""
    packet = parse_frame(frame)
    if packet.kind in (Kind.ESP, Kind.FRAGMENT) or packet.destination_port == NAT_T_PORT:
        return True
    if packet.kind is not Kind.CUT:
        return False
    protocol = frame[23:24] if frame[12:14] == b"\x08\x00" else frame[20:21]
    return protocol == bytes([ESP]) or frame[36:38] == NAT_T_PORT.to_bytes(2, "big")


def towards_esp(frame: bytes) -> bytes:
    """A frame from the port of ESP to another one, on its way to a NAT, as it looks behind that; others as they are."""
    packet = parse_frame(frame)
    if packet.kind is not Kind.UDP or packet.source_port != NAT_T_PORT or packet.destination_port == NAT_T_PORT:
        return frame
    header = (frame[ETHERNET_BYTES] & 15) << 2 if len(packet.source) == _IPV4_BYTES else _IPV6_BYTES
    at = ETHERNET_BYTES + header + 2
    if frame[at : at + 2] != packet.destination_port.to_bytes(2, "big"):
        return frame  # IPv6 with extension headers
    return frame[:at] + NAT_T_PORT.to_bytes(2, "big") + frame[at + 2 :]


def learn(spi: int, next_header: int, inner: bytes) -> Content | None:
    """How to know the flow of an authentic inner packet; None if it is not laid out as ours are (traffic.packets)."""
    payload = _inner_payload(next_header, inner)
    rtp = payload[:1] == bytes([_RTP_VERSION]) and len(payload) >= RTP_BYTES + CANARY_BYTES + TAG.size
    for start in (RTP_BYTES, 0) if rtp else (0,):
        if len(payload) < start + CANARY_BYTES + TAG.size:
            return None
        flow, sequence = TAG.unpack_from(payload, start + CANARY_BYTES)
        if start and sequence & 0xFFFF != int.from_bytes(payload[2:4], "big"):
            continue  # no RTP header: one would bear the packet's own number
        return Content(flow, spi, payload[start : start + CANARY_BYTES], bool(start))
    return None


def _inner_payload(next_header: int, inner: bytes) -> bytes:
    """The UDP payload of an inner packet to the port of our flows; empty for any other."""
    if next_header not in (IP_IN_IP, IPV6_IN_IP):
        return b""
    packet = parse_ip(inner, 4 if next_header == IP_IN_IP else 6)
    ours = packet.kind is Kind.UDP and packet.source_port == packet.destination_port == INNER_PORT
    return packet.payload if ours else b""


@dataclass
class Finding:
    """What a capture holds. `verdicts`: of all packets that were judged; `by_spi`: of those with an association."""

    packets: int = 0
    cut: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    by_spi: dict[int, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    alarms: list[dict[str, Any]] = field(default_factory=list)
    judged: list[tuple[int, Judgement]] = field(default_factory=list)  # packet's number in the file, from 1

    @property
    def alarm_count(self) -> int:
        return sum(count for verdict, count in self.verdicts.items() if verdict.is_alarm)

    @property
    def invalid_reasons(self) -> list[str]:
        """Why this capture proves nothing, one line each."""
        reasons = []
        if self.cut:
            reasons.append(f"{self.cut} of {self.packets} packets were cut when captured: capture whole packets")
        if not self.by_spi:
            reasons.append("no packet belongs to a security association of the key file")
        return reasons


def judge_capture(
    packets: Sequence[Captured],
    associations: Sequence[Association],
    *,
    clear_udp_ports: Collection[int] = (),
    only_esp: bool = False,
) -> Finding:
    """Judge every packet of a capture, each interface on its own. Packets that the capture cut are left out.

    Two passes: a canary in the clear is a leak even where it comes before the first encrypted packet.
    """
    learned: dict[bytes, Content] = {}
    for _, _, endpoint in _judgements(packets, associations, (), clear_udp_ports, only_esp):
        learned |= endpoint.learned
    finding = Finding(packets=len(packets), cut=sum(packet.cut for packet in packets))
    first_ns = packets[0].time_ns if packets else 0
    for number, judgement, _ in _judgements(packets, associations, learned.values(), clear_udp_ports, only_esp):
        finding.verdicts[judgement.verdict] += 1
        if judgement.spi is not None:
            finding.by_spi[judgement.spi][judgement.verdict] += 1
        finding.judged.append((number, judgement))
        if judgement.verdict.is_alarm and len(finding.alarms) < ALARMS_KEPT:
            detail = judgement.detail if judgement.spi is None else f"SPI {judgement.spi:#010x}: {judgement.detail}"
            time_s = (packets[number - 1].time_ns - first_ns) / 1e9
            alarm = {"packet": number, "time_s": time_s, "verdict": judgement.verdict.name, "detail": detail}
            finding.alarms.append(alarm)
    return finding


def _judgements(
    packets: Sequence[Captured],
    associations: Sequence[Association],
    contents: Collection[Content],
    clear_udp_ports: Collection[int],
    only_esp: bool,
) -> Iterator[tuple[int, Judgement, OpenEndpoint]]:
    endpoints: dict[int, OpenEndpoint] = {}
    for number, packet in enumerate(packets, start=1):
        endpoint = endpoints.get(packet.interface)
        if endpoint is None:
            endpoint = endpoints[packet.interface] = OpenEndpoint(associations, contents, clear_udp_ports, only_esp)
        if packet.cut:
            continue
        judgement = endpoint.judge(towards_esp(packet.frame), packet.time_ns)
        if judgement is not None:
            yield number, judgement, endpoint
        for overdue in endpoint.overdue(packet.time_ns):
            yield number, overdue, endpoint
    for endpoint in endpoints.values():
        for overdue in endpoint.overdue(None):
            yield len(packets), overdue, endpoint


def as_json(finding: Finding, associations: Sequence[Association]) -> dict[str, Any]:
    """The document of `judge --format json`."""
    by_spi = {sa.spi: sa for sa in associations}
    return {
        "verdict": "attacked" if finding.alarm_count else "invalid" if finding.invalid_reasons else "intact",
        "invalid_reasons": finding.invalid_reasons,
        "packets": finding.packets,
        "judged": sum(finding.verdicts.values()),
        "counts": {verdict.name: count for verdict, count in sorted(finding.verdicts.items())},
        "associations": [
            {
                "spi": f"{spi:#010x}",
                "src": by_spi[spi].src,
                "dst": by_spi[spi].dst,
                "dscp": by_spi[spi].dscp,
                "counts": {verdict.name: count for verdict, count in sorted(counts.items())},
            }
            for spi, counts in finding.by_spi.items()
            if spi in by_spi
        ],
        "alarms": finding.alarms,
        "alarm_count": finding.alarm_count,
    }
