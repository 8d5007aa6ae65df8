"""testbed.ground.units: what people write, once and for all turned into numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.ground.errors import InputError
from testbed.ground.units import format_utc, parse_duration_ns, parse_rate_bps, parse_utc_ns

S = 1_000_000_000
EXACT = 1 << 53  # up to here a float is a whole number


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("15ms", 15_000_000),
        (" 2 s ", 2 * S),
        ("60", 60 * S),
        ("1.5min", 90 * S),
        ("250us", 250_000),
        ("250 µs", 250_000),
        ("7ns", 7),
        (".5s", S // 2),
        ("1e3 ms", S),
        ("-1ms", -1_000_000),
        ("3 MS", 3_000_000),
    ],
)
def test_durations(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


@pytest.mark.parametrize(
    ("text", "expected_bps"),
    [("41mbit", 41_000_000), ("1Gbit/s", S), ("64 kbit", 64_000), ("9600", 9_600), ("0.5Mbit", 500_000), ("8bit/s", 8)],
)
def test_rates(text: str, expected_bps: int) -> None:
    assert parse_rate_bps(text) == expected_bps


@pytest.mark.parametrize("text", ["", "fast", "15 parsecs", "1 2ms", "ms", "1,5ms", "15mbit", "0x10", "nan", "inf"])
def test_a_duration_that_is_none_is_refused_with_the_units_there_are(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_duration_ns(text)
    assert str(refusal.value) == (
        f"duration '{text}' is not understood: write a number and one of ns, us, µs, ms, s, min"
    )


@pytest.mark.parametrize("text", ["", "10MB/s", "10mbps", "5ms"])
def test_a_rate_that_is_none_is_refused_with_the_units_there_are(text: str) -> None:
    with pytest.raises(InputError, match=f"^rate '{text}' is not understood: write a number and one of bit, kbit"):
        parse_rate_bps(text)


@given(st.integers(-EXACT, EXACT))
def test_whole_nanoseconds_and_bits_survive(number: int) -> None:
    assert parse_duration_ns(f"{number}ns") == number
    assert parse_rate_bps(f"{number} bit/s") == number


@given(st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_an_instant_is_that_of_the_standard_library_in_any_time_zone(local: datetime, offset_min: int) -> None:
    instant = local.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    expected_ns = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
    assert parse_utc_ns(instant.isoformat()) == expected_ns
    shown = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert format_utc(expected_ns, 6) == shown
    assert parse_utc_ns(shown) == expected_ns


def test_an_instant_without_a_zone_is_utc() -> None:
    assert parse_utc_ns("2026-06-14T06:00:00") == parse_utc_ns("2026-06-14T06:00:00Z") == 1_781_416_800 * S
    assert parse_utc_ns("2026-06-14") == parse_utc_ns("2026-06-14T00:00:00Z")


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "14/06/2026", "2026-06-14T25:00"])
def test_an_instant_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=rf"^time '{text}' is not ISO 8601: write it like 2026-06-14T06:00:00Z$"):
        parse_utc_ns(text)


def test_digits_are_cut_and_not_rounded() -> None:
    instant_ns = 1_781_416_800 * S + 999_999_999
    assert format_utc(instant_ns) == "2026-06-14T06:00:00Z"
    assert format_utc(instant_ns, 3) == "2026-06-14T06:00:00.999Z"
    assert format_utc(instant_ns, 9) == "2026-06-14T06:00:00.999999999Z"
