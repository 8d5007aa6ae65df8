"""Variation of the access delay: held against the dish telemetry it was drawn from."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orbit_data import START_NS, S, shared_rtt

from testbed.ground.errors import ScenarioError
from testbed.plan.delays import Overheads
from testbed.plan.variation import OFFSET_AT, OFFSET_MS, Variation, variation

MS = 1_000_000
SLOTS_NS = START_NS + 12 * S + 15 * S * np.arange(20_000)
AT = (50, 90, 95, 99)
PUBLISHED_STEPS_MS = (2.7, 10.0, 13.0, 22.0)
TOLERANCE = (0.2, 0.1, 0.1, 0.1)


def fjordlink_slots() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, day and median round trip (ms) of each slot with all its samples; read 8 s late."""
    with gzip.open(shared_rtt("fjordlink_starlink_1hz.csv.gz"), "rt") as file:
        rows = [(datetime.fromisoformat(row["t"]), float(row["lat"])) for row in csv.DictReader(file)]
    slot = np.array([int((time.timestamp() - 5.0) // 15.0) for time, _ in rows])
    value = np.array([latency for _, latency in rows])
    edges = np.flatnonzero(np.diff(slot, prepend=-1, append=-1))
    parts = [
        (slot[low], rows[low][0].date().toordinal(), np.median(value[low:high]))
        for low, high in pairwise(edges)
        if high - low >= 14
    ]
    return tuple(np.array(column) for column in zip(*parts, strict=True))


def round_trip_ms(one: Variation, seed: int = 0, terminal: str = "rome") -> np.ndarray:
    return (one.extra_ns(seed, terminal, True, SLOTS_NS) + one.extra_ns(seed, terminal, False, SLOTS_NS)) / MS


def close_steps(values_ms: np.ndarray, wanted_ms: tuple[float, ...]) -> bool:
    """Are the quantiles of the steps within their tolerances?"""
    found = np.percentile(np.abs(np.diff(values_ms)), AT)
    return all(abs(a / b - 1.0) <= part for a, b, part in zip(found, wanted_ms, TOLERANCE, strict=True))


def test_steps_between_slots_are_the_published_ones():
    assert close_steps(round_trip_ms(Variation()), PUBLISHED_STEPS_MS)


def test_steps_between_slots_are_those_of_the_file():
    number, _, median_ms = fjordlink_slots()
    steps = np.abs(np.diff(median_ms))[np.diff(number) == 1]
    wanted = tuple(np.percentile(steps, AT))
    assert wanted == pytest.approx(PUBLISHED_STEPS_MS, rel=0.03)
    assert close_steps(round_trip_ms(Variation()), wanted)


@pytest.mark.parametrize("scale_ms", [1.0, 3.0, 5.0, 7.0, 10.0])
def test_no_gaussian_passes_for_the_offsets(scale_ms):
    """Neither one of the wrong scale nor any other: the measured tail is too long for it."""
    assert not close_steps(np.random.default_rng(1).normal(0.0, scale_ms, 20_000), PUBLISHED_STEPS_MS)


@pytest.mark.parametrize("strength", [0.7, 1.3])
def test_offsets_of_another_strength_do_not_pass(strength):
    assert not close_steps(round_trip_ms(Variation(strength)), PUBLISHED_STEPS_MS)


def test_the_table_is_the_file_s():
    """Each quantile of the offsets from their day's median, to the printed decimals."""
    _, day, median_ms = fjordlink_slots()
    offset_ms = median_ms - np.array([np.median(median_ms[day == one]) for one in day])
    assert np.quantile(offset_ms, OFFSET_AT) == pytest.approx(np.array(OFFSET_MS), abs=0.1)


def test_neighbouring_slots_are_as_alike_as_in_the_file():
    number, day, median_ms = fjordlink_slots()
    offset_ms = median_ms - np.array([np.median(median_ms[day == one]) for one in day])
    follow = np.flatnonzero(np.diff(number) == 1)
    measured = np.corrcoef(offset_ms[follow], offset_ms[follow + 1])[0, 1]
    ours = round_trip_ms(Variation())
    assert np.corrcoef(ours[:-1], ours[1:])[0, 1] == pytest.approx(measured, abs=0.1)


@pytest.mark.parametrize("upward", [True, False])
@pytest.mark.parametrize(
    ("one", "limit_ms"), [(Variation(), 0.15), (Variation(slots=0.0, jitter=1.0), 0.1), (Variation(jitter=1.0), 0.5)]
)
def test_medians_do_not_move(one, limit_ms, upward):
    """Each part alone has the median zero; offsets are skewed, so that scatter around them moves it a little."""
    medians = [np.median(one.extra_ns(seed, "rome", upward, SLOTS_NS)) for seed in range(4)]
    assert abs(np.mean(medians)) < limit_ms * MS


@pytest.mark.parametrize(("upward", "published_ms"), [(True, 4.6), (False, 1.7)])
def test_packets_10_ms_apart_differ_as_measured(upward, published_ms):
    """Within a tenth: what would fall below no access delay at all is cut."""
    one = Variation(slots=0.0, jitter=1.0, period_ns=10 * MS)
    values = one.extra_ns(3, "rome", upward, START_NS + 10 * MS * np.arange(40_000))
    assert np.abs(np.diff(values)).mean() / MS == pytest.approx(published_ms, rel=0.1)


def test_no_delay_becomes_negative():
    one, overheads = Variation(slots=3.0, jitter=3.0), Overheads()
    assert one.extra_ns(0, "rome", True, SLOTS_NS).min() == -overheads.access_up_ns
    assert one.extra_ns(0, "rome", False, SLOTS_NS).min() == -overheads.access_down_ns


instants = st.lists(st.integers(0, 4_000_000_000 * S), min_size=1, max_size=12)


@settings(max_examples=50)
@given(instants, st.booleans(), st.randoms())
def test_a_value_depends_on_its_instant_alone(times, upward, random):
    one = Variation(jitter=1.0)
    together = one.extra_ns(5, "rome", upward, np.array(times))
    alone = [int(one.extra_ns(5, "rome", upward, np.array([time]))[0]) for time in times]
    shuffled = list(range(len(times)))
    random.shuffle(shuffled)
    again = one.extra_ns(5, "rome", upward, np.array(times)[shuffled])
    assert together.tolist() == alone
    assert again.tolist() == together[shuffled].tolist()


def test_seed_terminal_and_direction_matter():
    base = Variation().extra_ns(0, "rome", True, SLOTS_NS[:50]).tolist()
    others = [(1, "rome", True), (0, "taranto", True), (0, "rome", False)]
    assert all(Variation().extra_ns(*other, SLOTS_NS[:50]).tolist() != base for other in others)


def test_frozen_values():
    """The same on every machine and in every version: plans are reproduced byte for byte."""
    values = Variation(jitter=1.0).extra_ns(0, "rome", True, SLOTS_NS[:3])
    assert values.tolist() == [-5_686_326, -8_303_333, -760_973]


def test_values_change_at_edges_only():
    one = Variation(jitter=1.0)
    times = START_NS + 10 * MS * np.arange(3_100)
    values = one.extra_ns(0, "rome", True, times)
    changes = times[1:][np.diff(values) != 0]
    edges = one.edges_ns(int(times[0]), int(times[-1]) + 1)
    assert len(changes) > 250
    assert set(changes.tolist()) <= set(edges.tolist())
    assert Variation().edges_ns(START_NS, START_NS + 60 * S).tolist() == [START_NS + s * S for s in (12, 27, 42, 57)]
    assert len(variation("off").edges_ns(START_NS, START_NS + 60 * S)) == 0


def test_words():
    assert not variation("off").extra_ns(0, "rome", True, SLOTS_NS[:9]).any()
    assert variation("slots").extra_ns(0, "rome", True, SLOTS_NS[:9]).any()
    assert variation("slots", slots=0.0) == variation("off")
    assert variation("measured").jitter == 1.0


@pytest.mark.parametrize(
    ("fields", "message"), [({"slots": -1.0}, "strength -1"), ({"period_ns": 7 * S}, "divide a slot")]
)
def test_bad_values_are_one_line(fields, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        Variation(**fields)
    assert "\n" not in str(caught.value)
