"""Where the satellites are: SGP4 at nodes, and a polynomial between them.

SGP4 is run for every satellite at nodes 60 s apart; a position in between comes from the polynomial of degree five
through the six nodes around it. The greatest error over 10,544 Starlinks, re-entering ones included, is 5 mm (0.08 mm
with nodes 30 s apart; a cubic with slopes from differences has 29 mm there). Nodes lie on one grid in UTC, whatever
the window, and the sums are taken in one order: the position at an instant is the same to the last bit from every
window. A long period is best walked through in windows of some minutes.

Deep-space orbits (225 min and longer) are propagated at the very instants asked for: SGP4's resonance terms have small
jumps, which no polynomial follows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sgp4.api import SGP4_ERRORS, Satrec, SatrecArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import julian_date

_OFFSETS = np.arange(-2, 4)  # the nodes that an interval uses, from the node at its beginning
_BATCH = 512  # satellites per call of SGP4: its unwanted velocities stay in the processor's cache


class Ephemeris:
    """Positions of a catalogue's satellites from `start_ns` to `start_ns + duration_ns`, both included.

    `failed`: index of a satellite to the reason, in SGP4's words, for which it cannot be propagated in this window or
    up to three spacings around it; all its positions are nan.
    Raises PlanError when the duration is negative or the spacing not positive.
    """

    def __init__(self, catalogue: Catalogue, start_ns: int, duration_ns: int, spacing_ns: int = 60 * NS_PER_S) -> None:
        if duration_ns < 0 or spacing_ns <= 0:
            raise PlanError(f"ephemeris: duration {duration_ns} ns or spacing {spacing_ns} ns is not positive")
        self.catalogue = catalogue
        self.start_ns = start_ns
        self.duration_ns = duration_ns
        self._spacing_ns = spacing_ns
        self._first = start_ns // spacing_ns + int(_OFFSETS[0])  # number of the first node on the grid
        last = (start_ns + duration_ns) // spacing_ns + int(_OFFSETS[-1])
        node_ns = np.arange(self._first, last + 1, dtype=np.int64) * spacing_ns
        self._nodes_m, self.failed = _propagate_all(catalogue.satrecs, node_ns)
        self._direct = np.array(
            [i for i, satrec in enumerate(catalogue.satrecs) if satrec.method == "d" and i not in self.failed], np.int64
        )

    def position_m(self, time_ns: NDArray[np.int64], indices: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """TEME positions in metres, shape (n_times, n_sats, 3).

        `time_ns`: UTC instants since 1970, shape (n_times,), in any order. `indices`: which satellites of the
        catalogue, shape (n_sats,); all without it. Raises PlanError for an instant outside the window.
        """
        times = np.asarray(time_ns, dtype=np.int64)
        self._check_inside(times)
        columns = np.arange(len(self.catalogue)) if indices is None else np.asarray(indices, dtype=np.int64)
        position_m = np.empty((len(times), len(columns), 3))
        node, rest_ns = np.divmod(times, self._spacing_ns)
        weights = _weights(rest_ns / self._spacing_ns)
        for begin in np.unique(node):
            rows = np.flatnonzero(node == begin)
            low = int(begin - self._first + _OFFSETS[0])
            window_m = self._nodes_m[low : low + len(_OFFSETS)]
            if indices is not None:
                window_m = window_m[:, columns]
            # One term after the other, not a matrix product: the same bits whatever the shape and the processor.
            total = weights[rows, 0, None, None] * window_m[0]
            for term in range(1, len(_OFFSETS)):
                total += weights[rows, term, None, None] * window_m[term]
            position_m[rows] = total
        for column in np.flatnonzero(np.isin(columns, self._direct)):
            position_m[:, column] = _propagate_one(self.catalogue.satrecs[columns[column]], times)
        return position_m

    def _check_inside(self, times: NDArray[np.int64]) -> None:
        end_ns = self.start_ns + self.duration_ns
        outside = times[(times < self.start_ns) | (times > end_ns)]
        if len(outside):
            raise PlanError(
                f"ephemeris: {format_utc(int(outside[0]), 3)} is outside its window, "
                f"{format_utc(self.start_ns, 3)} to {format_utc(end_ns, 3)}: make one that covers it"
            )


def _weights(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lagrange's weights of the six nodes at `part` (0 to 1) of the middle interval; (n,) gives (n, 6)."""
    weights = np.ones((len(part), len(_OFFSETS)))
    for column, node in enumerate(_OFFSETS):
        for other in _OFFSETS[node != _OFFSETS]:
            weights[:, column] *= (part - other) / (node - other)
    return weights


def _propagate_all(
    satrecs: tuple[Satrec, ...], node_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Every satellite at every node, metres (n_nodes, n_sats, 3), and what failed."""
    jd, fr = julian_date(node_ns)
    nodes_m = np.empty((len(node_ns), len(satrecs), 3))
    failed: dict[int, str] = {}
    for low in range(0, len(satrecs), _BATCH):
        code, position_km, _ = SatrecArray(satrecs[low : low + _BATCH]).sgp4(jd, fr)
        np.multiply(position_km.transpose(1, 0, 2), 1000.0, out=nodes_m[:, low : low + _BATCH])
        finite = np.isfinite(position_km).all(axis=2)
        for row in np.flatnonzero((code != 0).any(axis=1) | ~finite.all(axis=1)):
            codes = code[row][code[row] != 0]
            failed[low + int(row)] = SGP4_ERRORS[int(codes[0])] if len(codes) else "SGP4 gives no finite position"
    nodes_m[:, list(failed)] = np.nan
    return nodes_m, failed


def _propagate_one(satrec: Satrec, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """One satellite at the times, metres (n_times, 3); nan where SGP4 reports an error."""
    code, position_km, _ = satrec.sgp4_array(*julian_date(times))
    position_m: NDArray[np.float64] = position_km * 1000.0
    position_m[code != 0] = np.nan
    return position_m
