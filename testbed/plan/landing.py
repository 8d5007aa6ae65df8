"""Where satellites land: which gateway, and over which other satellites, each has for its default route.

A satellite has one default route at a time, whomever it serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from testbed.ground.constants import NS_PER_S, SLOT_NS, SPEED_OF_LIGHT_M_S
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.lasers import lit, pairs
from testbed.orbits.propagate import Ephemeris
from testbed.plan.delays import gateway_fibre, total_ns
from testbed.plan.policies import draws
from testbed.plan.scenario import Scenario
from testbed.plan.sightings import View

PAIRING_NS = 60 * NS_PER_S
"""Assumption: links between orbits that drift apart are paired anew every minute, on the minute."""

Pops = Mapping[int, int]
"""Gateways that can be used, as indices into the scenario, and the PoP each uses, likewise."""

Way = tuple[tuple[int, ...], int]
"""Satellites after the first, as indices into the catalogue, and the gateway: the way down from a satellite."""


class Landing(Protocol):
    """How satellites land in a slot. `lack`: what a satellite in view of a terminal misses when it cannot serve."""

    lack: str

    def begin(self, view: View, pops: Pops) -> None:
        """From now on this is seen, and these gateways can be used; also within a slot, when one is lost."""

    def reaches(self) -> NDArray[np.bool_]:
        """Which of the view's columns have a way down, (n_columns,)."""

    def least_ns(self) -> NDArray[np.float64]:
        """One-way delay from each column to its PoP in mid-slot, infinite where there is no way, (n_columns,)."""

    def way(self, column: int) -> Way:
        """The way down from a column that has one."""


class _Gateways:
    """What usable gateways see of a slot's satellites."""

    def __init__(self, scenario: Scenario, catalogue: Catalogue, seed: int) -> None:
        self._scenario = scenario
        self._numbers = catalogue.numbers
        backup = scenario.backup
        self._others = catalogue.mean_altitude_m >= (inf if backup is None else backup.from_m)
        self._theirs = [backup is not None and gateway.name == backup.gateway for gateway in scenario.gateways]
        self._cells = {number for number, _ in scenario.cells.values()}
        self._split = len(scenario.terminals)
        self._seed = seed

    def look(self, view: View, pops: Pops) -> None:
        """Find `usable`, indices of gateways, and each (n_usable, n_columns): `in_view` for the whole slot; `free`,
        with an antenna to spare too; `down_ns`, the one-way delay over the gateway to its PoP in mid-slot."""
        access = self._scenario.access
        self.view = view
        self.usable = sorted(set(pops) - self._cells)
        shape = len(self.usable), len(view.columns)
        self.in_view, self.free = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        self.down_ns = np.zeros(shape)
        for row, gateway in enumerate(self.usable):
            own = self._others[view.columns] == self._theirs[gateway]
            self.in_view[row] = self.free[row] = view.stays(self._split + gateway) & own
            if access.antennas < 1.0:
                name = self._scenario.gateways[gateway].name
                drawn = draws(self._seed, name, view.begin_ns, self._numbers[view.columns])
                self.free[row] &= drawn < access.antennas
            flight_ns = view.range_m[self._split + gateway] / SPEED_OF_LIGHT_M_S * NS_PER_S
            self.down_ns[row] = flight_ns + fibre_ns(self._scenario, gateway, pops[gateway])

    def elevation_deg(self, row: int, column: int) -> float:
        """Of a column at a usable gateway, in mid-slot."""
        return float(self.view.elevation_deg[self._split + self.usable[row], column])


class BentPipe:
    """Each satellite sends straight down, to a gateway that it sees for the whole slot, and keeps it while it does."""

    lack = "has a gateway in view"

    def __init__(self, scenario: Scenario, catalogue: Catalogue, seed: int) -> None:
        self._by = scenario.access.landing_by
        self._gateways = _Gateways(scenario, catalogue, seed)
        self._kept: dict[int, int] = {}

    def begin(self, view: View, pops: Pops) -> None:
        self._view = view
        self._gateways.look(view, pops)
        self._choices = self._gateways.free.copy()
        columns = {satellite: column for column, satellite in enumerate(view.columns.tolist())}
        rows = {gateway: row for row, gateway in enumerate(self._gateways.usable)}
        # Those that have landed keep their antenna; they are forgotten when their gateway is lost or loses them.
        self._kept = {
            satellite: gateway
            for satellite, gateway in self._kept.items()
            if satellite in columns and gateway in rows and self._gateways.in_view[rows[gateway], columns[satellite]]
        }
        for satellite, gateway in self._kept.items():
            self._choices[:, columns[satellite]] = False
            self._choices[rows[gateway], columns[satellite]] = True

    def reaches(self) -> NDArray[np.bool_]:
        return np.asarray(self._choices.any(axis=0), dtype=bool)

    def least_ns(self) -> NDArray[np.float64]:
        down_ns = np.where(self._choices, self._gateways.down_ns, np.inf)
        return np.asarray(down_ns.min(axis=0, initial=np.inf))

    def way(self, column: int) -> Way:
        satellite = int(self._view.columns[column])
        if satellite not in self._kept:
            rows = np.flatnonzero(self._choices[:, column]).tolist()
            if self._by == "highest":
                best = max(rows, key=lambda row: self._gateways.elevation_deg(row, column))
            else:
                best = min(rows, key=lambda row: float(self._gateways.down_ns[row, column]))
            self._kept[satellite] = self._gateways.usable[best]
        return (), self._kept[satellite]


