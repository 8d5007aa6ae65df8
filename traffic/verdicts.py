"""What an arriving frame is: the judgement of a protected host, packet by packet.

The host expects ESP in UDP on port 4500. ARP, ICMP, NAT keepalives, UDP to the ports named as clear and TCP to or from
such are not judged, as long as nothing protected is in them. A fragment waits for the others: the whole packet is
judged, or that it never became whole.
Duplicates made by a link look exactly like replays and are named so, unless it is known how late one can come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from traffic.errors import ConfigurationError
from traffic.esp import SMALLEST_BYTES, SPI_BYTES, InboundSa, split_trailer
from traffic.fragments import Outcome, Reassembly
from traffic.lint import Protection, refusals
from traffic.packets import (
    CANARY_BYTES,
    IP_IN_IP,
    IPV6_IN_IP,
    NAT_T_PORT,
    NO_NEXT_HEADER,
    NON_ESP_MARKER,
    RTP_BYTES,
    TAG,
    Kind,
    Packet,
    parse_frame,
    parse_ip,
)
from traffic.replay import Copies, Position
from traffic.timestamps import NO_STAMP
from traffic.verdict import Verdict as Verdict


class Content(NamedTuple):
    """What the packets of a flow carry: which association brings them, and how to know them inside.

    `trails`: its packets are any, and what marks them stands at their end. A call with SRTP has an `opener`
    (`traffic.srtp.Opener`): from a packet, and whether ESP takes it for new, the packet's number in its flow, or None.
    It is found by its `ssrc`.
    """

    flow: int  # index
    spi: int
    canary: bytes
    has_rtp: bool
    ssrc: bytes = b""  # 4 bytes
    opener: Callable[[bytes, bool], int | None] | None = None
    trails: bool = False


class Judgement(NamedTuple):
    """A verdict and what is known of the packet. `source`: outer address and port, for UDP."""

    verdict: Verdict
    spi: int | None = None
    esp_sequence: int | None = None
    flow: int | None = None
    sequence: int | None = None  # in its flow
    source: tuple[bytes, int] | None = None
    detail: str = ""


_SEEN_BEFORE: Final = (Verdict.REPLAY_IN_WINDOW, Verdict.REPLAY_OLD)

_SSRC: Final = slice(8, 12)
_RTP_VERSION: Final = 2
"""Where RTP's header has them (RFC 3550, 5.1)."""

_OF_FRAGMENTS: Final = {Outcome.OVERLAP: Verdict.FRAG_OVERLAP, Outcome.BROKEN: Verdict.TRUNCATED}


REFUSED_KEPT: Final = 1_000
"""Offers refused last, whose packets are still called by their name; those of older ones are UNKNOWN_SPI."""


