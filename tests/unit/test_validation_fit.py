"""A variation fitted to a series: held against series whose distribution and memory are known, and put into a plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from orbit_data import START_NS, S
from plan_data import dense, italy, steps_between
from scipy import stats

from testbed.ground.errors import PlanError, ScenarioError
from testbed.plan.build import build_plan
from testbed.plan.fit import Fit, FittedVariation, fit, slot_levels
from testbed.plan.variation import OFFSET_AT, OFFSET_MS, UP_PART, Variation

MS = 1_000_000
FIRST_NS = START_NS + 12 * S
SLOTS = 4_000  # 16.7 h: of one day, as START_NS is at 6 h


def made(keep: float, scale_ms: float = 4.0, seed: int = 1, slots: int = SLOTS) -> tuple[np.ndarray, np.ndarray]:
    """Times and round trips at 1 Hz: each slot a level, exponential with `scale_ms` above 20 ms, by way of an AR(1)."""
    draws = np.random.default_rng(seed).standard_normal(slots)
    for number in range(1, slots):
        draws[number] = keep * draws[number - 1] + np.sqrt(1 - keep**2) * draws[number]
    level_ms = 20.0 + stats.expon.ppf(stats.norm.cdf(draws), scale=scale_ms)
    return FIRST_NS + np.arange(15 * slots) * S, np.repeat(level_ms, 15)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.85])
def test_memory_and_quantiles_are_those_of_the_series(keep):
    found = fit(*made(keep))
    assert found.memory == pytest.approx(keep, abs=0.05)
    inner = slice(3, 14)  # the tails of correlated draws scatter too much
    wanted = stats.expon.ppf(OFFSET_AT, scale=4.0) - stats.expon.ppf(0.5, scale=4.0)
    assert np.array(found.offset_ms)[inner] == pytest.approx(wanted[inner], abs=0.8)
    assert found.median_ms == pytest.approx(20.0 + 4.0 * np.log(2.0), abs=0.5)
    assert found.slots == SLOTS


@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_the_model_is_distributed_as_what_it_was_fitted_to(keep):
    times, values = made(keep)
    model = fit(times, values).round_trip_ms(5, times)
    assert stats.wasserstein_distance(model, values) < 0.4
    neighbours = np.corrcoef(model[:-15:15], model[15::15])[0, 1]
    assert neighbours == pytest.approx(np.corrcoef(values[:-15:15], values[15::15])[0, 1], abs=0.08)
    assert stats.wasserstein_distance(model + 1.0, values) > 0.6


def test_a_day_s_level_is_no_offset():
    """Two days, the second 10 ms above: offsets are from each day's own median."""
    times, values = made(0.0, slots=1_000)
    apart = fit(np.r_[times, times + 86_400 * S], np.r_[values, values + 10.0])
    assert apart.days == 2
    assert apart.offset_ms == pytest.approx(fit(times, values).offset_ms, abs=0.05)


