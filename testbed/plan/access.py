"""Satellite access: which satellites and which gateway serve a terminal in each slot.

A global controller reassigns satellites every 15 s, at :12 :27 :42 :57 UTC, the same everywhere (Tanveer et al.,
CoNEXT Companion 2023). Slots are judged whole, even where the plan begins or ends inside one: plans of the same start
and of different durations agree where they overlap.
Inside slots a terminal moves when its gateway or PoP is lost or its operator denies it, and, if it is not bound to
slots, when its satellite falls below the mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS, SPEED_OF_LIGHT_M_S
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.propagate import Ephemeris
from testbed.plan.landing import BentPipe, Landing, Meshed
from testbed.plan.losses import lost, pop_at
from testbed.plan.policies import POLICIES, Candidates, draws
from testbed.plan.scenario import Scenario
from testbed.plan.sightings import TICK_NS, Sightings, View, window
from testbed.plan.systems import BACKUP, CELL, SATELLITES, Systems

BELOW_THE_MASK = "below the mask"
"""Why a leg began inside a slot where its terminal is not bound to slots."""


@dataclass(frozen=True)
class Leg:
    """A time [begin_ns, end_ns) within the plan in which one terminal keeps satellites, gateway and PoP.

    satellite: the one that serves it, an index into the catalogue, or -1 where a cell does; beyond: those that pass its
    packets on, in the order from there to the gateway; gateway and pop: indices into the scenario. Satellite and
    gateway are -1 in an outage.
    cause: of an outage; of a leg, where it is not the slot that began it.
    """

    begin_ns: int
    end_ns: int
    satellite: int
    gateway: int
    cause: str = ""
    beyond: tuple[int, ...] = ()
    pop: int = 0

    @property
    def outage(self) -> bool:
        """Has the terminal no service?"""
        return self.gateway < 0

    @property
    def chain(self) -> tuple[int, ...]:
        """All its satellites, from the terminal to the gateway; none over a cell."""
        return (self.satellite, *self.beyond) if self.satellite >= 0 else ()

    @property
    def way(self) -> tuple[int, ...]:
        """What a handover changes: the chain, the gateway, the PoP."""
        return (*self.chain, self.gateway, self.pop)


def slots(start_ns: int, duration_ns: int) -> list[tuple[int, int]]:
    """The slots that a plan touches, as (begin_ns, end_ns) within the plan, the first and last cut to it.

    `start_ns`: UTC since 1970.
    """
    first_ns = _slot_begin(start_ns) - start_ns
    begins = range(first_ns, duration_ns, SLOT_NS)
    return [(max(begin, 0), min(begin + SLOT_NS, duration_ns)) for begin in begins]


def ephemeris_window(start_ns: int, duration_ns: int, scenario: Scenario | None = None) -> tuple[int, int]:
    """(start_ns, duration_ns) of the ephemeris that whole slots need, and the scenario's policy if it looks ahead."""
    ahead = scenario is not None and POLICIES[scenario.access.policy].looks_ahead
    return window(_slot_begin(start_ns), _slot_begin(start_ns + duration_ns) + SLOT_NS, ahead=ahead)


