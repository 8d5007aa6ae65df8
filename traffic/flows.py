"""Declared traffic: who sends what to whom, at which rate. Each field is checked here, once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from traffic.errors import FlowError
from traffic.packets import CANARY_BYTES, RTP_BYTES, RTP_CLOCK_HZ, TAG

FlowKind = Literal["voice", "bulk"]

LARGEST_PAYLOAD_BYTES: Final = 1380
"""Of an inner packet, so that nothing is fragmented at an MTU of 1,500: with UDP and inner IPv6 (48), ESP padding and
trailer (4), ESP header and IV (16), ICV (16), outer UDP and IPv4 (28) it makes 1,492 bytes."""

_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class Flow:
    """One direction of traffic at a constant packet rate. `payload_bytes`: UDP payload of the inner packet."""

    name: str
    kind: FlowKind
    src: str
    dst: str
    dscp: int
    rate_pps: float
    payload_bytes: int
    start_ns: int  # schedule time of the first packet
    stop_ns: int  # no packet at or after it

    def __post_init__(self) -> None:
        where = f"flow '{self.name}'"
        if self.kind not in get_args(FlowKind):
            raise FlowError(f"{where}: kind '{self.kind}' is unknown: use {' or '.join(get_args(FlowKind))}")
        if self.src == self.dst:
            raise FlowError(f"{where}: source and destination are both '{self.src}'")
        if not 0 <= self.dscp <= 63:
            raise FlowError(f"{where}: dscp {self.dscp} is not in 0..63")
        if not 0 < self.rate_pps < math.inf:
            raise FlowError(f"{where}: rate_pps {self.rate_pps} is not a positive number")
        least = CANARY_BYTES + TAG.size + (RTP_BYTES if self.kind == "voice" else 0)
        if not least <= self.payload_bytes <= LARGEST_PAYLOAD_BYTES:
            raise FlowError(
                f"{where}: payload_bytes {self.payload_bytes} is refused: use {least} to {LARGEST_PAYLOAD_BYTES}"
            )
        if not 0 <= self.start_ns < self.stop_ns:
            raise FlowError(f"{where}: it runs from {self.start_ns} to {self.stop_ns} ns, which is no time")

    def due_ns(self, number: int) -> int:
        """Schedule time at which packet `number`, from 0, shall leave."""
        return self.start_ns + round(number * _NS_PER_S / self.rate_pps)

    @property
    def rtp_interval(self) -> int | None:
        """RTP clock ticks from one packet to the next; None where the flow has no RTP."""
        return round(RTP_CLOCK_HZ / self.rate_pps) if self.kind == "voice" else None


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


def parse_flows(declarations: Iterable[Mapping[str, Any]], hosts: Iterable[str] | None = None) -> tuple[Flow, ...]:
    """The flows of a list of dictionaries with exactly the fields of `Flow`; raises FlowError.

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
    missing, surplus = _TYPES.keys() - declaration.keys(), declaration.keys() - _TYPES.keys()
    if missing or surplus:
        fields = ", ".join(sorted(missing or surplus))
        raise FlowError(f"{where}: {'lacks' if missing else 'does not know'} {fields}")
    for name, types in _TYPES.items():
        value = declaration[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise FlowError(f"{where}: {name} {value!r} is not of type {types[0].__name__}")
    return Flow(**declaration)
