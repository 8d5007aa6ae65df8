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

WHOLE_S: Final = 13
"""Assumption: a slot counts when this many of its 15 seconds have samples."""

Kind = Literal["measured", "emulated", "planned", "model"]


@dataclass(frozen=True, eq=False)
class Observed:
    """A series of round trips; arrays of shape (n,), in the order of time.

    rtt_ms: nan where the round trip did not come back. loss: share lost, of each sample, 0..1. absolute: times count
    from 1970 in UTC. averaged_s: each value is the mean of so many seconds before it, as an instrument gave it.
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

    def slots(self, late_s: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Number, median and standard deviation of each slot that is whole; read `late_s` after it begins."""
        number = (self.second - PHASE_S - late_s) // SLOT_S
        slots, first, count = np.unique(number, return_index=True, return_counts=True)
        whole = count >= WHOLE_S
        ranges = list(zip(first[whole], count[whole], strict=True))
        medians = np.array([np.median(self.value_ms[low : low + many]) for low, many in ranges])
        spreads = np.array([np.std(self.value_ms[low : low + many]) for low, many in ranges])
        return slots[whole], medians, spreads


def cells_of(one: Observed) -> Cells:
    """The medians of a series by the second, of what came back."""
    came = one.came
    second, value = one.time_ns[came] // NS_PER_S, one.rtt_ms[came]
    order = np.lexsort((value, second))
    second, value = second[order], value[order]
    seconds, first, count = np.unique(second, return_index=True, return_counts=True)
    medians = 0.5 * (value[first + (count - 1) // 2] + value[first + count // 2])
    return Cells(seconds, medians)
