"""Inter-satellite links: which satellites point lasers at each other, and when the beams are free.

Within a shell the +grid: each satellite with the ones ahead of and behind it in its plane, and with one in the plane on
either side. It is found from the elements, for Walker shells and real ones alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import acos, cos, degrees, inf, isfinite, radians, sin

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from testbed.ground.constants import WGS72_RADIUS_M, WGS84_A_M
from testbed.ground.errors import ScenarioError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.kernels import compiled
from testbed.orbits.planes import Plane, Planes, find_planes
from testbed.orbits.propagate import Ephemeris

GRAZING_M = 80_000.0
"""Assumption, as in Hypatia (Kassing et al., IMC 2020): below this altitude the atmosphere cuts a laser beam."""

TERMINALS = 4
"""Assumption: lasers on a satellite, as many as the +grid needs. Starlink's have three or four."""

RELAY_FROM_M = 2_000e3
"""Where low orbits end and medium ones begin, altitude (the usual limit, e.g. ESA's)."""

_MADE_JOINT = 1.5  # planes of made satellites are linked when no further apart than so many times the median
_JOINT = 2.5  # Assumption: the same for catalogued ones, where a plane may be missing,
_JOINT_DEG = 45.0  # and always when no further apart than this
_SAME_DEG = 0.01  # made satellites this far behind count as beside: rounding, and the wobble of SGP4's orbits
_CANDIDATES = 4  # the nearest of another shell that are tried

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lasers:
    """The rules of inter-satellite links. Raises ScenarioError when one of them makes no sense.

    max_range_m: a longer link is dark; None: only the atmosphere limits it. grazing_m: the beam's least altitude above
    the equatorial radius. polar_cutoff_deg: a link is dark while one of its ends is beyond this latitude (geocentric),
    where neighbours cross too fast; None: nowhere. terminals: the most links that one satellite ever has.
    cross_shell: link each satellite that has a terminal to spare with the nearest such one of another shell; relay: the
    same between low and medium orbits. Both come after the +grid, which takes up to four.
    """

    max_range_m: float | None = None
    grazing_m: float = GRAZING_M
    polar_cutoff_deg: float | None = None
    terminals: int = TERMINALS
    cross_shell: bool = False
    relay: bool = False

    def __post_init__(self) -> None:
        if self.max_range_m is not None and not (isfinite(self.max_range_m) and self.max_range_m > 0.0):
            raise ScenarioError(f"lasers: longest range {self.max_range_m:g} m is not positive: leave it out for none")
        if not 0.0 <= self.grazing_m <= 1_000e3:
            raise ScenarioError(f"lasers: grazing altitude {self.grazing_m:,.0f} m is outside 0 to 1,000 km")
        if self.polar_cutoff_deg is not None and not 0.0 < self.polar_cutoff_deg <= 90.0:
            raise ScenarioError(f"lasers: polar cut-off {self.polar_cutoff_deg:g} is outside 0 to 90 degrees")
        if self.terminals < 0:
            raise ScenarioError(f"lasers: {self.terminals} terminals on a satellite: give 0 or more")

    @property
    def moving(self) -> bool:
        """Do some links join orbits that drift apart, so that pairs are good for minutes only?"""
        return self.cross_shell or self.relay


@dataclass(frozen=True)
class Mesh:
    """The links of a constellation at one time.

    pairs: (n_links, 2), indices into the catalogue, the lower first, ordered; each once. left_out: satellites without a
    place in any shell, which have no links of the +grid.
    """

    pairs: Ints
    shells: tuple[Planes, ...]
    left_out: Ints


def pairs(catalogue: Catalogue, ephemeris: Ephemeris, time_ns: int, rules: Lasers, indices: Ints | None = None) -> Ints:
    """The links at `time_ns` (UTC, in the ephemeris' window): the pairs of `mesh`, shape (n_links, 2)."""
    return mesh(catalogue, ephemeris, time_ns, rules, indices).pairs