def assign(
    scenario: Scenario, catalogue: Catalogue, ephemeris: Ephemeris, start_ns: int, duration_ns: int, seed: int = 0
) -> tuple[tuple[Leg, ...], ...]:
    """Each terminal's legs, in the order of `scenario.terminals`, from 0 to `duration_ns` without a gap.

    `ephemeris` must cover `ephemeris_window`. Raises PlanError when a terminal has no satellite in any slot.
    """
    sightings = Sightings(scenario, catalogue, ephemeris)
    systems = Systems(scenario, catalogue, start_ns)
    landing: Landing = BentPipe(scenario, catalogue, seed)
    if scenario.lasers is not None:
        meshed = sightings.eligible[~systems.others[sightings.eligible]]
        landing = Meshed(scenario, catalogue, ephemeris, meshed, seed)
    desk = _Desk(scenario, catalogue, sightings, landing, systems, start_ns, seed)
    for begin_ns, end_ns in slots(start_ns, duration_ns):
        desk.play(begin_ns, end_ns)
    for user, its_legs in zip(scenario.terminals, desk.legs, strict=True):
        if all(leg.outage for leg in its_legs):
            mend = "lower the mask, add gateways, or choose another start or catalogue"
            mend = "let the denial begin later or end sooner" if "denied" in its_legs[0].cause else mend
            raise PlanError(
                f"{user.host}: {its_legs[0].cause} from {format_utc(start_ns)} for {duration_ns / 1e9:g} s: {mend}"
            )
    return tuple(tuple(its_legs) for its_legs in desk.legs)


def serving(its_legs: Sequence[Leg], time_ns: int) -> Leg:
    """The leg whose satellite and gateway the terminal's routes name at `time_ns`.

    In an outage that is the one before it, at the plan's beginning the first to come.
    """
    served = [leg for leg in its_legs if not leg.outage]
    begun = [leg for leg in served if leg.begin_ns <= time_ns]
    return begun[-1] if begun else served[0]


