"""Ranges, elevations and one-way delays of a scenario's links at instants of the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.orbits.propagate import Ephemeris
from testbed.orbits.tracks import Place
from testbed.orbits.visibility import range_elevation
from testbed.plan.delays import Components, Overheads, centre_fibre, feeder_link, propagation_ns, total_ns, user_link
from testbed.plan.landing import fibre_ns
from testbed.plan.scenario import Backup, Scenario
from testbed.plan.variation import LONGEST_VARIATION_NS


@dataclass(frozen=True)
class Geometry:
    """A scenario above an ephemeris. Terminals and gateways are indices into the scenario, satellites into the
    catalogue; times are within the plan, in ns. seed: of what the scenario draws."""

    scenario: Scenario
    ephemeris: Ephemeris
    start_ns: int
    seed: int = 0

    def look(
        self, site: Place, satellite: int, time_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slant range in m and elevation in degrees at the site, each (n_times,)."""
        range_m, elevation_deg = range_elevation([site], self.ephemeris, self.start_ns + time_ns, np.array([satellite]))
        return range_m[:, 0, 0], elevation_deg[:, 0, 0]

    def backup_of(self, satellite: int) -> Backup | None:
        """The scenario's backup, if this is one of its satellites."""
        backup = self.scenario.backup
        own = backup is not None and self.ephemeris.catalogue.mean_altitude_m[satellite] >= backup.from_m
        return backup if own else None

    def overheads(self, satellite: int) -> Overheads:
        """Of the user links of a satellite."""
        backup = self.backup_of(satellite)
        return self.scenario.overheads if backup is None else backup.overheads

    def user_ns(self, terminal: int, satellite: int, upward: bool, time_ns: int) -> int:
        """One-way delay of the user link at one instant, ns, without what varies (`variation`)."""
        range_m, _ = self.look(self.scenario.terminals[terminal].site, satellite, np.array([time_ns]))
        return _only(user_link(range_m, upward, self.overheads(satellite)))

    def extra_ns(self, terminal: int, upward: bool, time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """What varies in the user link's delay, ns, (n_times,)."""
        variation = self.scenario.variation
        if variation is None:
            return np.zeros(len(time_ns), dtype=np.int64)
        return variation.extra_ns(self.seed, self.scenario.terminals[terminal].name, upward, self.start_ns + time_ns)

    def extra_edges_ns(self, begin_ns: int, end_ns: int) -> NDArray[np.int64]:
        """When `extra_ns` may change, in [begin_ns, end_ns)."""
        variation = self.scenario.variation
        if variation is None:
            return np.zeros(0, dtype=np.int64)
        return variation.edges_ns(self.start_ns + begin_ns, self.start_ns + end_ns) - self.start_ns

    def latest_extra_ns(self, terminal: int, upward: bool, time_ns: int) -> int:
        """What the latest of the packets sent before this instant adds beyond it, ns; may be negative."""
        before = self.extra_edges_ns(time_ns - LONGEST_VARIATION_NS, time_ns)
        last = np.append(before - 1, time_ns - 1)  # the last instants of the values that end before, or hold now
        return int((self.extra_ns(terminal, upward, last) + last - time_ns + 1).max())

    def earliest_extra_ns(self, terminal: int, upward: bool, time_ns: int) -> int:
        """What the earliest of the packets sent from this instant on adds, ns; may be negative."""
        after = np.append(time_ns, self.extra_edges_ns(time_ns, time_ns + LONGEST_VARIATION_NS))
        return int((self.extra_ns(terminal, upward, after) + after - time_ns).min())

    def extreme_extra_ns(self, terminal: int, upward: bool, begin_ns: int, end_ns: int) -> tuple[int, int]:
        """The least and the most that packets add which are sent in [begin_ns, end_ns), ns."""
        extra = self.extra_ns(terminal, upward, np.append(begin_ns, self.extra_edges_ns(begin_ns, end_ns)))
        return int(extra.min()), int(extra.max())

    def beyond_ns(self, satellite: int, gateway: int, time_ns: int, pop: int | None = None) -> int:
        """One-way delay from the satellite over the gateway to its PoP, or back, at one instant, ns.

        pop: index into the scenario; without it the gateway's first.
        """
        ground = self.scenario.gateways[gateway]
        names = [one.name for one in self.scenario.pops]
        range_m, _ = self.look(ground.site, satellite, np.array([time_ns]))
        return _only(feeder_link(range_m)) + fibre_ns(
            self.scenario, gateway, names.index(ground.pops[0]) if pop is None else pop
        )

    def between_m(self, a: int, b: int, time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Range between two satellites, metres, (n_times,)."""
        position_m = self.ephemeris.position_m(self.start_ns + time_ns, np.array([a, b]))
        line_m = position_m[:, 0] - position_m[:, 1]
        return np.asarray(np.sqrt(np.einsum("tk,tk->t", line_m, line_m)))

    def between_ns(self, a: int, b: int, time_ns: int) -> int:
        """One-way delay between two satellites at one instant, ns."""
        return int(propagation_ns(self.between_m(a, b, np.array([time_ns]))).item())

    def further_ns(self, old_pop: int, new_pop: int) -> int:
        """How much further, at most, a centre is from one PoP than from another: one way, ns."""
        if old_pop == new_pop:
            return 0
        old, new = (self.scenario.pops[pop].site for pop in (old_pop, new_pop))
        overheads = self.scenario.overheads
        return max(
            _only(centre_fibre(old, centre.site, overheads)) - _only(centre_fibre(new, centre.site, overheads))
            for centre in self.scenario.centres
        )


def _only(components: Components) -> int:
    return int(total_ns(components).item())
