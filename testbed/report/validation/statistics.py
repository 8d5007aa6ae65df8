"""What is said of one series, and how far two are apart. All of it on cells of one second, but for loss and jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from testbed.ground.constants import NS_PER_S
from testbed.plan.fit import slot_levels
from testbed.report.validation.cells import GAP_S, PHASE_S, SLOT_S, Cells, Observed, cells_of

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
STEP_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)

LAG_S: Final = SLOT_S
"""The autocorrelation that is judged: one slot."""

REACH_S: Final = 5
"""Assumption: a change is the difference between the mean of 5 s before an instant and that of 5 s after it."""

WHOLE_S: Final = 13
"""Assumption: scatter within a slot is told where this many of its 15 seconds have samples."""

_LEAST_IN_REACH: Final = 3  # cells of the five that must be there
_HALF = SLOT_S // 2

WIDENED: Final = 1.2
"""By so much the alignment's z spreads more than a normal variable where levels hold for long, since neighbouring
windows share samples: 400 simulated series each of noise, of a random walk, and of steps at random times (1.0 to 1.2).
z is divided by it."""

ALIGNED_P: Final = 0.01
"""Assumption: below this probability the steps are said to follow the slots. Four slots are the least that can."""

NEAR_S: Final = 1.0
"""Assumption: and they must come this near to the slots' beginning, the resolution of cells: chance alone is not the
only rival, steps two seconds off are no chance either."""


@dataclass(frozen=True)
class Alignment:
    """Where in the 15 s of a slot the level changes.

    second: of the minute's quarter, 0 ≤ second < 15; expected: 12, or later for an instrument that averages. z: a
    standard normal variable, if changes come at any time alike; p: its upper tail. windows: how many slots were used.
    profile: mean rank of the change at each of the seconds 0..14, 0..1.
    """

    second: float
    expected: float
    z: float
    p: float
    windows: int
    profile: tuple[float, ...]

    @property
    def aligned(self) -> bool:
        """Do the steps follow the slots?"""
        off = abs((self.second - self.expected + SLOT_S / 2) % SLOT_S - SLOT_S / 2)
        return self.p < ALIGNED_P and off <= NEAR_S


def autocorrelation(cells: Cells, lag_s: int) -> float | None:
    """Pearson's correlation of all pairs of cells `lag_s` apart, pieces together; None with fewer than three pairs."""
    pairs = [(grid[:-lag_s], grid[lag_s:]) for _, grid in cells.pieces() if len(grid) > lag_s]
    if not pairs:
        return None
    a, b = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3 or np.ptp(a[both]) == 0.0 or np.ptp(b[both]) == 0.0:
        return None
    return float(np.corrcoef(a[both], b[both])[0, 1])


def alignment(cells: Cells, averaged_s: float = 0.0) -> Alignment | None:
    """Do levels change at :12 :27 :42 :57? None where no slot has all it needs.

    The size of the change at every second is ranked among all. Of each slot the first Fourier coefficient F of its 15
    ranks is taken, turned so that a change when it is expected points along the real axis. If changes had nothing to do
    with the clock, F would point anywhere alike: the sum of its real parts has the mean zero and the variance of half
    the sum of |F|² (Rayleigh's test against a given direction, with weights; Mardia and Jupp,
    Directional Statistics, 2000).
    """
    expected = PHASE_S + averaged_s / 2.0
    found = [(first, _changes(grid)) for first, grid in cells.pieces()]
    flat = np.concatenate([change for _, change in found]) if found else np.zeros(0)
    there = np.isfinite(flat)
    if not there.any() or np.ptp(flat[there]) == 0.0:
        return None
    flat[there] = stats.rankdata(flat[there]) / there.sum()
    offsets = np.arange(-_HALF, _HALF + 1)
    turned = np.exp(2j * np.pi * (offsets - (expected - PHASE_S)) / SLOT_S)
    vectors: list[complex] = []
    rows: list[NDArray[np.float64]] = []
    begin = 0
    for first, change in found:
        ranks = flat[begin : begin + len(change)]
        begin += len(change)
        for centre in range(int(PHASE_S - first) % SLOT_S, len(ranks), SLOT_S):
            window = ranks[max(centre - _HALF, 0) : centre + _HALF + 1]
            if centre >= _HALF and len(window) == SLOT_S and np.isfinite(window).all():
                vectors.append(complex(np.sum(window * turned)))
                rows.append(window)
    total = complex(np.sum(vectors))
    scale = float(np.sqrt(0.5 * np.sum(np.abs(vectors) ** 2)))
    if not vectors or scale == 0.0:
        return None
    z = float(total.real) / scale / WIDENED
    second = (expected + float(np.angle(total)) / (2 * np.pi) * SLOT_S) % SLOT_S
    profile = np.roll(np.mean(rows, axis=0), PHASE_S - _HALF)
    expected %= SLOT_S
    return Alignment(second, expected, z, float(stats.norm.sf(z)), len(vectors), tuple(profile.tolist()))


def steps_ms(cells: Cells, averaged_s: float = 0.0) -> NDArray[np.float64]:
    """Sizes of the steps between levels of neighbouring slots, ms, shape (n,); `averaged_s`: see `plan.fit`."""
    middles_ns = cells.second * NS_PER_S + NS_PER_S // 2
    slots, levels_ms = slot_levels(middles_ns, cells.value_ms, round(averaged_s * NS_PER_S))
    sizes: NDArray[np.float64] = np.abs(np.diff(levels_ms))[np.diff(slots) == 1]
    return sizes


