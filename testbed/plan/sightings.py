"""Which satellites the sites of a scenario see, slot by slot.

Slots are looked at some at a time: a coarse look leaves out what cannot come above any mask meanwhile, and only the
rest is looked at exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import sites_teme_m, up_teme
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.visibility import azimuth_deg, look, range_elevation
from testbed.plan.policies import LOOK_AHEAD_SLOTS
from testbed.plan.scenario import Scenario

TICK_NS: Final = 5 * NS_PER_S
"""Assumption: terminals that are not bound to slots are looked after every 5 s."""

GEO_RADIUS_M: Final = 42_164_000.0
"""Radius of the geostationary ring: a sidereal day's orbit (ITU-R S.1503)."""

_MIDDLE_NS = SLOT_NS // 2
_SLOTS_AT_ONCE = 4
_FASTEST_M_S = (
    12_500.0  # satellite against site: escape velocity at the surface, the Earth's turn, the fastest aircraft
)
_TURNING_RAD_S = 2e-4  # of a site's vertical: the Earth's turn, and the fastest aircraft's way round it
_ARC_STEP_RAD = np.radians(0.5)  # adjacent points of the ring, seen from the ground, are 0.6° apart at most


@dataclass(frozen=True)
class View:
    """One slot as the sites see it: terminals, then gateways; `columns` are satellites, as indices into the catalogue.

    above: over the site's mask and its horizon, apart from the geostationary arc where that is asked for, and not too
    high to serve it if it is a terminal, at each of `offsets_ns` from the slot's beginning, (n_offsets, n_sites,
    n_columns). elevation_deg and range_m: in mid-slot.
    """

    begin_ns: int
    offsets_ns: tuple[int, ...]
    columns: NDArray[np.int64]
    above: NDArray[np.bool_]
    elevation_deg: NDArray[np.float64]
    range_m: NDArray[np.float64]

    def stays(self, site: int, begin_ns: int = 0, end_ns: int = SLOT_NS) -> NDArray[np.bool_]:
        """Which stay in view of the site from `begin_ns` to `end_ns` after the slot's beginning, (n_columns,).

        Elevation has no minimum within a slot (it rises, then falls), so what is above the mask at both ends is above
        it throughout.
        """
        rows = [row for row, offset_ns in enumerate(self.offsets_ns) if begin_ns <= offset_ns <= end_ns]
        return np.asarray(self.above[rows, site].all(axis=0), dtype=bool)


