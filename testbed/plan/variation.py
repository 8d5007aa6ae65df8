"""What varies in the access delay: an offset per slot, and jitter within slots.

A terminal's level moves at the boundaries of its 15 s slots, and packets scatter around it. Both are step functions of
time, so that a plan can hold them and netem play them in order (a queue with a rate is first in, first out).

Everything is a pure function of seed, terminal and instant: a value depends neither on the window asked for nor on
what was asked before. Each part has the median zero; offsets are skewed, so that scatter around them lifts the median
of both together by 0.35 ms up and 0.13 ms down.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS
from testbed.ground.errors import ScenarioError
from testbed.plan.delays import Overheads

VariationName = Literal["off", "slots", "measured"]

OFFSET_AT: Final = (0.001, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999)
OFFSET_MS: Final = (
    *(-8.68, -7.69, -6.75, -5.60, -4.78, -3.65, -2.61, -1.38),
    *(0.0, 1.35, 3.15, 5.63, 10.10, 14.43, 17.83, 22.48, 44.62),
)
"""Quantiles of a slot's median round trip less its day's median, ms: 5,460 slots of 2024-12-12, 2025-02-13 and
2025-03-13 (ds-kiel/FjordLink, dish telemetry at 1 Hz, CC BY 4.0). The dish averages over about 15 s, so a slot is read
8 s after it begins."""

MEMORY: Final = 0.6
"""Correlation of the normal scores of neighbouring slots: fitted to the same data, to the steps between slots (and to
0.54, the correlation of the offsets themselves)."""

MEMORY_SLOTS: Final = 16
"""Slots that a slot remembers; what is beyond has a weight below 0.0003."""

UP_PART: Final = 4.6 / (4.6 + 1.7)
"""Share of a round trip's offset that is upwards. Assumption: offsets divide as the measured jitter does (mean absolute
IPDV at 100 Hz, eBPF-trace)."""

JITTER_UP_MS: Final = 4.6
JITTER_DOWN_MS: Final = 1.7
"""Mean absolute difference of packets 10 ms apart, one way, ms (the same trace of 100 s)."""

_LAPLACE_MEAN_DIFFERENCE = 1.5  # E|X - Y| of two independent Laplace variables, in units of their scale
LONGEST_VARIATION_NS: Final = 100_000_000
"""Twice the largest offset and jitter together: what was sent longer ago is not delayed beyond what is sent now."""

_JITTER_CAP = 5.0  # Assumption: scales beyond which a jitter is cut; 0.7 % of draws

WORDS: Final[dict[VariationName, str]] = {
    "off": "access delays do not vary",
    "slots": "each slot has an access delay of its own, distributed as measured (FjordLink)",
    "measured": "as slots, and packets scatter within a slot as measured (eBPF-trace)",
}


@dataclass(frozen=True)
class Variation:
    """How much the access delay varies.

    slots: strength of the offsets per slot, 1 as measured for a terminal whose radio path hardly moves (the highest
    satellite serves). jitter: strength of the scatter within slots, 1 as measured. period_ns: how long a jitter lasts;
    with 10 ms consecutive packets at 100 Hz differ as measured, with more they differ less often, by as much.
    floor_up_ns, floor_down_ns: no value is below minus these: the access delay never becomes negative.
    Raises ScenarioError when a strength is negative or the period does not divide a slot.
    """

    slots: float = 1.0
    jitter: float = 0.0
    period_ns: int = 100_000_000
    floor_up_ns: int = Overheads().access_up_ns
    floor_down_ns: int = Overheads().access_down_ns

    def __post_init__(self) -> None:
        if self.slots < 0.0 or self.jitter < 0.0:
            raise ScenarioError(f"variation: strength {min(self.slots, self.jitter):g} is negative: take 0 or more")
        if self.period_ns <= 0 or SLOT_NS % self.period_ns:
            raise ScenarioError(f"variation: period {self.period_ns} ns does not divide a slot of 15 s: take 100 ms")

    def extra_ns(self, seed: int, terminal: str, upward: bool, utc_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the terminal's user link adds in one direction at the instants (UTC since 1970), ns, shape (n,)."""
        times = np.asarray(utc_ns, dtype=np.int64)
        part = UP_PART if upward else 1.0 - UP_PART
        extra_ms = np.zeros(len(times))
        if self.slots:
            slots, which = np.unique((times - SLOT_PHASE_NS) // SLOT_NS, return_inverse=True)
            extra_ms += (self.slots * part * _offsets_ms(seed, terminal, slots))[which]
        if self.jitter:
            cells, which = np.unique((times - SLOT_PHASE_NS) // self.period_ns, return_inverse=True)
            scale_ms = (JITTER_UP_MS if upward else JITTER_DOWN_MS) / _LAPLACE_MEAN_DIFFERENCE
            drawn = _laplace(uniform(seed, f"{terminal}/jitter/{'up' if upward else 'down'}", cells))
            extra_ms += (self.jitter * scale_ms * drawn)[which]
        floor_ns = self.floor_up_ns if upward else self.floor_down_ns
        return np.maximum(np.rint(extra_ms * (NS_PER_S // 1000)).astype(np.int64), -floor_ns)

    def edges_ns(self, begin_ns: int, end_ns: int) -> NDArray[np.int64]:
        """Where values may change in [begin_ns, end_ns), UTC: every slot, and every period when there is jitter."""
        step_ns = self.period_ns if self.jitter else SLOT_NS
        if not self.jitter and not self.slots:
            return np.zeros(0, dtype=np.int64)
        first_ns = begin_ns + (SLOT_PHASE_NS - begin_ns) % step_ns
        return np.arange(first_ns, end_ns, step_ns, dtype=np.int64)


def variation(word: VariationName, overheads: Overheads | None = None, slots: float = 1.0) -> Variation:
    """What a topology's parameter means; `slots` scales the offsets: 0 where the way itself moves from slot to slot."""
    floors = overheads or Overheads()
    strength = {"off": (0.0, 0.0), "slots": (slots, 0.0), "measured": (slots, 1.0)}[word]
    return Variation(*strength, floor_up_ns=floors.access_up_ns, floor_down_ns=floors.access_down_ns)


def _offsets_ms(seed: int, terminal: str, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """The round trip's offset in each slot (numbers since 1970), ms.

    A moving sum of normal draws gives the slot's rank, the table of quantiles the offset of that rank.
    """
    back = np.arange(MEMORY_SLOTS)
    weights = MEMORY**back
    weights /= np.sqrt(np.sum(weights**2))
    wanted, where = np.unique(slots[:, None] - back, return_inverse=True)
    normal = NormalDist()
    draws = np.array([normal.inv_cdf(one) for one in uniform(seed, f"{terminal}/slot", wanted).tolist()])
    score = np.zeros(len(slots))
    for column, weight in enumerate(weights):  # one term after the other: the same bits from every window
        score += weight * draws[where.reshape(len(slots), -1)[:, column]]
    rank = np.array([normal.cdf(one) for one in score.tolist()])
    offsets_ms: NDArray[np.float64] = np.interp(rank, OFFSET_AT, OFFSET_MS)
    return offsets_ms


def _laplace(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Laplace variables of scale 1 and median 0 from uniform ones, cut at both ends."""
    centred = uniform - 0.5
    tail = np.log1p(-2.0 * np.abs(centred))
    drawn: NDArray[np.float64] = np.clip(-np.sign(centred) * tail, -_JITTER_CAP, _JITTER_CAP)
    return drawn


def uniform(seed: int, who: str, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """A number in (0, 1) for each integer: a stable hash of it, the seed and the name."""
    context = blake2b(f"{seed}/{who}".encode(), digest_size=8)
    found = np.empty(len(numbers))
    for place, number in enumerate(numbers.tolist()):
        one = context.copy()
        one.update(number.to_bytes(8, "little", signed=True))
        found[place] = ((int.from_bytes(one.digest(), "little") >> 12) + 0.5) / (1 << 52)
    return found
