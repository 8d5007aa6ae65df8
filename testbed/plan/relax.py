"""The compiled loops of `shortest`: distances mended from the step before, and paths read from them.

Indices are unsigned where it counts: a signed one costs a check for being negative each time, half of the whole time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from testbed.orbits.kernels import compiled

DOWN_NS = 1 << 60
"""The delay of a link that is down, and the distance of what cannot be reached."""

NODE_BITS = 20
"""A key in the heap is a distance and, in its lowest bits, a satellite."""

_UNSORTED = 32  # an order is sorted anew when more than one in so many satellites had to be mended

Ints = NDArray[np.int64]
Indices = NDArray[np.uint32]


@compiled
def extremes(values: Ints) -> tuple[int, int]:
    """The least and the greatest of the delays, (n,), those that are down left out of the greatest."""
    low, high = DOWN_NS, 0
    for value in values:
        low = min(low, value)
        if value != DOWN_NS:
            high = max(high, value)
    return low, high


@compiled
def _push(heap: Ints, size: int, key: int) -> None:
    """Put a key into a binary heap of `size` that has room."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] <= key:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = key


@compiled
def _pop(heap: Ints, size: int) -> int:
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
    return int(least)


@compiled
def _farthest(distance: Ints, goals: Ints, seen_first: Ints, seen: Indices, seen_ns: Ints) -> int:
    """The delay to the farthest of the sites `goals`, DOWN_NS where one sees satellites of which none is reached."""
    farthest = 0
    for goal in goals:
        best = DOWN_NS
        for j in range(seen_first[goal], seen_first[goal + 1]):
            best = min(best, distance[seen[j]] + seen_ns[j])
        if seen_first[goal] < seen_first[goal + 1]:
            farthest = max(farthest, best)
    return farthest


@compiled
def _mend(
    site: int,
    goals: Ints,
    first: Indices,
    node: Indices,
    weight: Ints,
    seen_first: Ints,
    seen: Indices,
    seen_ns: Ints,
    order: Indices,
    sorted_until: int,
    inside: NDArray[np.bool_],
    distance: Ints,
    heap: Ints,
) -> tuple[int, int]:
    """Distances from a site of all satellites nearer than `limit`, which is no less than its farthest goal's.

    Distances beyond are upper bounds: no path to a goal leads there. weight: in the order of `node`.
    order[:sorted_until]: the satellites that are `inside`, in about the order of their distances. Gives how many had to
    be mended, and the limit. Each link adds four keys to the heap at most, each ground link one.
    """
    distance[:] = DOWN_NS
    for j in range(seen_first[site], seen_first[site + 1]):
        distance[seen[j]] = seen_ns[j]
    size, limit = 0, DOWN_NS
    if sorted_until:
        for place in range(sorted_until):
            here = order[place]
            best = distance[here]
            for j in range(first[here], first[here + np.uint32(1)]):
                best = min(best, distance[node[j]] + weight[j])
            distance[here] = best
        limit = _farthest(distance, goals, seen_first, seen, seen_ns)
        for place in range(sorted_until):
            here = order[place]
            reached = distance[here]
            for j in range(first[here], first[here + np.uint32(1)]):
                shorter = reached + weight[j]
                if shorter < distance[node[j]] and shorter < limit:
                    distance[node[j]] = shorter
                    _push(heap, size, (shorter << NODE_BITS) | np.int64(node[j]))
                    size += 1
    mended = 0
    for j in range(seen_first[site], seen_first[site + 1]):
        if not inside[seen[j]] and distance[seen[j]] == seen_ns[j]:  # its links were not looked at yet
            _push(heap, size, (seen_ns[j] << NODE_BITS) | np.int64(seen[j]))
            size += 1
    while size:
        key = _pop(heap, size)
        size -= 1
        here = np.uint32(key & ((1 << NODE_BITS) - 1))
        reached = key >> NODE_BITS
        if reached > distance[here]:
            continue
        mended += 1
        for j in range(first[here], first[here + np.uint32(1)]):
            shorter = reached + weight[j]
            if shorter < distance[node[j]] and shorter < limit:
                distance[node[j]] = shorter
                _push(heap, size, (shorter << NODE_BITS) | np.int64(node[j]))
                size += 1
    return mended, limit


