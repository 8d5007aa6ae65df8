"""Links, and each link's step function of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.plan.access import Leg
from testbed.plan.delays import Components, centre_fibre, feeder_link, gateway_fibre, total_ns, user_link
from testbed.plan.geometry import Geometry
from testbed.plan.handover import Interval, RadioKey, Raise, Raises, feeder_intervals, user_intervals
from testbed.plan.model import STEP_DTYPE, Kind, Link

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
                for upward in (True, False):
                    raises = self.raises.get(RadioKey("user", number, satellite, upward), [])
                    times, up = self._times(intervals, begins, raises)
                    range_m, elevation_deg = self.geometry.look(terminal.site, satellite, times)
                    delay_ns = total_ns(user_link(range_m, upward, scenario.overheads)) + _extra_ns(times, raises)
                    ends = _ends(terminal.name, self.satellites[satellite], upward)
                    rate_bps = terminal.up_bps if upward else terminal.down_bps
                    link = _link(ends, "user", rate_bps, scenario.user_buffer_ns)
                    self._add(link, times, up, delay_ns, rate_bps, range_m, elevation_deg)

    def add_feeder_links(self, used: Sequence[int]) -> None:
        """Between each of the satellites `used` and the gateways it lands at."""
        scenario = self.geometry.scenario
        for satellite in used:
            for number, gateway in enumerate(scenario.gateways):
                pair = [leg for its in self.legs for leg in its if (leg.satellite, leg.gateway) == (satellite, number)]
                if not pair:
                    continue
                intervals = feeder_intervals(pair, scenario.access)
                for upward in (True, False):
                    raises = self.raises.get(RadioKey("feeder", number, satellite, upward), [])
                    times, up = self._times(intervals, [leg.begin_ns for leg in pair], raises)
                    range_m, elevation_deg = self.geometry.look(gateway.site, satellite, times)
                    delay_ns = total_ns(feeder_link(range_m)) + _extra_ns(times, raises)
                    ends = _ends(self.satellites[satellite], gateway.name, upward)
                    link = _link(ends, "feeder", gateway.feeder_bps, scenario.core_buffer_ns)
                    self._add(link, times, up, delay_ns, gateway.feeder_bps, range_m, elevation_deg)

    def add_fibres(self) -> None:
        """Between all gateways and their PoP, and between the PoP and the centres' routers; always up."""
        scenario = self.geometry.scenario
        pops = {pop.name: pop for pop in scenario.pops}
        for gateway in scenario.gateways:
            site = pops[gateway.pop].site
            self._add_fibre((gateway.name, gateway.pop), gateway_fibre(gateway.site, site, scenario.overheads))
        for centre in scenario.centres:
            site = pops[centre.pop].site
            self._add_fibre((centre.pop, centre.router), centre_fibre(site, centre.site, scenario.overheads))

    def steps(self) -> Steps:
        """All steps, ordered by link, then time."""
        return np.concatenate(self._steps)

    def _add_fibre(self, ends: tuple[str, str], components: Components) -> None:
        scenario = self.geometry.scenario
        zero, nan = np.zeros(1, np.int64), np.full(1, np.nan)
        for both in (ends, ends[::-1]):
            link = _link(both, "fibre", scenario.fibre_bps, scenario.core_buffer_ns)
            self._add(link, zero, zero == 0, total_ns(components), scenario.fibre_bps, nan, nan)

    def _times(
        self, intervals: Iterable[Interval], begins: Iterable[int], raises: Iterable[Raise]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """When a radio link has steps, within the plan and from time 0 on, and whether it is up then."""
        marks = [0, *begins, *(edge for one in raises for edge in (one.begin_ns, one.end_ns))]
        inside = [(max(begin, 0), min(end, self.duration_ns)) for begin, end in intervals]
        grid = [np.arange(-(-begin // self.step_ns) * self.step_ns, end, self.step_ns) for begin, end in inside]
        edges = [edge for interval in inside for edge in interval]
        times = np.unique(np.concatenate([np.array([*marks, *edges], dtype=np.int64), *grid]))
        times = times[times < self.duration_ns]
        up = np.zeros(len(times), dtype=bool)
        for begin, end in inside:
            up |= (times >= begin) & (times < end)
        return times, up

    def _add(
        self,
        link: Link,
        times: NDArray[np.int64],
        up: NDArray[np.bool_],
        delay_ns: NDArray[np.int64],
        rate_bps: int,
        range_m: NDArray[np.float64],
        elevation_deg: NDArray[np.float64],
    ) -> None:
        steps = np.zeros(len(times), dtype=STEP_DTYPE)
        steps["link"] = len(self.links)
        steps["time_ns"] = times
        steps["up"] = up
        steps["delay_ns"] = delay_ns
        steps["rate_bps"] = rate_bps
        steps["range_m"] = range_m
        steps["elevation_deg"] = elevation_deg
        self.links.append(link)
        self._steps.append(steps)


def _ends(low: str, high: str, upward: bool) -> tuple[str, str]:
    return (low, high) if upward else (high, low)


def _link(ends: tuple[str, str], kind: Kind, rate_bps: int, buffer_ns: int) -> Link:
    return Link(*ends, kind=kind, buffer_bytes=rate_bps * buffer_ns // (8 * NS_PER_S))


def _extra_ns(times: NDArray[np.int64], raises: Iterable[Raise]) -> NDArray[np.int64]:
    """What the raises add at each of the times."""
    extra = np.zeros(len(times), dtype=np.int64)
    for one in raises:
        extra[(times >= one.begin_ns) & (times < one.end_ns)] += one.extra_ns
    return extra
