"""A series of round trips, and the same on a grid of whole seconds of UTC: what every statistic here works on.

Measured files come at 1 Hz or at 100, probes of a run at some 5 per second: only on one grid are they comparable. A
cell holds the median of the samples in its second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS

SLOT_S: Final = SLOT_NS // NS_PER_S
PHASE_S: Final = SLOT_PHASE_NS // NS_PER_S

GAP_S: Final = 30
"""Assumption: where nothing was measured for longer a new piece begins, and nothing is said across it."""

FILLED: Final = 0.8
"""Assumption: an average needs this share of its seconds."""

Kind = Literal["measured", "emulated", "planned", "model"]


@dataclass(frozen=True, eq=False)
class Observed:
    """A series of round trips; arrays of shape (n,), in the order of time.

    rtt_ms: nan where the round trip did not come back. loss: share lost, of each sample, 0..1. absolute: times count
    from 1970 in UTC. averaged_s: each value is the mean of so many seconds before it, as an instrument gives it.
    """

    name: str
    kind: Kind
    time_ns: NDArray[np.int64]
    rtt_ms: NDArray[np.float64]
    loss: NDArray[np.float64]
    absolute: bool = True
    averaged_s: float = 0.0
    note: str = ""

    def part(self, chosen: NDArray[np.bool_], name: str) -> Observed:
        """The samples chosen, under another name."""
        return Observed(
            name,
            self.kind,
            self.time_ns[chosen],
            self.rtt_ms[chosen],
            self.loss[chosen],
            self.absolute,
            self.averaged_s,
            self.note,
        )

    @property
    def came(self) -> NDArray[np.bool_]:
        """Which came back."""
        return np.isfinite(self.rtt_ms)


@dataclass(frozen=True, eq=False)
class Cells:
    """Medians by the second. second: since 1970, or since the measurement's zero, rising; value_ms: shape (n,)."""

    second: NDArray[np.int64]
    value_ms: NDArray[np.float64]

    def pieces(self) -> list[tuple[int, NDArray[np.float64]]]:
        """(first second, a value for every second from there on, nan where there is none), cut at gaps."""
        found = []
        for part in np.split(np.arange(len(self.second)), np.flatnonzero(np.diff(self.second) > GAP_S) + 1):
            if len(part):
                first = int(self.second[part[0]])
                grid = np.full(int(self.second[part[-1]]) - first + 1, np.nan)
                grid[self.second[part] - first] = self.value_ms[part]
                found.append((first, grid))
        return found

    def averaged(self, seconds: float) -> Cells:
        """As an instrument shows them that gives the mean of the last so many seconds."""
        width = round(seconds)
        if width <= 1:
            return self
        second, value = [np.zeros(0, np.int64)], [np.zeros(0)]
        for first, grid in self.pieces():
            there = np.isfinite(grid)
            count = np.cumsum(there)
            total = np.cumsum(np.where(there, grid, 0.0))
            count[width:], total[width:] = count[width:] - count[:-width], total[width:] - total[:-width]
            shown = np.flatnonzero(there & (count >= FILLED * width) & (np.arange(len(grid)) >= width - 1))
            second.append(first + shown)
            value.append(total[shown] / count[shown])
        return Cells(np.concatenate(second), np.concatenate(value))


def cells_of(one: Observed) -> Cells:
    """The medians of a series by the second, of what came back."""
    came = one.came
    second, value = one.time_ns[came] // NS_PER_S, one.rtt_ms[came]
    order = np.lexsort((value, second))
    second, value = second[order], value[order]
    seconds, first, count = np.unique(second, return_index=True, return_counts=True)
    medians = 0.5 * (value[first + (count - 1) // 2] + value[first + count // 2])
    return Cells(seconds, medians)
