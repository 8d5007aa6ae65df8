"""What a topology asks for whose network is a whole constellation: shells, and two places to reach each other over it.

Every satellite is there, with the links of its shell; the ends are the satellites above the two places, not the places.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from math import isfinite
from typing import Any, Final

import numpy as np

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.visibility import range_elevation
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.expected import path_delay_ns
from testbed.plan.mesh import build_mesh_plan
from testbed.plan.model import PathStep, Plan
from testbed.plan.sovereignty import Sovereignty

_NEAREST: Final = 4  # satellites of a shell near a place, of which one is its end: some fly north, some south
_INSTANTS: Final = 8  # at which a way must be lit


@dataclass(frozen=True)
class Shells:
    """Whole shells. places: two; of each shell the two satellites near them exchange
    packets that have the shortest way."""

    name: str
    title: str
    shells: tuple[Shell, ...]
    places: tuple[Site, Site]
    parameters: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    sovereignty: Sovereignty | None = None


def shells_plan(asked: Shells, start_ns: int | None, duration_ns: int, step_ns: int, seed: int) -> Plan:
    """The plan from `start_ns` on (UTC since 1970; None: now); raises PlanError."""
    if start_ns is None:
        start_ns = time.time_ns() // NS_PER_S * NS_PER_S
    candidates = tuple(_above(asked, start_ns))
    plan = build_mesh_plan(
        asked.shells,
        start_ns,
        duration_ns,
        step_ns=step_ns,
        pairs=[pair for one in candidates for pair in one],
        name=asked.name,
    )
    paths = _best(plan, candidates)
    if not paths:
        places = " and ".join(f"{place.latitude_deg:g},{place.longitude_deg:g}" for place in asked.places)
        raise PlanError(f"plan of {asked.name}: no way that stays lit between satellites near {places}: choose others")
    told = {
        "title": asked.title,
        **({"sovereignty": asdict(asked.sovereignty)} if asked.sovereignty else {}),
        "parameters": dict(asked.parameters),
        "shells": [asdict(shell) for shell in asked.shells],
        "seed": seed,
    }
    return replace(
        plan, paths=paths, assumptions=(*asked.assumptions, *plan.assumptions), manifest=plan.manifest | told
    )


def _above(asked: Shells, start_ns: int) -> Iterator[list[tuple[str, str]]]:
    """Of each shell: each of the satellites nearest to one place at the start with each of those near the other."""
    for shell in asked.shells:
        catalogue = walker_catalogue([shell], start_ns, source="built-in shells")
        times = np.array([start_ns], dtype=np.int64)
        range_m, _ = range_elevation(asked.places, Ephemeris(catalogue, start_ns, NS_PER_S), times)
        nearest = np.argsort(range_m[0], axis=1)[:, :_NEAREST].tolist()
        near, far = ([catalogue.node_names[number] for number in numbers] for numbers in nearest)
        yield [pair for pair in product(near, far) if pair[0] != pair[1]]


def _best(plan: Plan, candidates: Sequence[Sequence[tuple[str, str]]]) -> tuple[tuple[PathStep, ...], ...]:
    """Of each shell the pair with the least round trip whose links stay lit, there and back."""
    times = np.linspace(0, plan.duration_ns, _INSTANTS, endpoint=False).astype(np.int64)
    ways = iter(plan.paths)
    found: list[tuple[PathStep, ...]] = []
    for pairs in candidates:
        both = [(next(ways), next(ways)) for _ in pairs]
        trips_ns = [sum(float(path_delay_ns(plan, way, times).max()) for way in two) for two in both]
        lit = [number for number, trip_ns in enumerate(trips_ns) if isfinite(trip_ns)]
        found += both[min(lit, key=trips_ns.__getitem__)] if lit else ()
    return tuple(found)
