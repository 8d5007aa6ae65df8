"""The synthetic series has the published statistics that it claims."""

from __future__ import annotations

import numpy as np
import pytest
from orbit_data import START_NS

from testbed.plan.synthetic import LEVELS_MS, slot_levels_ms, synthetic_series

S = 1_000_000_000
SLOT_NS = 15 * S


def test_slot_levels_are_fjordlinks() -> None:
    levels_ms = slot_levels_ms(np.random.Generator(np.random.PCG64(1)), 20_000)
    wanted = dict(LEVELS_MS)
    for share, tolerance in ((0.05, 0.5), (0.25, 0.5), (0.5, 0.5), (0.75, 1.0), (0.95, 2.0)):
        assert np.quantile(levels_ms, share) == pytest.approx(wanted[share], abs=tolerance)
    assert np.corrcoef(levels_ms[1:], levels_ms[:-1])[0, 1] == pytest.approx(0.58, abs=0.1)
    steps = np.abs(np.diff(levels_ms))
    # FjordLink's steps are a lower bound, because its delays are smoothed: p50 2.7, p90 10, p99 22 ms.
    assert np.all(np.percentile(steps, [50, 90, 99]) >= [2.7, 10, 22])
    assert np.all(np.percentile(steps, [50, 90, 99]) <= [5, 15, 30])


def test_spread_and_loss_inside_slots() -> None:
    duration_ns = 1_800 * S
    series = synthetic_series(START_NS, duration_ns, 5, 0.55)
    held_ns = np.diff(np.r_[series.time_ns, series.time_ns[-1]])
    assert np.sum(series.loss_up * held_ns) / held_ns.sum() == pytest.approx(0.0035, abs=0.0003)
    grid = (series.time_ns % (S // 10)) == 0
    slot = (series.time_ns - 12 * S) // SLOT_NS
    inside = np.diff(slot[grid]) == 0
    for delay_ns, ipdv_ms in ((series.up_ns, 4.6), (series.down_ns, 1.7)):
        assert np.abs(np.diff(delay_ns[grid]))[inside].mean() / 1e6 == pytest.approx(ipdv_ms, rel=0.03)
    assert series.up_ns.min() > 5e6


def test_a_burst_at_every_boundary_and_one_between() -> None:
    series = synthetic_series(START_NS, 600 * S, 2, 0.5)
    begins = series.time_ns[np.diff(np.r_[0.0, series.loss_up]) > 0]
    ends = series.time_ns[np.diff(np.r_[0.0, series.loss_up]) < 0]
    assert np.all((ends - begins >= 20_000_000) & (ends - begins <= 30_000_000))
    assert np.count_nonzero(begins % SLOT_NS == 12 * S) == len(begins) / 2 == 41  # :12 :27 :42 :57, the first cut


def test_the_same_seed_gives_the_same_and_a_longer_series_begins_like_a_shorter() -> None:
    one, two = synthetic_series(START_NS, 30 * S, 7, 0.55), synthetic_series(START_NS, 90 * S, 7, 0.55)
    for name in ("time_ns", "up_ns", "down_ns", "loss_up"):
        assert getattr(one, name).tobytes() == getattr(two, name)[: len(one)].tobytes()
    assert not np.array_equal(one.up_ns, synthetic_series(START_NS, 30 * S, 8, 0.55).up_ns)
    assert synthetic_series(START_NS, S, -1, 0.5).absolute
