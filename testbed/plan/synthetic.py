"""A made-up series of delay and loss, drawn from published statistics: for trying things out where no trace is at hand.

It is nobody's measurement: the statistics come from different places (Kiel, Osnabrück, eBPF-trace), and what joins them
is assumed. A plan that plays it says so in its title, its assumptions and its manifest.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import SLOT_NS, SLOT_PHASE_NS
from testbed.plan.trace import Series

MS: Final = 1_000_000

LEVELS_MS: Final = ((0.0, 19.8), (0.01, 20.9), (0.05, 21.9), (0.25, 24.5), (0.5, 27.6), (0.75, 32.3), (0.95, 42.9),
                    (0.99, 53.8), (0.999, 75.9), (1.0, 110.9))  # fmt: skip
"""Round trip at quantiles of FjordLink (Starlink at Kiel, 82,800 s; its extremes included), ms."""

SLOT_CORRELATION: Final = 0.6
"""Of normal scores one slot apart: the round trip's own autocorrelation at 15 s is then near FjordLink's 0.58."""

IPDV_UP_MS: Final = 4.6
IPDV_DOWN_MS: Final = 1.7
"""Mean absolute difference of neighbouring packets' delays in a slot (eBPF-trace, 100 s of a bent pipe at 10 ms)."""

SAMPLE_NS: Final = 100 * MS
"""Assumption: the spread inside a slot is drawn anew this often."""

BURST_NS: Final = (20 * MS, 30 * MS)
"""Length of a burst of loss: about two pings (Osnabrück, fixed terminal)."""

BURSTS_PER_SLOT: Final = 2
"""Assumption: one at the boundary and one anywhere: 2 x 25 ms in 15 s lose 0.33 %, near Osnabrück's 0.35 %."""

ASSUMPTIONS: Final = (
    "SYNTHETIC series, not a measurement: levels of 15 s slots from FjordLink's quantiles of round trips (Kiel), "
    "correlated by 0.6 from slot to slot",
    "within a slot each direction's delay is drawn every 100 ms from an exponential distribution about its level, "
    "with the mean difference of eBPF-trace (4.6 ms up, 1.7 ms down)",
    "all packets are lost for 20 to 30 ms at each slot's boundary and once inside it, at random: 0.33 % in all",
)


def synthetic_series(start_ns: int, duration_ns: int, seed: int, up_share: float) -> Series:
    """A series from `start_ns` (UTC since 1970) on that covers `duration_ns`; the same arguments give the same bytes.

    What a slot has depends on the seed and its number since the start alone: a longer series begins like a shorter one.
    """
    first_ns = (start_ns - SLOT_PHASE_NS) // SLOT_NS * SLOT_NS + SLOT_PHASE_NS
    count = -(-(start_ns + duration_ns - first_ns) // SLOT_NS)
    round_trip_ns = slot_levels_ms(_generator(seed, 0), count) * MS
    times, ups, downs, losses = [], [], [], []
    for number in range(count):
        generator = _generator(seed, 1 + number)
        begin_ns = first_ns + number * SLOT_NS
        grid = np.arange(0, SLOT_NS, SAMPLE_NS)
        up = _spread(generator, len(grid), round_trip_ns[number] * up_share, IPDV_UP_MS)
        down = _spread(generator, len(grid), round_trip_ns[number] * (1 - up_share), IPDV_DOWN_MS)
        bursts = _bursts(generator)
        edges = np.unique(np.r_[grid, bursts.ravel()])
        edges = edges[edges < SLOT_NS]
        held = np.searchsorted(grid, edges, side="right") - 1
        lost = ((edges >= bursts[:, :1]) & (edges < bursts[:, 1:])).any(axis=0)
        times.append(begin_ns + edges)
        ups.append(up[held])
        downs.append(down[held])
        losses.append(lost.astype(np.float64))
    time_ns, up_ns, down_ns, loss = (np.concatenate(parts) for parts in (times, ups, downs, losses))
    return Series(time_ns, up_ns, down_ns, loss, loss, None, None, absolute=True, source="synthetic")


def slot_levels_ms(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Round trips of consecutive slots, ms, shape (count,): FjordLink's distribution, correlated from slot to slot."""
    scores = generator.standard_normal(count)
    for number in range(1, count):
        fresh = math.sqrt(1 - SLOT_CORRELATION**2) * scores[number]
        scores[number] = SLOT_CORRELATION * scores[number - 1] + fresh
    shares = np.array([0.5 * math.erfc(-score / math.sqrt(2)) for score in scores])
    levels_ms: NDArray[np.float64] = np.interp(shares, *np.array(LEVELS_MS).T)
    return levels_ms


def _generator(seed: int, part: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed % 2**63, part]))


def _spread(generator: np.random.Generator, count: int, level_ns: float, ipdv_ms: float) -> NDArray[np.int64]:
    """One-way delays whose median is a level, ns: two draws of an exponential distribution differ by its scale."""
    drawn = level_ns + ipdv_ms * MS * (generator.exponential(1.0, count) - math.log(2))
    return np.rint(drawn).astype(np.int64)


def _bursts(generator: np.random.Generator) -> NDArray[np.int64]:
    """(begin, end) of a slot's bursts of loss, ns since its beginning, shape (BURSTS_PER_SLOT, 2)."""
    begins = np.r_[0, generator.integers(SAMPLE_NS, SLOT_NS - BURST_NS[1], BURSTS_PER_SLOT - 1)]
    lengths = generator.integers(*BURST_NS, BURSTS_PER_SLOT, endpoint=True)
    return np.stack([begins, begins + lengths], axis=1)
