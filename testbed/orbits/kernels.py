"""The loops of the sky that run compiled: interpolation, range and elevation, azimuth.

Compiled on first use and kept beside this file (`cache`); the interpreter's lock is let go (`nogil`). Every sum is
taken in the order in which it is written (no `fastmath`), and one shape or another gives the same bits. A division by
zero gives inf or nan, as in numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

_F = TypeVar("_F", bound=Callable[..., Any])

NODES = 6
"""Nodes that one interpolation takes."""

ACCELERATION_M_S2 = 10.0
"""No satellite accelerates faster: gravity is 9.83 m/s² at most on the ground (poles, WGS-84), and less above it."""

MARGIN_M = 100.0
"""Assumption: more than what the bounds of `search` leave out, which is rounding and the error of interpolation."""


def compiled(function: _F) -> _F:
    """The function, compiled by numba at its first call."""
    return cast(_F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


@compiled
def interpolate(
    nodes: NDArray[np.float64],
    first: NDArray[np.int64],
    weights: NDArray[np.float64],
    columns: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Weighted sums of six consecutive rows of `nodes` (n_nodes, n_sats, 3), from row `first[t]` on, into `out`.

    `weights`: (n_times, 6); `columns`: which satellites; `out`: (n_times, n_columns, 3).
    """
    for t in range(len(first)):
        u, v, w, x, y, z = weights[t]
        n = first[t]
        for column in range(len(columns)):
            s = columns[column]
            for k in range(3):
                total = u * nodes[n, s, k] + v * nodes[n + 1, s, k] + w * nodes[n + 2, s, k] + x * nodes[n + 3, s, k]
                out[t, column, k] = total + y * nodes[n + 4, s, k] + z * nodes[n + 5, s, k]


@compiled
def roughness(nodes: NDArray[np.float64], limit_m: float) -> NDArray[np.bool_]:
    """Where a coordinate's sixth difference over seven nodes exceeds the limit or is nan, (n_nodes - 6, n_sats)."""
    rough = np.zeros((len(nodes) - 6, nodes.shape[1]), np.bool_)
    for n in range(len(rough)):
        for s in range(nodes.shape[1]):
            for k in range(3):
                outer = nodes[n, s, k] + nodes[n + 6, s, k] - 6.0 * (nodes[n + 1, s, k] + nodes[n + 5, s, k])
                inner = 15.0 * (nodes[n + 2, s, k] + nodes[n + 4, s, k]) - 20.0 * nodes[n + 3, s, k]
                if not abs(outer + inner) <= limit_m:
                    rough[n, s] = True
    return rough


@compiled
def elevation_deg(height_m: float, distance_m: float) -> float:
    """Elevation of what is `height_m` above the horizontal plane at a distance: nan where both are 0 or nan."""
    sine = height_m / distance_m
    if sine > 1.0:
        sine = 1.0
    elif sine < -1.0:
        sine = -1.0
    return math.degrees(math.asin(sine))


@compiled
def look(
    sites: NDArray[np.float64],
    up: NDArray[np.float64],
    satellites: NDArray[np.float64],
    range_m: NDArray[np.float64],
    elevation: NDArray[np.float64],
) -> None:
    """Ranges in metres and elevations in degrees, both (n_times, n_sites, n_sats); see `visibility.look`."""
    for t in range(satellites.shape[0]):
        for i in range(sites.shape[1]):
            sx, sy, sz = sites[t, i]
            ux, uy, uz = up[t, i]
            for s in range(satellites.shape[1]):
                x, y, z = satellites[t, s, 0] - sx, satellites[t, s, 1] - sy, satellites[t, s, 2] - sz
                distance = math.sqrt(x * x + y * y + z * z)
                range_m[t, i, s] = distance
                elevation[t, i, s] = elevation_deg(x * ux + y * uy + z * uz, distance)


@compiled
def azimuth_of(x: float, y: float, z: float, ux: float, uy: float, uz: float, ex: float, ey: float, ez: float) -> float:
    """Azimuth in degrees, 0 to 360 from north over east, of a line at a place with unit vectors up and east."""
    nx, ny, nz = uy * ez - uz * ey, uz * ex - ux * ez, ux * ey - uy * ex
    azimuth = math.degrees(math.atan2(x * ex + y * ey + z * ez, x * nx + y * ny + z * nz))
    if azimuth < 0.0:
        azimuth += 360.0
    return azimuth if azimuth != 360.0 else 0.0  # a tiny negative angle rounds up to the whole turn