class _Desk:
    """Assigns terminals instant by instant; holds what is carried from one to the next."""

    def __init__(
        self,
        scenario: Scenario,
        catalogue: Catalogue,
        sightings: Sightings,
        landing: Landing,
        systems: Systems,
        start_ns: int,
        seed: int,
    ) -> None:
        self.legs: list[list[Leg]] = [[] for _ in scenario.terminals]
        self._scenario = scenario
        self._numbers = catalogue.numbers
        self._sightings = sightings
        self._landing = landing
        self._systems = systems
        self._start_ns = start_ns
        self._seed = seed
        self._now: list[Leg] = [Leg(0, 0, -1, -1) for _ in scenario.terminals]
        self._last = [-1] * len(scenario.terminals)  # the satellite that served last
        self._ready_ns = [0] * len(scenario.terminals)  # until then its loss goes unnoticed, or it changes systems
        self._again = [""] * len(scenario.terminals)  # why it is assigned then
        self._pops: dict[int, int] = {}
        self._losses_ns = sorted({loss.begin_ns for loss in scenario.lost if loss.begin_ns > 0})

    def play(self, begin_ns: int, end_ns: int) -> None:
        """Extend all legs over one slot, times within the plan."""
        view = self._sightings.slot(_slot_begin(self._start_ns + begin_ns))
        self._open(view, begin_ns)
        instants = {begin_ns, *self._ticks(view, begin_ns, end_ns), *self._losses_ns, *self._systems.edges}
        instants |= {denial.begin_ns for denial in self._scenario.denied}
        now_ns = begin_ns
        while now_ns < end_ns:
            self._lose(view, now_ns)
            self._deny(now_ns)
            offset_ns = self._start_ns + now_ns - view.begin_ns
            for terminal in self._movers(view, now_ns, offset_ns, first=now_ns == begin_ns):
                self._choose(terminal, view, now_ns, offset_ns)
            next_ns = min(one for one in (*instants, *self._ready_ns, end_ns) if one > now_ns)
            for its_legs, leg in zip(self.legs, self._now, strict=True):
                _extend(its_legs, replace(leg, begin_ns=now_ns, end_ns=next_ns))
            now_ns = next_ns

    def _ticks(self, view: View, begin_ns: int, end_ns: int) -> list[int]:
        """When terminals that are not bound to slots are looked after inside this one."""
        if all(terminal.bound for terminal in self._scenario.terminals):
            return []
        slot_ns = view.begin_ns - self._start_ns
        return [time_ns for time_ns in range(slot_ns, end_ns, TICK_NS) if time_ns > begin_ns]

    def _open(self, view: View, now_ns: int) -> None:
        """Find the gateways that can be used from now on, and each one's PoP."""
        scenario = self._scenario
        names = [pop.name for pop in scenario.pops]
        found = {}
        for number in scenario.open_gateways:
            gateway = scenario.gateways[number]
            pop = pop_at(gateway.pops, scenario.lost, now_ns)
            if pop is not None and not lost(scenario.lost, gateway.name, now_ns):
                found[number] = names.index(pop)
        self._pops = found
        self._landing.begin(view, found)

    def _lose(self, view: View, now_ns: int) -> None:
        """Cut off the terminals whose gateway or PoP is lost at this instant."""
        if now_ns not in self._losses_ns:
            return
        self._open(view, now_ns)
        gone = sorted({loss.node for loss in self._scenario.lost if loss.begin_ns == now_ns})
        for terminal, leg in enumerate(self._now):
            if not leg.outage and self._pops.get(leg.gateway) != leg.pop:
                self._now[terminal] = Leg(now_ns, now_ns, -1, -1, f"{', '.join(gone)} lost")
                self._cut_off(terminal, now_ns + self._scenario.access.detection_ns, "loss noticed")

    def _deny(self, now_ns: int) -> None:
        """Cut off the terminals on its satellites that the operator denies from this instant on."""
        for denial in self._scenario.denied:
            for terminal, user in enumerate(self._scenario.terminals):
                hit = denial.begin_ns == now_ns and denial.reaches(user.site, self._start_ns)
                if hit and self._systems.on(terminal) == SATELLITES:
                    self._now[terminal] = Leg(now_ns, now_ns, -1, -1, denial.cause)
                    if self._systems.has_backup(terminal):
                        self._cut_off(terminal, now_ns + self._scenario.access.detection_ns, "denial noticed")

    def _cut_off(self, terminal: int, until_ns: int, again: str) -> None:
        """It is not assigned before `until_ns`, unless something else keeps it for longer."""
        if until_ns > self._ready_ns[terminal]:
            self._ready_ns[terminal], self._again[terminal] = until_ns, again

    def _movers(self, view: View, now_ns: int, offset_ns: int, *, first: bool) -> list[int]:
        """Terminals to assign at this instant: all when the slot begins, later those that lost what they had."""
        found = []
        for number, (user, leg) in enumerate(zip(self._scenario.terminals, self._now, strict=True)):
            if now_ns < self._ready_ns[number]:
                continue
            again = self._ready_ns[number] == now_ns > 0 or number in self._systems.edges.get(now_ns, ())
            if not user.bound and offset_ns % TICK_NS == 0 and not first:
                stays = view.stays(number, offset_ns, offset_ns + TICK_NS)
                again |= leg.outage or not stays[view.columns == leg.satellite].any()
            if first or again:
                found.append(number)
                self._now[number] = Leg(now_ns, now_ns, -1, -1)  # so that it takes no beam while others choose
        return found

    def _choose(self, terminal: int, view: View, now_ns: int, offset_ns: int) -> None:
        """Give the terminal a satellite and a way down, or an outage with its cause."""
        user, access = self._scenario.terminals[terminal], self._scenario.access
        cause = "" if offset_ns == 0 or now_ns == 0 else BELOW_THE_MASK
        if now_ns == self._ready_ns[terminal] > 0:
            cause = self._again[terminal]
        cause = self._systems.edges.get(now_ns, {}).get(terminal, cause)
        cell = self._systems.cell(terminal)
        if cell in self._pops:
            self._take(terminal, now_ns, CELL, Leg(now_ns, now_ns, -1, cell, cause, (), self._pops[cell]))
            return
        until_ns = SLOT_NS if user.bound else (offset_ns // TICK_NS + 1) * TICK_NS
        since_ns = 0 if user.bound else until_ns - TICK_NS
        in_view = view.stays(terminal, since_ns, until_ns)
        reaching = in_view & self._landing.reaches()
        free = reaching & ~np.isin(view.columns, self._full())
        denied, theirs = self._systems.denied(terminal, now_ns), self._systems.others[view.columns]
        candidates = np.flatnonzero(free & ~theirs & (not denied))
        system = SATELLITES
        if self._systems.has_backup(terminal) and (not len(candidates) or self._systems.jammed(terminal, now_ns)):
            spare = np.flatnonzero(free & theirs)
            candidates, system = (spare, BACKUP) if len(spare) else (candidates, system)
        if not len(candidates) and denied:
            self._now[terminal] = Leg(now_ns, now_ns, -1, -1, denied)
            return
        if not len(candidates):
            span = "a whole slot" if user.bound else f"{TICK_NS // 10**9} s"
            lack = f"stays above {user.mask_deg:g}°"
            lack = self._landing.lack if in_view.any() else lack
            lack = f"has one of its {access.beams} beams free" if reaching.any() else lack
            self._now[terminal] = Leg(now_ns, now_ns, -1, -1, f"no satellite {lack} for {span}")
            return
        column = int(candidates[self._pick(terminal, view, candidates, since_ns)])
        beyond, gateway = self._landing.way(column)
        satellite = int(view.columns[column])
        self._take(
            terminal, now_ns, system, Leg(now_ns, now_ns, satellite, gateway, cause, beyond, self._pops[gateway])
        )
        self._last[terminal] = satellite

    def _take(self, terminal: int, now_ns: int, system: str, leg: Leg) -> None:
        """Let the terminal have this leg, or, if it is another system's, change to that first."""
        if self._systems.changes(terminal, system):
            self._cut_off(terminal, now_ns + self._scenario.access.switch_ns, f"on {system}")
            leg = Leg(now_ns, now_ns, -1, -1, f"changes to {system}")
        self._now[terminal] = leg

    def _pick(self, terminal: int, view: View, candidates: NDArray[np.int64], since_ns: int) -> int:
        """What the policy says: an index into `candidates`, which are columns of the view.

        since_ns: from the slot's beginning to that of the time judged.
        """
        policy = POLICIES[self._scenario.access.policy]
        satellites = view.columns[candidates]
        kept = np.flatnonzero(satellites == self._last[terminal])
        numbers = self._numbers[satellites]
        stays = drawn = None
        if policy.looks_ahead and not (policy.keeps and len(kept)):
            stays = self._sightings.slots_ahead(terminal, view.begin_ns, satellites)
        if policy.draws:
            drawn = draws(self._seed, self._scenario.terminals[terminal].name, view.begin_ns + since_ns, numbers)
        elevation_deg = view.elevation_deg[terminal, candidates]
        serving = int(kept[0]) if len(kept) else -1
        up_ns = view.range_m[terminal, candidates] / SPEED_OF_LIGHT_M_S * NS_PER_S
        delay_ns = up_ns + self._landing.least_ns()[candidates]
        return policy.choose(Candidates(numbers, elevation_deg, serving, stays, drawn, delay_ns))

    def _full(self) -> list[int]:
        """Satellites whose beams are all in use."""
        most = self._scenario.access.beams
        counts = Counter(leg.satellite for leg in self._now if not leg.outage)
        return [satellite for satellite, count in counts.items() if most is not None and count >= most]


def _slot_begin(time_ns: int) -> int:
    """The beginning of the slot that holds the UTC instant `time_ns`; slots divide the minute."""
    return (time_ns - SLOT_PHASE_NS) // SLOT_NS * SLOT_NS + SLOT_PHASE_NS


def _extend(legs: list[Leg], leg: Leg) -> None:
    """Append `leg`, or lengthen the last one when nothing changes."""
    last = legs[-1] if legs else None
    if last and last.way == leg.way:
        legs[-1] = replace(last, end_ns=leg.end_ns)
    else:
        legs.append(leg)
