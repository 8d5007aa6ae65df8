"""What the planning benchmark computes, and the same by the plain tools: SGP4 and scipy, step by step."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from sgp4.api import SatrecArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SPEED_OF_LIGHT_M_S, WGS84_A_M
from testbed.ground.errors import RunError
from testbed.orbits.catalogue import Catalogue, read_catalogue
from testbed.orbits.frames import julian_date, sites_teme_m, up_teme
from testbed.orbits.lasers import GRAZING_M
from testbed.orbits.presets import STARLINK_2026
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.access import Leg, assign, ephemeris_window, slots
from testbed.plan.constellation import Constellation
from testbed.plan.delays import Overheads
from testbed.plan.relax import DOWN_NS
from testbed.plan.scenario import Access, Centre, Gateway, Pop, Scenario, Terminal
from testbed.plan.shortest import Paths

MASK_DEG = 25.0
DELAY_NS = 2.0
"""How far a path's delay may be from the plain tools': ranges some mm apart are rarely, but now and then, rounded to
different nanoseconds, in one part of a path or two."""

RANGE_MM = 20.0
"""How far a range may be from SGP4's: positions between its nodes are within 5 mm at either end."""
WORLD = (
    Site("roma", 41.9, 12.5),
    Site("london", 51.5, -0.1),
    Site("new-york", 40.7, -74.0),
    Site("santiago", -33.4, -70.7),
    Site("cape-town", -33.9, 18.4),
    Site("nairobi", -1.3, 36.8),
    Site("dubai", 25.2, 55.3),
    Site("singapore", 1.35, 103.8),
    Site("tokyo", 35.7, 139.7),
    Site("sydney", -33.9, 151.2),
)
"""Ten sites that the 53° shells serve: 45 pairs, from one to three hops to half the Earth."""

_ITALY = (
    ("milano", 45.46, 9.19),
    ("roma", 41.9, 12.5),
    ("spezia", 44.1, 9.83),
    ("taranto", 40.47, 17.23),
    ("augusta", 37.23, 15.22),
    ("lampedusa", 35.5, 12.61),
    ("ionian", 37.0, 18.5),
    ("sirte", 33.5, 18.0),
    ("crete", 34.0, 25.0),
    ("alboran", 36.0, -3.0),
)
_GATEWAYS = (
    ("gw-milano", 45.318522, 9.187329),
    ("gw-foggia", 41.50823, 15.58648),
    ("gw-marsala", 37.794324, 12.493115),
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def shell(planes: int, per_plane: int) -> Shell:
    """A shell like Starlink's first; with 72 × 22 it is that one."""
    return Shell("A", 550e3, 53.0, planes, per_plane, phasing=planes * 39 // 72)


def real(file: str | None, start_ns: int) -> tuple[Catalogue, int]:
    """The satellites of a file and their newest epoch, or without one the built-in shells of 2026 and `start_ns`."""
    if file is None:
        return walker_catalogue(STARLINK_2026, start_ns, "built-in: starlink-2026"), start_ns
    catalogue = read_catalogue(Path(file))
    return catalogue, catalogue.newest_epoch_ns


def world(catalogue: Catalogue, start_ns: int, duration_ns: int) -> Constellation:
    """The constellation above the ten sites."""
    return Constellation(catalogue, Ephemeris(catalogue, start_ns, duration_ns), WORLD, [MASK_DEG] * len(WORLD))


@dataclass(frozen=True)
class Plain:
    """One step by the plain tools: the links' ranges, which are up, delays between all sites, and of all links."""

    range_m: Floats
    up: NDArray[np.bool_]
    delay_ns: Floats  # (n_sites, n_sites), inf where there is no path
    parts: csr_array  # delays of the links, from satellite to satellite and from site to satellite


def _plain_sky(satrecs: SatrecArray, sites: Sequence[Site], time_ns: int) -> tuple[Floats, Floats, Floats]:
    """Positions (n_sats, 3) in metres, and slant ranges and elevations, (n_sites, n_sats), at one instant."""
    when = np.array([time_ns])
    position_m = satrecs.sgp4(*julian_date(when))[1][:, 0] * 1e3
    line_m = position_m[None] - sites_teme_m(sites, when)[0][:, None]
    slant_m = np.linalg.norm(line_m, axis=2)
    elevation_deg = np.degrees(np.arcsin(np.einsum("ijk,ik->ij", line_m, up_teme(sites, when)[0]) / slant_m))
    return position_m, slant_m, elevation_deg


class PlainTools:
    """SGP4 for every satellite, numpy for the geometry, scipy's Dijkstra on a graph built anew: the obvious way."""

    def __init__(self, catalogue: Catalogue, links: Ints, sites: Sequence[Site], mask_deg: float) -> None:
        self._satrecs = SatrecArray(catalogue.satrecs)
        self._links = links
        self._sites = sites
        self._mask_deg = mask_deg

    def step(self, time_ns: int) -> Plain:
        """Everything at one instant."""
        position_m, slant_m, elevation_deg = _plain_sky(self._satrecs, self._sites, time_ns)
        a, b = position_m[self._links[:, 0]], position_m[self._links[:, 1]]
        range_m = np.linalg.norm(b - a, axis=1)
        # Height of the triangle over the link, where its foot lies between the satellites.
        height_m = np.linalg.norm(np.cross(a, b), axis=1) / range_m
        inner = (np.einsum("lk,lk->l", a, a - b) > 0) & (np.einsum("lk,lk->l", b, b - a) > 0)
        height_m[~inner] = np.minimum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))[~inner]
        up = height_m >= WGS84_A_M + GRAZING_M
        site, satellite = np.nonzero(elevation_deg >= self._mask_deg)
        n_sats, n_sites = len(position_m), len(self._sites)
        # Sites twice, as beginnings and as ends: so that no path goes over a third one.
        row = np.concatenate([self._links[up].T.ravel(), n_sats + site, satellite])
        column = np.concatenate([self._links[up][:, ::-1].T.ravel(), satellite, n_sats + n_sites + site])
        metres = np.concatenate([np.tile(range_m[up], 2), np.tile(slant_m[site, satellite], 2)])
        size = n_sats + 2 * n_sites
        parts = csr_array((np.rint(metres * (NS_PER_S / SPEED_OF_LIGHT_M_S)), (row, column)), shape=(size, size))
        delay_ns = dijkstra(parts, indices=np.arange(n_sats, n_sats + n_sites))[:, n_sats + n_sites :]
        return Plain(range_m, up, delay_ns, parts)


