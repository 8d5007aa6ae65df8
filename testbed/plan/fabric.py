"""A constellation as a network before it is a plan: satellites, their links, their routes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.orbits.catalogue import Catalogue
from testbed.orbits.propagate import Ephemeris
from testbed.plan.model import Node, Route


@dataclass(frozen=True)
class Fabric:
    """couples: (n_links, 2), indices into the catalogue, each link once. groups: of each shell the satellites that
    reach each other, indices into the catalogue. Routes lead within a group.
    """

    catalogue: Catalogue
    ephemeris: Ephemeris  # over the plan's time
    nodes: tuple[Node, ...]
    couples: NDArray[np.int64]
    groups: tuple[NDArray[np.int64], ...]
    routes: tuple[Route, ...]
    assumptions: tuple[str, ...]
