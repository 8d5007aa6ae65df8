"""Shortest paths by delay over a graph whose edges stay while their delays move.

Satellites are the graph's nodes, inter-satellite links its edges; sites hang on it by their ground links, which come
and go, and carry nothing between other sites. Delays are whole nanoseconds, so a path's delay is the sum of its parts
exactly, in any order.

A step's distances are repaired from the step before: the satellites are gone through in the order of their last
distances, each taking the best of its neighbours, and what that leaves wrong is found by one look at every edge and
mended by Dijkstra's algorithm from there. In integers the distances that no edge can better are unique, and a path is
read from the distances alone: backwards, to the lowest-numbered satellite through which it costs no more. So a step's
result does not depend on what came before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.plan.relax import NODE_BITS, extremes, walk

_LONGEST_NS = 4 * NS_PER_S  # paths of a thousand links then fit beside a satellite's number into 63 bits

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Graph:
    """Which satellites are linked: the neighbours of each, in the order of their numbers.

    Those of satellite v are `node[first[v]:first[v + 1]]`, over the edges `edge[...]`, which are rows of `pairs`.
    """

    n_nodes: int
    pairs: Ints  # (n_links, 2)
    first: NDArray[np.uint32]  # (n_nodes + 1,); unsigned, because a negative index costs a check each time
    node: NDArray[np.uint32]  # (2 n_links,)
    edge: NDArray[np.uint32]  # (2 n_links,)

    @classmethod
    def of(cls, n_nodes: int, pairs: Ints) -> Graph:
        """The graph of `n_nodes` satellites with these links, shape (n_links, 2).

        Raises PlanError for a link to itself or to a satellite that is not there, and for more than 2^20 satellites.
        """
        pairs = np.ascontiguousarray(pairs, dtype=np.int64).reshape(-1, 2)
        if n_nodes > 1 << NODE_BITS:
            raise PlanError(f"paths: {n_nodes:,} satellites are more than {1 << NODE_BITS:,}: take fewer")
        wrong = np.flatnonzero((pairs < 0).any(1) | (pairs >= n_nodes).any(1) | (pairs[:, 0] == pairs[:, 1]))
        if len(wrong):
            a, b = pairs[wrong[0]]
            raise PlanError(f"paths: link {wrong[0]} joins {a} and {b}: give two of the {n_nodes:,} satellites")
        near, far = pairs.T.ravel(), pairs[:, ::-1].T.ravel()
        edge = np.tile(np.arange(len(pairs)), 2)
        order = np.lexsort((edge, far, near))
        first = np.searchsorted(near[order], np.arange(n_nodes + 1))
        return cls(n_nodes, pairs, first.astype(np.uint32), far[order].astype(np.uint32), edge[order].astype(np.uint32))


@dataclass(frozen=True)
class Ground:
    """Which satellites each site sees at each step, and how far they are.

    Site k's at step t are `satellite[first[t, k]:first[t, k + 1]]` in ascending order, `delay_ns` away.
    """

    first: Ints  # (n_times, n_sites + 1)
    satellite: NDArray[np.integer[Any]]  # (n_seen,)
    delay_ns: Ints  # (n_seen,)


@dataclass(frozen=True)
class Paths:
    """The shortest paths of `pairs` of sites, step by step.

    `delay_ns`: (n_times, n_pairs), -1 where there is no path. A change says from which step on a pair's path goes over
    which satellites, in order from the pair's first site; none when there is no path. Each pair has one at step 0.
    `changes` are ordered by step, then pair; change i's satellites are `satellites[begin[i]:begin[i + 1]]`.
    """

    pairs: Ints  # (n_pairs, 2)
    delay_ns: Ints
    step: Ints  # (n_changes,)
    pair: Ints  # (n_changes,)
    begin: Ints  # (n_changes + 1,)
    satellites: Ints

    def path(self, step: int, pair: int) -> tuple[int, ...]:
        """The satellites that a pair's path uses at a step."""
        mine = np.flatnonzero((self.pair == pair) & (self.step <= step))
        return self.change(int(mine[-1]))

    def change(self, number: int) -> tuple[int, ...]:
        """The satellites of one change."""
        return tuple(self.satellites[self.begin[number] : self.begin[number + 1]].tolist())


def all_pairs(n_sites: int) -> Ints:
    """Every two of the sites once, the lower number first, shape (n_pairs, 2)."""
    return np.stack(np.triu_indices(n_sites, 1), axis=1).astype(np.int64)


def shortest_paths(graph: Graph, delay_ns: Ints, ground: Ground, pairs: Ints) -> Paths:
    """The shortest paths between pairs of sites at every step.

    `delay_ns`: of each link at each step, (n_times, n_links), at least 1, `DOWN_NS` where it is down; `pairs`: numbers
    of sites, (n_pairs, 2). A path between two sites goes over one satellite at least. Of paths of one delay the one is
    taken that, seen from its second site, goes to the lowest-numbered satellite each time.
    Raises PlanError for delays below 1 ns or beyond 4 s.
    """
    pairs = np.ascontiguousarray(pairs, dtype=np.int64).reshape(-1, 2)
    _check_delays(delay_ns)
    _check_delays(ground.delay_ns)
    sources, slot = np.unique(pairs[:, 0], return_inverse=True)
    found = np.empty((len(delay_ns), len(pairs)), np.int64)
    changes, satellites = walk(
        graph.first,
        graph.node,
        graph.edge,
        np.ascontiguousarray(delay_ns),
        np.ascontiguousarray(ground.first),
        ground.satellite.astype(np.uint32),
        ground.delay_ns,
        sources,
        slot.astype(np.int64).reshape(-1),
        pairs[:, 1].copy(),
        found,
    )
    return gather(pairs, found, changes, satellites)


def gather(pairs: Ints, delay_ns: Ints, changes: Ints, satellites: Ints) -> Paths:
    """Paths from rows of (step, pair, number of satellites) and all their satellites in a row."""
    begin = np.concatenate([np.zeros(1, np.int64), np.cumsum(changes[:, 2])])
    return Paths(pairs, delay_ns, changes[:, 0].copy(), changes[:, 1].copy(), begin, satellites)


def joined(parts: Sequence[Paths]) -> Paths:
    """The paths of the same pairs over consecutive spans of steps, as one; what does not change is told once."""
    rows: list[tuple[int, int, int]] = []
    used: list[Ints] = []
    last: dict[int, bytes] = {}
    steps = 0
    for part in parts:
        for number, (step, pair) in enumerate(zip(part.step.tolist(), part.pair.tolist(), strict=True)):
            satellites = part.satellites[part.begin[number] : part.begin[number + 1]]
            if last.get(pair) != (told := satellites.tobytes()):
                last[pair] = told
                rows.append((steps + step, pair, len(satellites)))
                used.append(satellites)
        steps += len(part.delay_ns)
    delay_ns = np.concatenate([part.delay_ns for part in parts])
    changes = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return gather(parts[0].pairs, delay_ns, changes, np.concatenate([np.empty(0, np.int64), *used]))


def _check_delays(delay_ns: Ints) -> None:
    if not delay_ns.size:
        return
    low, high = extremes(np.ascontiguousarray(delay_ns).reshape(-1))
    if low < 1 or high > _LONGEST_NS:
        worst = low if low < 1 else high
        raise PlanError(f"paths: a link's delay is {worst:,} ns: it must be 1 ns at least and 4 s at most")
