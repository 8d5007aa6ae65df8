"""Geostationary satellites at fixed longitudes, as elements that SGP4 flies like all others.

A real one is pushed by the Sun, the Moon and the Earth's shape, and held by its thrusters within 0.1° of its longitude
(ITU Radio Regulations, No. 22.8). SGP4's deep-space model has these forces and no thrusters. So the elements are made
for the plan's start: mean anomaly and mean motion such that the longitude is the wanted one at the epoch and a day
later. The satellite stays within 0.001° of its longitude in between and within 0.1° for a week, as in a cycle of
station keeping; after a month it may be 1° off. For that week its latitude stays within 0.04° of the equator and its
altitude between 35,785 and 35,788 km.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, pi, radians

import numpy as np
from sgp4.api import Satrec

from testbed.ground.constants import EARTH_ROTATION_RAD_S
from testbed.ground.errors import ScenarioError
from testbed.orbits.catalogue import SYNTHETIC_BASE, Catalogue
from testbed.orbits.frames import DAY_NS, gmst_rad, julian_date
from testbed.orbits.walker import circular, sgp4_days

SHELL = "GEO"
"""The shell that all geostationary satellites belong to."""

_DAY_MIN = 1440.0
_ROUNDS = 4  # of Newton's method; the third changes nothing above 1e-9 degrees


@dataclass(frozen=True)
class Slot:
    """A geostationary satellite. Longitude in degrees, east is positive, -180 to 180; raises ScenarioError."""

    name: str  # nine letters, digits and '-' at most
    longitude_deg: float

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,8}", self.name):
            raise ScenarioError(f"satellite '{self.name}': write at most nine letters, digits and '-', a letter first")
        if not -180.0 <= self.longitude_deg <= 180.0:
            raise ScenarioError(f"satellite '{self.name}': longitude {self.longitude_deg:g} is outside -180 to 180")


def slot_at(longitude_deg: float) -> Slot:
    """The nameless satellite at a longitude: 'G11E8' is at 11.8° east. Raises ScenarioError."""
    if abs(longitude_deg - round(longitude_deg, 3)) > 1e-9:
        raise ScenarioError(f"longitude {longitude_deg!r} has more than three decimals: round it")
    whole, _, decimals = f"{abs(longitude_deg):.3f}".rstrip("0").partition(".")
    return Slot(f"G{whole}{'W' if longitude_deg < 0 else 'E'}{decimals}", longitude_deg)


def geostationary_catalogue(slots: Sequence[Slot], epoch_ns: int, source: str) -> Catalogue:
    """The satellites in this order, with elements for `epoch_ns` (UTC, since 1970).

    Raises ScenarioError without satellites, or when two share a name.
    """
    names = tuple(slot.name for slot in slots)
    if not names:
        raise ScenarioError(f"{source}: it needs at least one longitude")
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"{source}: two satellites are named '{name}': name a longitude once")
    longitudes = np.array([slot.longitude_deg for slot in slots], dtype="<f8")
    stamp = epoch_ns.to_bytes(8, "little", signed=True)
    return Catalogue(
        names=names,
        numbers=SYNTHETIC_BASE + np.arange(1, len(names) + 1, dtype=np.int64),
        satrecs=tuple(_held(radians(longitude), epoch_ns) for longitude in longitudes.tolist()),
        epochs_ns=np.full(len(names), epoch_ns, dtype=np.int64),
        source=source,
        sha256=hashlib.sha256(",".join(names).encode() + longitudes.tobytes() + stamp).hexdigest(),
        shells=(SHELL,) * len(names),
    )


def _held(longitude: float, epoch_ns: int) -> Satrec:
    """A circular orbit above the equator that passes `longitude` (rad) at its epoch and a day later."""
    days = sgp4_days(epoch_ns)
    rad_per_min = EARTH_ROTATION_RAD_S * 60.0
    place = longitude + float(gmst_rad(epoch_ns))
    for _ in range(_ROUNDS):
        satrec = circular(days, rad_per_min, 0.0, 0.0, place % (2.0 * pi))
        off, off_later = (_off(satrec, longitude, time_ns) for time_ns in (epoch_ns, epoch_ns + DAY_NS))
        place -= off
        rad_per_min -= (off_later - off) / _DAY_MIN
    return satrec


def _off(satrec: Satrec, longitude: float, time_ns: int) -> float:
    """How far east of `longitude` the satellite is, rad, -π to π."""
    jd, fr = julian_date(time_ns)
    code, (x, y, _), _ = satrec.sgp4(float(jd), float(fr))
    assert code == 0  # SGP4 has no trouble with such an orbit on the day of its epoch
    angle = atan2(y, x) - float(gmst_rad(time_ns)) - longitude
    return (angle + pi) % (2.0 * pi) - pi