@compiled
def _sort(order: Indices, sorted_until: int, inside: NDArray[np.bool_], distance: Ints, limit: int) -> int:
    """Bring the satellites nearer than `limit` into the order of their distances; how many they are.

    order[:sorted_until] holds those that are `inside`, nearly sorted; both are renewed.
    """
    if not sorted_until:
        order[:] = np.argsort(distance, kind="mergesort")
        count = int(np.count_nonzero(distance < limit))
        inside[order[:count]] = True
        return count
    count = 0
    for place in range(sorted_until):
        here = order[place]
        if distance[here] < limit:
            order[count] = here
            count += 1
        else:
            inside[here] = False
    for other in range(len(distance)):
        if distance[other] < limit and not inside[other]:
            inside[other] = True
            order[count] = other
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


@compiled
def _trace(first: Indices, node: Indices, weight: Ints, seed: Ints, distance: Ints, last: int, way: Ints) -> int:
    """The satellites from `last` back to the site whose distances these are, into `way`; how many.

    To the lowest-numbered each time through which the distance is what it is; `seed`: distances from the site itself.
    """
    here, count = last, 0
    while True:
        way[count] = here
        count += 1
        if seed[here] == distance[here]:
            return count
        for j in range(first[here], first[here + 1]):
            if distance[node[j]] + weight[j] == distance[here]:
                here = int(node[j])
                break


@compiled
def walk(
    first: Indices,
    node: Indices,
    edge: Indices,
    delay_ns: Ints,
    seen_first: Ints,
    seen: Indices,
    seen_ns: Ints,
    sources: Ints,
    slot: Ints,
    goal: Ints,
    found: Ints,
) -> tuple[Ints, Ints]:
    """Delays of all pairs' shortest paths at every step into `found`, -1 for none; the changes, and their satellites.

    The graph and what sites see are those of `shortest.Graph` and `Ground`. sources: sites from which paths begin; pair
    p's is sources[slot[p]], and it ends at goal[p]. A change is (step, pair, number of satellites).
    """
    n_nodes, n_sources, n_pairs = len(first) - 1, len(sources), len(goal)
    goals = [goal[slot == s] for s in range(n_sources)]
    order = np.empty((n_sources, n_nodes), np.uint32)
    inside = np.zeros((n_sources, n_nodes), np.bool_)
    sorted_until = np.zeros(n_sources, np.int64)
    distance = np.empty((n_sources, n_nodes), np.int64)
    seed = np.full((n_sources, n_nodes), DOWN_NS, np.int64)
    weight = np.empty(len(node), np.int64)
    heap = np.empty(n_nodes + 2 * len(node), np.int64)
    way = np.empty(n_nodes, np.int64)
    last_way = np.empty((n_pairs, n_nodes), np.int64)
    last_count = np.full(n_pairs, -1, np.int64)
    changes, n_changes = np.empty((64, 3), np.int64), 0
    used, n_used = np.empty(1024, np.int64), 0
    for t in range(len(delay_ns)):
        for j in range(len(node)):
            weight[j] = delay_ns[t, edge[j]]
        for s in range(n_sources):
            for j in range(seen_first[t, sources[s]], seen_first[t, sources[s] + 1]):
                seed[s, seen[j]] = seen_ns[j]
            mended, limit = _mend(
                sources[s],
                goals[s],
                first,
                node,
                weight,
                seen_first[t],
                seen,
                seen_ns,
                order[s],
                sorted_until[s],
                inside[s],
                distance[s],
                heap,
            )
            if mended * _UNSORTED > sorted_until[s]:
                sorted_until[s] = _sort(order[s], sorted_until[s], inside[s], distance[s], limit)
        for p in range(n_pairs):
            s, best, last = slot[p], DOWN_NS, -1
            for j in range(seen_first[t, goal[p]], seen_first[t, goal[p] + 1]):
                total = distance[s, seen[j]] + seen_ns[j]
                if total < best:
                    best, last = total, int(seen[j])
            count = 0
            found[t, p] = -1
            if last >= 0:
                found[t, p] = best
                count = _trace(first, node, weight, seed[s], distance[s], last, way)
            if count == last_count[p] and np.array_equal(way[:count], last_way[p, :count]):
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
