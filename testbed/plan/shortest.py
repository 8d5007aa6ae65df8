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

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from testbed.ground.errors import PlanError

DOWN_NS = 1 << 60
"""The delay of a link that is down, and the distance of what cannot be reached."""

_LONGEST_NS = 1 << 42  # 73 min: a path's delay and a satellite's number share 63 bits
_NODE_BITS = 20
_UNSORTED = 32  # an order is sorted again when more than one in so many satellites had to be mended

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
        if n_nodes > 1 << _NODE_BITS:
            raise PlanError(f"paths: {n_nodes:,} satellites are more than {1 << _NODE_BITS:,}: take fewer")
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
    satellite: Ints  # (n_seen,)
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
    Raises PlanError for delays below 1 ns or beyond an hour.
    """
    pairs = np.ascontiguousarray(pairs, dtype=np.int64).reshape(-1, 2)
    _check_delays(delay_ns)
    _check_delays(ground.delay_ns)
    sources, slot = np.unique(pairs[:, 0], return_inverse=True)
    shape = (len(delay_ns), len(pairs))
    found = np.empty(shape, np.int64)
    changes, satellites = _walk(
        graph.first, graph.node, graph.edge, delay_ns, ground.first, ground.satellite, ground.delay_ns,
        sources, slot.astype(np.int64).reshape(-1), pairs[:, 1].copy(), found,
    )  # fmt: skip
    return Paths(pairs, found, changes[:, 0].copy(), changes[:, 1].copy(), _begins(changes[:, 2]), satellites)


def _begins(counts: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _check_delays(delay_ns: Ints) -> None:
    if not delay_ns.size:
        return
    low, high = _extremes(np.ascontiguousarray(delay_ns).reshape(-1))
    if low < 1 or high > _LONGEST_NS >> 10:
        worst = low if low < 1 else high
        raise PlanError(f"paths: a link's delay is {worst:,} ns: it must be 1 ns at least and 4 s at most")


@njit(cache=True, nogil=True)
def _extremes(values):  # type: ignore[no-untyped-def]
    low, high = DOWN_NS, 0
    for value in values:
        low = min(low, value)
        if value != DOWN_NS:
            high = max(high, value)
    return low, high


@njit(cache=True, nogil=True)
def _push(heap, size, key):  # type: ignore[no-untyped-def]
    """Put a key into a binary heap that has room."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] <= key:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = key


@njit(cache=True, nogil=True)
def _pop(heap, size):  # type: ignore[no-untyped-def]
    """Take the least key out of a heap of `size`."""
    least, last = heap[0], heap[size - 1]
    size -= 1
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= last:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = last
    return least


@njit(cache=True, nogil=True)
def _farthest(distance, goals, seen_first, seen, seen_ns):  # type: ignore[no-untyped-def]
    """The delay to the farthest of the sites `goals`, DOWN_NS where one sees satellites of which none is reached."""
    farthest = 0
    for goal in goals:
        best = DOWN_NS
        for j in range(seen_first[goal], seen_first[goal + 1]):
            best = min(best, distance[seen[j]] + seen_ns[j])
        if seen_first[goal] < seen_first[goal + 1]:
            farthest = max(farthest, best)
    return farthest


@njit(cache=True, nogil=True)
def _mend(site, goals, first, node, weight, seen_first, seen, seen_ns, order, sorted_until, distance, heap):  # type: ignore[no-untyped-def]
    """Distances from a site of all satellites that are nearer than the farthest of its goals; how many were mended.

    `weight`: in the order of `node`; `order[:sorted_until]`: satellites in about the order of their distances. Those
    of the others, and distances beyond the farthest goal, are upper bounds.
    """
    distance[:] = DOWN_NS
    for j in range(seen_first[site], seen_first[site + 1]):
        distance[seen[j]] = seen_ns[j]
    size = 0
    limit = DOWN_NS
    if sorted_until:
        for place in range(sorted_until):
            here = order[place]
            best = distance[here]
            for j in range(first[here], first[np.uint32(here) + np.uint32(1)]):
                best = min(best, distance[node[j]] + weight[j])
            distance[here] = best
        limit = _farthest(distance, goals, seen_first, seen, seen_ns)
        for place in range(sorted_until):
            here = order[place]
            reached = distance[here]
            for j in range(first[here], first[np.uint32(here) + np.uint32(1)]):
                shorter = reached + weight[j]
                if shorter < distance[node[j]] and shorter < limit:
                    distance[node[j]] = shorter
                    _push(heap, size, (shorter << _NODE_BITS) | np.int64(node[j]))
                    size += 1
    for j in range(seen_first[site], seen_first[site + 1]):
        if distance[seen[j]] == seen_ns[j]:  # may be new, and not among the sorted
            _push(heap, size, (seen_ns[j] << _NODE_BITS) | np.int64(seen[j]))
            size += 1
    mended = -size
    while size:
        key = _pop(heap, size)
        size -= 1
        here, reached = np.uint32(key & ((1 << _NODE_BITS) - 1)), key >> _NODE_BITS
        if reached > distance[here]:
            continue
        mended += 1
        for j in range(first[here], first[np.uint32(here) + np.uint32(1)]):
            shorter = reached + weight[j]
            if shorter < distance[node[j]] and shorter < limit:
                distance[node[j]] = shorter
                _push(heap, size, (shorter << _NODE_BITS) | np.int64(node[j]))
                size += 1
    return mended, limit


