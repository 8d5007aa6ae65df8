"""Satellite access: which satellite and which gateway serve a terminal in each slot.

A global controller reassigns satellites every 15 s, at :12 :27 :42 :57 UTC, the same everywhere (Tanveer et al.,
CoNEXT Companion 2023). Slots are judged whole, even where the plan begins or ends inside one: plans of the same start
and of different durations agree where they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import SLOT_NS, SLOT_PHASE_NS
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.visibility import range_elevation
from testbed.plan.scenario import Scenario

_HALF_SLOT_NS = SLOT_NS // 2


@dataclass(frozen=True)
class Leg:
    """A time [begin_ns, end_ns) within the plan in which one terminal keeps satellite and gateway.

    satellite: index into the catalogue; gateway: index into `Scenario.gateways`. Both are -1 in an outage, which has a
    cause.
    """

    begin_ns: int
    end_ns: int
    satellite: int
    gateway: int
    cause: str = ""

    @property
    def outage(self) -> bool:
        """Has the terminal no satellite?"""
        return self.satellite < 0


def slots(start_ns: int, duration_ns: int) -> list[tuple[int, int]]:
    """The slots that a plan touches, as (begin_ns, end_ns) within the plan, the first and last cut to it.

    `start_ns`: UTC since 1970.
    """
    first_ns = _slot_begin(start_ns) - start_ns
    begins = range(first_ns, duration_ns, SLOT_NS)
    return [(max(begin, 0), min(begin + SLOT_NS, duration_ns)) for begin in begins]


def ephemeris_window(start_ns: int, duration_ns: int) -> tuple[int, int]:
    """(start_ns, duration_ns) of the ephemeris that whole slots need."""
    begin_ns = _slot_begin(start_ns)
    end_ns = _slot_begin(start_ns + duration_ns) + SLOT_NS
    return begin_ns, end_ns - begin_ns


def assign(
    scenario: Scenario, catalogue: Catalogue, ephemeris: Ephemeris, start_ns: int, duration_ns: int
) -> tuple[tuple[Leg, ...], ...]:
    """Each terminal's legs, in the order of `scenario.terminals`, from 0 to `duration_ns` without a gap.

    `ephemeris` must cover `ephemeris_window`. Raises PlanError when a terminal has no satellite in any slot.
    """
    eligible = np.flatnonzero(catalogue.mean_altitude_m >= scenario.minimum_altitude_m)
    eligible = eligible[np.argsort(catalogue.numbers[eligible])]  # ties go to the lowest
    landing: dict[int, int] = {}
    legs: list[list[Leg]] = [[] for _ in scenario.terminals]
    for begin_ns, end_ns in slots(start_ns, duration_ns):
        elevation_deg = _elevations(scenario, ephemeris, _slot_begin(start_ns + begin_ns), eligible)
        for terminal, (satellite, gateway, cause) in enumerate(_choose(scenario, elevation_deg, eligible, landing)):
            _extend(legs[terminal], Leg(begin_ns, end_ns, satellite, gateway, cause))
    for user, its_legs in zip(scenario.terminals, legs, strict=True):
        if all(leg.outage for leg in its_legs):
            raise PlanError(
                f"{user.host}: {its_legs[0].cause} from {format_utc(start_ns)} for {duration_ns / 1e9:g} s: "
                "lower the mask, add gateways, or choose another start or catalogue"
            )
    return tuple(tuple(its_legs) for its_legs in legs)


def serving(its_legs: Sequence[Leg], time_ns: int) -> Leg:
    """The leg whose satellite and gateway the terminal's routes name at `time_ns`.

    In an outage that is the one before it, at the plan's beginning the first to come.
    """
    served = [leg for leg in its_legs if not leg.outage]
    begun = [leg for leg in served if leg.begin_ns <= time_ns]
    return begun[-1] if begun else served[0]


def _slot_begin(time_ns: int) -> int:
    """The beginning of the slot that holds the UTC instant `time_ns`; slots divide the minute."""
    return (time_ns - SLOT_PHASE_NS) // SLOT_NS * SLOT_NS + SLOT_PHASE_NS


def _elevations(
    scenario: Scenario, ephemeris: Ephemeris, slot_ns: int, eligible: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Elevations at begin, middle and end of the slot: (3, n_terminals + n_gateways, n_eligible), nan where failed."""
    sites = [*(terminal.site for terminal in scenario.terminals), *(gateway.site for gateway in scenario.gateways)]
    times = slot_ns + np.array([0, _HALF_SLOT_NS, SLOT_NS], dtype=np.int64)
    return range_elevation(sites, ephemeris, times, eligible)[1]


def _choose(
    scenario: Scenario, elevation_deg: NDArray[np.float64], eligible: NDArray[np.int64], landing: dict[int, int]
) -> list[tuple[int, int, str]]:
    """(satellite, gateway, cause) per terminal for one slot.

    `landing`: satellite to the gateway it uses; carried from slot to slot, and updated. Elevation has no minimum
    inside a slot (it rises, then falls), so what is above the mask at both ends is above it throughout.
    """
    masks = [terminal.mask_deg for terminal in scenario.terminals] + [gateway.mask_deg for gateway in scenario.gateways]
    whole_slot = np.all(elevation_deg >= np.array(masks)[:, None], axis=0)  # nan is never above a mask
    split = len(scenario.terminals)
    landable = whole_slot[split:].any(axis=0)
    chosen: list[tuple[int, int, str]] = []
    for number, terminal in enumerate(scenario.terminals):
        in_view = whole_slot[number]
        candidates = np.flatnonzero(in_view & landable)
        if not len(candidates):
            lack = "has a gateway in view" if in_view.any() else f"stays above {terminal.mask_deg:g}°"
            chosen.append((-1, -1, f"no satellite {lack} for a whole slot"))
            continue
        column = candidates[np.argmax(elevation_deg[1, number, candidates])]
        satellite = int(eligible[column])
        if satellite not in landing or not whole_slot[split + landing[satellite], column]:
            seen = np.where(whole_slot[split:, column], elevation_deg[1, split:, column], -np.inf)
            landing[satellite] = int(np.argmax(seen))
        chosen.append((satellite, landing[satellite], ""))
    return chosen


def _extend(legs: list[Leg], leg: Leg) -> None:
    """Append `leg`, or lengthen the last one when nothing changes."""
    last = legs[-1] if legs else None
    if last and (last.satellite, last.gateway) == (leg.satellite, leg.gateway):
        legs[-1] = Leg(last.begin_ns, leg.end_ns, last.satellite, last.gateway, last.cause)
    else:
        legs.append(leg)