@pytest.mark.parametrize("averaged_s", [0, 5, 15])
def test_levels_are_read_where_an_average_is_of_one_slot(averaged_s):
    """Whatever the average, the levels are those that were there, and so are memory and steps."""
    times, values = made(0.5, slots=400)
    width = max(averaged_s, 1)
    shown = np.convolve(np.r_[np.full(width, values[0]), values], np.ones(width) / width)[width : width + len(values)]
    after = times + (S if averaged_s else 0)  # the mean of the seconds that have gone by
    slots, levels = slot_levels(after, shown, averaged_s * S)
    known = {int(number): level for number, level in zip((times[::15] - 12 * S) // (15 * S), values[::15], strict=True)}
    off = np.array([level - known[int(number)] for number, level in zip(slots, levels, strict=True)])
    assert len(slots) >= 399
    assert np.median(np.abs(off)) < 0.15
    assert fit(after, shown, averaged_s * S).memory == pytest.approx(fit(times, values).memory, abs=0.05)


def test_an_average_taken_for_none_hides_the_steps():
    times, values = made(0.5, slots=400)
    shown = np.convolve(values, np.ones(15) / 15, mode="valid")
    after = times[14:] + S
    steps = [np.median(np.abs(np.diff(slot_levels(after, shown, told)[1]))) for told in (15 * S, 0)]
    assert steps[1] < 0.8 * steps[0]
    assert fit(after, shown, 0).memory > fit(after, shown, 15 * S).memory + 0.1


def test_an_average_longer_than_a_slot_cannot_be_read():
    times, values = made(0.5, slots=60)
    with pytest.raises(PlanError, match=r"averages over 16 s are never of one slot"):
        slot_levels(times, values, 16 * S)
    assert slot_levels(times[:0], values[:0])[0].shape == (0,)


def test_half_a_slot_is_not_taken():
    times, values = made(0.0, slots=60)
    keep = np.r_[0:60, 67:900]
    slots, _ = slot_levels(times[keep], values[keep])
    assert len(slots) == 59


def test_too_little_is_refused_in_one_line():
    times, values = made(0.0, slots=39)
    with pytest.raises(PlanError, match=r"a fit needs 40 slots .* this part has 39: give a longer series") as caught:
        fit(times, values)
    assert "\n" not in str(caught.value)


def test_a_plan_takes_it():
    """Every user link of a plan with the fitted variation is that of one without, and the offset of its slot."""
    found = fit(*made(0.5, slots=200)).variation()
    plain = replace(italy(), variation=None)
    start_ns, duration_ns = START_NS, 40 * S
    before, after = (
        build_plan(one, dense(), start_ns, duration_ns, S // 10, 3) for one in (plain, replace(plain, variation=found))
    )
    for upward in (True, False):
        compared = 0
        for link in before.links:
            terminal = link.a if upward else link.b
            if link.kind != "user" or terminal != "ut-rome":
                continue
            old, new = (steps_between(plan, link.a, link.b) for plan in (before, after))
            times, here, there = np.intersect1d(old["time_ns"], new["time_ns"], return_indices=True)
            steady = (np.abs((start_ns + times) // MS % 15_000 - 12_000) > 1_000) & old["up"][here] & new["up"][there]
            extra = new["delay_ns"][there] - old["delay_ns"][here]
            wanted = found.extra_ns(3, terminal, upward, start_ns + times)
            assert extra[steady].tolist() == wanted[steady].tolist()
            compared += int(steady.sum())
        assert compared > 100
        assert np.ptp(wanted) > 0


def test_a_value_depends_on_its_instant_alone():
    one = FittedVariation(jitter=1.0, offset_ms=OFFSET_MS, memory=0.8)
    times = START_NS + np.arange(0, 300 * S, 7 * S)
    together = one.extra_ns(4, "rome", True, times)
    assert [int(one.extra_ns(4, "rome", True, times[k : k + 1])[0]) for k in range(len(times))] == together.tolist()
    assert one.extra_ns(5, "rome", True, times).tolist() != together.tolist()
    assert one.extra_ns(4, "taranto", True, times).tolist() != together.tolist()


def test_the_round_trip_is_shared_between_the_directions():
    one = FittedVariation(offset_ms=OFFSET_MS, memory=0.6, floor_up_ns=S, floor_down_ns=S)
    times = FIRST_NS + 15 * S * np.arange(500)
    up, down = (one.extra_ns(0, "rome", way, times) for way in (True, False))
    assert up == pytest.approx(UP_PART * (up + down), abs=2)  # ns, by rounding
    assert np.quantile((up + down) / MS, [0.1, 0.9]) == pytest.approx([OFFSET_MS[4], OFFSET_MS[12]], abs=1.5)


def test_delays_stay_above_their_floor_and_jitter_is_added():
    low = FittedVariation(offset_ms=tuple(10.0 * np.array(OFFSET_MS)), memory=0.6)
    times = FIRST_NS + S // 10 * np.arange(30_000)
    assert low.extra_ns(0, "rome", True, times).min() == -Variation().floor_up_ns
    calm, busy = (FittedVariation(jitter=one, offset_ms=OFFSET_MS) for one in (0.0, 1.0))
    assert np.all(np.diff(calm.extra_ns(0, "rome", True, times))[:140] == 0)
    assert np.count_nonzero(np.diff(busy.extra_ns(0, "rome", True, times))[:140]) > 130


def test_frozen_values():
    """The same on every machine and in every version: plans are reproduced byte for byte."""
    one = FittedVariation(offset_ms=OFFSET_MS, memory=0.6)
    assert one.extra_ns(0, "rome", True, FIRST_NS + 15 * S * np.arange(3)).tolist() == [104_538, -1_060_599, -4_482_206]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"offset_ms": (1.0,)}, "1 offsets for 17 quantiles"),
        ({"at": (0.1, 0.9), "offset_ms": (2.0, 1.0)}, "must rise"),
        ({"offset_ms": OFFSET_MS, "memory": 0.99}, "memory 0.99 is not from 0 to 0.98"),
        ({"offset_ms": OFFSET_MS, "slots": -1.0}, "strength -1"),
    ],
)
def test_bad_tables_are_one_line(fields, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        FittedVariation(**fields)
    assert "\n" not in str(caught.value)


def test_a_fit_keeps_the_strengths_of_what_it_stands_in_for():
    found = Fit(28.0, 28.5, 5.0, 28.5, 5.0, OFFSET_AT, OFFSET_MS, 0.6, 100, 1, 1_500)
    like = Variation(slots=0.5, jitter=1.0, period_ns=S // 100)
    assert found.variation(like).jitter == 1.0
    half = found.variation(like).extra_ns(0, "rome", True, np.array([FIRST_NS]))
    assert replace(found.variation(like), jitter=0.0).slots == 0.5
    assert half.shape == (1,)
