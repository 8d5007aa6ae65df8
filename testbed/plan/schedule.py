"""Links, and each link's step function of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.orbits.tracks import Place, Track
from testbed.plan.access import Leg, slots
from testbed.plan.capacity import Capacity, mid_slot_ns
from testbed.plan.delays import (
    Components,
    carrier_fibre,
    centre_fibre,
    feeder_link,
    gateway_fibre,
    propagation_ns,
    total_ns,
    user_link,
)
from testbed.plan.geometry import Geometry
from testbed.plan.handover import Interval, feeder_intervals, user_intervals, without
from testbed.plan.holding import RadioKey, Raise, Raises
from testbed.plan.mesh import ISL_BPS
from testbed.plan.model import STEP_DTYPE, Kind, Link
from testbed.plan.weather import Dish, fade_db

Legs = Sequence[Sequence[Leg]]
Steps = NDArray[np.void]


@dataclass
class Schedule:
    """Links, both directions of each consecutive, and their steps so far.

    A radio link in use is renewed every `step_ns` of the plan's time, and steps where something else happens to it. Out
    of use it is down and keeps its last values. Each delay is that of its step's own instant.
    """

    geometry: Geometry
    legs: Legs
    raises: Raises
    satellites: Sequence[str]  # node names by the legs' satellite index
    duration_ns: int
    step_ns: int
    links: list[Link] = field(default_factory=list)
    _steps: list[Steps] = field(default_factory=list)

    def add_user_links(self, used: Sequence[int]) -> None:
        """Between each terminal and those of the satellites `used` that serve it."""
        scenario = self.geometry.scenario
        for number, (terminal, legs) in enumerate(zip(scenario.terminals, self.legs, strict=True)):
            for satellite in used:
                begins = [leg.begin_ns for leg in legs if leg.satellite == satellite]
                if not begins:
                    continue
                intervals = user_intervals(legs, satellite, scenario.access)
                keys = {upward: [RadioKey("user", number, satellite, upward)] for upward in (True, False)}
                self._add_radio(terminal.name, self.satellites[satellite], intervals, begins, keys)

    def add_cell_links(self) -> None:
        """Between terminals and the base stations that serve them; up while they do."""
        scenario = self.geometry.scenario
        for terminal, legs in zip(scenario.terminals, self.legs, strict=True):
            own = [(leg.begin_ns, leg.end_ns) for leg in legs if not leg.outage and not leg.chain]
            if not own:
                continue
            _, cell = scenario.cells[terminal.cell]
            edges = {0, *(edge for interval in own for edge in interval if edge < self.duration_ns)}
            times = np.array(sorted(edges), dtype=np.int64)
            up = np.array([any(begin <= time < end for begin, end in own) for time in times.tolist()])
            for ends, delay_ns, rate_bps in (
                ((terminal.name, cell.name), cell.up_ns, cell.up_bps),
                ((cell.name, terminal.name), cell.down_ns, cell.down_bps),
            ):
                delays_ns = np.full(len(times), delay_ns, dtype=np.int64)
                self._add(ends, times, up, _state(times, "user", delays_ns, rate_bps, scenario.user_buffer_ns))

    def add_isl_links(self, used: Sequence[int]) -> None:
        """Between those of the satellites `used` that pass packets on to each other."""
        access = self.geometry.scenario.access
        places = {satellite: place for place, satellite in enumerate(used)}
        users: dict[tuple[int, int], list[Leg]] = {}
        for leg in self._served():
            for nearer, further in pairwise(leg.chain):
                low, high = sorted((nearer, further), key=places.__getitem__)
                users.setdefault((low, high), []).append(leg)
        for low, high in sorted(users, key=lambda pair: (places[pair[0]], places[pair[1]])):
            legs = users[low, high]
            keys = {  # either may have been the one nearer to the gateway
                upward: [RadioKey("isl", high, low, upward), RadioKey("isl", low, high, not upward)]
                for upward in (True, False)
            }
            begins = [leg.begin_ns for leg in legs]
            ends = self.satellites[low], self.satellites[high]
            self._add_radio(*ends, feeder_intervals(legs, access), begins, keys)

    def add_feeder_links(self, used: Sequence[int]) -> None:
        """Between each of the satellites `used` and the gateways it lands at."""
        scenario = self.geometry.scenario
        for satellite in used:
            for number, gateway in enumerate(scenario.gateways):
                legs = [leg for leg in self._served() if (*leg.chain, leg.gateway)[-2:] == (satellite, number)]
                if not legs:
                    continue
                intervals = without(feeder_intervals(legs, scenario.access), self._gaps(gateway.name))
                keys = {upward: [RadioKey("feeder", number, satellite, upward)] for upward in (True, False)}
                self._add_radio(
                    self.satellites[satellite], gateway.name, intervals, [leg.begin_ns for leg in legs], keys
                )

    def add_fibres(self) -> None:
        """Between all gateways and their PoPs, and between all PoPs and the centres' routers, or the carriers' on the
        way; up unless an end is lost."""
        scenario = self.geometry.scenario
        pops = {pop.name: pop for pop in scenario.pops}
        for number in scenario.open_gateways:
            gateway = scenario.gateways[number]
            for name in gateway.pops:
                components = gateway_fibre(gateway.site, pops[name].site, scenario.overheads)
                self._add_fibre((gateway.name, name), components)
        for pop in scenario.pops:
            for carrier in scenario.carriers:
                components = carrier_fibre(pop.site, carrier.site, scenario.overheads)
                self._add_fibre((pop.name, carrier.router), components)
        for centre in scenario.centres:
            if centre.carrier:
                components = centre_fibre(centre.carrier.site, centre.site, scenario.overheads)
                self._add_fibre((centre.carrier.router, centre.router), components)
                continue
            for name in sorted(pops, key=lambda name: name != centre.pop):
                components = centre_fibre(pops[name].site, centre.site, scenario.overheads)
                self._add_fibre((name, centre.router), components)

    def steps(self) -> Steps:
        """All steps, ordered by link, then time."""
        return np.concatenate(self._steps)

    def _served(self) -> list[Leg]:
        return [leg for its_legs in self.legs for leg in its_legs if not leg.outage]

    def _gaps(self, *nodes: str) -> list[Interval]:
        """When one of the nodes is lost."""
        found = [loss for loss in self.geometry.scenario.lost if loss.node in nodes]
        ends = [self.duration_ns if loss.end_ns is None else loss.end_ns for loss in found]
        return [(loss.begin_ns, end_ns) for loss, end_ns in zip(found, ends, strict=True)]

    def _add_radio(
        self,
        low: str,
        high: str,
        intervals: Sequence[Interval],
        begins: Sequence[int],
        keys: Mapping[bool, Sequence[RadioKey]],
    ) -> None:
        """Both directions of a radio link, upward first: from `low`, the end nearer to the terminal, to `high`."""
        for upward in (True, False):
            raises = [one for key in keys[upward] for one in self.raises.get(key, [])]
            varies = keys[upward][0].kind == "user"
            times, up = self._times(intervals, begins, raises, varies=varies)
            state = self._state(keys[upward][0], times)
            state.delay_ns += _extra_ns(times, raises)
            self._add(_ends(low, high, upward), times, up, state)

    def _state(self, key: RadioKey, times: NDArray[np.int64]) -> _State:
        """What a radio link is like at each of the times, apart from holds: the one place where that is computed."""
        scenario = self.geometry.scenario
        if key.kind == "isl":
            range_m = self.geometry.between_m(key.satellite, key.ground, times)
            return _state(times, "isl", propagation_ns(range_m), ISL_BPS, 0, range_m)
        if key.kind == "feeder":
            gateway = scenario.gateways[key.ground]
            range_m, elevation_deg = self.geometry.look(gateway.site, key.satellite, times)
            delay_ns, rate_bps = total_ns(feeder_link(range_m)), gateway.feeder_bps
            return _state(times, "feeder", delay_ns, rate_bps, scenario.core_buffer_ns, range_m, elevation_deg)
        terminal = scenario.terminals[key.ground]
        range_m, elevation_deg = self.geometry.look(terminal.site, key.satellite, times)
        delay_ns = total_ns(user_link(range_m, key.upward, self.geometry.overheads(key.satellite)))
        delay_ns += self.geometry.extra_ns(key.ground, key.upward, times)
        sender = self.geometry.backup_of(key.satellite) or terminal
        rate_bps = sender.up_bps if key.upward else sender.down_bps
        state = _state(times, "user", delay_ns, rate_bps, scenario.user_buffer_ns, range_m, elevation_deg)
        if scenario.capacity is not None:
            state.rate_bps = self._drawn_bps(scenario.capacity, key, times, elevation_deg)
        return state

    def _drawn_bps(
        self, capacity: Capacity, key: RadioKey, times: NDArray[np.int64], elevation_deg: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """A user link's rate in each slot, less what the weather takes."""
        terminal = self.geometry.scenario.terminals[key.ground]
        band = capacity.cell.up_band if key.upward else capacity.cell.down_band
        fade = self._fade_db(terminal.site, band.dish, key.satellite, times)
        utc_ns = self.geometry.start_ns + times
        return capacity.rate_bps(self.geometry.seed, terminal.name, key.upward, utc_ns, elevation_deg, fade)

    def _fade_db(self, place: Place, dish: Dish, satellite: int, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """The weather's fade at each of the times, that of the middle of its slot."""
        percent, start_ns = self.geometry.scenario.rain_percent, self.geometry.start_ns
        if percent is None:
            return np.zeros(len(times))
        middle_ns, member = np.unique(mid_slot_ns(start_ns + times) - start_ns, return_inverse=True)
        _, elevation_deg = self.geometry.look(place, satellite, middle_ns)
        site = place.site_at(start_ns) if isinstance(place, Track) else place
        faded: NDArray[np.float64] = fade_db(site, dish, percent, elevation_deg)[member]
        return faded

    def _add_fibre(self, ends: tuple[str, str], components: Components) -> None:
        scenario = self.geometry.scenario
        gaps = self._gaps(*ends)
        edges = {0, *(edge for gap in gaps for edge in gap)}
        times = np.array(sorted(edge for edge in edges if edge < self.duration_ns), dtype=np.int64)
        up = np.array([not any(begin <= time < end for begin, end in gaps) for time in times.tolist()])
        for both in (ends, ends[::-1]):
            delay_ns = np.full(len(times), total_ns(components).item(), dtype=np.int64)
            self._add(both, times, up, _state(times, "fibre", delay_ns, scenario.fibre_bps, scenario.core_buffer_ns))

    def _times(
        self, intervals: Iterable[Interval], begins: Iterable[int], raises: Iterable[Raise], *, varies: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """When a radio link has steps, within the plan and from time 0 on, and whether it is up then."""
        drawn = slots(self.geometry.start_ns, self.duration_ns) if self.geometry.scenario.capacity else []
        marks = [
            0,
            *(begin for begin, _ in drawn),
            *begins,
            *(edge for one in raises for edge in (one.begin_ns, one.end_ns)),
        ]
        inside = [(max(begin, 0), min(end, self.duration_ns)) for begin, end in intervals]
        grid = [np.arange(-(-begin // self.step_ns) * self.step_ns, end, self.step_ns) for begin, end in inside]
        if varies:
            grid += [self.geometry.extra_edges_ns(begin, end) for begin, end in inside]
        edges = [edge for interval in inside for edge in interval]
        times = np.unique(np.concatenate([np.array([*marks, *edges], dtype=np.int64), *grid]))
        times = times[times < self.duration_ns]
        up = np.zeros(len(times), dtype=bool)
        for begin, end in inside:
            up |= (times >= begin) & (times < end)
        return times, up

    def _add(self, ends: tuple[str, str], times: NDArray[np.int64], up: NDArray[np.bool_], state: _State) -> None:
        steps = np.zeros(len(times), dtype=STEP_DTYPE)
        steps["link"] = len(self.links)
        steps["time_ns"] = times
        steps["up"] = up
        for name in ("delay_ns", "rate_bps", "loss", "range_m", "elevation_deg"):
            steps[name] = getattr(state, name)
        self.links.append(Link(*ends, kind=state.kind, buffer_bytes=state.buffer_bytes))
        self._steps.append(steps)


@dataclass
class _State:
    """A link direction at the times of its steps, arrays of shape (n_times,), named as in STEP_DTYPE."""

    kind: Kind
    buffer_bytes: int
    delay_ns: NDArray[np.int64]
    rate_bps: NDArray[np.int64]
    loss: NDArray[np.float64]
    range_m: NDArray[np.float64]
    elevation_deg: NDArray[np.float64]


def _state(
    times: NDArray[np.int64],
    kind: Kind,
    delay_ns: NDArray[np.int64],
    rate_bps: int,
    buffer_ns: int,
    range_m: NDArray[np.float64] | None = None,
    elevation_deg: NDArray[np.float64] | None = None,
) -> _State:
    """A state of constant rate and no loss; its buffer holds what the link sends in `buffer_ns`."""
    nan = np.full(len(times), np.nan)
    return _State(
        kind,
        rate_bps * buffer_ns // (8 * NS_PER_S),
        delay_ns,
        np.full(len(times), rate_bps, dtype=np.int64),
        np.zeros(len(times)),
        nan if range_m is None else range_m,
        nan if elevation_deg is None else elevation_deg,
    )


def _ends(low: str, high: str, upward: bool) -> tuple[str, str]:
    return (low, high) if upward else (high, low)


def _extra_ns(times: NDArray[np.int64], raises: Iterable[Raise]) -> NDArray[np.int64]:
    """What the raises add at each of the times."""
    extra = np.zeros(len(times), dtype=np.int64)
    for one in raises:
        extra[(times >= one.begin_ns) & (times < one.end_ns)] += one.extra_ns
    return extra