@dataclass(frozen=True)
class Told:
    """What a verification found, and how long the plain tools took for a step."""

    worst_ns: float
    worst_m: float
    plain_s: float


def verify(constellation: Constellation, paths: Paths, start_ns: int, steps: Sequence[int], step_ns: int) -> Told:
    """Hold steps of `paths` against the plain tools; raises RunError when a delay is more than 2 ns off, or a path."""
    graph = constellation.graph(start_ns)
    tools = PlainTools(constellation.catalogue, graph.pairs, WORLD, MASK_DEG)
    worst_ns, worst_m, seconds = 0.0, 0.0, 0.0
    n_sats = len(constellation.catalogue)
    for step in steps:
        now = np.array([start_ns + step * step_ns])
        begin = time.perf_counter()
        plain = tools.step(int(now[0]))
        seconds += time.perf_counter() - begin
        piece = constellation.piece(graph, now)
        if ((piece.delay_ns[0] < DOWN_NS) != plain.up).any():
            raise RunError(f"bench plan: step {step}: other links are dark than by the plain tools")
        worst_m = max(worst_m, float(np.abs(piece.range_m[0] - plain.range_m).max(initial=0.0)))
        for number, (near, far) in enumerate(paths.pairs.tolist()):
            ours, theirs = float(paths.delay_ns[step, number]), float(plain.delay_ns[near, far])
            if (ours < 0) != np.isinf(theirs):
                raise RunError(f"bench plan: step {step}: {WORLD[near].name} to {WORLD[far].name}: only one has a path")
            if ours >= 0:
                way = [n_sats + near, *paths.path(step, number), n_sats + len(WORLD) + far]
                along_ns = sum(float(plain.parts[a, b]) for a, b in pairwise(way))
                worst_ns = max(worst_ns, abs(ours - theirs), abs(along_ns - theirs))
    if worst_ns > DELAY_NS:
        raise RunError(f"bench plan: a delay is {worst_ns:g} ns from the plain tools'")
    if worst_m * 1e3 > RANGE_MM:
        raise RunError(f"bench plan: a link's range is {worst_m * 1e3:.1f} mm from the plain tools'")
    return Told(worst_ns, worst_m, seconds / len(steps))


def hour(folder: Path, *, file: str | None, start_ns: int, duration_s: int) -> dict[str, Any]:
    """The real constellation, second by second; in a process of its own, because of the memory."""
    del folder
    catalogue, start_ns = real(file, start_ns)
    duration_ns = duration_s * NS_PER_S
    world(catalogue, start_ns, 2 * NS_PER_S).paths(start_ns, 2 * NS_PER_S)  # compiled, or loaded
    begin = time.perf_counter()
    constellation = world(catalogue, start_ns, duration_ns)
    paths = constellation.paths(start_ns, duration_ns)
    seconds = time.perf_counter() - begin
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    alone = constellation.paths(start_ns, min(duration_ns, 400 * NS_PER_S), threads=1)
    if not np.array_equal(alone.delay_ns, paths.delay_ns[: len(alone.delay_ns)]):
        raise RunError("bench plan: one thread gives other delays than several")
    steps = np.linspace(0, duration_s - 1, 4).astype(int).tolist()
    told = verify(constellation, paths, start_ns, steps, NS_PER_S)
    return {
        "source": catalogue.source,
        "satellites": len(catalogue),
        "links": len(constellation.graph(start_ns).pairs),
        "changes": len(paths.step),
        "seconds": seconds,
        "peak_mb": peak_mb,
        "worst_ns": told.worst_ns,
        "worst_m": told.worst_m,
        "plain_s": told.plain_s,
    }


