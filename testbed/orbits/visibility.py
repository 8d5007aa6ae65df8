"""Who sees whom: slant range, elevation and azimuth of satellites from places, and which of them are above a mask.

Ranges are geometric, both ends at the same instant: during the light time a satellite in a low orbit moves by less
than 50 m. The atmosphere is left out: refraction lifts a satellite by 0.03° at 25° elevation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.orbits import kernels
from testbed.orbits.frames import east_teme, sites_teme_m, up_teme
from testbed.orbits.horizon import Horizon
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.tracks import Place

_FIRST_ROOM = 1 << 16  # records; more is made where an interval has more


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
    sites_m, up, satellites_m = (np.ascontiguousarray(array, np.float64) for array in (sites_m, up, satellites_m))
    kernels.look(sites_m, up, satellites_m, range_m, elevation_deg)
    return range_m, elevation_deg


def range_elevation(
    places: Sequence[Place],
    ephemeris: Ephemeris,
    time_ns: NDArray[np.int64],
    indices: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slant range in metres and geodetic elevation in degrees, each (n_times, n_places, n_sats).

    `time_ns`: UTC instants in the ephemeris' window, shape (n_times,). `indices`: which satellites of the catalogue;
    all without it. Satellites in `ephemeris.failed` have nan. Raises PlanError for an instant outside the window.
    """
    times = np.asarray(time_ns, dtype=np.int64)
    return look(sites_teme_m(places, times), up_teme(places, times), ephemeris.position_m(times, indices))


def azimuth_deg(
    places: Sequence[Place],
    ephemeris: Ephemeris,
    time_ns: NDArray[np.int64],
    indices: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Azimuth in degrees, 0 to 360 from north over east, (n_times, n_places, n_sats); as `range_elevation`.

    At the very zenith it is 0. At a pole north is where the place's longitude has it.
    """
    times = np.asarray(time_ns, dtype=np.int64)
    satellites_m = ephemeris.position_m(times, indices)
    azimuth = np.empty((len(times), len(places), satellites_m.shape[1]))
    frames = sites_teme_m(places, times), up_teme(places, times), east_teme(places, times)
    kernels.azimuths(*frames, satellites_m, azimuth)
    return azimuth


@dataclass(frozen=True, eq=False)
class Sightings:
    """Satellites above the masks, ordered by time, place, and satellite as they were asked for.

    `satellite` (indices into the catalogue), `range_m` and `elevation_deg`: (n,), one record each. `starts`: (n_times ×
    n_places + 1,), where in them the records of each time and place begin.
    """

    n_times: int
    n_places: int
    starts: NDArray[np.int64]
    satellite: NDArray[np.int32]
    range_m: NDArray[np.float64]
    elevation_deg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.satellite)

    def at(self, time: int, place: int) -> slice:
        """The records of one time and place."""
        cell = time * self.n_places + place
        return slice(int(self.starts[cell]), int(self.starts[cell + 1]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many satellites each place sees at each time, (n_times, n_places)."""
        return np.diff(self.starts).reshape(self.n_times, self.n_places)

    @property
    def time(self) -> NDArray[np.int64]:
        """Each record's index of the time, (n,)."""
        return np.repeat(np.arange(self.n_times), self.counts.sum(axis=1))

    @property
    def place(self) -> NDArray[np.int64]:
        """Each record's index of the place, (n,)."""
        return np.repeat(np.tile(np.arange(self.n_places), self.n_times), self.counts.ravel())


def visible(
    places: Sequence[Place],
    masks_deg: Sequence[float],
    ephemeris: Ephemeris,
    time_ns: NDArray[np.int64],
    indices: NDArray[np.int64] | None = None,
    horizons: Sequence[Horizon | None] | None = None,
) -> Sightings:
    """Every satellite at or above each place's mask, and above its horizon where it has one, at each instant.

    The same, to the last bit, as `range_elevation` of everything, then a comparison. `time_ns`: UTC instants in the
    ephemeris' window, ascending. `masks_deg`, `horizons`: one for each place. `indices`: as in `position_m`.

    From coarse to fine: let g be the satellite's height above the cone of the mask, g = line · up - sin(mask) |line|.
    It changes by at most (1 + |sin mask|) times what satellite and place move, and |line| times what the vertical
    turns. So one instant in the middle of an interval between SGP4's nodes rules out most pairs for all of it, and one
    instant below the mask the next ones. How far a satellite moves follows from its nodes and from gravity.

    Raises PlanError for instants outside the window or not ascending, and masks or horizons that are not one per place
    or a mask outside -90 to 90 degrees.
    """
    times = np.asarray(time_ns, dtype=np.int64)
    masks = np.asarray(masks_deg, dtype=np.float64)
    skylines = [None] * len(places) if horizons is None else list(horizons)
    _check(places, masks, skylines, times)
    sector_first, sectors = _sectors(skylines)
    columns = ephemeris.columns(indices)
    first, weights = ephemeris.interpolation(times)
    # The kernel writes to this room, which is used again for each interval; `found` is the number there was to write.
    room = _room(_FIRST_ROOM)
    counts = np.zeros((len(times), len(places)), np.int64)
    parts: list[tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]] = []
    for part in _intervals(first):
        some = times[part]
        sites_m, up, east = sites_teme_m(places, some), up_teme(places, some), east_teme(places, some)
        seconds = (some - some[0]) / NS_PER_S
        node = int(first[part.start])
        direct = np.flatnonzero(ephemeris.is_direct(columns, node))
        slot = np.full(len(columns), -1)
        slot[direct] = np.arange(len(direct))
        direct_m = ephemeris.direct_m(some, columns[direct])
        while True:
            here = np.zeros(len(some) * len(places), np.int64)
            found = kernels.search(
                ephemeris.nodes_m[node : node + kernels.NODES],
                weights[part],
                ephemeris.spacing_ns / NS_PER_S,
                columns,
                slot,
                direct_m,
                seconds,
                sites_m,
                up,
                east,
                _per_second(sites_m, seconds),
                _per_second(up, seconds),
                masks,
                sector_first,
                sectors,
                *room,
                here,
            )
            if found <= len(room[0]):
                break
            room = _room(2 * found)
        counts[part] = here.reshape(len(some), len(places))
        record = np.empty(found, np.int32), np.empty(found), np.empty(found)
        begins = np.cumsum(here) - here
        kernels.arrange(found, *room, begins, columns, *record)
        parts.append(record)
    return Sightings(
        len(times),
        len(places),
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([np.empty(0, np.int32), *(record[0] for record in parts)]),
        np.concatenate([np.empty(0), *(record[1] for record in parts)]),
        np.concatenate([np.empty(0), *(record[2] for record in parts)]),
    )


