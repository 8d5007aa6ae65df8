"""Further paths of one pair for when the first is lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from testbed.plan.relax import DOWN_NS
from testbed.plan.shortest import Graph, Ground, Ints, Paths, shortest_paths


def alternatives(graph: Graph, delay_ns: Ints, ground: Ground, pair: tuple[int, int], count: int) -> list[Paths]:
    """Up to `count` paths of one pair that share no satellite, step by step, the shortest first.

    The first is the shortest path. Each next one is the shortest over the satellites that those before leave. That is
    what a backup is for: the loss of a satellite, with all its links, must not take both, and the path in use must not
    be a longer one for its backup's sake (as with Suurballe's algorithm, whose sum is the least). Yen's paths differ
    by one hop or two and fail together. Where the shortest path blocks every other, none is found though one exists.
    """
    couple = np.array([pair], dtype=np.int64)
    open_ns, left = delay_ns.copy(), ground
    found: list[Paths] = []
    for _ in range(count):
        one = shortest_paths(graph, open_ns, left, couple)
        found.append(one)
        taken = np.zeros((len(delay_ns), graph.n_nodes), np.bool_)
        bounds = np.append(one.step, len(delay_ns))
        for number in range(len(one.step)):
            taken[bounds[number] : bounds[number + 1], one.change(number)] = True
        open_ns[taken[:, graph.pairs[:, 0]] | taken[:, graph.pairs[:, 1]]] = DOWN_NS
        left = _without(left, taken)
    return found


def _without(ground: Ground, taken: NDArray[np.bool_]) -> Ground:
    """What the sites see without the satellites taken at each step, (n_times, n_nodes)."""
    step = np.repeat(np.arange(len(taken)), ground.first[:, -1] - ground.first[:, 0])
    kept = ~taken[step, ground.satellite]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    return Ground(before[ground.first], ground.satellite[kept], ground.delay_ns[kept])
