"""A constellation in motion: its links, what sites see of it, and the paths between the sites, piece by piece.

A piece is some minutes of steps, and is computed from nothing but its instants: pieces may be computed at the same
time, in threads, and give the same result as one after the other.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SPEED_OF_LIGHT_M_S
from testbed.ground.errors import PlanError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.kernels import compiled
from testbed.orbits.lasers import Lasers, lit_at, pairs
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.tracks import Place
from testbed.orbits.visibility import Sightings, visible
from testbed.plan.relax import DOWN_NS
from testbed.plan.shortest import Graph, Ground, Ints, Paths, all_pairs, joined, shortest_paths
from testbed.plan.steady import Hysteresis, keep

PIECE_NS = 300 * NS_PER_S
"""How long a piece is, and for how long links across shells stay between the same satellites. Assumption: Starlink
makes some 266,000 such acquisitions a day (PCMag, February 2024)."""

_PIECE_STEPS = 300  # at most: a piece of ten thousand satellites then takes 200 MB

_NS_PER_M = NS_PER_S / SPEED_OF_LIGHT_M_S

Floats = NDArray[np.float64]
_RULES = Lasers()
_J = TypeVar("_J")
_R = TypeVar("_R")


@dataclass(frozen=True, eq=False)
class Piece:
    """Some steps of the moving graph. `time_ns`: UTC, (n_times,); `range_m` and `delay_ns` (DOWN_NS where dark) of the
    links `graph.pairs`: (n_times, n_links); `seen`: what the places see."""

    time_ns: Ints
    graph: Graph
    range_m: Floats
    delay_ns: Ints
    ground: Ground
    seen: Sightings


@dataclass(frozen=True, eq=False)
class Constellation:
    """Satellites with lasers above some places on the ground.

    `masks_deg`: the least elevation of each place; `indices`: which satellites of the catalogue take part, all without
    it. The ephemeris must be of that catalogue, and cover what is asked.
    """

    catalogue: Catalogue
    ephemeris: Ephemeris
    places: Sequence[Place]
    masks_deg: Sequence[float]
    rules: Lasers = _RULES
    indices: Ints | None = None

    def graph(self, time_ns: int) -> Graph:
        """The satellites' links as they are chosen at `time_ns`."""
        links = pairs(self.catalogue, self.ephemeris, time_ns, self.rules, self.indices)
        return Graph.of(len(self.catalogue), links)

    def piece(self, graph: Graph, time_ns: Ints) -> Piece:
        """What moves in a graph at these instants, ascending."""
        range_m, up = lit_at(self.ephemeris.position_m(time_ns), graph.pairs, self.rules)
        seen = visible(self.places, self.masks_deg, self.ephemeris, time_ns, self.indices)
        return Piece(time_ns, graph, range_m, _delays_ns(range_m, up), _ground(seen), seen)

    def pieces(self, start_ns: int, duration_ns: int, step_ns: int = NS_PER_S) -> Iterator[Piece]:
        """The graph from `start_ns` (UTC) for `duration_ns`, the end not included, every `step_ns`, piece by piece."""
        yield from (self.piece(graph, times) for graph, times in self._jobs(start_ns, duration_ns, step_ns))

    def _jobs(self, start_ns: int, duration_ns: int, step_ns: int) -> Iterator[tuple[Graph, Ints]]:
        """Graph and instants of each piece. Links are chosen at the start, and anew every PIECE_NS if they drift."""
        if step_ns <= 0 or duration_ns <= 0:
            raise PlanError(f"paths: a duration of {duration_ns:,} ns in steps of {step_ns:,} ns: give positive ones")
        graph = self.graph(start_ns)
        for begin_ns in range(0, duration_ns, PIECE_NS):
            if begin_ns and self.rules.moving:
                graph = self.graph(start_ns + begin_ns)
            first = -(-begin_ns // step_ns)  # steps count from the start, not from the piece
            last = -(-min(begin_ns + PIECE_NS, duration_ns) // step_ns)
            for low in range(first, last, _PIECE_STEPS):
                steps = np.arange(low, min(low + _PIECE_STEPS, last), dtype=np.int64)
                yield graph, start_ns + steps * step_ns

    def paths(
        self,
        start_ns: int,
        duration_ns: int,
        step_ns: int = NS_PER_S,
        couples: Ints | None = None,
        hysteresis: Hysteresis | None = None,
        threads: int | None = None,
    ) -> Paths:
        """The shortest paths between couples of places (numbers, (n, 2); every two without it) at every step.

        `hysteresis`: pairs keep their paths by that rule. `threads`: as many as processors without it; the result is
        the same for any number. Raises PlanError for a time outside the ephemeris or a step that is not positive.
        """
        wanted = all_pairs(len(self.places)) if couples is None else np.asarray(couples, np.int64).reshape(-1, 2)
        if ((wanted < 0) | (wanted >= len(self.places))).any():
            raise PlanError(f"paths: a pair names a place that is not among the {len(self.places)}: count from 0")

        def found(job: tuple[Graph, Ints]) -> tuple[Piece | None, Paths]:
            piece = self.piece(*job)
            shortest = shortest_paths(piece.graph, piece.delay_ns, piece.ground, wanted)
            return (piece if hysteresis else None), shortest

        parts: list[Paths] = []
        held: list[tuple[int, ...]] = [()] * len(wanted)
        jobs = self._jobs(start_ns, duration_ns, step_ns)
        for piece, part in _ordered(found, jobs, threads or os.cpu_count() or 1):
            if piece is not None and hysteresis is not None:
                part = keep(hysteresis, piece.graph, piece.delay_ns, piece.ground, part, held)
                for number, pair in enumerate(part.pair.tolist()):
                    held[pair] = part.change(number)
            parts.append(part)
        return joined(parts)


def _ordered(work: Callable[[_J], _R], jobs: Iterator[_J], threads: int) -> Iterator[_R]:
    """The results in the order of the jobs, of which as many as there are threads are worked on at a time."""
    if threads == 1:
        yield from map(work, jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_R]] = deque()
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _ground(seen: Sightings) -> Ground:
    starts = seen.starts[:-1].reshape(seen.n_times, seen.n_places)
    ends = seen.starts[seen.n_places :: seen.n_places] if seen.n_places else seen.starts[:0]
    first = np.concatenate([starts, ends[: seen.n_times, None]], axis=1)
    delay_ns = _delays_ns(seen.range_m[None], np.ones((1, len(seen)), np.bool_))[0]
    return Ground(first, seen.satellite, delay_ns)


@compiled
def _delays_ns(range_m: Floats, up: NDArray[np.bool_]) -> Ints:
    """Vacuum delays, whole nanoseconds, at least 1; DOWN_NS where not up. Both (n, m)."""
    delay_ns = np.empty(range_m.shape, np.int64)
    for t in range(len(range_m)):
        for link in range(range_m.shape[1]):
            if up[t, link]:
                delay_ns[t, link] = max(1, int(np.rint(range_m[t, link] * _NS_PER_M)))
            else:
                delay_ns[t, link] = DOWN_NS
    return delay_ns
