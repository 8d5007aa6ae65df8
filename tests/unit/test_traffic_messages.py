"""What messages carry, held against published examples and geometry."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from traffic.errors import MessageError
from traffic.messages import COMMAND, Track, body_of, command, parse_track, parts_of, position_report, read_report

S = 1_000_000_000


def armoured(payload: str) -> bytes:
    """The bits of an AIVDM payload: six per character (IEC 61162-1)."""
    bits = "".join(f"{(code - 8 if (code := ord(letter) - 48) > 40 else code):06b}" for letter in payload)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_a_published_position_report_is_read() -> None:
    # The example of "AIVDM/AIVDO protocol decoding" (gpsd): moored at Seattle.
    number, track, second = read_report(armoured("177KQJ5000G?tO`K>RA1wUbN0TKH"))
    assert (number, second) == (477553000, 15)
    assert track.latitude_deg == pytest.approx(47.582833, abs=1e-6)
    assert track.longitude_deg == pytest.approx(-122.345833, abs=1e-6)
    assert (track.course_deg, track.speed_kn) == (51.0, 0.0)


@settings(deadline=None)
@given(
    latitude=st.floats(-85, 85),
    longitude=st.floats(-179.99, 179.99),
    course=st.floats(0, 359),
    speed=st.floats(0, 102),
    number=st.integers(0, 2**30 - 1),
)
def test_reports_come_back(latitude: float, longitude: float, course: float, speed: float, number: int) -> None:
    report = position_report(Track(latitude, longitude, course, speed), number, 61)
    assert len(report) == 21
    found, track, second = read_report(report)
    assert (found, second) == (number, 1)
    assert (track.latitude_deg, track.longitude_deg) == pytest.approx((latitude, longitude), abs=1e-6)
    assert (track.course_deg, track.speed_kn) == pytest.approx((course, speed), abs=0.051)


@pytest.mark.parametrize("course_deg", [0, 45, 90, 200, 315])
def test_a_ship_is_where_geodesy_says(course_deg: float) -> None:
    track = Track(36.5, 12.5, course_deg, 15).after(600)  # 2.5 nautical miles
    longitude, latitude, _ = Geod(ellps="WGS84").fwd(12.5, 36.5, course_deg, 15 * 1852 / 6)
    _, _, off_m = Geod(ellps="WGS84").inv(longitude, latitude, track.longitude_deg, track.latitude_deg)
    assert off_m < 0.005 * 4630  # the sea is taken for flat, and the earth for a sphere of minutes of arc


def test_a_ship_crosses_the_date_line() -> None:
    assert Track(0, 179.99, 90, 60).after(3600).longitude_deg == pytest.approx(-179.01)


@pytest.mark.parametrize("written", ["", "north", "1", "1 2 3 4 5"])
def test_a_bad_track_is_refused(written: str) -> None:
    with pytest.raises(MessageError, match=f"track '{written}' is not 'latitude longitude course speed'"):
        parse_track(written)
    with pytest.raises(MessageError, match="speed_kn 200"):
        parse_track("0 0 0 200")
    with pytest.raises(MessageError, match="4 bytes are not a class A position report"):
        read_report(bytes(4))


def test_a_command_says_when_it_was_given_and_how_long_it_is_good() -> None:
    body = body_of("message", "", lambda number: number * S, 500)
    assert body is not None
    assert COMMAND.unpack(body(3)) == (3, 3 * S, 500)
    assert body(3) == command(3, 3 * S, 500)


def test_a_track_moves_with_its_packets() -> None:
    body = body_of("track", "36.5 12.5 90 36", lambda number: number * 10 * S, 0)
    assert body is not None
    longitudes = [read_report(body(number))[1].longitude_deg for number in range(3)]
    assert longitudes[0] == pytest.approx(12.5, abs=1e-6)
    step = 0.1 / 60 / 0.8038569  # 36 knots: 0.1 nautical miles in 10 s; cosine of 36.5°
    assert [b - a for a, b in pairwise(longitudes)] == pytest.approx([step, step], abs=4e-6)


def test_only_texts_have_several_parts() -> None:
    assert (parts_of("bulk", ""), parts_of("alert", "x" * 94), parts_of("sms", "x" * 161)) == (1, 2, 2)
    assert body_of("voice", "", lambda number: number, 0) is None
