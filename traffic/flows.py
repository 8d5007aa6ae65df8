"""Declared traffic: who sends what to whom, at which rate, and what it must get. Each field is checked here, once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from traffic.emodel import CODECS
from traffic.errors import FlowError, MessageError
from traffic.messages import BODY_BYTES, Body, body_of, parse_track, parts_of
from traffic.packets import CANARY_BYTES, RTP_BYTES, RTP_CLOCK_HZ, SEAL_BYTES, TAG
from traffic.templates import check_template, declare

FlowKind = Literal["voice", "bulk", "message", "stream", "track", "sms", "alert", "packet"]
"""A telephone call; a transfer; commands; a sensor; position reports; SMS; cell broadcast pages; any packets."""

LARGEST_PAYLOAD_BYTES: Final = 1380
"""Of an inner packet, so that nothing is fragmented at an MTU of 1,500: with UDP and inner IPv6 (48), ESP padding and
trailer (4), ESP header and IV (16), ICV (16), outer UDP and IPv4 (28) it makes 1,492 bytes."""

DEADLINES: Final = frozenset({"message", "track", "sms", "alert"})
"""Kinds whose messages may have to arrive by a deadline."""

ACCEPTANCE: Final[dict[str, tuple[float, frozenset[str]]]] = {
    "loss_max": (1.0, frozenset(get_args(FlowKind))),
    "delay_p95_ms": (math.inf, frozenset(get_args(FlowKind))),
    "delay_p99_ms": (math.inf, frozenset(get_args(FlowKind))),
    "mos_min": (4.5, frozenset({"voice"})),
    "gaps_max": (math.inf, frozenset({"voice", "stream"})),
    "delivered_within_deadline_min": (1.0, DEADLINES),
}
"""What a flow may demand: by name the largest value that makes sense, and the kinds that can."""

LEAST_UNBROKEN_PPS: Final = 5
"""At this rate every packet comes 200 ms after the last, which is a gap."""

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class Flow:
    """One direction of traffic at a constant packet rate. `payload_bytes`: UDP payload of the inner packet.

    `deadline_ms`: within which each message must have arrived; 0: none. `acceptance`: limits by names of ACCEPTANCE.
    `codec`: of a call. `srtp`: a call's payload is encrypted by SRTP too, inside ESP. `content`: the text of an SMS or
    alert, or where a track begins, as in `traffic.messages.parse_track`. `packets`: of kind packet, IP packets in
    hexadecimal (`traffic.templates.declare`), for which `payload_bytes` has no meaning. Raises FlowError.
    """

    name: str
    kind: FlowKind
    src: str
    dst: str
    dscp: int
    rate_pps: float
    payload_bytes: int
    start_ns: int  # schedule time of the first packet
    stop_ns: int  # no packet at or after it
    deadline_ms: float = 0.0
    acceptance: Mapping[str, float] = field(default_factory=dict)
    codec: str = "g711-plc"
    srtp: bool = False
    content: str = ""
    packets: Sequence[str] = ()

    def __post_init__(self) -> None:
        where = f"flow '{self.name}'"
        if self.kind not in get_args(FlowKind):
            raise FlowError(f"{where}: kind '{self.kind}' is unknown: use one of {', '.join(get_args(FlowKind))}")
        if self.src == self.dst:
            raise FlowError(f"{where}: source and destination are both '{self.src}'")
        if not 0 <= self.dscp <= 63:
            raise FlowError(f"{where}: dscp {self.dscp} is not in 0..63")
        if not 0 < self.rate_pps < math.inf:
            raise FlowError(f"{where}: rate_pps {self.rate_pps} is not a positive number")
        if bool(self.packets) != (self.kind == "packet"):
            raise FlowError(f"{where}: packets are for kind packet, which needs them")
        least = CANARY_BYTES + TAG.size + (RTP_BYTES if self.kind == "voice" else 0) + BODY_BYTES.get(self.kind, 0)
        most = LARGEST_PAYLOAD_BYTES - (SEAL_BYTES if self.srtp else 0)
        if self.kind != "packet" and not least <= self.payload_bytes <= most:
            raise FlowError(f"{where}: payload_bytes {self.payload_bytes} is refused: use {least} to {most}")
        if not 0 <= self.start_ns < self.stop_ns:
            raise FlowError(f"{where}: it runs from {self.start_ns} to {self.stop_ns} ns, which is no time")
        self._check_service(where)

    def _check_service(self, where: str) -> None:
        if not 0 <= self.deadline_ms < math.inf:
            raise FlowError(f"{where}: deadline_ms {self.deadline_ms} is not a number from 0")
        if self.deadline_ms and self.kind not in DEADLINES:
            raise FlowError(f"{where}: a {self.kind} flow has no deadline_ms: {', '.join(sorted(DEADLINES))} have")
        if self.codec not in CODECS:
            raise FlowError(f"{where}: codec '{self.codec}' is unknown: use one of {', '.join(CODECS)}")
        if self.srtp and self.kind != "voice":
            raise FlowError(f"{where}: a {self.kind} flow has no RTP that srtp could protect: use kind voice")
        if bool(self.content) != (self.kind in ("sms", "alert")) and not (self.content and self.kind == "track"):
            raise FlowError(f"{where}: content is for sms and alert, which need it, and for track")
        try:
            self.templates, self.parts  # noqa: B018 - asked for their complaints
            parse_track(self.content) if self.content and self.kind == "track" else None
        except (MessageError, FlowError) as error:
            raise FlowError(f"{where}: {error}") from None
        for name, value in self.acceptance.items():
            if name not in ACCEPTANCE:
                raise FlowError(f"{where}: acceptance '{name}' is unknown: use one of {', '.join(ACCEPTANCE)}")
            most, kinds = ACCEPTANCE[name]
            if self.kind not in kinds:
                raise FlowError(f"{where}: acceptance {name} is nothing that a {self.kind} flow has")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise FlowError(f"{where}: acceptance {name} {value!r} is not a number from 0 to {most:g}")
        if "gaps_max" in self.acceptance and self.rate_pps <= LEAST_UNBROKEN_PPS:
            raise FlowError(
                f"{where}: acceptance gaps_max needs more than {LEAST_UNBROKEN_PPS} packets/s: each is a gap"
            )
        if "delivered_within_deadline_min" in self.acceptance and not self.deadline_ms:
            raise FlowError(f"{where}: acceptance delivered_within_deadline_min needs a deadline_ms")

    @classmethod
    def from_packets(cls, packets: Any, **fields: Any) -> Flow:
        """A flow of a Scapy packet, a list or a generator of them, and the other fields; see `traffic.templates`."""
        (flow,) = parse_flows([declare(packets, **fields)])
        return flow

    def due_ns(self, number: int) -> int:
        """Schedule time at which packet `number`, from 0, shall leave."""
        return self.start_ns + round(number * _NS_PER_S / self.rate_pps)

    @property
    def rtp_interval(self) -> int | None:
        """RTP clock ticks from one packet to the next; None where the flow has no RTP."""
        return round(RTP_CLOCK_HZ / self.rate_pps) if self.kind == "voice" else None

    @property
    def parts(self) -> int:
        """How many packets one message takes; an alert's or SMS's packets repeat the message without end."""
        return parts_of(self.kind, self.content)

    @property
    def templates(self) -> tuple[bytes, ...]:
        """The packets of kind packet."""
        return tuple(check_template(packet) for packet in self.packets)

    @property
    def body(self) -> Body | None:
        """What fills its packets behind the tag; None where zeros do."""
        return body_of(self.kind, self.content, self.due_ns, self.deadline_ms)


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "kind": (str,),
    "src": (str,),
    "dst": (str,),
    "dscp": (int,),
    "rate_pps": (int, float),
    "payload_bytes": (int,),
    "start_ns": (int,),
    "stop_ns": (int,),
}
_OPTIONAL: Final[dict[str, tuple[type, ...]]] = {
    "deadline_ms": (int, float),
    "acceptance": (dict,),
    "codec": (str,),
    "srtp": (bool,),
    "content": (str,),
    "packets": (list, tuple),
}


def parse_flows(declarations: Iterable[Mapping[str, Any]], hosts: Iterable[str] | None = None) -> tuple[Flow, ...]:
    """The flows of a list of dictionaries with the fields of `Flow`, those with a default optional; raises FlowError.

    `hosts`: the names that may be source or destination; not checked if None.
    """
    known = None if hosts is None else sorted(hosts)
    flows = tuple(_parse(index, declaration) for index, declaration in enumerate(declarations))
    names = [flow.name for flow in flows]
    for flow in flows:
        if names.count(flow.name) > 1:
            raise FlowError(f"flow '{flow.name}': the name is used twice")
        for host in (flow.src, flow.dst):
            if known is not None and host not in known:
                raise FlowError(f"flow '{flow.name}': host '{host}' is unknown: use one of {', '.join(known)}")
    return flows


def _parse(index: int, declaration: Mapping[str, Any]) -> Flow:
    where = f"flow {index} ('{declaration.get('name', '')}')"
    known = _TYPES | _OPTIONAL
    missing, surplus = _TYPES.keys() - declaration.keys(), declaration.keys() - known.keys()
    if missing or surplus:
        fields = ", ".join(sorted(missing or surplus))
        raise FlowError(f"{where}: {'lacks' if missing else 'does not know'} {fields}")
    for name, value in declaration.items():
        types = known[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise FlowError(f"{where}: {name} {value!r} is not of type {types[0].__name__}")
    return Flow(**declaration)
