"""Constellations made from a few numbers: Walker shells of circular orbits, flown by SGP4 like real ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, radians, sqrt

import numpy as np
from sgp4.api import WGS72, Satrec

from testbed.ground.constants import WGS72_MU_M3_S2, WGS72_RADIUS_M
from testbed.ground.errors import ScenarioError
from testbed.orbits.catalogue import SYNTHETIC_BASE, Catalogue
from testbed.orbits.frames import julian_date

_SGP4_EPOCH_JD = 2_433_281.5  # 1949-12-31T00:00 UTC, from which sgp4init counts days
_NAME_LENGTH_MAX = 9  # a node's name and '-eth10' make an interface's name, which has 15 characters at most


@dataclass(frozen=True)
class Shell:
    """A Walker constellation i: t/p/f (J. G. Walker, J. British Interplanetary Society 24, 1971).

    `planes` × `per_plane` satellites. The planes' nodes are spread over `spread_deg`: 360 for a delta (Starlink), 180
    for a star (polar systems); the first is at `raan0_deg`. From one plane to the next the satellites are shifted by
    `phasing` / (planes × per_plane) of a turn. `altitude_m` is the semi-major axis less the equatorial radius.
    Raises ScenarioError when a value makes no constellation.
    """

    name: str  # letters and digits, four at most; begins the satellites' names
    altitude_m: float
    inclination_deg: float
    planes: int
    per_plane: int
    phasing: int
    spread_deg: float = 360.0
    raan0_deg: float = 0.0

    def __post_init__(self) -> None:
        where = f"shell '{self.name}'"
        if not re.fullmatch("[A-Za-z0-9]{1,4}", self.name):
            raise ScenarioError(f"{where}: the name must be one to four letters or digits")
        if not 150e3 <= self.altitude_m <= 100e6:
            raise ScenarioError(f"{where}: altitude {self.altitude_m:,.0f} m is outside 150 to 100,000 km")
        if not 0.0 <= self.inclination_deg <= 180.0:
            raise ScenarioError(f"{where}: inclination {self.inclination_deg:g} is outside 0 to 180 degrees")
        if self.planes < 1 or self.per_plane < 1:
            raise ScenarioError(f"{where}: {self.planes} planes of {self.per_plane} satellites are no constellation")
        if not 0 <= self.phasing < self.planes:
            raise ScenarioError(f"{where}: phasing {self.phasing} is outside 0 to {self.planes - 1} (planes - 1)")
        if not 0.0 < self.spread_deg <= 360.0 or not isfinite(self.raan0_deg):
            raise ScenarioError(f"{where}: spread {self.spread_deg:g} or first node {self.raan0_deg:g} is not an angle")

    def __len__(self) -> int:
        return self.planes * self.per_plane


def walker_catalogue(shells: Sequence[Shell], epoch_ns: int, source: str) -> Catalogue:
    """The shells' satellites, plane by plane, with elements for `epoch_ns` (UTC, since 1970) and no drag.

    Satellites are named shell, plane, '-', slot, counted from 1: 'A01-02'. Their numbers count up from SYNTHETIC_BASE,
    beyond those of NORAD. Under SGP4 the Earth's flattening moves the distance from its centre by up to 8 km about the
    nominal one.
    Raises ScenarioError without shells, or when a name is too long or not unique.
    """
    names = tuple(name for shell in shells for name in _names(shell))
    if not names:
        raise ScenarioError(f"{source}: a constellation needs at least one shell")
    longest = max(names, key=len)
    if len(longest) > _NAME_LENGTH_MAX:
        raise ScenarioError(
            f"{source}: satellite name '{longest}' is longer than {_NAME_LENGTH_MAX} characters: shorten its shell's"
        )
    if len(set(names)) != len(names):
        raise ScenarioError(
            f"{source}: two satellites share a name: give the shells names that differ in their letters"
        )
    elements = np.array([row for shell in shells for row in _mean_elements(shell)], dtype="<f8")
    epoch_days = sgp4_days(epoch_ns)
    return Catalogue(
        names=names,
        numbers=SYNTHETIC_BASE + np.arange(1, len(names) + 1, dtype=np.int64),
        satrecs=tuple(circular(epoch_days, *row) for row in elements),
        epochs_ns=np.full(len(names), epoch_ns, dtype=np.int64),
        source=source,
        sha256=hashlib.sha256(elements.tobytes() + epoch_ns.to_bytes(8, "little", signed=True)).hexdigest(),
        shells=tuple(shell.name for shell in shells for _ in range(len(shell))),
    )


def sgp4_days(time_ns: int) -> float:
    """UTC nanoseconds since 1970 in days since SGP4's epoch, 1949-12-31T00:00 UTC; resolves 1 µs."""
    jd, fr = julian_date(time_ns)
    return float(jd) - _SGP4_EPOCH_JD + float(fr)


def circular(epoch_days: float, rad_per_min: float, inclination: float, node: float, u: float) -> Satrec:
    """A circular orbit without drag; angles in rad, `u` is the argument of latitude, `epoch_days` as `sgp4_days`.

    With mean eccentricity 0 the perigee has no place: the mean anomaly counts from the node. The satellite's number is
    0, because a Satrec cannot hold those above 339,999.
    """
    satrec = Satrec()
    drag = rate = rate_2 = eccentricity = perigee = 0.0
    satrec.sgp4init(
        WGS72, "i", 0, epoch_days, drag, rate, rate_2, eccentricity, perigee, inclination, u, rad_per_min, node
    )
    return satrec


def _names(shell: Shell) -> Iterator[str]:
    plane_digits, slot_digits = max(2, len(str(shell.planes))), max(2, len(str(shell.per_plane)))
    for plane in range(1, shell.planes + 1):
        for slot in range(1, shell.per_plane + 1):
            yield f"{shell.name}{plane:0{plane_digits}}-{slot:0{slot_digits}}"


def _mean_elements(shell: Shell) -> Iterator[tuple[float, float, float, float]]:
    """Mean motion (rad/min), inclination, node and argument of latitude (rad) of each satellite."""
    axis_m = WGS72_RADIUS_M + shell.altitude_m
    rad_per_min = 60.0 * sqrt(WGS72_MU_M3_S2 / (axis_m * axis_m * axis_m))
    for plane in range(shell.planes):
        node_deg = (shell.raan0_deg + plane * shell.spread_deg / shell.planes) % 360.0
        for slot in range(shell.per_plane):
            # In whole steps of the smallest angle, so that no rounding adds up along the shell.
            steps = (slot * shell.planes + plane * shell.phasing) % len(shell)
            latitude_deg = steps * 360.0 / len(shell)
            yield rad_per_min, radians(shell.inclination_deg), radians(node_deg), radians(latitude_deg)
