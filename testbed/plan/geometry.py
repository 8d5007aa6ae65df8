"""Ranges, elevations and one-way delays of a scenario's links at instants of the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.visibility import range_elevation
from testbed.plan.delays import Components, feeder_link, gateway_fibre, total_ns, user_link
from testbed.plan.scenario import Scenario


@dataclass(frozen=True)
class Geometry:
    """A scenario above an ephemeris. Terminals and gateways are indices into the scenario, satellites into the
    catalogue; times are within the plan, in ns."""

    scenario: Scenario
    ephemeris: Ephemeris
    start_ns: int

    def look(
        self, site: Site, satellite: int, time_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slant range in m and elevation in degrees at the site, each (n_times,)."""
        range_m, elevation_deg = range_elevation([site], self.ephemeris, self.start_ns + time_ns, np.array([satellite]))
        return range_m[:, 0, 0], elevation_deg[:, 0, 0]

    def user_ns(self, terminal: int, satellite: int, upward: bool, time_ns: int) -> int:
        """One-way delay of the user link at one instant, ns."""
        range_m, _ = self.look(self.scenario.terminals[terminal].site, satellite, np.array([time_ns]))
        return _only(user_link(range_m, upward, self.scenario.overheads))

    def beyond_ns(self, satellite: int, gateway: int, time_ns: int) -> int:
        """One-way delay from the satellite over the gateway to its PoP, or back, at one instant, ns."""
        ground = self.scenario.gateways[gateway]
        pop = next(pop for pop in self.scenario.pops if pop.name == ground.pop)
        range_m, _ = self.look(ground.site, satellite, np.array([time_ns]))
        return _only(feeder_link(range_m)) + _only(gateway_fibre(ground.site, pop.site, self.scenario.overheads))


def _only(components: Components) -> int:
    return int(total_ns(components).item())
