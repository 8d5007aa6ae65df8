"""Who sees whom: slant range and elevation of satellites from sites.

Ranges are geometric, both ends at the same instant: during the light time a satellite in a low orbit moves by less
than 50 m. The atmosphere is left out: refraction lifts a satellite by 0.03° at 25° elevation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from testbed.orbits.frames import sites_teme_m, up_teme
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site


def look(
    sites_m: NDArray[np.float64], up: NDArray[np.float64], satellites_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slant range in metres and elevation in degrees, each (n_times, n_sites, n_sats).

    `sites_m` and `up` (unit normals of the ellipsoid): (n_times, n_sites, 3); `satellites_m`: (n_times, n_sats, 3);
    all in one frame. A satellite without a position (nan) has nan for both; one that coincides with the site has range
    0 and elevation nan.
    """
    shape = (len(satellites_m), sites_m.shape[1], satellites_m.shape[1])
    range_m, elevation_deg = np.empty(shape), np.empty(shape)
    for site in range(sites_m.shape[1]):  # site by site: the differences of all sites at once would fill the memory
        line_m = satellites_m - sites_m[:, site, None]
        distance_m = np.sqrt(np.einsum("tsk,tsk->ts", line_m, line_m))
        height_m = np.einsum("tsk,tk->ts", line_m, up[:, site])
        with np.errstate(invalid="ignore"):  # 0/0 of a satellite at the site is the documented nan
            sine = np.clip(height_m / distance_m, -1.0, 1.0)
        range_m[:, site] = distance_m
        elevation_deg[:, site] = np.degrees(np.arcsin(sine))
    return range_m, elevation_deg


def range_elevation(
    sites: Sequence[Site],
    ephemeris: Ephemeris,
    time_ns: NDArray[np.int64],
    indices: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slant range in metres and geodetic elevation in degrees, each (n_times, n_sites, n_sats).

    `time_ns`: UTC instants in the ephemeris' window, shape (n_times,). `indices`: which satellites of the catalogue;
    all without it. Satellites in `ephemeris.failed` have nan. Raises PlanError for an instant outside the window.
    """
    times = np.asarray(time_ns, dtype=np.int64)
    return look(sites_teme_m(sites, times), up_teme(sites, times), ephemeris.position_m(times, indices))
