"""Places that move: ships, aircraft and phones, along waypoints at a constant speed.

A leg between two waypoints is the geodesic of the WGS-84 ellipsoid (`pyproj.Geod`, Karney's algorithms), its length
that at sea level: at 11 km an aircraft is 0.17 % faster than its speed over ground. Height changes evenly along a leg.
pyproj is imported when a track is first asked where it is, never on the emulation's side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import cos, isfinite, radians
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, WGS84_A_M, WGS84_F
from testbed.ground.errors import ScenarioError
from testbed.ground.units import format_utc
from testbed.orbits.sites import Site, check_geodetic

KNOT_M_S: Final = 1852.0 / 3600.0
"""One nautical mile per hour, m/s; exact (BIPM, SI brochure, table 8 of its 8th edition)."""

MAXIMUM_KN: Final = {"ship": 60.0, "aircraft": 1_500.0, "phone": 200.0}
"""Assumption: the greatest speed of each kind, knots. Fast patrol boats reach 50, fighters 1,300 to 1,400 (Mach 2.35 at
altitude), a phone in a high-speed train 162 (300 km/h)."""

TURNS: Final = ("stop", "back", "loop")

_SAME_DEG = 1e-7
_ECCENTRICITY_2 = WGS84_F * (2.0 - WGS84_F)  # first eccentricity squared


@dataclass(frozen=True)
class Waypoint:
    """A point of a track: geodetic (WGS-84) latitude and longitude in degrees, height above the ellipsoid in metres."""

    latitude_deg: float
    longitude_deg: float
    height_m: float = 0.0


@dataclass(frozen=True)
class Track:
    """A place that moves along its waypoints at `speed_kn` knots over ground; with one waypoint it stands there.

    `start_ns`: the UTC instant of the first waypoint; before it the track waits there. Without one it has no position
    yet: whoever knows the start sets it with `starting_at`.
    `kind`: 'ship', 'aircraft' or 'phone', which says how fast it can be (`MAXIMUM_KN`).
    `turn`: what it does at the last waypoint. 'stop': it stays there. 'back': it turns round at both ends, for ever.
    'loop': it goes on to the first waypoint, on a geodesic of its own, and round again.
    Raises ScenarioError for a waypoint out of range, none at all, a speed or a kind that cannot be, and two waypoints
    at one place (to 11 mm), between which no time would pass.
    """

    name: str
    waypoints: tuple[Waypoint, ...]
    speed_kn: float = 0.0
    start_ns: int | None = None
    kind: str = "ship"
    turn: str = "stop"

    def __post_init__(self) -> None:
        if not self.waypoints:
            raise ScenarioError(f"track '{self.name}': no waypoint: give one at least")
        for number, point in enumerate(self.waypoints, 1):
            who = f"track '{self.name}', waypoint {number}"
            check_geodetic(who, point.latitude_deg, point.longitude_deg, point.height_m)
        if self.kind not in MAXIMUM_KN:
            raise ScenarioError(f"track '{self.name}': kind '{self.kind}': take one of {', '.join(MAXIMUM_KN)}")
        if self.turn not in TURNS:
            raise ScenarioError(f"track '{self.name}': turn '{self.turn}': take one of {', '.join(TURNS)}")
        self._check_speed()
        for number, (a, b) in enumerate(pairwise(self.waypoints), 1):
            if _same_place(a, b):
                raise ScenarioError(
                    f"track '{self.name}': waypoints {number} and {number + 1} are one place, {a.latitude_deg:g} "
                    f"{a.longitude_deg:g}, so reached at the same instant: leave one out"
                )
        if self.turn == "loop" and len(self.waypoints) > 1 and _same_place(self.waypoints[-1], self.waypoints[0]):
            raise ScenarioError(
                f"track '{self.name}': the last waypoint of a loop is the first again: leave it out, a loop closes"
            )

    def _check_speed(self) -> None:
        fastest_kn = MAXIMUM_KN[self.kind]
        moves = len(self.waypoints) > 1
        if not isfinite(self.speed_kn) or self.speed_kn < 0.0 or (moves and self.speed_kn == 0.0):
            raise ScenarioError(f"track '{self.name}': speed {self.speed_kn:g} kn: give a positive one")
        if self.speed_kn > fastest_kn:
            raise ScenarioError(
                f"track '{self.name}': speed {self.speed_kn:g} kn is more than the {fastest_kn:g} kn of the fastest "
                f"{self.kind}: slow down or change the kind"
            )

    def starting_at(self, start_ns: int) -> Track:
        """The track with its start at this UTC instant, if it has none of its own."""
        return self if self.start_ns is not None else replace(self, start_ns=start_ns)

    @classmethod
    def told(cls, document: Mapping[str, Any]) -> Track:
        """A track from what `dataclasses.asdict` makes of one; raises ScenarioError for anything else."""
        try:
            return cls(**{**document, "waypoints": tuple(Waypoint(**point) for point in document["waypoints"])})
        except (KeyError, TypeError) as error:
            raise ScenarioError(f"track {str(document)[:80]}: not what describes one ({error})") from error

    def position(
        self, time_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude in degrees and height in metres at UTC instants, each (n_times,).

        Raises ScenarioError when the track has no start.
        """
        times = np.asarray(time_ns, dtype=np.int64)
        if self.start_ns is None:
            raise ScenarioError(f"track '{self.name}': no start: give the UTC instant of its first waypoint")
        if len(self.waypoints) == 1:
            point = self.waypoints[0]
            still = np.ones(len(times))
            return point.latitude_deg * still, point.longitude_deg * still, point.height_m * still
        legs = _legs(self.waypoints, self.turn == "loop")
        elapsed_s = np.maximum(times - self.start_ns, 0) / NS_PER_S
        return legs.at(_folded_m(elapsed_s * self.speed_kn * KNOT_M_S, float(legs.begins_m[-1]), self.turn))

    @property
    def length_m(self) -> float:
        """From the first waypoint to the last, metres over ground; in a loop all the way round."""
        return float(_legs(self.waypoints, self.turn == "loop").begins_m[-1]) if len(self.waypoints) > 1 else 0.0

    def ecef_m(self, time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Earth-fixed Cartesian positions at UTC instants, metres, shape (n_times, 3).

        NIMA TR8350.2, equation 4-14, as `sites.ecef_m`.
        """
        latitude_deg, longitude_deg, height_m = self.position(time_ns)
        latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
        normal_m = WGS84_A_M / np.sqrt(1.0 - _ECCENTRICITY_2 * np.sin(latitude) ** 2)
        across_m = (normal_m + height_m) * np.cos(latitude)
        along_m = (normal_m * (1.0 - _ECCENTRICITY_2) + height_m) * np.sin(latitude)
        return np.stack([across_m * np.cos(longitude), across_m * np.sin(longitude), along_m], axis=-1)

    def up_ecef(self, time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The ellipsoid's outward normals where it is at UTC instants, Earth-fixed unit vectors, shape (n_times, 3)."""
        latitude, longitude = np.radians(self.position(time_ns)[:2])
        return np.stack(
            [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
        )

    def east_ecef(self, time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """East where it is at UTC instants, Earth-fixed unit vectors, shape (n_times, 3)."""
        longitude = np.radians(self.position(time_ns)[1])
        return np.stack([-np.sin(longitude), np.cos(longitude), np.zeros(len(longitude))], axis=-1)

    def site_at(self, time_ns: int) -> Site:
        """Where it is at one UTC instant, as a site of the same name."""
        latitude_deg, longitude_deg, height_m = self.position(np.array([time_ns]))
        return Site(self.name, float(latitude_deg[0]), float(longitude_deg[0]), float(height_m[0]))

    def __str__(self) -> str:
        start = "a start not yet set" if self.start_ns is None else format_utc(self.start_ns)
        return f"{self.name}: {self.kind}, {len(self.waypoints)} waypoints at {self.speed_kn:g} kn from {start}"


Place = Site | Track
"""What can see a satellite: fixed to the Earth, or moving over it."""


@dataclass(frozen=True, eq=False)
class _Legs:
    """Geodesics one after the other: (n_legs,) each, but `begins_m` and `height_m` with their end too."""

    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    height_m: NDArray[np.float64]
    azimuth_deg: NDArray[np.float64]
    begins_m: NDArray[np.float64]

    def at(self, along_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Latitude, longitude (-180 to 180), height at distances from the first waypoint, 0 to the whole length."""
        leg = np.clip(np.searchsorted(self.begins_m, along_m, side="right") - 1, 0, len(self.azimuth_deg) - 1)
        gone_m = along_m - self.begins_m[leg]
        longitude_deg, latitude_deg, _ = _geod().fwd(
            self.longitude_deg[leg], self.latitude_deg[leg], self.azimuth_deg[leg], gone_m
        )
        share = gone_m / (self.begins_m[leg + 1] - self.begins_m[leg])
        height_m = self.height_m[leg] + share * (self.height_m[leg + 1] - self.height_m[leg])
        return latitude_deg, longitude_deg, height_m


@lru_cache(maxsize=256)
def _legs(waypoints: tuple[Waypoint, ...], closed: bool) -> _Legs:
    points = (*waypoints, waypoints[0]) if closed else waypoints
    latitude_deg = np.array([point.latitude_deg for point in points], dtype=np.float64)
    longitude_deg = np.array([point.longitude_deg for point in points], dtype=np.float64)
    azimuth_deg, _, length_m = _geod().inv(longitude_deg[:-1], latitude_deg[:-1], longitude_deg[1:], latitude_deg[1:])
    return _Legs(
        latitude_deg[:-1],
        longitude_deg[:-1],
        np.array([point.height_m for point in points], dtype=np.float64),
        np.asarray(azimuth_deg),
        np.concatenate([[0.0], np.cumsum(length_m)]),
    )


@lru_cache(maxsize=1)
def _geod() -> Any:
    from pyproj import Geod  # here, because only a plan with moving places needs it

    return Geod(a=WGS84_A_M, f=WGS84_F)


def _folded_m(gone_m: NDArray[np.float64], length_m: float, turn: str) -> NDArray[np.float64]:
    """The place on a track of that length, from the whole distance gone."""
    if turn == "stop":
        return np.minimum(gone_m, length_m)
    if turn == "loop":
        return np.mod(gone_m, length_m)
    return length_m - np.abs(np.mod(gone_m, 2.0 * length_m) - length_m)


def _same_place(a: Waypoint, b: Waypoint) -> bool:
    """Within 1e-7 degrees (11 mm) of each other, at whatever height? At a pole every longitude is the same."""
    east_deg = (a.longitude_deg - b.longitude_deg + 180.0) % 360.0 - 180.0
    away_deg = max(abs(a.latitude_deg - b.latitude_deg), abs(east_deg) * cos(radians(a.latitude_deg)))
    return away_deg < _SAME_DEG