class Meshed:
    """Satellites pass packets on over laser links: the tree of least delay to the PoPs, made anew in each slot.

    Links and gateways are used that hold for the whole slot, at their delay in mid-slot. The tree has its root beyond
    the PoPs, so all of them count alike.
    """

    lack = "reaches a gateway over laser links"

    def __init__(
        self, scenario: Scenario, catalogue: Catalogue, ephemeris: Ephemeris, eligible: NDArray[np.int64], seed: int
    ) -> None:
        assert scenario.lasers is not None
        self._rules = scenario.lasers
        self._catalogue, self._ephemeris = catalogue, ephemeris
        self._eligible = np.sort(eligible)
        self._gateways = _Gateways(scenario, catalogue, seed)
        self._pairs = np.zeros((0, 2), dtype=np.int64)
        self._paired_ns = self._slot_ns = -1

    def begin(self, view: View, pops: Pops) -> None:
        if view.begin_ns != self._slot_ns:
            self._slot_ns = view.begin_ns
            self._link(view.begin_ns)
        self._gateways.look(view, pops)
        root = len(self._catalogue)
        columns = np.flatnonzero(self._gateways.free.any(axis=0))
        down_ns = np.where(self._gateways.free, self._gateways.down_ns, np.inf)[:, columns]
        best = np.argmin(down_ns, axis=0)
        satellites = view.columns[columns]
        self._landing = {
            satellite: self._gateways.usable[row]
            for satellite, row in zip(satellites.tolist(), best.tolist(), strict=True)
        }
        low, high = self._edges.T
        ends = np.concatenate([low, high, np.full(len(columns), root)]), np.concatenate([high, low, satellites])
        weights = np.concatenate([self._edges_ns, self._edges_ns, down_ns[best, np.arange(len(columns))]])
        graph = csr_matrix((weights, ends), shape=(root + 1, root + 1))
        self._down_ns, self._before = dijkstra(graph, indices=root, return_predecessors=True)

    def reaches(self) -> NDArray[np.bool_]:
        return np.isfinite(self.least_ns())

    def least_ns(self) -> NDArray[np.float64]:
        return np.asarray(self._down_ns[self._gateways.view.columns])

    def way(self, column: int) -> Way:
        satellite = int(self._gateways.view.columns[column])
        beyond: list[int] = []
        while self._before[satellite] != len(self._catalogue):
            satellite = int(self._before[satellite])
            beyond.append(satellite)
        return tuple(beyond), self._landing[satellite]

    def _link(self, slot_ns: int) -> None:
        """The laser links that are lit for the whole slot, and their delays in mid-slot."""
        minute_ns = slot_ns - slot_ns % PAIRING_NS if self._rules.moving else 0
        if minute_ns != self._paired_ns:
            self._paired_ns = minute_ns
            time_ns = max(minute_ns, self._ephemeris.start_ns)
            self._pairs = pairs(self._catalogue, self._ephemeris, time_ns, self._rules, self._eligible)
        times = slot_ns + np.array([0, SLOT_NS // 2, SLOT_NS], dtype=np.int64)
        range_m, up = lit(self._ephemeris, self._pairs, times, self._rules)
        whole = up.all(axis=0)
        self._edges = self._pairs[whole]
        self._edges_ns = range_m[1, whole] / SPEED_OF_LIGHT_M_S * NS_PER_S


def fibre_ns(scenario: Scenario, gateway: int, pop: int) -> int:
    """One-way delay of the fibre between a gateway and a PoP, ns."""
    sites = scenario.gateways[gateway].site, scenario.pops[pop].site
    return int(total_ns(gateway_fibre(*sites, scenario.overheads)).item())
