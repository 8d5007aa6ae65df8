"""The statistics of a validation, each held against a closed form, and each able to say no."""

from __future__ import annotations

import numpy as np
import pytest
from orbit_data import START_NS, S
from scipy import stats

from testbed.report.validation.cells import Cells, Observed, cells_of
from testbed.report.validation.statistics import (
    alignment,
    autocorrelation,
    bursts,
    describe,
    distances,
    jitter,
    quantiles_ms,
    steps_ms,
)

FIRST_S = START_NS // S  # a full minute
MS = 1_000_000


def cells(values: np.ndarray, first: int = FIRST_S) -> Cells:
    return Cells(first + np.arange(len(values)), np.asarray(values, dtype=float))


def observed(values: np.ndarray, every_ns: int = S, loss: np.ndarray | None = None) -> Observed:
    time_ns = START_NS + np.arange(len(values)) * every_ns
    lost = np.zeros(len(values)) if loss is None else loss
    return Observed("made up", "measured", time_ns, np.asarray(values, dtype=float), lost)


def recursive(generator: np.random.Generator, count: int, keep: float) -> np.ndarray:
    """A stationary AR(1) of unit variance: its autocorrelation at lag k is keep**k."""
    draws = generator.standard_normal(count)
    for number in range(1, count):
        draws[number] = keep * draws[number - 1] + np.sqrt(1 - keep**2) * draws[number]
    return draws


def stairs(generator: np.random.Generator, count: int, begin: int = 12) -> np.ndarray:
    """Levels that change where a second is `begin` mod 15, and nowhere else."""
    slot = (FIRST_S + np.arange(count) - begin) // 15
    return generator.normal(30.0, 5.0, slot[-1] - slot[0] + 1)[slot - slot[0]]


def test_an_average_is_that_of_the_seconds_gone_by():
    values = np.random.default_rng(2).normal(size=100)
    found = cells(values).averaged(15.0)
    assert found.second.tolist() == (FIRST_S + np.arange(14, 100)).tolist()
    assert found.value_ms == pytest.approx(np.convolve(values, np.ones(15) / 15, mode="valid"))
    assert cells(values).averaged(0.0).value_ms.tolist() == values.tolist()
    holes = np.delete(np.arange(100), [30, 31])
    sparse = Cells(FIRST_S + holes, values[holes]).averaged(15.0)
    where = int(np.flatnonzero(sparse.second == FIRST_S + 40)[0])
    assert sparse.value_ms[where] == pytest.approx(np.mean(np.r_[values[26:30], values[32:41]]))
    assert not set(sparse.second) & {FIRST_S + 30, FIRST_S + 31}


def test_averaging_makes_of_no_memory_a_quarter():
    """Independent levels of slots, averaged over a slot: 15 s apart the overlap is (0 at a slot's end to 1/2 between):
    the pairs' covariance is 1/6 of a level's variance, the variance 2/3 of it."""
    found = autocorrelation(cells(stairs(np.random.default_rng(14), 150_000)).averaged(15.0), 15)
    assert found == pytest.approx(0.25, abs=0.02)


