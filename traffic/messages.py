"""What is in the packets of messages: commands, position reports, SMS and cell broadcast pages."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from traffic.errors import MessageError
from traffic.gsm import PAGE_HEADER, PAGE_OCTETS, SMS_OCTETS, broadcast_pages, sms_parts

Body = Callable[[int], bytes]
"""The content of a flow's packet of that number, behind its tag: always of the same, even length."""

COMMAND: Final = struct.Struct(">QqI")
"""An order: its number, when it was given (schedule time, ns), within how many ms it must arrive (0: none)."""

REPORT_BYTES: Final = 22
"""A position report of 168 bits (ITU-R M.1371-5, 3.1), and one byte to an even length."""

BODY_BYTES: Final = {
    "message": COMMAND.size,
    "track": REPORT_BYTES,
    "sms": SMS_OCTETS,
    "alert": PAGE_HEADER.size + PAGE_OCTETS,
}
"""Of the kinds that have a body."""

_KNOT_M_S: Final = 1852 / 3600
_DEGREE_M: Final = 1852.0 * 60
_FIELDS: Final = (6, 2, 30, 4, 8, 10, 1, 28, 27, 12, 9, 6, 2, 3, 1, 19)  # bits of a position report, in order


@dataclass(frozen=True)
class Track:
    """Something that moves on a straight line over a flat sea. Raises MessageError."""

    latitude_deg: float
    longitude_deg: float
    course_deg: float = 0.0
    speed_kn: float = 0.0

    def __post_init__(self) -> None:
        limits = {"latitude_deg": 85.0, "longitude_deg": 180.0, "course_deg": 360.0, "speed_kn": 102.2}
        for name, most in limits.items():
            if not -most <= getattr(self, name) <= most:
                raise MessageError(f"track: {name} {getattr(self, name)} is not within {most:g}")

    def after(self, time_s: float) -> Track:
        """Where it is then; not for an ocean's width."""
        way_deg = self.speed_kn * _KNOT_M_S * time_s / _DEGREE_M
        course = math.radians(self.course_deg)
        east_deg = way_deg * math.sin(course) / math.cos(math.radians(self.latitude_deg))
        return Track(
            self.latitude_deg + way_deg * math.cos(course),
            (self.longitude_deg + east_deg + 180) % 360 - 180,
            self.course_deg,
            self.speed_kn,
        )


def parse_track(written: str) -> Track:
    """'latitude longitude course speed', degrees and knots, as in '36.5 12.5 90 15'; raises MessageError."""
    try:
        return Track(*(float(word) for word in written.split()))
    except (ValueError, TypeError):
        raise MessageError(
            f"track '{written}' is not 'latitude longitude course speed', in degrees and knots"
        ) from None


def position_report(track: Track, number: int, second: int) -> bytes:
    """A class A position report (ITU-R M.1371-5, table 48), message type 1, 168 bits. `number`: identity, 30 bits."""
    values = (
        1,
        0,
        number & 0x3FFFFFFF,
        0,  # under way
        0x80,  # rate of turn not available
        round(abs(track.speed_kn) * 10),
        1,
        round(track.longitude_deg * 600_000),
        round(track.latitude_deg * 600_000),
        round(track.course_deg * 10) % 3600,
        round(track.course_deg) % 360,
        second % 60,
        0,
        0,
        0,
        0,
    )
    bits = 0
    for value, width in zip(values, _FIELDS, strict=True):
        bits = bits << width | value & (1 << width) - 1
    return bits.to_bytes(21, "big")


def read_report(report: bytes) -> tuple[int, Track, int]:
    """(identity, track, second) of a class A position report; raises MessageError."""
    if len(report) < 21 or report[0] >> 2 not in (1, 2, 3):
        raise MessageError(f"{len(report)} bytes are not a class A position report")
    bits, left, values = int.from_bytes(report[:21], "big"), 168, []
    for width in _FIELDS:
        left -= width
        values.append(bits >> left & (1 << width) - 1)
    latitude, longitude = (_signed(values[place], _FIELDS[place]) / 600_000 for place in (8, 7))
    return values[2], Track(latitude, longitude, values[9] / 10, values[5] / 10), values[11]


def command(number: int, given_ns: int, deadline_ms: float) -> bytes:
    """An order as it is sent."""
    return COMMAND.pack(number, given_ns, round(deadline_ms))


def parts_of(kind: str, content: str) -> int:
    """How many packets one message takes. Raises MessageError for a content that cannot be sent."""
    return len(_contents(kind, content)) if kind in ("sms", "alert") else 1


def body_of(kind: str, content: str, due_ns: Callable[[int], int], deadline_ms: float) -> Body | None:
    """What fills the packets of such a flow; None if nothing does. `due_ns`: when packet n shall leave."""
    if kind == "message":
        return lambda number: command(number, due_ns(number), deadline_ms)
    if kind == "track":
        track = parse_track(content or "0 0")

        def report(number: int) -> bytes:
            time_s = due_ns(number) / 1e9
            return position_report(track.after(time_s), 247_000_000, int(time_s)).ljust(REPORT_BYTES, b"\0")

        return report
    if kind in ("sms", "alert"):
        contents = [part.ljust(BODY_BYTES[kind], b"\0") for part in _contents(kind, content)]
        return lambda number: contents[number % len(contents)]
    return None


def _contents(kind: str, content: str) -> list[bytes]:
    return broadcast_pages(content) if kind == "alert" else sms_parts(content)


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 else value
