"""Who looks up from where in a plan, and how many satellites they see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.tracks import Place
from testbed.orbits.visibility import range_elevation
from testbed.plan.model import Plan
from testbed.plan.scenario import Scenario

VIEW_POINTS: Final = 240
"""Instants at which satellites in view are counted, a second apart at least."""

_CHUNK = 16  # instants whose elevations are in memory at once


@dataclass(frozen=True)
class Watch:
    """A node that looks for satellites, and the least elevation at which it sees one."""

    name: str
    place: Place  # a track has a start
    mask_deg: float


@dataclass(frozen=True)
class Sky:
    """What a picture needs beside the plan: the catalogue it was made from, and who looks up from where.

    altitudes_m: least and greatest mean altitude of the satellites that count.
    """

    catalogue: Catalogue
    watches: tuple[Watch, ...]
    altitudes_m: tuple[float, float]


def sky_of(plan: Plan, scenario: Scenario, catalogue: Catalogue) -> Sky:
    """The sky of a plan that was made from this scenario and catalogue: its terminals, and the gateways it has."""
    scenario, there = scenario.starting_at(plan.start_ns), {node.name for node in plan.nodes}
    terminals = [Watch(one.name, one.site, one.mask_deg) for one in scenario.terminals]
    gateways = [Watch(one.name, one.site, one.mask_deg) for one in scenario.gateways if one.name in there]
    return Sky(catalogue, (*terminals, *gateways), (scenario.minimum_altitude_m, scenario.maximum_altitude_m))


def in_view(plan: Plan, sky: Sky) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(times within the plan in ns, satellites above each watch's mask): shapes (n_times,) and (n_times, n_watches)."""
    seconds = max(1, -(-plan.duration_ns // (VIEW_POINTS * NS_PER_S)))
    times = np.append(np.arange(0, plan.duration_ns, seconds * NS_PER_S), plan.duration_ns)
    altitude_m, (least_m, greatest_m) = sky.catalogue.mean_altitude_m, sky.altitudes_m
    eligible = np.flatnonzero((altitude_m >= least_m) & (altitude_m <= greatest_m))
    ephemeris = Ephemeris(sky.catalogue, plan.start_ns, plan.duration_ns)
    places = [watch.place for watch in sky.watches]
    masks = np.array([watch.mask_deg for watch in sky.watches])
    counts = [
        np.count_nonzero(
            range_elevation(places, ephemeris, plan.start_ns + times[low : low + _CHUNK], eligible)[1]
            >= masks[:, None],
            axis=2,
        )
        for low in range(0, len(times), _CHUNK)
    ]
    return times, np.concatenate(counts)
