"""Time scales and frames: from UTC nanoseconds to Julian dates and sidereal time, from the Earth to TEME and back.

SGP4 gives positions in TEME (true equator, mean equinox of date). The few sites are rotated into TEME, never the many
satellites into the Earth's frame. The rotation is by GMST alone with UT1 = UTC and no polar motion (the pseudo
Earth-fixed frame of Vallado, Fundamentals of Astrodynamics, 3.7). Against ITRS a site is then off by up to 23 m while
|UT1 - UTC| stays below 0.05 s; with its 0.038 s of June 2026 a range is off by up to 17 m (57 ns).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, WGS84_A_M, WGS84_F
from testbed.orbits.sites import Site, east_ecef, ecef_m, up_ecef
from testbed.orbits.tracks import Place, Track

DAY_NS = 86_400 * NS_PER_S
"""Nanoseconds in a UTC day without a leap second."""

UNIX_EPOCH_JD = 2_440_587.5
"""Julian date of 1970-01-01T00:00 UTC."""

J2000_NS = 10_957 * DAY_NS + DAY_NS // 2
"""2000-01-01T12:00 UTC (Julian date 2451545.0) in nanoseconds since 1970."""

_DAYS_PER_CENTURY = 36_525.0


def julian_date(time_ns: NDArray[np.int64] | int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """UTC nanoseconds as (jd, fr), each of the shape of `time_ns`: the Julian date of midnight, and the part of a day
    since. Two numbers, because one float64 resolves only 40 µs."""
    days, rest_ns = np.divmod(np.asarray(time_ns, dtype=np.int64), DAY_NS)
    return days + UNIX_EPOCH_JD, rest_ns / DAY_NS


def gmst_rad(time_ns: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Greenwich mean sidereal time (IAU 1982) in radians, 0 to 2π, of the shape of `time_ns`; UT1 is taken as UTC.

    Aoki et al., Astronomy & Astrophysics 105 (1982), equation 14, as SGP4 uses it. The whole turns of the linear term
    are left out before they cost precision: 876,600 h per century is one turn per day.
    """
    since_ns = np.asarray(time_ns, dtype=np.int64) - J2000_NS
    days, rest_ns = np.divmod(since_ns, DAY_NS)
    turn = rest_ns / DAY_NS
    centuries = (days + turn) / _DAYS_PER_CENTURY
    slow_s = 67_310.54841 + centuries * (8_640_184.812866 + centuries * (0.093104 - centuries * 6.2e-6))
    return np.asarray((turn + slow_s / 86_400.0) % 1.0 * (2.0 * np.pi))


def ecef_to_teme(vectors: NDArray[np.float64], time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Earth-fixed vectors at each of the times, shape (n_times,), in TEME: (n_times, n, 3).

    `vectors`: (n, 3), the same at all times, or (n_times, n, 3).
    """
    angle = gmst_rad(time_ns)
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack(
        [cosine * x - sine * y, sine * x + cosine * y, np.broadcast_to(z, (len(angle), vectors.shape[-2]))], axis=-1
    )


def sites_teme_m(places: Sequence[Place], time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Positions of the places in TEME, metres, shape (n_times, n_places, 3)."""
    return _teme(places, time_ns, ecef_m, Track.ecef_m)


def up_teme(places: Sequence[Place], time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The ellipsoid's outward normals at the places in TEME, unit vectors, shape (n_times, n_places, 3)."""
    return _teme(places, time_ns, up_ecef, Track.up_ecef)


def east_teme(places: Sequence[Place], time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """East at the places in TEME, unit vectors, shape (n_times, n_places, 3); at a pole that of its longitude."""
    return _teme(places, time_ns, east_ecef, Track.east_ecef)


def _teme(
    places: Sequence[Place],
    time_ns: NDArray[np.int64],
    of_site: Callable[[Site], NDArray[np.float64]],
    of_track: Callable[[Track, NDArray[np.int64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """A vector of each place in TEME, (n_times, n_places, 3), from its Earth-fixed one: (3,), or (n_times, 3)."""
    vectors = np.empty((len(time_ns), len(places), 3))
    for column, place in enumerate(places):
        vectors[:, column] = of_site(place) if isinstance(place, Site) else of_track(place, time_ns)
    return ecef_to_teme(vectors, time_ns)


def subpoint(
    position_m: NDArray[np.float64], time_ns: NDArray[np.int64] | int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The point of the ellipsoid below a TEME position: (latitude_deg, longitude_deg, height_m).

    `position_m`: shape (..., 3); `time_ns`: of a shape that broadcasts with (...). Longitude is -180 to 180.
    The latitude is iterated (Vallado, algorithm 12) four times, which leaves less than a millimetre from the ground to
    beyond the geostationary ring. nan stays nan.
    """
    x, y, z = np.moveaxis(position_m, -1, 0)
    longitude = np.arctan2(y, x) - gmst_rad(time_ns)
    across_m = np.hypot(x, y)
    eccentricity_2 = WGS84_F * (2.0 - WGS84_F)
    latitude = np.arctan2(z, across_m)
    for _ in range(4):
        sine = np.sin(latitude)
        normal_m = WGS84_A_M / np.sqrt(1.0 - eccentricity_2 * sine**2)
        latitude = np.arctan2(z + normal_m * eccentricity_2 * sine, across_m)
    sine, cosine = np.sin(latitude), np.cos(latitude)
    normal_m = WGS84_A_M / np.sqrt(1.0 - eccentricity_2 * sine**2)
    # Distance along the normal; unlike across/cos this holds at the poles too.
    height_m = across_m * cosine + z * sine - normal_m * (1.0 - eccentricity_2 * sine**2)
    return np.degrees(latitude), (np.degrees(longitude) + 180.0) % 360.0 - 180.0, height_m