def bursts(one: Observed) -> dict[str, float | int | None]:
    """Loss: `lost`, the mean share; `bursts`, runs of samples with some loss; `mean_s`, `mean_samples`, their length,
    from the first such sample to the next without; `slots`, the share of slots with any."""
    lossy = one.loss > 0.0
    lengths_s, samples = [], []
    for part in np.split(np.arange(len(lossy)), np.flatnonzero(np.diff(one.time_ns) > GAP_S * NS_PER_S) + 1):
        edges = np.diff(np.r_[False, lossy[part], False].astype(np.int8))
        begins, ends = (np.flatnonzero(edges == way).tolist() for way in (1, -1))
        for begin, end in zip(begins, ends, strict=True):
            last = int(part[min(end, len(part) - 1)])
            lengths_s.append(float(one.time_ns[last] - one.time_ns[part[begin]]) / NS_PER_S)
            samples.append(end - begin)
    slot = (one.time_ns // NS_PER_S - PHASE_S) // SLOT_S
    return {
        "lost": float(np.mean(one.loss)),
        "bursts": len(samples),
        "mean_s": float(np.mean(lengths_s)) if samples else None,
        "mean_samples": float(np.mean(samples)) if samples else None,
        "slots": len(np.unique(slot[lossy])) / len(np.unique(slot)),
    }


def jitter(one: Observed, cells: Cells) -> dict[str, float | None]:
    """Within slots: `spread_ms`, the median over slots of the standard deviation of cells; `difference_ms`, the mean
    absolute difference of neighbouring samples, which are `spacing_ms` apart (their median)."""
    _, first, count = np.unique((cells.second - PHASE_S) // SLOT_S, return_index=True, return_counts=True)
    whole = [(low, many) for low, many in zip(first.tolist(), count.tolist(), strict=True) if many >= WHOLE_S]
    spreads = [float(np.std(cells.value_ms[low : low + many])) for low, many in whole]
    came = one.came
    time_ns, value = one.time_ns[came], one.rtt_ms[came]
    same = np.diff((time_ns - PHASE_S * NS_PER_S) // (SLOT_S * NS_PER_S)) == 0
    return {
        "spread_ms": float(np.median(spreads)) if spreads else None,
        "difference_ms": float(np.mean(np.abs(np.diff(value))[same])) if same.any() else None,
        "spacing_ms": float(np.median(np.diff(time_ns))) / 1e6 if len(time_ns) > 1 else None,
    }


def distances(cells: Cells, other: Cells) -> dict[str, float]:
    """How far the values of two series are apart: Wasserstein-1, ms, and Kolmogorov–Smirnov, 0..1.

    No significance of either is given: neighbouring seconds are far from independent.
    """
    return {
        "wasserstein_ms": float(stats.wasserstein_distance(cells.value_ms, other.value_ms)),
        "kolmogorov_smirnov": float(stats.ks_2samp(cells.value_ms, other.value_ms, method="asymp").statistic),
    }


def quantiles_ms(cells: Cells) -> dict[str, float]:
    """At QUANTILES, by the share as text."""
    return {f"{at:g}": float(np.quantile(cells.value_ms, at)) for at in QUANTILES}


def describe(one: Observed) -> dict[str, Any]:
    """What is said of a series for itself, JSON types; None where it is too short, or has no UTC, for a figure."""
    cells = cells_of(one)
    steps = steps_ms(cells, one.averaged_s) if one.absolute else np.zeros(0)
    found = alignment(cells, one.averaged_s) if one.absolute else None
    return {
        "samples": len(one.time_ns),
        "seconds": len(cells.second),
        "averaged_s": one.averaged_s,
        "alignment": None
        if found is None
        else {
            "second": found.second,
            "expected": found.expected,
            "z": found.z,
            "p": found.p,
            "windows": found.windows,
            "aligned": found.aligned,
            "profile": list(found.profile),
        },
        "steps": len(steps),
        "steps_ms": {f"{at:g}": float(np.quantile(steps, at)) for at in STEP_QUANTILES} if len(steps) else None,
        "loss": bursts(one),
        "jitter": jitter(one, cells),
    }


def _changes(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """|mean of the REACH_S cells before each cell's beginning - mean of those from it on|, nan where too few."""
    there = np.isfinite(grid)
    count = np.r_[0, np.cumsum(there)]
    total = np.r_[0.0, np.cumsum(np.where(there, grid, 0.0))]
    change = np.full(len(grid), np.nan)
    middle = np.arange(REACH_S, len(grid) - REACH_S + 1)
    before_n, after_n = count[middle] - count[middle - REACH_S], count[middle + REACH_S] - count[middle]
    enough = (before_n >= _LEAST_IN_REACH) & (after_n >= _LEAST_IN_REACH)
    middle, before_n, after_n = middle[enough], before_n[enough], after_n[enough]
    before = (total[middle] - total[middle - REACH_S]) / before_n
    after = (total[middle + REACH_S] - total[middle]) / after_n
    change[middle] = np.abs(after - before)
    return change