class Sightings:
    """What the sites of a scenario see; slots are best asked for in their order."""

    def __init__(self, scenario: Scenario, catalogue: Catalogue, ephemeris: Ephemeris) -> None:
        self._sites = [*(terminal.site for terminal in scenario.terminals), *(g.site for g in scenario.gateways)]
        masks_deg = [*(terminal.mask_deg for terminal in scenario.terminals), *(g.mask_deg for g in scenario.gateways)]
        self._masks_deg = np.array(masks_deg)[:, None]
        self._gso_deg = scenario.access.gso_deg
        self._ephemeris = ephemeris
        self._horizons = [(n, user.horizon) for n, user in enumerate(scenario.terminals) if user.horizon is not None]
        self._serves = catalogue.mean_altitude_m <= scenario.maximum_altitude_m
        self._terminals = len(scenario.terminals)
        eligible = np.flatnonzero(catalogue.mean_altitude_m >= scenario.minimum_altitude_m)
        self.eligible = eligible[np.argsort(catalogue.numbers[eligible])]  # ties go to the lowest
        ticks = () if all(terminal.bound for terminal in scenario.terminals) else range(TICK_NS, SLOT_NS, TICK_NS)
        self.offsets_ns = tuple(sorted({0, _MIDDLE_NS, SLOT_NS, *ticks}))
        self._views: dict[int, View] = {}

    def slot(self, begin_ns: int) -> View:
        """The slot that begins at the UTC instant `begin_ns`."""
        if begin_ns not in self._views:
            self._views = {view.begin_ns: view for view in self._look(begin_ns)}
        return self._views[begin_ns]

    def slots_ahead(self, site: int, begin_ns: int, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """For how many slots from the one at `begin_ns` on the satellites stay above the site's mask, (n_columns,)."""
        times = begin_ns + np.arange(LOOK_AHEAD_SLOTS + 1, dtype=np.int64) * SLOT_NS
        _, elevation_deg = range_elevation([self._sites[site]], self._ephemeris, times, columns)
        below = elevation_deg[1:, 0] < self._masks_deg[site]
        for _, horizon in (found for found in self._horizons if found[0] == site):
            azimuths_deg = azimuth_deg([self._sites[site]], self._ephemeris, times, columns)
            below |= elevation_deg[1:, 0] < horizon.skyline_deg(azimuths_deg[1:, 0])
        found: NDArray[np.int64] = np.where(below.any(axis=0), np.argmax(below, axis=0), LOOK_AHEAD_SLOTS)
        return found

    def _look(self, begin_ns: int) -> list[View]:
        window_end_ns = self._ephemeris.start_ns + self._ephemeris.duration_ns
        count = max(1, min(_SLOTS_AT_ONCE, (window_end_ns - begin_ns) // SLOT_NS))
        begins = [begin_ns + number * SLOT_NS for number in range(count)]
        columns = self._near(begin_ns, count * SLOT_NS)
        times = np.array([begin + offset for begin in begins for offset in self.offsets_ns], dtype=np.int64)
        sites_m, up = sites_teme_m(self._sites, times), up_teme(self._sites, times)
        satellites_m = self._ephemeris.position_m(times, columns)
        range_m, elevation_deg = look(sites_m, up, satellites_m)
        above = elevation_deg >= self._masks_deg  # nan is never above a mask
        above[:, : self._terminals] &= self._serves[columns]
        for site, horizon in self._horizons:
            azimuths_deg = azimuth_deg([self._sites[site]], self._ephemeris, times, columns)
            above[:, site] &= elevation_deg[:, site] >= horizon.skyline_deg(azimuths_deg[:, 0])
        if self._gso_deg is not None:
            _clear_arc(above, sites_m, up, satellites_m, self._gso_deg)
        views = []
        for number, begin in enumerate(begins):
            rows = slice(number * len(self.offsets_ns), (number + 1) * len(self.offsets_ns))
            middle = rows.start + self.offsets_ns.index(_MIDDLE_NS)
            seen = above[rows].any(axis=(0, 1))
            views.append(
                View(
                    begin,
                    self.offsets_ns,
                    columns[seen],
                    above[rows][:, :, seen],
                    elevation_deg[middle][:, seen],
                    range_m[middle][:, seen],
                )
            )
        return views

    def _near(self, begin_ns: int, length_ns: int) -> NDArray[np.int64]:
        """Those of the eligible that may come above some mask within the time, in their order.

        Being above a mask is h - d sin(mask) >= 0, with the height h over the site's horizon and the distance d. A move
        by m changes that by m (1 + |sin(mask)|) at most, a turn of the vertical by d times its angle.
        """
        middle = np.array([begin_ns + length_ns // 2], dtype=np.int64)
        satellites_m = self._ephemeris.position_m(middle, self.eligible)
        range_m, elevation_deg = look(sites_teme_m(self._sites, middle), up_teme(self._sites, middle), satellites_m)
        sine = np.sin(np.radians(self._masks_deg))
        room_m = range_m[0] * (np.sin(np.radians(elevation_deg[0])) - sine)
        away_s = length_ns / 2 / NS_PER_S
        moved_m = (1.0 + np.abs(sine)) * _FASTEST_M_S * away_s + range_m[0] * _TURNING_RAD_S * away_s
        found: NDArray[np.int64] = self.eligible[(room_m >= -moved_m).any(axis=0)]
        return found


def arc_separation_deg(
    site_m: NDArray[np.float64], up: NDArray[np.float64], satellites_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Angle between each satellite and the nearest visible point of the geostationary arc, seen from a site, degrees.

    One instant, one frame whose z-axis is the Earth's: `site_m` and `up` (3,), `satellites_m` (n, 3); gives (n,). 180
    where the arc is below the horizon.
    """
    around = np.arange(0.0, 2.0 * np.pi, _ARC_STEP_RAD)
    ring_m = GEO_RADIUS_M * np.stack([np.cos(around), np.sin(around), np.zeros_like(around)], axis=-1)
    arc = _directions(ring_m - site_m)
    arc = arc[arc @ up >= 0.0]
    if not len(arc):
        return np.full(len(satellites_m), 180.0)
    cosine = _directions(satellites_m - site_m) @ arc.T
    found: NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosine.max(axis=1), -1.0, 1.0)))
    return found


def _clear_arc(
    above: NDArray[np.bool_],
    sites_m: NDArray[np.float64],
    up: NDArray[np.float64],
    satellites_m: NDArray[np.float64],
    least_deg: float,
) -> None:
    """Take out of `above` what is nearer to the geostationary arc than that."""
    for row, site in np.ndindex(*above.shape[:2]):
        seen = np.flatnonzero(above[row, site])
        apart_deg = arc_separation_deg(sites_m[row, site], up[row, site], satellites_m[row, seen])
        above[row, site, seen] = apart_deg >= least_deg


def _directions(lines_m: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(lines_m / np.sqrt(np.einsum("nk,nk->n", lines_m, lines_m))[:, None])


def window(begin_ns: int, end_ns: int, *, ahead: bool) -> tuple[int, int]:
    """(start_ns, duration_ns) of the ephemeris that looking at the slots in [begin_ns, end_ns) takes."""
    return begin_ns, end_ns - begin_ns + (LOOK_AHEAD_SLOTS * SLOT_NS if ahead else 0)