def _check(
    places: Sequence[Place], masks: NDArray[np.float64], horizons: Sequence[Horizon | None], times: NDArray[np.int64]
) -> None:
    for what, given in (("masks", masks), ("horizons", horizons)):
        if len(given) != len(places):
            raise PlanError(f"visible: {len(given)} {what} for {len(places)} places: give one for each")
    wrong = np.flatnonzero(~((masks >= -90.0) & (masks <= 90.0)))
    if len(wrong):
        raise PlanError(f"visible: mask {masks[wrong[0]]:g} of {places[wrong[0]].name} is outside -90 to 90 degrees")
    if (np.diff(times) <= 0).any():
        raise PlanError("visible: the instants are not ascending: sort them, each once")


def _sectors(horizons: Sequence[Horizon | None]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """All sectors in one array (n, 3), and where those of each place begin, (n_places + 1,)."""
    rows = [np.empty((0, 3)) if horizon is None else horizon.rows for horizon in horizons]
    return np.cumsum([0, *(len(part) for part in rows)]), np.concatenate([np.empty((0, 3)), *rows])


def _room(records: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    return np.empty(records, np.int64), np.empty(records, np.int32), np.empty(records), np.empty(records)


def _intervals(first: NDArray[np.int64]) -> Iterator[slice]:
    """Runs of instants in the same interval between nodes."""
    cuts = np.flatnonzero(np.diff(first)) + 1
    bounds = [0, *cuts.tolist(), len(first)]
    for begin, end in pairwise(bounds):
        if begin < end:
            yield slice(begin, end)


def _per_second(vectors: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The greatest change per second of each place's vector from one instant to the next, (n_places,)."""
    if len(seconds) < 2:
        return np.zeros(vectors.shape[1])
    change = np.linalg.norm(np.diff(vectors, axis=0), axis=2) / np.diff(seconds)[:, None]
    return np.asarray(change.max(axis=0))