def bent_pipe() -> Scenario:
    """Ten Italian and Mediterranean terminals, the three Italian gateways, whatever policy is the default."""
    pop = Pop("pop-milan", Site("milan", 45.478016, 9.101828))
    hosts = tuple(name for name, _, _ in _ITALY)
    return Scenario(
        name="bench",
        title="ten sites",
        terminals=tuple(Terminal(n, Site(n, lat, lon), MASK_DEG, 10**7, 10**8) for n, lat, lon in _ITALY),
        gateways=tuple(
            Gateway(n, Site(n.removeprefix("gw-"), lat, lon), MASK_DEG, (pop.name,), 10**9) for n, lat, lon in _GATEWAYS
        ),
        pops=(pop,),
        centres=(Centre("centre", Site("centre", 45.4, 9.1), "ce-milan", pop.name),),
        pairs=tuple((host, "centre") for host in hosts),
        minimum_altitude_m=440e3,
        access=Access(order="hold", outage_ns=0),
        overheads=Overheads(),
        fibre_bps=10**10,
        user_buffer_ns=10**8,
        core_buffer_ns=10**8,
        flows=lambda _: (),
    )


def day(folder: Path, *, file: str | None, start_ns: int, duration_s: int) -> dict[str, Any]:
    """Bent-pipe slots; in a process of its own, because of the memory."""
    del folder
    catalogue, start_ns = real(file, start_ns)
    scenario = bent_pipe()
    duration_ns = duration_s * NS_PER_S
    first = Ephemeris(catalogue, *ephemeris_window(start_ns, 60 * NS_PER_S))
    assign(scenario, catalogue, first, start_ns, 60 * NS_PER_S)  # compiled, or loaded
    begin = time.perf_counter()
    ephemeris = Ephemeris(catalogue, *ephemeris_window(start_ns, duration_ns))
    legs = assign(scenario, catalogue, ephemeris, start_ns, duration_ns)
    seconds = time.perf_counter() - begin
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plain_s = check_legs(scenario, catalogue, legs, start_ns, duration_ns)
    return {"seconds": seconds, "legs": sum(len(its) for its in legs), "peak_mb": peak_mb, "plain_s": plain_s}


def check_legs(
    scenario: Scenario, catalogue: Catalogue, legs: Sequence[Sequence[Leg]], start_ns: int, duration_ns: int
) -> float:
    """Hold some whole slots against SGP4 and numpy; how long these take for a slot, in seconds.

    Whatever the policy, a terminal's satellite is above the masks of both ends at the slot's beginning, middle and end,
    and where there is an outage no satellite is. Raises RunError when that is not so.
    """
    satrecs = SatrecArray(catalogue.satrecs)
    places = [*(one.site for one in scenario.terminals), *(one.site for one in scenario.gateways)]
    sites = [place for place in places if isinstance(place, Site)]  # the bench's own scenario has nothing that moves
    masks = np.array([*(one.mask_deg for one in scenario.terminals), *(one.mask_deg for one in scenario.gateways)])
    high = catalogue.mean_altitude_m >= scenario.minimum_altitude_m
    whole = [slot for slot in slots(start_ns, duration_ns) if slot[1] - slot[0] == SLOT_NS]
    chosen = [whole[place] for place in np.linspace(0, len(whole) - 1, 4).astype(int)]
    seconds = 0.0
    for begin_ns, end_ns in chosen:
        begin = time.perf_counter()
        instants = (begin_ns, (begin_ns + end_ns) // 2, end_ns)
        elevation_deg = np.array([_plain_sky(satrecs, sites, start_ns + one)[2] for one in instants])
        seen = (elevation_deg >= masks[:, None]).all(axis=0) & high
        seconds += time.perf_counter() - begin
        terminals, gateways = seen[: len(scenario.terminals)], seen[len(scenario.terminals) :]
        for user, its, in_view in zip(scenario.terminals, legs, terminals, strict=True):
            leg = next(one for one in its if one.begin_ns <= begin_ns < one.end_ns)
            could = in_view & gateways.any(axis=0)
            served = not leg.outage and bool(in_view[leg.satellite] and gateways[leg.gateway, leg.satellite])
            if served != bool(could.any()):
                raise RunError(
                    f"bench plan: {user.host} at {begin_ns / 1e9:g} s: its satellite is not in view, or none"
                )
    return seconds / len(chosen)