def mesh(catalogue: Catalogue, ephemeris: Ephemeris, time_ns: int, rules: Lasers, indices: Ints | None = None) -> Mesh:
    """Which satellites are linked by the +grid of their shell, and across shells if the rules say so.

    A made satellite's neighbour in the next plane is the first one ahead, as in `Grid`: somebody chose the phasing. Of
    catalogued ones two are linked that are the nearest to each other where their planes are furthest apart.
    `indices`: which satellites take part; all without it.
    """
    shells, left_out = find_planes(catalogue, ephemeris, time_ns, indices)
    free = np.full(len(catalogue), rules.terminals, np.int64)
    links: dict[tuple[int, int], None] = {}
    for shell in shells:  # along the planes first: those links never break
        _add(_along(shell, rules), free, links)
    for shell in shells:
        _add(_beside(shell, rules), free, links)
    if rules.moving:
        position_m = ephemeris.position_m(np.array([time_ns], dtype=np.int64))[0]
        _add(_between(shells, position_m, rules, free), free, links)
    return Mesh(np.array(sorted(links), dtype=np.int64).reshape(-1, 2), shells, left_out)


def _add(wanted: Iterator[tuple[int, int]], free: Ints, links: dict[tuple[int, int], None]) -> None:
    """Make the links, one after the other, for which both ends have a terminal free."""
    for a, b in wanted:
        pair = (a, b) if a < b else (b, a)
        if a != b and pair not in links and free[a] and free[b]:
            links[pair] = None
            free[a] -= 1
            free[b] -= 1


def _reach_deg(shell: Planes, rules: Lasers) -> float:
    """How far a beam gets that grazes the atmosphere, as an angle at the Earth's centre."""
    return 2.0 * degrees(acos(min(1.0, (WGS84_A_M + rules.grazing_m) / (WGS72_RADIUS_M + shell.altitude_m))))


def _along(shell: Planes, rules: Lasers) -> Iterator[tuple[int, int]]:
    """Each satellite and the next in its plane; catalogued ones not across a gap that no beam can cross."""
    reach_deg = _reach_deg(shell, rules)
    for plane in shell.planes:
        ahead_deg = (np.roll(plane.u_deg, -1) - plane.u_deg) % 360.0
        seen = np.full(len(ahead_deg), True) if shell.made else ahead_deg <= reach_deg
        yield from zip(plane.satellites[seen].tolist(), np.roll(plane.satellites, -1)[seen].tolist(), strict=True)


def _beside(shell: Planes, rules: Lasers) -> Iterator[tuple[int, int]]:
    """Satellites of neighbouring planes, eastwards."""
    planes = shell.planes
    nodes_deg = np.array([plane.node_deg for plane in planes])
    gaps_deg = (np.roll(nodes_deg, -1) - nodes_deg) % 360.0
    median_deg = float(np.median(gaps_deg))
    widest_deg = _MADE_JOINT * median_deg if shell.made else max(_JOINT * median_deg, _JOINT_DEG)
    if len(planes) < 2:
        return
    for number, gap_deg in enumerate(gaps_deg):
        if len(planes) == 2 and number == 1 and (gaps_deg[0] <= 180.0 + _SAME_DEG or shell.made):
            return  # two planes are joined once
        if gap_deg > widest_deg and not (shell.made and len(planes) == 2):
            continue
        plane, east = planes[number], planes[(number + 1) % len(planes)]
        if shell.made:
            yield from _first_ahead(plane, east)
        else:
            lead_deg = float(gap_deg) * cos(radians(shell.inclination_deg))
            yield from _nearest(plane, east, lead_deg, _reach_deg(shell, rules))


def _first_ahead(plane: Plane, east: Plane) -> Iterator[tuple[int, int]]:
    """Each satellite and the first of the next plane that is beside it or ahead."""
    place = np.searchsorted(east.u_deg, (plane.u_deg - _SAME_DEG) % 360.0) % len(east.u_deg)
    yield from zip(plane.satellites.tolist(), east.satellites[place].tolist(), strict=True)


def _nearest(plane: Plane, east: Plane, lead_deg: float, reach_deg: float) -> Iterator[tuple[int, int]]:
    """Satellites that are nearest to each other along the orbit, and in reach.

    `lead_deg`: by how much the next plane's satellites are further along, at the equator, than their arguments of
    latitude say.
    """
    away_deg = np.abs((east.u_deg[None, :] + lead_deg - plane.u_deg[:, None] + 180.0) % 360.0 - 180.0)
    there, back = away_deg.argmin(axis=1), away_deg.argmin(axis=0)
    every = np.arange(len(there))
    mutual = np.flatnonzero((back[there] == every) & (away_deg[every, there] <= reach_deg))
    yield from zip(plane.satellites[mutual].tolist(), east.satellites[there[mutual]].tolist(), strict=True)


