"""The delay variation of a measured series: fitted to one part of it, to be held against another.

What is fitted: the median, the quantiles of slots' levels less their day's median, and how much a slot remembers of the
one before. The result is a `Variation` like the built-in one (`plan.variation`), with its own table in place of
FjordLink's; a plan takes either. Scatter within slots is not fitted.

An instrument may give running averages. At the end of a slot an average over 15 s covers that slot and nothing else:
there the slot's level is read, and nothing has to be undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS
from testbed.ground.errors import PlanError, ScenarioError
from testbed.plan.variation import OFFSET_AT, UP_PART, Variation, uniform

DAY_NS: Final = 86_400 * NS_PER_S
MS_NS: Final = 1_000_000

LEAST_SAMPLES: Final = 10
"""Assumption: a slot with fewer samples than this, or less than nine tenths of the usual, is not taken."""

EDGE_NS: Final = NS_PER_S
"""Assumption: a running average is read up to this much before and after the instants at which it is of one slot."""

LEAST_SLOTS: Final = 40
"""Assumption: fewer slots (10 minutes) tell nothing of a distribution."""

_LEAST_WEIGHT: Final = 3e-4  # of a slot that is still remembered, as in plan.variation
_LONGEST_MEMORY: Final = 0.98  # Assumption: beyond it a slot would depend on 400 earlier ones


@dataclass(frozen=True)
class FittedVariation(Variation):
    """A variation whose slots have levels of a table of its own.

    at, offset_ms: quantiles of the round trip's offsets from the median, both rising. memory: correlation of the normal
    scores of neighbouring slots, 0 to 0.98. The rest is as in `Variation`. Raises ScenarioError.
    """

    at: tuple[float, ...] = OFFSET_AT
    offset_ms: tuple[float, ...] = ()
    memory: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.at) != len(self.offset_ms) or len(self.at) < 2:
            raise ScenarioError(f"variation: {len(self.offset_ms)} offsets for {len(self.at)} quantiles: give one each")
        if np.any(np.diff(self.at) <= 0) or np.any(np.diff(self.offset_ms) < 0):
            raise ScenarioError("variation: a table of quantiles must rise: sort it")
        if not 0.0 <= self.memory <= _LONGEST_MEMORY:
            raise ScenarioError(f"variation: memory {self.memory:g} is not from 0 to {_LONGEST_MEMORY:g}")

    def extra_ns(self, seed: int, terminal: str, upward: bool, utc_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the terminal's user link adds in one direction at the instants (UTC since 1970), ns, shape (n,)."""
        times = np.asarray(utc_ns, dtype=np.int64)
        slots, which = np.unique((times - SLOT_PHASE_NS) // SLOT_NS, return_inverse=True)
        part = UP_PART if upward else 1.0 - UP_PART
        levels_ms = np.interp(self._ranks(seed, terminal, slots), self.at, self.offset_ms)
        extra_ns = np.rint(self.slots * part * levels_ms * MS_NS).astype(np.int64)[which]
        if self.jitter:
            unbound = Variation(0.0, self.jitter, self.period_ns, floor_up_ns=DAY_NS, floor_down_ns=DAY_NS)
            extra_ns += unbound.extra_ns(seed, terminal, upward, times)
        bounded: NDArray[np.int64] = np.maximum(extra_ns, -(self.floor_up_ns if upward else self.floor_down_ns))
        return bounded

    def _ranks(self, seed: int, terminal: str, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where in the table each slot stands, 0..1: a moving sum of normal draws, so that neighbours are alike."""
        taps = 1 if self.memory == 0.0 else 1 + int(np.log(_LEAST_WEIGHT) / np.log(self.memory))
        weights = float(self.memory) ** np.arange(taps)
        weights /= np.sqrt(np.sum(weights**2))
        wanted, where = np.unique(slots[:, None] - np.arange(taps), return_inverse=True)
        draws = _normal(seed, f"{terminal}/fitted slot", wanted)[where.reshape(len(slots), taps)]
        score = np.zeros(len(slots))
        for column, weight in enumerate(weights):  # one term after the other: the same bits from every window
            score += weight * draws[:, column]
        return np.array([NormalDist().cdf(one) for one in score.tolist()])


@dataclass(frozen=True)
class Fit:
    """What was fitted, and to how much.

    at, offset_ms, memory: as in `FittedVariation`. median_ms, mean_ms, deviation_ms: of the slots' levels, about which
    the offsets are; shown_mean_ms, shown_deviation_ms: of all samples, as the instrument gave them. slots: how many
    whole slots there were, of how many days (UTC).
    """

    median_ms: float
    mean_ms: float
    deviation_ms: float
    shown_mean_ms: float
    shown_deviation_ms: float
    at: tuple[float, ...]
    offset_ms: tuple[float, ...]
    memory: float
    slots: int
    days: int
    samples: int

    def variation(self, like: Variation | None = None) -> FittedVariation:
        """The fitted offsets for a plan; strengths, period and floors as in `like`."""
        base = like or Variation()
        return FittedVariation(
            base.slots,
            base.jitter,
            base.period_ns,
            base.floor_up_ns,
            base.floor_down_ns,
            self.at,
            self.offset_ms,
            self.memory,
        )

    def round_trip_ms(self, seed: int, utc_ns: NDArray[np.int64], terminal: str = "fitted") -> NDArray[np.float64]:
        """The model's own series: the fitted median and what varies about it, ms, shape (n,)."""
        one = replace(self.variation(), floor_up_ns=DAY_NS, floor_down_ns=DAY_NS)
        both_ns = one.extra_ns(seed, terminal, True, utc_ns) + one.extra_ns(seed, terminal, False, utc_ns)
        return np.maximum(self.median_ms + both_ns / MS_NS, 0.0)


def slot_levels(
    time_ns: NDArray[np.int64], value: NDArray[np.float64], averaged_ns: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers (since 1970) and levels of the slots that have their samples; `value` (n,) at `time_ns`, UTC, rising.

    averaged_ns: each value is the mean over so long before it, 15 s at most. A level is the median of the samples of a
    slot, or, of averages, of those that are of this slot alone. A slot has its samples when nine tenths of what the
    median slot has are there. Raises PlanError for a longer average.
    """
    if averaged_ns > SLOT_NS:
        raise PlanError(f"averages over {averaged_ns / NS_PER_S:g} s are never of one slot: 15 s at most can be read")
    from_ns, edge_ns = (averaged_ns - EDGE_NS, EDGE_NS) if averaged_ns >= 2 * EDGE_NS else (0, 0)
    since_ns = time_ns - SLOT_PHASE_NS - from_ns
    chosen = since_ns % SLOT_NS < SLOT_NS - from_ns + edge_ns
    slots, first, count = np.unique(since_ns[chosen] // SLOT_NS, return_index=True, return_counts=True)
    if not len(slots):
        return slots, np.zeros(0)
    whole = count >= max(1 if edge_ns else LEAST_SAMPLES, 0.9 * float(np.median(count)))
    own = value[chosen]
    levels = [np.median(own[low : low + many]) for low, many in zip(first[whole], count[whole], strict=True)]
    return slots[whole], np.array(levels, dtype=np.float64)


def fit(
    time_ns: NDArray[np.int64],
    round_trip_ms: NDArray[np.float64],
    averaged_ns: int = 0,
    at: Sequence[float] = OFFSET_AT,
) -> Fit:
    """Fit to a series: round trips (n,) at instants in UTC, rising; what was lost left out. `averaged_ns`: as above.

    Raises PlanError when it is too short, or has no slots one after the other.
    """
    slots, levels_ms = slot_levels(time_ns, round_trip_ms, averaged_ns)
    follow = np.flatnonzero(np.diff(slots) == 1)
    if len(slots) < LEAST_SLOTS or len(follow) < LEAST_SLOTS // 2:
        raise PlanError(
            f"a fit needs {LEAST_SLOTS} slots of 15 s, most of them one after the other, with {LEAST_SAMPLES} samples"
            f" each; this part has {len(slots)}: give a longer series"
        )
    days, day = np.unique((slots * SLOT_NS + SLOT_PHASE_NS) // DAY_NS, return_inverse=True)
    centre_ms = np.array([np.median(levels_ms[day == number]) for number in range(len(days))])
    offset_ms = levels_ms - centre_ms[day]
    ranks = (np.argsort(np.argsort(offset_ms, kind="stable"), kind="stable") + 0.5) / len(offset_ms)
    score = np.array([NormalDist().inv_cdf(one) for one in ranks.tolist()])
    alike = float(np.corrcoef(score[follow], score[follow + 1])[0, 1])
    return Fit(
        median_ms=float(np.median(levels_ms)),
        mean_ms=float(np.mean(levels_ms)),
        deviation_ms=float(np.std(levels_ms)),
        shown_mean_ms=float(np.mean(round_trip_ms)),
        shown_deviation_ms=float(np.std(round_trip_ms)),
        at=tuple(float(one) for one in at),
        offset_ms=tuple(np.quantile(offset_ms, list(at)).tolist()),
        memory=min(max(alike, 0.0), _LONGEST_MEMORY),
        slots=len(slots),
        days=len(days),
        samples=len(round_trip_ms),
    )


def _normal(seed: int, who: str, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """A normal variable for each integer: a stable hash of it, the seed and the name."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(one) for one in uniform(seed, who, numbers).tolist()])
