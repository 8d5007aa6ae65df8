"""Where the satellites are: SGP4 at nodes, and a polynomial between them.

SGP4 is run for every satellite at nodes 60 s apart; a position in between comes from the polynomial of degree five
through the six nodes around it. The greatest error over 10,544 Starlinks, re-entering ones included, is 5 mm (0.08 mm
with nodes 30 s apart; a cubic with slopes from differences has 29 mm there). Nodes lie on one grid in UTC, whatever
the window, and the sums are taken in one order: the position at an instant is the same to the last bit from every
window. A long period is best walked through with `chunks`, which reuses its memory.

Deep-space orbits (225 min and longer) are propagated at the very instants asked for: SGP4's resonance terms have small
jumps, which no polynomial follows. So is what falls out of its orbit, in those intervals in which the nodes say that
the polynomial is off: minutes before SGP4 loses a satellite that may be 100 m.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sgp4.api import SGP4_ERRORS, Satrec, SatrecArray

from testbed.ground.constants import NS_PER_S, WGS72_RADIUS_M
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits import kernels
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import julian_date

_OFFSETS = np.arange(-2, 4)  # the nodes that an interval uses, from the node at its beginning
_NOT_FINITE = 255  # beside SGP4's codes, which are 1 to 6
_BATCH = 512  # satellites per call of SGP4: its unwanted velocities stay in the processor's cache
_ROUGH_M = 15.0
"""Assumption: the greatest sixth difference of a coordinate, at 60 s, over which is interpolated; Starlinks have 1 m.
The error is 3.52 / 6! of it (Lagrange's remainder in the middle): 0.13 m at most."""
_OBLATE_M = 50e3  # what the Earth's shape and drag may take from a two-body orbit's height between two nodes, amply


class Ephemeris:
    """Positions of a catalogue's satellites from `start_ns` to `start_ns + duration_ns`, both included.

    `failed`: index of a satellite to the reason, in SGP4's words, for which it cannot be propagated in this window or
    up to three spacings around it; all its positions are nan. What dips into the Earth between two nodes is found too:
    whatever comes near is propagated every second.
    Raises PlanError when the duration is negative or the spacing not positive.
    """

    def __init__(self, catalogue: Catalogue, start_ns: int, duration_ns: int, spacing_ns: int = 60 * NS_PER_S) -> None:
        if duration_ns < 0 or spacing_ns <= 0:
            raise PlanError(f"ephemeris: duration {duration_ns} ns or spacing {spacing_ns} ns is not positive")
        self.catalogue = catalogue
        self.start_ns = start_ns
        self.duration_ns = duration_ns
        self.spacing_ns = spacing_ns
        self._first = start_ns // spacing_ns + int(_OFFSETS[0])  # number of the first node on the grid
        last = (start_ns + duration_ns) // spacing_ns + int(_OFFSETS[-1])
        # One node more on each side, to see how good the polynomial is in the first and the last interval.
        node_ns = np.arange(self._first - 1, last + 2, dtype=np.int64) * spacing_ns
        nodes_m, code = _propagate_all(catalogue.satrecs, node_ns)
        self.nodes_m = nodes_m[1:-1]
        self.failed = _lost(code[1:-1]) | _dipping(catalogue.satrecs, self.nodes_m, node_ns[1:-1], spacing_ns)
        self.nodes_m[:, list(self.failed)] = np.nan
        self._deep = np.array([satrec.method == "d" for satrec in catalogue.satrecs], dtype=np.bool_)
        self._deep[list(self.failed)] = False
        limit_m = _ROUGH_M * (spacing_ns / (60 * NS_PER_S)) ** 6  # as the difference grows with the spacing
        rough = kernels.roughness(nodes_m, limit_m)
        rough = rough[:-1] | rough[1:]  # an interval is between the middle nodes of two differences
        rough[:, self._deep] = rough[:, list(self.failed)] = False
        self._rough = {int(row): rough[row] for row in np.flatnonzero(rough.any(axis=1))}

    def position_m(
        self,
        time_ns: NDArray[np.int64],
        indices: NDArray[np.int64] | None = None,
        out: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """TEME positions in metres, shape (n_times, n_sats, 3).

        `time_ns`: UTC instants since 1970, shape (n_times,), in any order. `indices`: which satellites of the
        catalogue, shape (n_sats,); all without it. `out`: an array of that shape to write to, float64 and contiguous;
        it is what is returned. Raises PlanError for an instant outside the window, an `out` of another shape, or a
        satellite propagated at the very instants that SGP4 loses at one of them though not at its nodes.
        """
        times = np.asarray(time_ns, dtype=np.int64)
        first, weights = self.interpolation(times)
        columns = self.columns(indices)
        shape = (len(times), len(columns), 3)
        if out is None:
            out = np.empty(shape)
        elif out.shape != shape or out.dtype != np.float64 or not out.flags.c_contiguous:
            raise PlanError(f"ephemeris: 'out' is {out.shape} of {out.dtype}: give a contiguous {shape} of float64")
        kernels.interpolate(self.nodes_m, first, weights, columns, out)
        deep = np.flatnonzero(self._deep[columns])
        if len(deep):
            out[:, deep] = self.direct_m(times, columns[deep])
        for row in set(self._rough) & set(first.tolist()):
            rows, rough = np.flatnonzero(first == row), np.flatnonzero(self._rough[row][columns])
            out[np.ix_(rows, rough)] = self.direct_m(times[rows], columns[rough])
        return out

    def chunks(
        self, time_ns: NDArray[np.int64], indices: NDArray[np.int64] | None = None, length: int = 300
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """As `position_m`, `length` instants after the other: which of `time_ns`, and their positions.

        All positions lie in one buffer: each chunk overwrites the one before. Raises PlanError as `position_m` does.
        """
        if length < 1:
            raise PlanError(f"ephemeris: chunks of {length} instants: take 1 or more")
        times = np.asarray(time_ns, dtype=np.int64)
        buffer = np.empty((min(length, len(times)), len(self.columns(indices)), 3))
        for low in range(0, len(times), length):
            part = slice(low, min(low + length, len(times)))
            yield part, self.position_m(times[part], indices, buffer[: part.stop - low])

    def columns(self, indices: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """The indices of satellites as an array, all without any. Raises PlanError for one outside the catalogue."""
        size = len(self.catalogue)
        if indices is None:
            return np.arange(size)
        columns = np.asarray(indices, dtype=np.int64)
        outside = columns[(columns < 0) | (columns >= size)]
        if len(outside):
            raise PlanError(f"ephemeris: satellite {outside[0]} is none of the catalogue's {size:,}: count from 0")
        return columns

    def interpolation(self, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each instant the first of its six rows in `nodes_m` (n_times,), and their weights (n_times, 6).

        Raises PlanError for an instant outside the window.
        """
        end_ns = self.start_ns + self.duration_ns
        outside = times[(times < self.start_ns) | (times > end_ns)]
        if len(outside):
            raise PlanError(
                f"ephemeris: {format_utc(int(outside[0]), 3)} is outside its window, "
                f"{format_utc(self.start_ns, 3)} to {format_utc(end_ns, 3)}: make one that covers it"
            )
        node, rest_ns = np.divmod(times, self.spacing_ns)
        return node - self._first + int(_OFFSETS[0]), _weights(rest_ns / self.spacing_ns)

    def is_direct(self, columns: NDArray[np.int64], row: int) -> NDArray[np.bool_]:
        """Which of the satellites are propagated at the very instants of the interval whose first node is `row`."""
        direct = self._deep[columns]
        return direct | self._rough[row][columns] if row in self._rough else direct

    def direct_m(self, times: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The satellites by SGP4 alone, metres (n_times, n_sats, 3). Raises PlanError where SGP4 fails."""
        if not len(times) or not len(columns):
            return np.empty((len(times), len(columns), 3))
        code, position_km, _ = SatrecArray([self.catalogue.satrecs[column] for column in columns]).sgp4(
            *julian_date(times)
        )
        if code.any():
            row, column = np.argwhere(code)[0]
            raise PlanError(
                f"{self.catalogue.node_names[columns[row]]}: SGP4 fails at {format_utc(int(times[column]), 3)} "
                f"({SGP4_ERRORS[int(code[row, column])]}): leave it out"
            )
        return np.asarray(position_km).transpose(1, 0, 2) * 1000.0


def _weights(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lagrange's weights of the six nodes at `part` (0 to 1) of the middle interval; (n,) gives (n, 6)."""
    weights = np.ones((len(part), len(_OFFSETS)))
    for column, node in enumerate(_OFFSETS):
        for other in _OFFSETS[node != _OFFSETS]:
            weights[:, column] *= (part - other) / (node - other)
    return weights


def _propagate_all(
    satrecs: Sequence[Satrec], node_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Every satellite at every node, metres (n_nodes, n_sats, 3), nan with an error; SGP4's codes (n_nodes, n_sats)."""
    jd, fr = julian_date(node_ns)
    nodes_m = np.empty((len(node_ns), len(satrecs), 3))
    codes = np.empty((len(node_ns), len(satrecs)), np.uint8)
    for low in range(0, len(satrecs), _BATCH):
        part = slice(low, low + _BATCH)
        code, position_km, _ = SatrecArray(satrecs[part]).sgp4(jd, fr)
        np.multiply(position_km.transpose(1, 0, 2), 1000.0, out=nodes_m[:, part])
        codes[:, part] = np.where(np.isfinite(position_km).all(axis=2) | (code != 0), code, _NOT_FINITE).T
    nodes_m[codes != 0] = np.nan
    return nodes_m, codes


def _lost(codes: NDArray[np.uint8]) -> dict[int, str]:
    """Index to reason of every satellite with an error, from codes (n_nodes, n_sats)."""
    columns = np.flatnonzero(codes.any(axis=0))
    first = (codes[:, columns] != 0).argmax(axis=0)
    return {
        int(column): SGP4_ERRORS.get(int(codes[row, column]), "SGP4 gives no finite position")
        for row, column in zip(first, columns, strict=True)
    }


def _dipping(
    satrecs: Sequence[Satrec], nodes_m: NDArray[np.float64], node_ns: NDArray[np.int64], spacing_ns: int
) -> dict[int, str]:
    """What fails between the nodes, though perhaps at none: what comes near the Earth is propagated each second.

    Between two nodes a satellite falls below the lower of them by at most a t² / 2, t being half the spacing: its
    radial acceleration is below gravity.
    """
    half_s = spacing_ns / NS_PER_S / 2.0
    near_m = WGS72_RADIUS_M + _OBLATE_M + kernels.ACCELERATION_M_S2 * half_s**2 / 2.0
    failed: dict[int, str] = {}
    lowest_m2 = np.full(len(satrecs), np.inf)
    for row in nodes_m:  # row by row: no second array of the nodes' size
        np.fmin(lowest_m2, np.einsum("sk,sk->s", row, row), out=lowest_m2)
    for index in np.flatnonzero(lowest_m2 < near_m**2).tolist():  # those that failed already have nan, and inf here
        code, _, _ = satrecs[index].sgp4_array(*julian_date(np.arange(node_ns[0], node_ns[-1], NS_PER_S)))
        if code.any():
            failed[index] = SGP4_ERRORS[int(code[code != 0][0])]
    return failed
