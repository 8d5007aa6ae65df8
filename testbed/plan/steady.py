"""Hysteresis: a pair keeps its path until another is better by a stated margin, or until its path breaks.

Real networks do not follow every microsecond: without it a pair of sites changes its path some times a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from testbed.ground.errors import PlanError
from testbed.orbits.kernels import compiled
from testbed.plan.relax import DOWN_NS, Indices
from testbed.plan.shortest import Graph, Ground, Ints, Paths, gather


@dataclass(frozen=True)
class Hysteresis:
    """By how much the shortest path must be better before a pair leaves a path that works; 0 follows it always.

    Raises PlanError when the margin is negative.
    """

    margin_ns: int

    def __post_init__(self) -> None:
        if self.margin_ns < 0:
            raise PlanError(f"hysteresis: margin {self.margin_ns:,} ns is negative: give 0 or more")


def keep(
    rule: Hysteresis,
    graph: Graph,
    delay_ns: Ints,
    ground: Ground,
    best: Paths,
    before: Sequence[tuple[int, ...]] | None = None,
) -> Paths:
    """The paths that pairs use when they keep to them; `best`: the shortest, from the same graph, delays and ground.

    `before`: each pair's path in the step before the first, () for none. A path breaks when one of its links is down or
    an end of it no longer sees its satellite.
    """
    n_pairs = len(best.pairs)
    held = [()] * n_pairs if before is None else list(before)
    if len(held) != n_pairs:
        raise PlanError(f"hysteresis: {len(held)} paths before for {n_pairs} pairs: give one for each")
    way = np.full((n_pairs, graph.n_nodes), -1, np.int64)
    for pair, satellites in enumerate(held):
        way[pair, : len(satellites)] = satellites
    found = np.empty_like(best.delay_ns)
    changes, used = _keep(
        rule.margin_ns, graph.first, graph.node, graph.edge, delay_ns,
        ground.first, ground.satellite.astype(np.uint32), ground.delay_ns, best.pairs, best.delay_ns,
        best.step, best.pair, best.begin, best.satellites, way, np.array([len(one) for one in held], np.int64), found,
    )  # fmt: skip
    return gather(best.pairs, found, changes, used)


@compiled
def _seen_ns(satellite: int, low: int, high: int, seen: Indices, seen_ns: Ints) -> int:
    """How far the satellite is among those that a site sees; DOWN_NS when it is not."""
    for j in range(low, high):
        if seen[j] == satellite:
            return int(seen_ns[j])
    return DOWN_NS


@compiled
def _keep(
    margin: int,
    first: Indices,
    node: Indices,
    edge: Indices,
    delay_ns: Ints,
    seen_first: Ints,
    seen: Indices,
    seen_ns: Ints,
    pairs: Ints,
    best_ns: Ints,
    step: Ints,
    changed: Ints,
    begin: Ints,
    satellites: Ints,
    way: Ints,
    count: Ints,
    found: Ints,
) -> tuple[Ints, Ints]:
    """`way` (n_pairs, n_nodes) and `count`: the paths in use, renewed; the paths' delays go to `found`.

    A change is (step, pair, number of satellites). In the first step each pair has one.
    """
    n_times, n_pairs = best_ns.shape
    newest = np.zeros(n_pairs, np.int64)  # of the changes of the shortest paths
    changes, n_changes = np.empty((64 + n_pairs, 3), np.int64), 0
    used, n_used = np.empty(1024, np.int64), 0
    following = 0
    for t in range(n_times):
        while following < len(step) and step[following] == t:
            newest[changed[following]] = following
            following += 1
        for p in range(n_pairs):
            kept = DOWN_NS
            if count[p]:
                near, far = pairs[p]
                kept = _seen_ns(way[p, 0], seen_first[t, near], seen_first[t, near + 1], seen, seen_ns)
                last = way[p, count[p] - 1]
                kept += _seen_ns(last, seen_first[t, far], seen_first[t, far + 1], seen, seen_ns)
                for hop in range(1, count[p]):
                    if kept >= DOWN_NS:
                        break
                    link_ns = DOWN_NS
                    for j in range(first[way[p, hop - 1]], first[way[p, hop - 1] + 1]):
                        if node[j] == way[p, hop]:
                            link_ns = min(link_ns, delay_ns[t, edge[j]])
                    kept += link_ns
            broken = kept >= DOWN_NS
            leave = broken or best_ns[t, p] + margin < kept
            if leave:
                low, high = begin[newest[p]], begin[newest[p] + 1]
                count[p] = high - low
                for j in range(high - low):
                    way[p, j] = satellites[low + j]
                kept = best_ns[t, p]
            found[t, p] = kept
            if t and (not leave or (best_ns[t, p] < 0 and found[t - 1, p] < 0)):
                continue
            if n_changes == len(changes):
                changes = np.concatenate((changes, np.empty_like(changes)))
            while n_used + count[p] > len(used):
                used = np.concatenate((used, np.empty_like(used)))
            changes[n_changes, 0], changes[n_changes, 1], changes[n_changes, 2] = t, p, count[p]
            n_changes += 1
            for j in range(count[p]):
                used[n_used + j] = way[p, j]
            n_used += count[p]
    return changes[:n_changes], used[:n_used]
