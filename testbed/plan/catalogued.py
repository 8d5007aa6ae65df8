"""A catalogue's satellites as a network: the +grid that is found in their elements, and the shortest ways to some.

Real planes have gaps and strays, so no block of numbers is a direction: whoever is to be reached gets a tree of routes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from testbed.ground.errors import PlanError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.lasers import Lasers, lit, mesh
from testbed.orbits.propagate import Ephemeris
from testbed.plan.fabric import Fabric
from testbed.plan.model import NUMBER_BITS, Node, Route

INSTANTS: Final = 8
"""Assumption: what is lit at so many instants, evenly spread over the plan, is lit at all."""

_NO_WAY: Final = -9999  # scipy's predecessor of what is not reached

Ints = NDArray[np.int64]


def catalogued_fabric(catalogue: Catalogue, start_ns: int, duration_ns: int) -> Fabric:
    """Every satellite that can be propagated, linked as `lasers.mesh` finds at the start; as yet without routes.

    Raises PlanError when nothing can be propagated, or no two satellites stay linked.
    """
    ephemeris = Ephemeris(catalogue, start_ns, duration_ns)
    if len(ephemeris.failed) == len(catalogue):
        raise PlanError(f"{catalogue.source}: none of its {len(catalogue):,} satellites can be propagated to the start")
    found = mesh(catalogue, ephemeris, start_ns, Lasers())
    names = catalogue.node_names
    fabric = Fabric(
        catalogue=catalogue,
        ephemeris=ephemeris,
        nodes=tuple(
            Node(name, "satellite", number=number)
            for number, name in enumerate(names)
            if number not in ephemeris.failed
        ),
        couples=found.pairs,
        groups=(),
        routes=(),
        assumptions=(
            "links are the +grid found in the elements at the start, within each shell; "
            f"{len(found.left_out):,} of {len(catalogue):,} satellites have a place in none, and no link",
            "routes lead to the ends of the paths alone, the shortest way at the start over links that stay lit",
        ),
    )
    graph = _graph(fabric)
    groups = tuple(_largest(graph, shell.satellites()) for shell in found.shells)
    if all(len(group) < 2 for group in groups):
        raise PlanError(f"{catalogue.source}: no two of its satellites stay linked: choose a larger constellation")
    return replace(fabric, groups=groups)


def routes_towards(fabric: Fabric, ends: Sequence[int]) -> Fabric:
    """The network with routes to the satellites `ends` (indices into the catalogue) from all that reach them."""
    return replace(fabric, routes=tuple(_routes(fabric, sorted(set(ends)))))


def _routes(fabric: Fabric, ends: Sequence[int]) -> Iterator[Route]:
    names = fabric.catalogue.node_names
    before = dijkstra(_graph(fabric), directed=False, indices=ends, return_predecessors=True)[1]
    for end, predecessors in zip(ends, before, strict=True):
        for satellite in np.flatnonzero(predecessors != _NO_WAY).tolist():
            yield Route(0, names[satellite], f"{end}/{NUMBER_BITS}", names[int(predecessors[satellite])])


def _graph(fabric: Fabric) -> csr_array:
    """Lengths at the start of the links that stay lit, metres."""
    ephemeris = fabric.ephemeris
    times = ephemeris.start_ns + np.linspace(0, ephemeris.duration_ns, INSTANTS).astype(np.int64)
    range_m, up = lit(ephemeris, fabric.couples, times, Lasers())
    kept = up.all(axis=0)
    size = len(fabric.catalogue)
    return coo_array((range_m[0, kept], tuple(fabric.couples[kept].T)), shape=(size, size)).tocsr()


def _largest(graph: csr_array, satellites: Ints) -> Ints:
    """Of a shell's satellites the most that reach each other."""
    _, label = connected_components(graph, directed=False)
    mine = label[satellites]
    largest: Ints = satellites[mine == np.bincount(mine).argmax()]
    return largest
