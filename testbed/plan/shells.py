"""What a topology asks for whose network is a whole constellation: its satellites, and two places to reach each other.

Every satellite is there, with the links of its shell; the ends are the satellites above the two places, not the places.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, product
from math import isfinite
from typing import Any, Final

import numpy as np

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.sites import Site
from testbed.orbits.visibility import range_elevation
from testbed.orbits.walker import Shell
from testbed.plan.catalogued import INSTANTS, catalogued_fabric, routes_towards
from testbed.plan.expected import path_delay_ns
from testbed.plan.fabric import Fabric
from testbed.plan.mesh import TOLERANCE_NS, fabric_plan
from testbed.plan.model import PathStep, Plan
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.walker_routes import walker_fabric

_CATALOGUED_TOLERANCE_NS: Final = 20_000
"""Real planes lie up to 45° apart: a link between two moves by up to 32 µs/s, and in a step of 100 ms by no more than a
quarter of this."""

_NEAREST: Final = 4  # satellites of a shell near a place, of which one is its end: some fly north, some south


@dataclass(frozen=True)
class Shells:
    """Whole shells, or instead of them a catalogue, if one is given and `catalogued` allows it. places: two; of each
    shell the two satellites near them exchange packets that have the shortest way.
    """

    name: str
    title: str
    shells: tuple[Shell, ...]
    places: tuple[Site, Site]
    parameters: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    sovereignty: Sovereignty | None = None
    catalogued: bool = False


def shells_plan(
    asked: Shells,
    start_ns: int | None,
    duration_ns: int,
    step_ns: int,
    seed: int,
    catalogue: Catalogue | None = None,
) -> Plan:
    """The plan from `start_ns` on (UTC since 1970; None: now); raises PlanError. catalogue: instead of the shells."""
    if start_ns is None:
        start_ns = time.time_ns() // NS_PER_S * NS_PER_S
    if catalogue is None:
        fabric = walker_fabric(asked.shells, start_ns, duration_ns)
        candidates, tolerance_ns = tuple(_above(fabric, asked.places)), TOLERANCE_NS
    else:
        fabric = catalogued_fabric(catalogue, start_ns, duration_ns)
        candidates, tolerance_ns = tuple(_above(fabric, asked.places)), _CATALOGUED_TOLERANCE_NS
        fabric = routes_towards(fabric, [*chain(*chain(*candidates))])
    names = fabric.catalogue.node_names
    pairs = [(names[near], names[far]) for one in candidates for near, far in one]
    plan = fabric_plan(fabric, step_ns=step_ns, tolerance_ns=tolerance_ns, pairs=pairs, name=asked.name)
    paths = _best(plan, candidates)
    if not paths:
        places = " and ".join(f"{place.latitude_deg:g},{place.longitude_deg:g}" for place in asked.places)
        raise PlanError(f"plan of {asked.name}: no way that stays lit between satellites near {places}: choose others")
    told = {
        "title": asked.title,
        **({"sovereignty": asdict(asked.sovereignty)} if asked.sovereignty else {}),
        "parameters": dict(asked.parameters),
        **({"shells": [asdict(shell) for shell in asked.shells]} if catalogue is None else {}),
        "seed": seed,
    }
    return replace(
        plan, paths=paths, assumptions=(*asked.assumptions, *plan.assumptions), manifest=plan.manifest | told
    )


def _above(fabric: Fabric, places: Sequence[Site]) -> Iterator[list[tuple[int, int]]]:
    """Of each shell: each of the satellites nearest to one place at the start with each of those near the other."""
    times = np.array([fabric.ephemeris.start_ns], dtype=np.int64)
    for group in fabric.groups:
        range_m, _ = range_elevation(places, fabric.ephemeris, times, group)
        near, far = group[np.argsort(range_m[0], axis=1)[:, :_NEAREST]].tolist()
        yield [pair for pair in product(near, far) if pair[0] != pair[1]]


def _best(plan: Plan, candidates: Sequence[Sequence[tuple[int, int]]]) -> tuple[tuple[PathStep, ...], ...]:
    """Of each shell the pair with the least round trip whose links stay lit, there and back."""
    times = np.linspace(0, plan.duration_ns, INSTANTS, endpoint=False).astype(np.int64)
    ways = iter(plan.paths)
    found: list[tuple[PathStep, ...]] = []
    for pairs in candidates:
        both = [(next(ways), next(ways)) for _ in pairs]
        trips_ns = [sum(float(path_delay_ns(plan, way, times).max()) for way in two) for two in both]
        lit = [number for number, trip_ns in enumerate(trips_ns) if isfinite(trip_ns)]
        found += both[min(lit, key=trips_ns.__getitem__)] if lit else ()
    return tuple(found)
