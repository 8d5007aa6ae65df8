"""Where satellites land: which gateway, and over which other satellites, each has for its default route.

A satellite has one default route at a time, whomever it serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SPEED_OF_LIGHT_M_S
from testbed.plan.delays import gateway_fibre, total_ns
from testbed.plan.scenario import Scenario
from testbed.plan.sightings import View

Pops = Mapping[int, int]
"""Gateways that can be used, as indices into the scenario, and the PoP each uses, likewise."""

Way = tuple[tuple[int, ...], int]
"""Satellites after the first, as indices into the catalogue, and the gateway: the way down from a satellite."""


class Landing(Protocol):
    """How satellites land in a slot."""

    def begin(self, view: View, pops: Pops) -> None:
        """From now on this is seen, and these gateways can be used; also within a slot, when one is lost."""

    def reaches(self) -> NDArray[np.bool_]:
        """Which of the view's columns have a way down, (n_columns,)."""

    def way(self, column: int) -> Way:
        """The way down from a column that has one."""


class BentPipe:
    """Each satellite sends straight down, to a gateway that it sees for the whole slot, and keeps it while it does."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._split = len(scenario.terminals)
        self._kept: dict[int, int] = {}

    def begin(self, view: View, pops: Pops) -> None:
        self._view, self._pops = view, pops
        self._gateways = np.array(sorted(pops), dtype=np.int64)
        self._in_view = np.array([view.stays(self._split + gateway) for gateway in self._gateways])
        self._in_view = self._in_view.reshape(len(self._gateways), len(view.columns))

    def reaches(self) -> NDArray[np.bool_]:
        return np.asarray(self._in_view.any(axis=0), dtype=bool)

    def way(self, column: int) -> Way:
        satellite = int(self._view.columns[column])
        usable: list[int] = self._gateways[self._in_view[:, column]].tolist()
        if self._kept.get(satellite) not in usable:
            self._kept[satellite] = self._best(column, usable)
        return (), self._kept[satellite]

    def _best(self, column: int, usable: Sequence[int]) -> int:
        if self._scenario.access.landing_by == "highest":
            return max(usable, key=lambda gateway: self._view.elevation_deg[self._split + gateway, column])
        return min(usable, key=lambda gateway: self._down_ns(column, gateway))

    def _down_ns(self, column: int, gateway: int) -> float:
        """One-way delay from the satellite over the gateway to its PoP in mid-slot, ns."""
        flight_ns = self._view.range_m[self._split + gateway, column] / SPEED_OF_LIGHT_M_S * NS_PER_S
        return float(flight_ns + fibre_ns(self._scenario, gateway, self._pops[gateway]))


def fibre_ns(scenario: Scenario, gateway: int, pop: int) -> int:
    """One-way delay of the fibre between a gateway and a PoP, ns."""
    sites = scenario.gateways[gateway].site, scenario.pops[pop].site
    return int(total_ns(gateway_fibre(*sites, scenario.overheads)).item())