def test_a_cell_is_the_median_of_its_second():
    generator = np.random.default_rng(1)
    time_ns = START_NS + np.sort(generator.integers(0, 20 * S, 300))
    value = generator.exponential(10.0, 300)
    value[::17] = np.nan
    found = cells_of(Observed("x", "measured", time_ns, value, np.zeros(300)))
    wanted = [np.nanmedian(value[time_ns // S == second]) for second in found.second]
    assert found.value_ms.tolist() == pytest.approx(wanted)
    assert set(found.second) == set((time_ns // S)[np.isfinite(value)])


@pytest.mark.parametrize("keep", [0.9, 0.97])
def test_autocorrelation_of_a_recursive_series_is_its_closed_form(keep):
    found = autocorrelation(cells(recursive(np.random.default_rng(3), 60_000, keep)), 15)
    assert found == pytest.approx(keep**15, abs=0.03)


def test_autocorrelation_is_pearson_s_and_skips_what_is_missing():
    values = np.random.default_rng(4).normal(size=400)
    assert autocorrelation(cells(values), 15) == pytest.approx(stats.pearsonr(values[:-15], values[15:]).statistic)
    holes = Cells(FIRST_S + np.delete(np.arange(400), [50, 51, 200]), np.delete(values, [50, 51, 200]))
    pairs = [(k, k + 15) for k in range(385) if not {k, k + 15} & {50, 51, 200}]
    wanted = np.corrcoef(*values[np.array(pairs)].T)[0, 1]
    assert autocorrelation(holes, 15) == pytest.approx(wanted)


def test_nothing_is_said_across_a_gap():
    """Two pieces of ten seconds, a minute apart: no pair is 15 s apart within one."""
    second = FIRST_S + np.r_[np.arange(10), 65 + np.arange(10)]
    values = np.random.default_rng(5).normal(size=20)
    assert autocorrelation(Cells(second, values), 65) is None
    assert autocorrelation(Cells(second, values), 5) is not None
    assert autocorrelation(cells(np.full(100, 7.0)), 15) is None


@pytest.mark.parametrize("shift", [-2.0, 0.0, 3.7])
def test_wasserstein_of_a_shift_is_the_shift(shift):
    values = np.random.default_rng(6).exponential(5.0, 500)
    assert distances(cells(values + shift), cells(values))["wasserstein_ms"] == pytest.approx(abs(shift), abs=1e-9)


def test_distances_of_known_distributions():
    """Normal ones of 1 and 1.5: W1 = 0.5 sqrt(2/pi). Uniform ones 0.3 apart: K-S = 0.3. By exact quantiles."""
    share = (np.arange(20_000) + 0.5) / 20_000
    one, wide = stats.norm.ppf(share), stats.norm.ppf(share, scale=1.5)
    assert distances(cells(wide), cells(one))["wasserstein_ms"] == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=1e-3)
    assert distances(cells(share + 0.3), cells(share))["kolmogorov_smirnov"] == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("noise_ms", [0.0, 1.0])
def test_steps_on_slots_are_found(noise_ms):
    generator = np.random.default_rng(7)
    found = alignment(cells(stairs(generator, 1_800) + generator.normal(0.0, noise_ms, 1_800)))
    assert found.aligned
    assert found.second == pytest.approx(12.0, abs=0.5)
    assert found.windows == pytest.approx(1_800 // 15, abs=1)
    assert int(np.argmax(found.profile)) == 12


def test_four_slots_are_enough_and_three_are_not():
    generator = np.random.default_rng(8)
    steps = cells(np.repeat([30.0, 45.0, 28.0, 41.0, 33.0, 48.0], 15)[3:])
    assert alignment(steps).aligned
    assert not alignment(Cells(steps.second[:55], steps.value_ms[:55])).aligned
    assert alignment(cells(generator.normal(size=12))) is None
    assert alignment(cells(np.full(600, 30.0))) is None


@pytest.mark.parametrize("begin", [0, 2, 5, 8, 10])
def test_steps_at_other_seconds_are_not_on_slots(begin):
    found = alignment(cells(stairs(np.random.default_rng(9), 1_800, begin)))
    assert not found.aligned
    assert (found.second - begin + 7.5) % 15 == pytest.approx(7.5, abs=0.5)


def test_its_null_is_the_normal_distribution_at_most():
    """Series that know nothing of the clock: noise, a random walk, and steps at random times."""
    generator = np.random.default_rng(10)

    def wanders() -> np.ndarray:
        return np.repeat(generator.normal(size=150), generator.integers(1, 20, 150))[:900]

    makers = (lambda: generator.normal(size=900), lambda: np.cumsum(generator.normal(size=900)), wanders)
    for make in makers:
        z = np.array([alignment(cells(make())).z for _ in range(150)])
        assert abs(z.mean()) < 0.3  # three standard errors, 1/sqrt(150) each
        assert 0.6 < z.std() < 1.15
        assert np.mean(stats.norm.sf(z) < 0.05) < 0.1


def test_an_average_moves_the_steps_by_half_its_window():
    generator = np.random.default_rng(11)
    smooth = np.convolve(stairs(generator, 7_200), np.ones(15) / 15, mode="full")[:7_200]
    told = alignment(cells(smooth), averaged_s=15.0)
    assert told.expected == 4.5
    assert told.second == pytest.approx(4.5, abs=0.7)
    assert told.aligned
    assert not alignment(cells(smooth)).aligned


def test_steps_are_those_between_medians_of_neighbouring_slots():
    """Slots of 30, 33, 29 and 40 ms; the one of 29 lacks most of its seconds: one step is left."""
    values = np.repeat([30.0, 33.0, 29.0, 40.0], 15)
    keep = np.r_[0:30, 30:34, 45:60]
    second = FIRST_S + 12 + np.arange(60)
    assert steps_ms(Cells(second, values)).tolist() == [3.0, 4.0, 11.0]
    assert steps_ms(Cells(second[keep], values[keep])).tolist() == [3.0]
    assert steps_ms(Cells(second[:15], values[:15])).tolist() == []


def test_bursts_of_loss():
    """Of 60 samples at 10 Hz, runs of 2 and of 3 lost some; the last run has no sample after it."""
    loss = np.zeros(60)
    loss[[10, 11]] = 1.0
    loss[[57, 58, 59]] = 0.5
    found = bursts(observed(np.full(60, 30.0), every_ns=S // 10, loss=loss))
    assert found["lost"] == pytest.approx(3.5 / 60)
    assert found["bursts"] == 2
    assert found["mean_samples"] == 2.5
    assert found["mean_s"] == pytest.approx((0.2 + 0.2) / 2)
    assert found["slots"] == 1.0
    assert bursts(observed(np.full(60, 30.0)))["mean_s"] is None


def test_a_burst_ends_at_a_gap():
    one = observed(np.full(4, 30.0), loss=np.ones(4))
    apart = Observed("x", "measured", one.time_ns + np.array([0, 0, 99 * S, 99 * S]), one.rtt_ms, one.loss)
    assert bursts(one)["bursts"] == 1
    assert bursts(apart)["bursts"] == 2


def test_scatter_within_slots_leaves_the_steps_out():
    """Levels far apart, and ±1 ms about them in turn: the deviation is 1, neighbours differ by 2."""
    values = np.repeat([30.0, 60.0, 20.0, 50.0], 15) + np.where(np.arange(60) % 2, 1.0, -1.0)
    time_ns = START_NS + (12 + np.arange(60)) * S
    one = Observed("x", "measured", time_ns, values, np.zeros(60))
    found = jitter(one, cells_of(one))
    assert found["difference_ms"] == pytest.approx(2.0)
    assert found["spread_ms"] == pytest.approx(1.0, abs=0.01)
    assert found["spacing_ms"] == 1_000.0


def test_quantiles_are_numpy_s():
    values = np.random.default_rng(12).gamma(3.0, 8.0, 2_000)
    found = quantiles_ms(cells(values))
    assert found["0.5"] == pytest.approx(np.median(values))
    assert found["0.99"] == pytest.approx(np.percentile(values, 99))


def test_without_utc_nothing_is_said_of_slots():
    one = observed(np.random.default_rng(13).normal(30.0, 3.0, 900))
    bare = Observed("x", "measured", one.time_ns - START_NS, one.rtt_ms, one.loss, absolute=False)
    assert describe(bare)["alignment"] is None
    assert describe(bare)["steps"] == 0
    assert describe(one)["alignment"] is not None
