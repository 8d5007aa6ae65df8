"""Places on the ground: where they are on the WGS-84 ellipsoid, and how far apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, isfinite, radians, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import EARTH_MEAN_RADIUS_M, WGS84_A_M, WGS84_F
from testbed.ground.errors import ScenarioError

_ECCENTRICITY_2 = WGS84_F * (2.0 - WGS84_F)  # first eccentricity squared


@dataclass(frozen=True)
class Site:
    """A place: geodetic (WGS-84) latitude and longitude in degrees, height above the ellipsoid in metres.

    Raises ScenarioError when one of them is out of range.
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    height_m: float = 0.0

    def __post_init__(self) -> None:
        check_geodetic(f"site '{self.name}'", self.latitude_deg, self.longitude_deg, self.height_m)


def check_geodetic(who: str, latitude_deg: float, longitude_deg: float, height_m: float) -> None:
    """Raises ScenarioError, naming `who`, when one of them is out of range or no number."""
    _check(who, "latitude", latitude_deg, -90.0, 90.0, "degrees")
    _check(who, "longitude", longitude_deg, -180.0, 180.0, "degrees")
    _check(who, "height", height_m, -1_000.0, 100_000.0, "m")


def _check(who: str, what: str, value: float, low: float, high: float, unit: str) -> None:
    if not (isfinite(value) and low <= value <= high):
        raise ScenarioError(f"{who}: {what} {value:g} is outside {low:,.0f} to {high:,.0f} {unit}")


def ecef_m(site: Site) -> NDArray[np.float64]:
    """Earth-fixed Cartesian position, shape (3,), metres (NIMA TR8350.2, equation 4-14)."""
    latitude, longitude = radians(site.latitude_deg), radians(site.longitude_deg)
    normal_m = WGS84_A_M / sqrt(1.0 - _ECCENTRICITY_2 * sin(latitude) ** 2)  # radius of curvature, prime vertical
    across_m = (normal_m + site.height_m) * cos(latitude)
    along_m = (normal_m * (1.0 - _ECCENTRICITY_2) + site.height_m) * sin(latitude)
    return np.array([across_m * cos(longitude), across_m * sin(longitude), along_m])


def up_ecef(site: Site) -> NDArray[np.float64]:
    """The ellipsoid's outward normal at the site, Earth-fixed unit vector, shape (3,)."""
    latitude, longitude = radians(site.latitude_deg), radians(site.longitude_deg)
    return np.array([cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)])


def east_ecef(site: Site) -> NDArray[np.float64]:
    """East at the site, Earth-fixed unit vector, shape (3,); at a pole that of its longitude."""
    longitude = radians(site.longitude_deg)
    return np.array([-sin(longitude), cos(longitude), 0.0])


def great_circle_m(a: Site, b: Site) -> float:
    """Length of the great circle between two sites on a sphere of mean radius, metres; heights do not count.

    Haversine formula; within 0.6 % of the geodesic on the ellipsoid, far less than a fibre's detours.
    """
    latitude_a, latitude_b = radians(a.latitude_deg), radians(b.latitude_deg)
    half_longitude = radians(b.longitude_deg - a.longitude_deg) / 2.0
    chord = sin((latitude_b - latitude_a) / 2.0) ** 2 + cos(latitude_a) * cos(latitude_b) * sin(half_longitude) ** 2
    return 2.0 * EARTH_MEAN_RADIUS_M * asin(min(1.0, sqrt(chord)))
