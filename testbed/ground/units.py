"""Strings die here: quantities written by people become integers or floats in SI units, once."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import InputError

_NUMBER = re.compile(r"\s*([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ%/]*)\s*")
_TIME_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": NS_PER_S, "": NS_PER_S, "min": 60 * NS_PER_S}
_RATE_BPS = {"": 1} | {
    f"{prefix}bit{per}": factor
    for per in ("", "/s")
    for prefix, factor in (("", 1), ("k", 10**3), ("m", 10**6), ("g", 10**9))
}


def _split(text: str, what: str, units: dict[str, int]) -> tuple[float, int]:
    match = _NUMBER.fullmatch(text)
    unit = match.group(2).lower() if match else ""
    if match is None or unit not in units or not math.isfinite(float(match.group(1))):
        known = ", ".join(name for name in units if name)
        raise InputError(f"{what} '{text}' is not understood: write a number and one of {known}")
    return float(match.group(1)), units[unit]


def parse_duration_ns(text: str) -> int:
    """'15ms', '2 s' or '60' (seconds) in nanoseconds; raises InputError."""
    number, factor = _split(text, "duration", _TIME_NS)
    return round(number * factor)


def parse_rate_bps(text: str) -> int:
    """'41mbit' or '1Gbit/s' in bits per second; raises InputError."""
    number, factor = _split(text, "rate", _RATE_BPS)
    return round(number * factor)


def parse_utc_ns(text: str) -> int:
    """An ISO 8601 instant in UTC ('2026-06-14T06:00:00Z') in nanoseconds since 1970; raises InputError."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"time '{text}' is not ISO 8601: write it like 2026-06-14T06:00:00Z") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def format_utc(time_ns: int, digits: int = 0) -> str:
    """Nanoseconds since 1970 as ISO 8601 in UTC with `digits` decimals of a second, truncated."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}"[: digits + 1] if digits else ""
    return f"{stamp}{fraction}Z"