class InboundEndpoint:
    """A protected host's receiving side.

    `associations` by SPI; `contents`: of the flows it receives; `inner_addresses`: packed, never to be seen outside
    ESP; `clear_udp_ports`: UDP destination ports that may be used in the clear, for measurement probes;
    `clear_tcp_ports`: of services over TCP, which protect themselves or need no protection: the port of either end.
    `longest_lag_ns`: by how much a copy that a link made can come after the first at most (the largest less the
    smallest delay of the path); None where links make none, or where it is not known. `copies`: of associations whose
    packets come over two paths, by SPI.
    """

    def __init__(
        self,
        associations: Mapping[int, InboundSa],
        contents: Collection[Content],
        inner_addresses: Collection[bytes] = (),
        clear_udp_ports: Collection[int] = (),
        clear_tcp_ports: Collection[int] = (),
        *,
        longest_lag_ns: int | None = None,
        copies: Mapping[int, Copies] | None = None,
        reassembly: Reassembly | None = None,
    ) -> None:
        self._associations = dict(associations)
        self._carries = {spi: spi for spi in associations}  # of each association the one that `contents` name
        self._retiring: dict[int, int] = {}  # end of the grace
        self._expired: set[int] = set()
        self._refused: dict[int, str] = {}  # by SPI, why
        self._canaries = {content.canary: content for content in contents}
        leading = [content for content in contents if content.opener is None and not content.trails]
        self._contents = {content.canary: content for content in leading}
        self._trailing = {content.canary: content for content in contents if content.trails}
        self._sealed = {content.ssrc: content for content in contents if content.opener is not None}
        self._inner_addresses = frozenset(inner_addresses)
        self._clear_udp_ports = frozenset(clear_udp_ports)
        self._clear_tcp_ports = frozenset(clear_tcp_ports)
        self._longest_lag_ns = longest_lag_ns
        self._copies = {} if copies is None else dict(copies)
        self._reassembly = Reassembly() if reassembly is None else reassembly
        self._now_ns = 0
        self.key_exchange: Callable[[bytes, tuple[bytes, int]], None] | None = None
        """Takes what begins with the non-ESP marker: (UDP payload, address and port); without it, it is no ESP."""
        self.delivered: Callable[[int, int, bytes], None] | None = None
        """Takes what is GENUINE and of a flow: (flow, next header, decrypted packet)."""

    def offer(self, spi: int, protection: Protection, *, demand_esn: bool = True) -> Judgement | None:
        """Judge what a peer offers, before any data: DOWNGRADE if it is too little, and so is all that comes under it.

        None if it may be installed.
        """
        lines = refusals(protection, demand_esn=demand_esn)
        if not lines:
            self._refused.pop(spi, None)
            return None
        self._refused[spi] = "; ".join(lines)
        if len(self._refused) > REFUSED_KEPT:
            del self._refused[next(iter(self._refused))]
        return Judgement(Verdict.DOWNGRADE, detail=f"SPI {spi:#010x}: {self._refused[spi]}")

    def install(self, association: InboundSa, instead_of: int) -> None:
        """Accept a new association for what `instead_of` carries, beside it. Raises ConfigurationError."""
        spi = association.spi
        if spi in self._carries or spi in self._refused or instead_of not in self._carries:
            raise ConfigurationError(f"SPI {spi:#x} instead of {instead_of:#x} is refused: in use, refused or unknown")
        self._associations[spi] = association
        self._carries[spi] = self._carries[instead_of]

    def retire(self, spi: int, until_ns: int) -> None:
        """Accept what arrives under an association until then, and forget its keys: later it is EXPIRED_SA.

        Raises ConfigurationError.
        """
        if spi not in self._associations:
            raise ConfigurationError(f"SPI {spi:#x} cannot be retired: no association has it")
        self._retiring[spi] = until_ns

    def judge(self, frame: bytes, time_ns: int = NO_STAMP) -> Judgement | None:
        """The judgement of an Ethernet frame that arrived at `time_ns`; None for what may pass in the clear, and for
        a fragment that waits for others. Never raises, whatever the bytes.

        Times are of any clock, not negative; one that goes back does not turn anything back.
        """
        if time_ns > self._now_ns:
            self._now_ns = time_ns
        packet = parse_frame(frame)
        if packet.kind is Kind.FRAGMENT:
            leak = self._leak(packet, frame)
            outcome = self._reassembly.add(packet, self._now_ns) if leak is None else leak
            if isinstance(outcome, Judgement):
                return outcome
            if isinstance(outcome, Outcome):
                verdict = _OF_FRAGMENTS.get(outcome)
                return None if verdict is None else Judgement(verdict, detail=outcome.value)
            packet, frame = outcome
        if packet.kind is Kind.UDP and packet.destination_port == NAT_T_PORT:
            if packet.payload == b"\xff":  # NAT keepalive (RFC 3948, 2.3)
                return None
            if self.key_exchange is not None and packet.payload[:SPI_BYTES] == NON_ESP_MARKER:
                self.key_exchange(packet.payload, (packet.source, packet.source_port))
                return None
            source = (packet.source, packet.source_port)
            judgement = self._judge_esp(packet.payload, source, packet.destination, time_ns)
        elif packet.kind is Kind.ESP:
            judgement = self._judge_esp(packet.payload, None, packet.destination, time_ns)
        else:
            return self._judge_clear(packet, frame)
        if judgement.flow is None and judgement.verdict.is_alarm:
            return self._leak(packet, frame) or judgement
        return judgement

    def overdue(self, time_ns: int | None) -> list[Judgement]:
        """Judgements of fragments that have waited too long; at time None, the end, of all that still wait.

        Call it now and then: also the keys of retired associations are forgotten here.
        """
        if time_ns is not None and time_ns > self._now_ns:
            self._now_ns = time_ns
        self._expire()
        return [Judgement(Verdict.FRAG_INCOMPLETE, detail=line) for line in self._reassembly.given_up(time_ns)]

    def _expire(self) -> None:
        for spi in [spi for spi, until_ns in self._retiring.items() if until_ns < self._now_ns]:
            del self._retiring[spi], self._associations[spi]
            self._expired.add(spi)

    def _judge_clear(self, packet: Packet, frame: bytes) -> Judgement | None:
        leak = self._leak(packet, frame)
        if leak is not None:
            return leak
        if packet.kind is Kind.CUT:
            return Judgement(Verdict.TRUNCATED, detail=packet.kind.value)
        if packet.kind in (Kind.ARP, Kind.ICMP):
            return None
        if packet.kind is Kind.UDP:
            if packet.destination_port in self._clear_udp_ports:
                return None
            source = (packet.source, packet.source_port)
            return Judgement(Verdict.PLAINTEXT_IN, source=source, detail=f"UDP to port {packet.destination_port}")
        if packet.kind is Kind.TCP:
            if self._clear_tcp_ports.intersection((packet.destination_port, packet.source_port)):
                return None
            source = (packet.source, packet.source_port)
            return Judgement(Verdict.PLAINTEXT_IN, source=source, detail=f"TCP to port {packet.destination_port}")
        return Judgement(Verdict.PLAINTEXT_IN, detail="neither UDP, TCP nor ESP")

    def _leak(self, packet: Packet, frame: bytes) -> Judgement | None:
        for canary, content in self._canaries.items():
            if canary in frame:
                return Judgement(Verdict.PLAINTEXT_LEAK, content.spi, flow=content.flow, detail="canary in the clear")
        if self._sealed and packet.kind is Kind.UDP and packet.destination_port != NAT_T_PORT:
            call = self._sealed.get(packet.payload[_SSRC])
            if call is not None and packet.payload[0] >> 6 == _RTP_VERSION:
                return Judgement(Verdict.PLAINTEXT_LEAK, call.spi, flow=call.flow, detail="SRTP outside ESP")
        if packet.source in self._inner_addresses or packet.destination in self._inner_addresses:
            return Judgement(Verdict.PLAINTEXT_LEAK, detail="inner address in the clear")
        return None

    def _judge_esp(self, esp: bytes, source: tuple[bytes, int] | None, destination: bytes, time_ns: int) -> Judgement:
        spi = int.from_bytes(esp[:SPI_BYTES], "big")
        if spi in self._retiring:
            self._expire()
        association = self._associations.get(spi) if len(esp) >= SPI_BYTES else None
        if len(esp) < SMALLEST_BYTES or len(esp) & 3:
            known = None if association is None else spi
            return Judgement(Verdict.TRUNCATED, known, source=source, detail=f"{len(esp)} bytes of ESP")
        if association is None:
            return self._without_association(spi, source)
        number, plain = association.authenticate(esp)
        if plain is None:
            if association.lacks_esn(esp):
                return Judgement(Verdict.DOWNGRADE, spi, number, source=source, detail="authentic without ESN only")
            return Judgement(Verdict.FORGED, spi, number, source=source, detail="integrity check failed")
        verdict, detail = self._place(association, number, esp, time_ns)
        copies = self._copies.get(spi)
        if copies is not None and copies.first_here(destination, number) and verdict in _SEEN_BEFORE:
            verdict, detail = Verdict.SECOND_COPY, "over another path"
        if verdict in (Verdict.NONCE_REUSE, Verdict.SEQ_EXHAUSTED):
            return Judgement(verdict, spi, number, source=source, detail=detail)
        inside = self._identify(spi, plain, verdict is Verdict.GENUINE)
        if inside is None:
            detail = "authentic, but not what the association carries"
            return Judgement(Verdict.FORGED, spi, number, source=source, detail=detail)
        flow, sequence = inside
        if self.delivered is not None and verdict is Verdict.GENUINE and flow is not None:
            next_header, inner = split_trailer(plain) or (NO_NEXT_HEADER, b"")
            self.delivered(flow, next_header, inner)
        return Judgement(verdict, spi, number, flow, sequence, source, detail)

    def _without_association(self, spi: int, source: tuple[bytes, int] | None) -> Judgement:
        if spi in self._expired:
            return Judgement(Verdict.EXPIRED_SA, spi, source=source, detail="its association is retired")
        if spi in self._refused:
            return Judgement(Verdict.DOWNGRADE, source=source, detail=f"SPI {spi:#010x}: {self._refused[spi]}")
        return Judgement(Verdict.UNKNOWN_SPI, source=source, detail=f"SPI {spi:#010x}")

    def _place(self, association: InboundSa, number: int, esp: bytes, time_ns: int) -> tuple[Verdict, str]:
        """The verdict of an authentic packet by its number and IV, and the window moved.

        The ICV serves as the digest of the ciphertext: under one key and IV another ciphertext has another one.
        """
        window, iv = association.window, int.from_bytes(esp[8:16], "big")
        digest = int.from_bytes(esp[-8:], "big") | 1
        position = window.position(number)
        seen, before = association.seen.add(number), association.ivs.find(iv)
        if position is Position.NEW:
            window.accept(number)
        if before is None:
            if position is Position.NEW or not seen:
                association.ivs.put(iv, digest, time_ns)
        elif before[0] != digest:
            return Verdict.NONCE_REUSE, f"IV {iv:#x} came before with another ciphertext"
        elif self._longest_lag_ns is not None and time_ns != NO_STAMP != before[1]:
            lag_ns = time_ns - before[1]
            if 0 <= lag_ns <= self._longest_lag_ns:
                return Verdict.DUP_LINK, f"{lag_ns / 1e6:.3f} ms after the first"
        if position is Position.NEW:
            return Verdict.GENUINE, ""
        lag = window.highest - number
        if position is Position.SEEN:
            return Verdict.REPLAY_IN_WINDOW, f"lag {lag}"
        if before is None and association.wrapped(number) and (not seen or iv != number):
            return Verdict.SEQ_EXHAUSTED, f"number {number} after {window.highest}"
        return Verdict.REPLAY_OLD if seen else Verdict.LATE_OUTSIDE_WINDOW, f"lag {lag}, window {window.size}"

    def _identify(self, spi: int, plain: bytes, fresh: bool) -> tuple[int | None, int | None] | None:
        """(flow, sequence number) of a decrypted packet; a dummy has neither; None if it does not belong here.

        `fresh`: ESP takes it for new.
        """
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
        if content is None and self._trailing:
            end = len(payload) - TAG.size
            content = self._trailing.get(payload[max(end - CANARY_BYTES, 0) : max(end, 0)])
            start = end if content is not None else start
        if content is None and self._sealed:
            return self._opened(spi, payload, fresh)
        if content is None or content.spi != self._carries[spi]:
            return None
        if not content.trails and content.has_rtp != (start > CANARY_BYTES):
            return None
        if len(payload) < start + TAG.size:
            return None
        flow, sequence = TAG.unpack_from(payload, start)
        return (flow, sequence) if flow == content.flow else None

    def _opened(self, spi: int, payload: bytes, fresh: bool) -> tuple[int, int] | None:
        call = self._sealed.get(payload[_SSRC])
        if call is None or call.opener is None or call.spi != self._carries[spi]:
            return None
        number = call.opener(payload, fresh)
        return None if number is None else (call.flow, number)
