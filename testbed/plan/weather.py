"""What rain, clouds, gases and scintillation take from a signal between the ground and a satellite, in dB.

Two kinds of weather:
- a yearly statistic: the attenuation exceeded in p % of an average year at a site (ITU-R P.618-13 and what it builds
  on, by the package itur, which carries ITU's maps and needs no network);
- an event: a person says how many dB are lost, where and when.

itur takes seconds to start: it is imported when it is first asked, and asked once per site, frequency, dish and
percentage, for a grid of elevations.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from testbed.ground.errors import MachineError, ScenarioError
from testbed.orbits.sites import Site, great_circle_m

LEAST_PERCENT: Final = 0.001
MOST_PERCENT: Final = 5.0
"""Share of an average year for which P.618-13 (section 2.2.1.1) predicts attenuation by rain, %."""

LEAST_ELEVATION_DEG: Final = 5.0
"""P.618-13's scintillation (section 2.4.1) begins here: what is lower gets the attenuation of this elevation."""

MOST_FADE_DB: Final = 60.0
"""Assumption: no event takes more; every link is down long before."""

REFERENCE_GHZ: Final = 11.7
"""An event's dB are those at this frequency, in Ku downlinks to users (10.7 to 12.7 GHz)."""

_GRID_DEG: Final = np.concatenate([np.arange(LEAST_ELEVATION_DEG, 90.0), [89.5, 89.9]])  # itur warns at 90
_GRID_SINE: Final = np.sin(np.radians(_GRID_DEG))


@dataclass(frozen=True)
class Dish:
    """The antenna on the ground and its signal. tilt_deg: polarisation from the horizontal, 45 for circular (P.838-3).

    efficiency: 0.5 where it is not known (P.618-13, section 2.4.1). Raises ScenarioError.
    """

    frequency_ghz: float
    diameter_m: float
    tilt_deg: float = 45.0
    efficiency: float = 0.5

    def __post_init__(self) -> None:
        if not 1.0 <= self.frequency_ghz <= 55.0:
            raise ScenarioError(f"frequency {self.frequency_ghz:g} GHz is outside 1 to 55 GHz, where P.618 holds")
        if not (isfinite(self.diameter_m) and self.diameter_m > 0.0):
            raise ScenarioError(f"dish {self.diameter_m:g} m: give a diameter above 0")


@dataclass(frozen=True)
class RainEvent:
    """Rain of a person's choosing: `fade_db` at REFERENCE_GHZ on every radio path within `radius_km` of the place.

    It lasts over [begin_ns, end_ns) and does not depend on elevation. Raises ScenarioError.
    """

    latitude_deg: float
    longitude_deg: float
    radius_km: float
    fade_db: float
    begin_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        Site("rain", self.latitude_deg, self.longitude_deg)
        if not 0.0 <= self.fade_db <= MOST_FADE_DB:
            raise ScenarioError(f"rain of {self.fade_db:g} dB is outside 0 to {MOST_FADE_DB:g} dB")
        if not self.radius_km >= 0.0 or self.end_ns <= self.begin_ns:
            raise ScenarioError(
                f"rain within {self.radius_km:g} km from {self.begin_ns} to {self.end_ns} ns is nowhere"
            )

    def covers(self, site: Site) -> bool:
        """Does it rain at the site?"""
        centre = Site("rain", self.latitude_deg, self.longitude_deg)
        return great_circle_m(centre, site) <= self.radius_km * 1e3


def total_db(
    site: Site, dish: Dish, percent: float, elevation_deg: ArrayLike, folder: Path | None = None
) -> NDArray[np.float64]:
    """Attenuation exceeded in `percent` % of an average year, dB, same shape as the elevations; nan where they are.

    P.618-13, section 2.5: gases, clouds, rain and scintillation. The height is that of ITU's map (P.1511). Elevations
    of a grid are computed, 1° apart, others interpolated (the attenuation times the sine, which takes the path's length
    out): within 0.3 %. `folder` keeps results for later runs. Raises ScenarioError for a percentage out of range,
    MachineError for a folder that cannot be written.
    """
    return _interpolate(_table(site, dish, percent, folder)[0], elevation_deg)


def fade_db(
    site: Site, dish: Dish, percent: float, elevation_deg: ArrayLike, folder: Path | None = None
) -> NDArray[np.float64]:
    """The same, less what gases take: attenuation below a clear sky, where gases are always there."""
    total, gases = _table(site, dish, percent, folder)
    return _interpolate(total - gases, elevation_deg)


