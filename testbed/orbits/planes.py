"""Shells and orbital planes, found in the elements of a catalogue.

A shell is what shares inclination and altitude: its satellites drift alike and keep their places. Its planes lie apart
in the right ascension of their nodes. In the Starlink elements of June 2026 the shells' altitudes lie within ±0.3 km of
their medians, planes are at least 0.5° apart and less than 1.4° wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import WGS72_RADIUS_M
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import DAY_NS
from testbed.orbits.propagate import Ephemeris

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_INCLINATION_GAP_DEG = 0.15  # Assumption, as the three below, from the elements of June 2026: wider is another shell
_ALTITUDE_GAP = 4e-5  # of the semi-major axis, 0.27 km in a low orbit
_PLANE_GAP_DEG = 0.5
_MADE_GAP_DEG = 1e-3  # planes of made satellites have no width
_EQUATORIAL_DEG = 1.0  # below, nodes mean nothing, and all is one plane
_LEAST_SHELL = 0.02  # Assumption: a smaller share of the catalogue in one orbit is a launch on its way
_LEAST_PLANE = 0.25  # Assumption: a plane with a smaller share of the median plane's satellites is strays
_HIGHEST_M = 20_000e3  # Assumption: satellites above have no lasers
_MINUTES_PER_DAY = 1440.0


@dataclass(frozen=True)
class Plane:
    """One plane's satellites in the order in which they cross the equator northwards after each other, last first.

    Arrays have shape (n_sats,). `u_deg`: arguments of latitude, 0 to 360, ascending.
    """

    node_deg: float  # right ascension of the ascending node in TEME, 0 to 360
    satellites: Ints  # indices into the catalogue
    u_deg: Floats


@dataclass(frozen=True)
class Planes:
    """A shell: its planes in the order of their nodes, beginning with that of its first satellite."""

    made: bool  # is it made by `walker`, so that its phasing is known?
    altitude_m: float  # median
    inclination_deg: float
    planes: tuple[Plane, ...]

    def satellites(self) -> Ints:
        """All its satellites, ascending."""
        return np.sort(np.concatenate([plane.satellites for plane in self.planes]))


def find_planes(
    catalogue: Catalogue, ephemeris: Ephemeris, time_ns: int, indices: Ints | None = None
) -> tuple[tuple[Planes, ...], Ints]:
    """The shells as they are at `time_ns` (UTC, in the ephemeris' window), and the satellites that are in none.

    `indices`: which satellites of the catalogue; all without it. Left out, ascending: what the ephemeris cannot
    propagate, what flies above 20,000 km, and of catalogued satellites those on their way: an orbit with less than
    2 % of the catalogue, a plane with less than a quarter of its shell's median plane.
    """
    asked = np.arange(len(catalogue)) if indices is None else np.unique(np.asarray(indices, dtype=np.int64))
    position_m = ephemeris.position_m(np.array([time_ns], dtype=np.int64), asked)[0]
    altitude_m, inclination_deg = catalogue.mean_altitude_m[asked], catalogue.inclination_deg[asked]
    node_deg = np.where(inclination_deg < _EQUATORIAL_DEG, 0.0, _nodes_deg(catalogue, time_ns)[asked])
    u_deg = _latitude_arguments_deg(position_m, node_deg, inclination_deg)
    fit = np.isfinite(position_m).all(axis=1) & (altitude_m < _HIGHEST_M)
    made = catalogue.synthetic[asked]
    shells = []
    for members in _shells(catalogue, asked, fit, made, altitude_m, inclination_deg):
        its_made = bool(made[members[0]])
        if not its_made and len(members) < _LEAST_SHELL * len(asked):
            continue
        groups = _planes(node_deg[members], _MADE_GAP_DEG if its_made else _PLANE_GAP_DEG)
        groups = [members[group] for group in groups]
        least = 0.0 if its_made else _LEAST_PLANE * float(np.median([len(group) for group in groups]))
        planes = [_plane(asked[group], node_deg[group], u_deg[group]) for group in groups if len(group) >= least]
        begin = min(range(len(planes)), key=lambda number: planes[number].satellites.min())
        planes = planes[begin:] + planes[:begin]
        altitude, inclination = float(np.median(altitude_m[members])), float(np.median(inclination_deg[members]))
        shells.append(Planes(its_made, altitude, inclination, tuple(planes)))
    shells.sort(key=lambda shell: int(shell.satellites()[0]))
    kept = np.concatenate([shell.satellites() for shell in shells]) if shells else np.empty(0, np.int64)
    return tuple(shells), np.setdiff1d(asked, kept)


def _nodes_deg(catalogue: Catalogue, time_ns: int) -> Floats:
    """Mean right ascensions of the ascending nodes at the time, with the drift that SGP4 gives them."""
    elements = np.array([(one.nodeo, one.nodedot) for one in catalogue.satrecs])
    minutes = (time_ns - catalogue.epochs_ns) / DAY_NS * _MINUTES_PER_DAY
    degrees: Floats = np.degrees(elements[:, 0] + elements[:, 1] * minutes) % 360.0
    return degrees


def _latitude_arguments_deg(position_m: Floats, node_deg: Floats, inclination_deg: Floats) -> Floats:
    """Angles from the ascending nodes to the satellites in their planes, 0 to 360."""
    node, inclination = np.radians(node_deg), np.radians(inclination_deg)
    x, y, z = position_m.T
    along = x * np.cos(node) + y * np.sin(node)
    across = (y * np.cos(node) - x * np.sin(node)) * np.cos(inclination) + z * np.sin(inclination)
    degrees: Floats = np.degrees(np.arctan2(across, along)) % 360.0
    return degrees


def _shells(
    catalogue: Catalogue, asked: Ints, fit: NDArray[np.bool_], made: NDArray[np.bool_], altitude_m: Floats,
    inclination_deg: Floats,
) -> list[Ints]:  # fmt: skip
    """Places in `asked` of each shell's satellites, ascending."""
    names = np.array(catalogue.shells)[asked] if catalogue.shells else np.full(len(asked), "")
    found: list[Ints] = []
    for name in np.unique(names[fit]):
        for its_made in (False, True):
            members = np.flatnonzero(fit & (names == name) & (made == its_made))
            for tilted in _clusters(members, inclination_deg[members], _INCLINATION_GAP_DEG):
                axis_log = np.log(altitude_m[tilted] + WGS72_RADIUS_M)
                found += [np.sort(group) for group in _clusters(tilted, axis_log, _ALTITUDE_GAP)]
    return found


def _clusters(members: Ints, values: Floats, gap: float) -> list[Ints]:
    """The members, parted where their sorted values are further apart than the gap."""
    if not len(members):
        return []
    order = np.argsort(values, kind="stable")
    cuts = np.flatnonzero(np.diff(values[order]) > gap) + 1
    return np.split(members[order], cuts)


def _planes(node_deg: Floats, gap_deg: float) -> list[Ints]:
    """Places of each plane's satellites; the planes in ascending order of their nodes, from the first gap on."""
    order = np.argsort(node_deg, kind="stable")
    gaps = np.diff(node_deg[order], append=node_deg[order[0]] + 360.0)
    cuts = np.flatnonzero(gaps > gap_deg)
    if not len(cuts):
        return [order]
    turned = np.roll(order, -(cuts[0] + 1))
    return np.split(turned, (cuts[1:] - cuts[0]))


def _plane(satellites: Ints, node_deg: Floats, u_deg: Floats) -> Plane:
    order = np.lexsort((satellites, u_deg))
    away_deg = (node_deg - node_deg[0] + 180.0) % 360.0 - 180.0
    middle_deg = float((node_deg[0] + away_deg.mean()) % 360.0)
    return Plane(middle_deg, satellites[order], u_deg[order])
