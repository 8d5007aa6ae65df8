"""What an arriving frame is: the judgement of a protected host, packet by packet.

The host expects ESP in UDP on port 4500. ARP, ICMP, NAT keepalives and UDP to the ports named as clear are not
judged. An IP fragment counts as TRUNCATED: senders keep below the MTU, so half a packet is never expected.
Duplicates made by a link look exactly like replays and are named so.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from traffic.esp import SMALLEST_BYTES, SPI_BYTES, InboundSa, split_trailer
from traffic.packets import (
    CANARY_BYTES,
    IP_IN_IP,
    IPV6_IN_IP,
    NAT_T_PORT,
    NO_NEXT_HEADER,
    RTP_BYTES,
    TAG,
    Kind,
    Packet,
    parse_frame,
    parse_ip,
)
from traffic.replay import Position


class Verdict(enum.IntEnum):
    """What a packet is; the number is its code in `flows.npy`."""

    GENUINE = 0
    """Authentic, new and delivered. No alarm."""
    LATE_OUTSIDE_WINDOW = 1
    """Authentic and never seen, but older than the anti-replay window: refused, lost by security. No alarm."""
    REPLAY_IN_WINDOW = 2
    """Authentic, and its number was accepted before, inside the window. Alarm."""
    REPLAY_OLD = 3
    """Authentic, and its number was seen before; older than the window, or of an earlier ESN epoch. Alarm."""
    FORGED = 4
    """The integrity check fails, or the content is not what the association carries: altered or invented. Alarm."""
    TRUNCATED = 5
    """Too short to be a whole packet, or a fragment of one. Alarm."""
    UNKNOWN_SPI = 6
    """ESP for which no security association exists. Alarm."""
    PLAINTEXT_IN = 7
    """Arrived in the clear where policy demands encryption. Alarm."""
    PLAINTEXT_LEAK = 8
    """A canary or an inner address was readable on the wire: one packet fails the run. Alarm."""

    @property
    def is_alarm(self) -> bool:
        """Whether one such packet means an attack or a breach."""
        return self > Verdict.LATE_OUTSIDE_WINDOW


class Content(NamedTuple):
    """What the packets of a flow carry: which association brings them, and how to know them inside."""

    flow: int  # index
    spi: int
    canary: bytes
    has_rtp: bool


class Judgement(NamedTuple):
    """A verdict and what is known of the packet. `source`: outer address and port, for UDP."""

    verdict: Verdict
    spi: int | None = None
    esp_sequence: int | None = None
    flow: int | None = None
    sequence: int | None = None  # in its flow
    source: tuple[bytes, int] | None = None
    detail: str = ""


_EARLIER_EPOCHS: Final = 2  # tried in the second pass: old packets lie at most this far below the inferred epoch


class InboundEndpoint:
    """A protected host's receiving side.

    `associations` by SPI; `contents`: of the flows it receives; `inner_addresses`: packed, never to be seen outside
    ESP; `clear_udp_ports`: UDP destination ports that may be used in the clear, for measurement probes.
    """

    def __init__(
        self,
        associations: Mapping[int, InboundSa],
        contents: Collection[Content],
        inner_addresses: Collection[bytes] = (),
        clear_udp_ports: Collection[int] = (),
    ) -> None:
        self._associations = dict(associations)
        self._contents = {content.canary: content for content in contents}
        self._inner_addresses = frozenset(inner_addresses)
        self._clear_udp_ports = frozenset(clear_udp_ports)

    def judge(self, frame: bytes) -> Judgement | None:
        """The judgement of an Ethernet frame; None for what may pass in the clear. Never raises, whatever the bytes."""
        packet = parse_frame(frame)
        if packet.kind is Kind.UDP and packet.destination_port == NAT_T_PORT:
            if packet.payload == b"\xff":  # NAT keepalive (RFC 3948, 2.3)
                return None
            judgement = self._judge_esp(packet.payload, (packet.source, packet.source_port))
        elif packet.kind is Kind.ESP:
            judgement = self._judge_esp(packet.payload, None)
        else:
            return self._judge_clear(packet, frame)
        if judgement.verdict.is_alarm and judgement.flow is None:
            return self._leak(packet, frame) or judgement
        return judgement

    def _judge_clear(self, packet: Packet, frame: bytes) -> Judgement | None:
        leak = self._leak(packet, frame)
        if leak is not None:
            return leak
        if packet.kind in (Kind.CUT, Kind.FRAGMENT):
            return Judgement(Verdict.TRUNCATED, detail=packet.kind.value)
        if packet.kind in (Kind.ARP, Kind.ICMP):
            return None
        if packet.kind is Kind.UDP:
            if packet.destination_port in self._clear_udp_ports:
                return None
            source = (packet.source, packet.source_port)
            return Judgement(Verdict.PLAINTEXT_IN, source=source, detail=f"UDP to port {packet.destination_port}")
        return Judgement(Verdict.PLAINTEXT_IN, detail="neither UDP nor ESP")

    def _leak(self, packet: Packet, frame: bytes) -> Judgement | None:
        for canary, content in self._contents.items():
            if canary in frame:
                return Judgement(Verdict.PLAINTEXT_LEAK, content.spi, flow=content.flow, detail="canary in the clear")
        if packet.source in self._inner_addresses or packet.destination in self._inner_addresses:
            return Judgement(Verdict.PLAINTEXT_LEAK, detail="inner address in the clear")
        return None

    def _judge_esp(self, esp: bytes, source: tuple[bytes, int] | None) -> Judgement:
        spi, low = int.from_bytes(esp[:4], "big"), int.from_bytes(esp[4:8], "big")
        association = self._associations.get(spi) if len(esp) >= SPI_BYTES else None
        if len(esp) < SMALLEST_BYTES or len(esp) & 3:
            known = None if association is None else spi
            return Judgement(Verdict.TRUNCATED, known, source=source, detail=f"{len(esp)} bytes of ESP")
        if association is None:
            return Judgement(Verdict.UNKNOWN_SPI, source=source, detail=f"SPI {spi:#010x}")
        number, plain = _authenticate(association, esp, low)
        if plain is None:
            return Judgement(Verdict.FORGED, spi, low, source=source, detail="integrity check failed")
        window = association.window
        position = window.position(number)
        seen = association.seen.add(number)
        detail = ""
        if position is Position.NEW:
            verdict = Verdict.GENUINE
            window.accept(number)
        elif position is Position.SEEN:
            verdict, detail = Verdict.REPLAY_IN_WINDOW, f"lag {window.highest - number}"
        else:
            verdict = Verdict.REPLAY_OLD if seen else Verdict.LATE_OUTSIDE_WINDOW
            detail = f"lag {window.highest - number}, window {window.size}"
        inside = self._identify(spi, plain)
        if inside is None:
            detail = "authentic, but not what the association carries"
            return Judgement(Verdict.FORGED, spi, number, source=source, detail=detail)
        flow, sequence = inside
        return Judgement(verdict, spi, number, flow, sequence, source, detail)

    def _identify(self, spi: int, plain: bytes) -> tuple[int | None, int | None] | None:
        """(flow, sequence number) of a decrypted packet; a dummy has neither; None if it does not belong here."""
        inside = split_trailer(plain)
        if inside is None:
            return None
        next_header, inner = inside
        if next_header == NO_NEXT_HEADER:
            return None, None
        if next_header not in (IP_IN_IP, IPV6_IN_IP):
            return None
        payload = parse_ip(inner, 4 if next_header == IP_IN_IP else 6).payload
        content = self._contents.get(payload[:CANARY_BYTES])
        start = CANARY_BYTES
        if content is None:
            start += RTP_BYTES
            content = self._contents.get(payload[RTP_BYTES:start])
        if content is None or content.spi != spi or content.has_rtp != (start > CANARY_BYTES):
            return None
        if len(payload) < start + TAG.size:
            return None
        flow, sequence = TAG.unpack_from(payload, start)
        return (flow, sequence) if flow == content.flow else None


def _authenticate(association: InboundSa, esp: bytes, low: int) -> tuple[int, bytes | None]:
    """(sequence number, plaintext); None if no epoch fits.

    With ESN an old packet fails with the inferred upper half. Only a second pass over the epochs before it tells it
    from a forgery.
    """
    if not association.esn:
        return low, association.decrypt(esp)
    inferred = association.window.infer_high(low)
    plain = association.decrypt(esp, inferred)
    if plain is not None:
        return inferred << 32 | low, plain
    for high in range(max(inferred - _EARLIER_EPOCHS, 0), inferred):
        plain = association.decrypt(esp, high)
        if plain is not None:
            return high << 32 | low, plain
    return low, None
