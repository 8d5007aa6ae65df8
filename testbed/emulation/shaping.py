"""TCLink's parameters, for links that a person adds: bw, delay, loss, max_queue_size become a link end's queues."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from testbed.ground.errors import InputError
from testbed.kernel import queues
from testbed.kernel.queues import Bottleneck, Impairment

NAMES: Final = {"bw", "delay", "loss", "max_queue_size"}

NOT_HERE: Final = {"jitter", "gro", "speedup", "use_hfsc", "use_tbf", "latency_ms", "enable_ecn", "enable_red"}
_UNITS_NS: Final = {"": 1_000, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}  # without a unit tc takes microseconds
_QUEUE: Final = 1_000  # packets, Linux' own default (txqueuelen)
_FRAME_BYTES: Final = 1514  # a full Ethernet frame


def shape(where: str, asked: Mapping[str, Any]) -> tuple[Impairment, Bottleneck | None]:
    """What Mininet's words ask for: bw in Mbit/s, delay as tc writes it ('5ms'), loss in percent, a queue in packets.

    Raises InputError, which names the interface `where`, for a value that cannot be, and for TCLink's other words.
    """
    for name in sorted(NOT_HERE & set(asked)):
        raise InputError(f"{where}: '{name}' is nothing that a link here takes: {', '.join(sorted(NAMES))}")
    delay_ns = _delay_ns(where, asked.get("delay") or "0ms")
    loss = _number(where, "loss", asked.get("loss") or 0, 0, 100) / 100
    packets = round(_number(where, "max_queue_size", asked.get("max_queue_size") or _QUEUE, 1, 1e9))
    most = queues.NOMINAL_RATE_BPS / 1e6
    rate_bps = round(_number(where, "bw", asked.get("bw") or most, 0.008, most) * 1e6)
    buffer_bytes = packets * _FRAME_BYTES
    impairment = Impairment(delay_ns, loss, queues.in_flight_limit(rate_bps, delay_ns, buffer_bytes))
    return impairment, Bottleneck(rate_bps, buffer_bytes) if asked.get("bw") else None


def _delay_ns(where: str, written: Any) -> int:
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(us|ms|s|)", str(written))
    if not found:
        raise InputError(f"{where}: delay '{written}' is not a time as tc writes it, like '5ms'")
    return round(float(found[1]) * _UNITS_NS[found[2]])


def _number(where: str, name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{where}: {name} {value!r} is not a number from {low:g} to {high:g}")
    return float(value)