@njit(cache=True, nogil=True)
def _sort(order, sorted_until, inside, distance, limit):  # type: ignore[no-untyped-def]
    """Bring the satellites nearer than `limit` into the order of their distances; how many they are.

    `order[:sorted_until]` is nearly sorted and holds those that are `inside`; both are renewed.
    """
    count = 0
    for place in range(sorted_until):
        here = order[place]
        if distance[here] < limit:
            order[count] = here
            count += 1
        else:
            inside[here] = False
    if sorted_until:
        for here in range(len(distance)):
            if distance[here] < limit and not inside[here]:
                inside[here] = True
                order[count] = here
                count += 1
        for place in range(1, count):
            here = order[place]
            key = distance[here]
            at = place
            while at > 0 and distance[order[at - 1]] > key:
                order[at] = order[at - 1]
                at -= 1
            order[at] = here
        return count
    order[:] = np.argsort(distance, kind="mergesort")
    count = np.count_nonzero(distance < limit)
    inside[order[:count]] = True
    return count


@njit(cache=True, nogil=True)
def _trace(first, node, weight, seed, distance, last, way):  # type: ignore[no-untyped-def]
    """The satellites from `last` back to the site whose distances these are, into `way`; how many."""
    here, count = last, 0
    while True:
        way[count] = here
        count += 1
        if seed[here] == distance[here]:
            return count
        for j in range(first[here], first[np.uint32(here) + np.uint32(1)]):
            if distance[node[j]] + weight[j] == distance[here]:
                here = np.int64(node[j])
                break


@njit(cache=True, nogil=True)
def _walk(first, node, edge, delay_ns, seen_first, seen, seen_ns, sources, slot, goal, found):  # type: ignore[no-untyped-def]
    n_nodes, n_sources, n_pairs = len(first) - 1, len(sources), len(goal)
    order = np.empty((n_sources, n_nodes), np.uint32)
    distance = np.empty((n_sources, n_nodes), np.int64)
    seed = np.full((n_sources, n_nodes), DOWN_NS, np.int64)
    sorted_until = np.zeros(n_sources, np.int64)
    inside = np.zeros((n_sources, n_nodes), np.bool_)
    weight = np.empty(len(node), np.int64)
    heap = np.empty(n_nodes + 4 * len(node) + 16, np.int64)
    last_way = np.full((n_pairs, n_nodes), -1, np.int64)
    last_count = np.full(n_pairs, -1, np.int64)
    way = np.empty(n_nodes, np.int64)
    changes, n_changes = np.empty((max(64, 4 * n_pairs), 3), np.int64), 0
    used, n_used = np.empty(1024, np.int64), 0
    for t in range(len(delay_ns)):
        for j in range(len(node)):
            weight[j] = delay_ns[t, edge[j]]
        for s in range(n_sources):
            low, high = seen_first[t, sources[s]], seen_first[t, sources[s] + 1]
            for j in range(low, high):
                seed[s, seen[j]] = seen_ns[j]
            mended, limit = _mend(
                sources[s], goal[slot == s], first, node, weight, seen_first[t], seen, seen_ns,
                order[s], sorted_until[s], distance[s], heap,
            )  # fmt: skip
            if mended * _UNSORTED > sorted_until[s]:
                sorted_until[s] = _sort(order[s], sorted_until[s], inside[s], distance[s], limit)
        for p in range(n_pairs):
            s, best, last = slot[p], DOWN_NS, -1
            for j in range(seen_first[t, goal[p]], seen_first[t, goal[p] + 1]):
                total = distance[s, seen[j]] + seen_ns[j]
                if total < best:
                    best, last = total, seen[j]
            count = 0
            if last >= 0:
                found[t, p] = best
                count = _trace(first, node, weight, seed[s], distance[s], last, way)
            else:
                found[t, p] = -1
            same = count == last_count[p]
            for j in range(count):
                if not same:
                    break
                same = way[j] == last_way[p, j]
            if same:
                continue
            last_count[p] = count
            last_way[p, :count] = way[:count]
            if n_changes == len(changes):
                changes = np.concatenate((changes, np.empty_like(changes)))
            while n_used + count > len(used):
                used = np.concatenate((used, np.empty_like(used)))
            changes[n_changes, 0], changes[n_changes, 1], changes[n_changes, 2] = t, p, count
            n_changes += 1
            for j in range(count):
                used[n_used + j] = way[count - 1 - j]
            n_used += count
        for s in range(n_sources):
            for j in range(seen_first[t, sources[s]], seen_first[t, sources[s] + 1]):
                seed[s, seen[j]] = DOWN_NS
    return changes[:n_changes], used[:n_used]