@compiled
def azimuths(
    sites: NDArray[np.float64],
    up: NDArray[np.float64],
    east: NDArray[np.float64],
    satellites: NDArray[np.float64],
    azimuth: NDArray[np.float64],
) -> None:
    """Azimuths in degrees, (n_times, n_sites, n_sats)."""
    for t in range(satellites.shape[0]):
        for i in range(sites.shape[1]):
            sx, sy, sz = sites[t, i]
            ux, uy, uz = up[t, i]
            ex, ey, ez = east[t, i]
            for s in range(satellites.shape[1]):
                x, y, z = satellites[t, s, 0] - sx, satellites[t, s, 1] - sy, satellites[t, s, 2] - sz
                azimuth[t, i, s] = azimuth_of(x, y, z, ux, uy, uz, ex, ey, ez)


@compiled
def search(
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    spacing_s: float,
    columns: NDArray[np.int64],
    slot: NDArray[np.int64],
    direct: NDArray[np.float64],
    seconds: NDArray[np.float64],
    sites: NDArray[np.float64],
    up: NDArray[np.float64],
    east: NDArray[np.float64],
    site_m_s: NDArray[np.float64],
    turn_rad_s: NDArray[np.float64],
    mask_deg: NDArray[np.float64],
    sector_first: NDArray[np.int64],
    sectors: NDArray[np.float64],
    cell: NDArray[np.int64],
    place: NDArray[np.int32],
    range_m: NDArray[np.float64],
    elevation: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> int:
    """Satellites above the masks at the instants of one interval between nodes; their number, stored or not.

    What `visibility.visible` says, and how it searches. nodes: the interval's six, (6, n_sats, 3); weights: (n_times,
    6). slot: for each of `columns` its row in `direct` (n_times, n_direct, 3), -1 for a satellite to interpolate.
    seconds: the instants, ascending. sites, up, east: (n_times, n_sites, 3), which move by at most `site_m_s` and turn
    by `turn_rad_s` from instant to instant. sectors: rows of (from, to, elevation), those of site i being
    sector_first[i] to sector_first[i + 1] - 1. The records go to cell (time × n_sites + site), place (in `columns`),
    range_m and elevation, as far as these have room; counts: how many in each cell.
    """
    n_times, n_sites = sites.shape[0], sites.shape[1]
    middle = n_times // 2
    half_s = max(seconds[middle] - seconds[0], seconds[n_times - 1] - seconds[middle])
    sine = np.sin(np.radians(mask_deg))
    s_x, s_y, s_z = sites[middle, :, 0].copy(), sites[middle, :, 1].copy(), sites[middle, :, 2].copy()
    u_x, u_y, u_z = up[middle, :, 0].copy(), up[middle, :, 1].copy(), up[middle, :, 2].copy()
    rate, reach = np.empty(n_sites), np.empty(n_sites)
    path = np.empty((n_times, 3))
    found = 0
    for column in range(len(columns)):
        s = columns[column]
        if not math.isfinite(nodes[2, s, 0]):
            continue
        if slot[column] < 0:
            _interpolate_one(nodes, weights, s, middle, middle + 1, path)
            speed = _length(nodes[2, s], nodes[3, s]) / spacing_s + ACCELERATION_M_S2 * spacing_s / 2.0
        else:
            path[:] = direct[:, slot[column]]
            speed = 0.0
            for t in range(1, n_times):
                speed = max(speed, _length(path[t - 1], path[t]) / (seconds[t] - seconds[t - 1]))
        p_x, p_y, p_z = path[middle]
        # How far above the mask's cone it can get within the interval: no branch in here, so that it is vectorised.
        for i in range(n_sites):
            x, y, z = p_x - s_x[i], p_y - s_y[i], p_z - s_z[i]
            distance = math.sqrt(x * x + y * y + z * z)
            together = speed + site_m_s[i]
            rate[i] = (1.0 + abs(sine[i])) * together + (distance + together * half_s) * turn_rad_s[i]
            above = x * u_x[i] + y * u_y[i] + z * u_z[i] - sine[i] * distance
            reach[i] = above + rate[i] * half_s + MARGIN_M
        whole = slot[column] >= 0
        for i in range(n_sites):
            if reach[i] < 0.0:
                continue
            if not whole:
                _interpolate_one(nodes, weights, s, 0, n_times, path)
                whole = True
            t = 0
            while t < n_times:
                x, y, z = path[t, 0] - sites[t, i, 0], path[t, 1] - sites[t, i, 1], path[t, 2] - sites[t, i, 2]
                distance = math.sqrt(x * x + y * y + z * z)
                height = x * up[t, i, 0] + y * up[t, i, 1] + z * up[t, i, 2]
                above = height - sine[i] * distance + MARGIN_M
                if above < 0.0:  # on to the first instant at which it can have come up
                    now = seconds[t]
                    t += 1
                    while t < n_times and above + rate[i] * (seconds[t] - now) < 0.0:
                        t += 1
                    continue
                seen_deg = elevation_deg(height, distance)
                if seen_deg >= mask_deg[i]:
                    clear = True
                    if sector_first[i] < sector_first[i + 1]:
                        azimuth = azimuth_of(
                            x, y, z, up[t, i, 0], up[t, i, 1], up[t, i, 2], east[t, i, 0], east[t, i, 1], east[t, i, 2]
                        )
                        clear = seen_deg >= skyline_deg(sectors, sector_first[i], sector_first[i + 1], azimuth)
                    if clear:
                        if found < len(cell):
                            cell[found] = t * n_sites + i
                            place[found] = column
                            range_m[found] = distance
                            elevation[found] = seen_deg
                        counts[t * n_sites + i] += 1
                        found += 1
                t += 1
    return found


@compiled
def _length(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return math.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2 + (b[2] - a[2]) ** 2)


@compiled
def _interpolate_one(
    nodes: NDArray[np.float64], weights: NDArray[np.float64], s: int, begin: int, end: int, path: NDArray[np.float64]
) -> None:
    """As `interpolate`, satellite `s` at the instants from `begin` to before `end`, into `path` (n_times, 3)."""
    for t in range(begin, end):
        u, v, w, x, y, z = weights[t]
        for k in range(3):
            total = u * nodes[0, s, k] + v * nodes[1, s, k] + w * nodes[2, s, k] + x * nodes[3, s, k]
            path[t, k] = total + y * nodes[4, s, k] + z * nodes[5, s, k]


@compiled
def skyline_deg(sectors: NDArray[np.float64], first: int, last: int, azimuth: float) -> float:
    """The highest elevation of the sectors `first` to before `last` that hold the azimuth; -90 where none does."""
    highest = -90.0
    for row in range(first, last):
        begin, end = sectors[row, 0], sectors[row, 1]
        inside = begin <= azimuth < end if begin < end else azimuth >= begin or azimuth < end
        if inside and sectors[row, 2] > highest:
            highest = sectors[row, 2]
    return highest


@compiled
def skylines(sectors: NDArray[np.float64], azimuth: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """`skyline_deg` of all sectors at each azimuth, both (n,)."""
    for k in range(len(azimuth)):
        out[k] = skyline_deg(sectors, 0, len(sectors), azimuth[k])


@compiled
def arrange(
    found: int,
    cell: NDArray[np.int64],
    place: NDArray[np.int32],
    range_m: NDArray[np.float64],
    elevation: NDArray[np.float64],
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    satellite: NDArray[np.int32],
    sorted_range_m: NDArray[np.float64],
    sorted_elevation: NDArray[np.float64],
) -> None:
    """Put the `found` records of `search` into the order of their cells, keeping their own order inside one.

    starts: where each cell begins; they are moved on to where it ends.
    """
    for k in range(found):
        at = starts[cell[k]]
        starts[cell[k]] = at + 1
        satellite[at] = columns[place[k]]
        sorted_range_m[at] = range_m[k]
        sorted_elevation[at] = elevation[k]