def _between(shells: tuple[Planes, ...], position_m: Floats, rules: Lasers, free: Ints) -> Iterator[tuple[int, int]]:
    """Pairs from different shells, the nearest first, between satellites that have a terminal free at the start.

    Each satellite's four nearest of every other shell are tried.
    """
    lengths, found = [np.empty(0)], [np.empty((0, 2), np.int64)]
    for number, shell in enumerate(shells):
        for other in shells[number + 1 :]:
            apart = (shell.altitude_m < RELAY_FROM_M) != (other.altitude_m < RELAY_FROM_M)
            if not (rules.relay if apart else rules.cross_shell):
                continue
            ours, theirs = (one.satellites()[free[one.satellites()] > 0] for one in (shell, other))
            if not len(ours) or not len(theirs):
                continue
            # From the thinner shell: a relay looks for many, and few look for it.
            few, many = (ours, theirs) if len(ours) <= len(theirs) else (theirs, ours)
            near = min(_CANDIDATES, len(many))
            place = np.reshape(KDTree(position_m[many]).query(position_m[few], k=near)[1], -1)
            couples = np.sort(np.stack([np.repeat(few, near), many[place]], axis=1), axis=1)
            range_m, clear = lit_at(position_m[None], couples, rules)
            lengths.append(range_m[clear])
            found.append(couples[clear[0]])
    metres, couples = np.concatenate(lengths), np.concatenate(found)
    order = np.lexsort((couples[:, 1], couples[:, 0], metres))
    yield from zip(*couples[order].T.tolist(), strict=True)


def lit(ephemeris: Ephemeris, pairs: Ints, time_ns: Ints, rules: Lasers) -> tuple[Floats, NDArray[np.bool_]]:
    """Length in metres of each link at each time, and whether its beam is free, both (n_times, n_links).

    `pairs`: (n_links, 2), indices into the catalogue, in either order; `time_ns`: UTC, in the ephemeris' window. A link
    to a satellite that cannot be propagated has length nan and is dark.
    """
    couples = np.ascontiguousarray(pairs, dtype=np.int64).reshape(-1, 2)
    used, place = np.unique(couples, return_inverse=True)
    position_m = ephemeris.position_m(np.asarray(time_ns, dtype=np.int64), used)
    return lit_at(position_m, place.reshape(-1, 2), rules)


def lit_at(position_m: Floats, pairs: Ints, rules: Lasers) -> tuple[Floats, NDArray[np.bool_]]:
    """As `lit`, from positions in TEME, metres, (n_times, n_sats, 3); `pairs` are indices into their second axis."""
    couples = np.sort(np.ascontiguousarray(pairs, dtype=np.int64), axis=1)
    return _lit(np.ascontiguousarray(position_m), couples, *_limits(rules))


def _limits(rules: Lasers) -> tuple[float, float, float]:
    """Longest range, least distance of the beam from the Earth's centre, and the sine of the polar cut-off, squared."""
    longest_m = inf if rules.max_range_m is None else rules.max_range_m
    sine = 2.0 if rules.polar_cutoff_deg is None else sin(radians(rules.polar_cutoff_deg))
    return longest_m**2, (WGS84_A_M + rules.grazing_m) ** 2, sine**2


@compiled
def _lit(
    position_m: Floats, pairs: Ints, longest_2: float, lowest_2: float, polar_2: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """`pairs` must have the lower index first: rounding is then the same from both ends."""
    n_times, n_links = len(position_m), len(pairs)
    range_m = np.empty((n_times, n_links))
    up = np.empty((n_times, n_links), np.bool_)
    for t in range(n_times):
        for link in range(n_links):
            a, b = position_m[t, pairs[link, 0]], position_m[t, pairs[link, 1]]
            x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
            square = x * x + y * y + z * z
            from_a = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
            from_b = b[0] * b[0] + b[1] * b[1] + b[2] * b[2]
            along = -(a[0] * x + a[1] * y + a[2] * z)  # over `square`: share of the line to its lowest point
            range_m[t, link] = np.sqrt(square)
            if 0.0 < along < square:
                clear = from_a * square - along * along >= lowest_2 * square
            else:
                clear = min(from_a, from_b) >= lowest_2
            polar = a[2] * a[2] > polar_2 * from_a or b[2] * b[2] > polar_2 * from_b
            up[t, link] = clear and not polar and square <= longest_2
    return range_m, up