def event_db(
    events: Sequence[RainEvent], sites: Sequence[Site], time_ns: NDArray[np.int64], frequency_ghz: float
) -> NDArray[np.float64]:
    """What events take at a frequency, dB, shape (n_sites, n_times). Where events overlap, the strongest counts."""
    fade = np.zeros((len(sites), len(time_ns)))
    for event in events:
        here = np.array([event.covers(site) for site in sites], dtype=bool)
        now = (time_ns >= event.begin_ns) & (time_ns < event.end_ns)
        fade = np.maximum(fade, np.where(here[:, None] & now, event.fade_db, 0.0))
    return scaled_db(fade, REFERENCE_GHZ, frequency_ghz)


def scaled_db(rain_db: ArrayLike, from_ghz: float, to_ghz: float) -> NDArray[np.float64]:
    """Attenuation by rain at one frequency as attenuation at another on the same path, dB, same shape.

    P.618-13's long-term frequency scaling (section 2.2.1.3), for 7 to 55 GHz; below, rain takes next to nothing. Within
    20 % of what its method of section 2.2.1.1 says at Rome from 0.1 to 0.001 % of the year.
    """
    rain = np.asarray(rain_db, dtype=np.float64)
    phi_from, phi_to = (ghz**2 / (1.0 + 1e-4 * ghz**2) for ghz in (from_ghz, to_ghz))
    ratio = phi_to / phi_from
    bend = 1.12e-3 * np.sqrt(ratio) * (phi_from * rain) ** 0.55
    return np.asarray(rain * ratio ** (1.0 - bend), dtype=np.float64)


def _interpolate(grid_db: NDArray[np.float64], elevation_deg: ArrayLike) -> NDArray[np.float64]:
    elevation = np.clip(np.asarray(elevation_deg, dtype=np.float64), LEAST_ELEVATION_DEG, 90.0)
    zenith_db = np.interp(elevation, _GRID_DEG, grid_db * _GRID_SINE)
    return np.asarray(zenith_db / np.sin(np.radians(elevation)), dtype=np.float64)


def _table(site: Site, dish: Dish, percent: float, folder: Path | None) -> NDArray[np.float64]:
    if not LEAST_PERCENT <= percent <= MOST_PERCENT:
        raise ScenarioError(
            f"site '{site.name}': weather for {percent:g} % of a year: choose {LEAST_PERCENT:g} to {MOST_PERCENT:g} %"
        )
    return _cached(site.latitude_deg, site.longitude_deg, dish, percent, folder)


@lru_cache(maxsize=4096)
def _cached(
    latitude_deg: float, longitude_deg: float, dish: Dish, percent: float, folder: Path | None
) -> NDArray[np.float64]:
    """Total and gases on the grid, shape (2, n_elevations), read-only."""
    if folder is None:
        table = _ask_itur(latitude_deg, longitude_deg, dish, percent)
    else:
        inputs = [latitude_deg, longitude_deg, *astuple(dish), percent, _GRID_DEG.tolist(), version("itur")]
        name = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:24]
        path = folder / f"attenuation-{name}.npy"
        found = _load(path)
        table = _ask_itur(latitude_deg, longitude_deg, dish, percent) if found is None else found
        if found is None:
            _save(path, table)
    table.flags.writeable = False
    return table


def _ask_itur(latitude_deg: float, longitude_deg: float, dish: Dish, percent: float) -> NDArray[np.float64]:
    import itur

    gases, _, _, _, total = itur.atmospheric_attenuation_slant_path(
        latitude_deg,
        longitude_deg,
        dish.frequency_ghz,
        _GRID_DEG,
        percent,
        dish.diameter_m,
        eta=dish.efficiency,
        tau=dish.tilt_deg,
        return_contributions=True,
    )
    return np.stack([np.asarray(part.value, dtype=np.float64) for part in (total, gases)])


def _load(path: Path) -> NDArray[np.float64] | None:
    """A table of earlier; None when there is none or the file is damaged."""
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return table if table.shape == (2, len(_GRID_DEG)) and table.dtype == np.float64 else None


def _save(path: Path, table: NDArray[np.float64]) -> None:
    """In one step, so that nobody reads half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            np.save(part, table)
        os.replace(part.name, path)  # noqa: PTH105 - the name is a string already
    except OSError as error:
        raise MachineError(f"{path}: cannot be written ({error.strerror}): choose another cache folder") from None
