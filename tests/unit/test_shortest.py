"""testbed.plan.shortest, alternatives, steady: held against scipy's Dijkstra on graphs made by chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from testbed.ground.errors import PlanError
from testbed.plan.alternatives import alternatives
from testbed.plan.relax import DOWN_NS
from testbed.plan.shortest import Graph, Ground, Ints, Paths, all_pairs, joined, shortest_paths
from testbed.plan.steady import Hysteresis, keep


@dataclass(frozen=True)
class World:
    """A moving graph made by chance, and what one step of it looks like."""

    graph: Graph
    delay_ns: Ints
    ground: Ground
    n_sites: int

    @property
    def steps(self) -> int:
        return len(self.delay_ns)

    def seen(self, step: int, site: int) -> dict[int, int]:
        low, high = self.ground.first[step, site : site + 2]
        return dict(zip(self.ground.satellite[low:high].tolist(), self.ground.delay_ns[low:high].tolist(), strict=True))

    def only(self, step: int) -> World:
        """The step alone, as if nothing had been before."""
        return World(self.graph, self.delay_ns[step : step + 1], self.part(step, step + 1), self.n_sites)

    def part(self, begin: int, end: int) -> Ground:
        return Ground(self.ground.first[begin:end], self.ground.satellite, self.ground.delay_ns)

    def scipys(self, step: int, without: frozenset[int] = frozenset()) -> np.ndarray:
        """Delays between all sites, (n_sites, n_sites), inf where there is none. Sites stand twice: none is passed."""
        n = self.graph.n_nodes
        edges: dict[tuple[int, int], int] = {}
        for (a, b), delay in zip(self.graph.pairs.tolist(), self.delay_ns[step].tolist(), strict=True):
            if delay < DOWN_NS and not {a, b} & without:
                edges[a, b] = edges[b, a] = min(delay, edges.get((a, b), delay))
        for site in range(self.n_sites):
            for satellite, delay in self.seen(step, site).items():
                if satellite not in without:
                    edges[n + site, satellite] = edges[satellite, n + self.n_sites + site] = delay
        row, column = np.array(list(edges), dtype=int).reshape(-1, 2).T
        size = n + 2 * self.n_sites
        matrix = csr_array((np.array(list(edges.values()), dtype=float), (row, column)), shape=(size, size))
        found = dijkstra(matrix, indices=np.arange(n, n + self.n_sites))[:, n + self.n_sites :]
        return np.asarray(found)

    def along(self, step: int, pair: tuple[int, int], satellites: tuple[int, ...]) -> int:
        """The sum of a path's parts; DOWN_NS and more when one is missing."""
        total = self.seen(step, pair[0]).get(satellites[0], DOWN_NS)
        total += self.seen(step, pair[1]).get(satellites[-1], DOWN_NS)
        for hop in pairwise(satellites):
            here = [
                delay
                for ends, delay in zip(self.graph.pairs.tolist(), self.delay_ns[step].tolist(), strict=True)
                if set(ends) == set(hop)
            ]
            total += min(here, default=DOWN_NS)
        return total


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Delays drift, links and sights come and go; small whole numbers, so that many paths are equally long."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, steps, sites = draw(st.integers(1, 40)), draw(st.integers(1, 8)), draw(st.integers(2, 5))
    m = draw(st.integers(0, 3 * n)) if n > 1 else 0
    a = rng.integers(0, n, m)
    pairs = np.stack([a, (a + rng.integers(1, max(n, 2), m)) % max(n, 1)], axis=1).reshape(-1, 2)
    longest = draw(st.sampled_from([3, 1000]))
    drift = rng.integers(-longest // 3, longest // 3 + 1, (steps, m)).cumsum(axis=0)
    delay_ns = np.maximum(1, rng.integers(1, longest + 1, m) + drift).astype(np.int64)
    delay_ns[rng.random((steps, m)) < draw(st.sampled_from([0.0, 0.1, 0.5]))] = DOWN_NS
    seen = rng.random((steps, sites, n)) < 4 / n
    counts = seen.sum(axis=2)
    first = np.zeros((steps, sites + 1), np.int64)
    first[:, 1:] = counts.cumsum(axis=1)
    first += np.concatenate([[0], counts.sum(axis=1).cumsum()[:-1]])[:, None]
    satellite = np.nonzero(seen)[2]
    ground = Ground(first, satellite, rng.integers(1, longest + 1, len(satellite)))
    return World(Graph.of(n, pairs), delay_ns, ground, sites)


def solve(world: World, pairs: Ints | None = None) -> Paths:
    return shortest_paths(
        world.graph, world.delay_ns, world.ground, all_pairs(world.n_sites) if pairs is None else pairs
    )


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_delays_are_scipys_and_paths_are_as_long_as_they_say(world: World) -> None:
    paths = solve(world)
    for step in range(world.steps):
        expected = world.scipys(step)
        for number, (a, b) in enumerate(paths.pairs.tolist()):
            told = paths.delay_ns[step, number]
            assert (told if told >= 0 else np.inf) == expected[a, b]
            satellites = paths.path(step, number)
            assert bool(satellites) == (told >= 0)
            if satellites:
                assert world.along(step, (a, b), satellites) == told
                assert len(set(satellites)) == len(satellites)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_a_step_is_the_same_after_others_and_alone(world: World) -> None:
    together = solve(world)
    for step in range(world.steps):
        alone = solve(world.only(step))
        assert together.delay_ns[step].tobytes() == alone.delay_ns[0].tobytes()
        for number in range(len(together.pairs)):
            assert together.path(step, number) == alone.path(0, number)


@settings(max_examples=50, deadline=None)
@given(worlds(), st.data())
def test_what_is_found_in_parts_and_joined_is_the_same_to_the_last_byte(world: World, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, world.steps))
    pairs = all_pairs(world.n_sites)
    parts = [
        shortest_paths(world.graph, world.delay_ns[low:high], world.part(low, high), pairs)
        for low, high in ((0, cut), (cut, world.steps))
        if low < high
    ]
    whole, again = solve(world), joined(parts)
    for name in ("delay_ns", "step", "pair", "begin", "satellites"):
        assert getattr(whole, name).tobytes() == getattr(again, name).tobytes()


@settings(max_examples=50, deadline=None)
@given(worlds())
def test_there_and_back_take_as_long(world: World) -> None:
    pairs = all_pairs(world.n_sites)
    assert np.array_equal(solve(world, pairs).delay_ns, solve(world, pairs[:, ::-1]).delay_ns)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_alternatives_share_no_satellite_and_each_is_the_shortest_without_those_before(world: World) -> None:
    found = alternatives(world.graph, world.delay_ns, world.ground, (0, 1), 3)
    for step in range(world.steps):
        used: set[int] = set()
        for one in found:
            told = one.delay_ns[step, 0]
            assert (told if told >= 0 else np.inf) == world.scipys(step, frozenset(used))[0, 1]
            satellites = one.path(step, 0)
            assert not used & set(satellites)
            used |= set(satellites)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 400))
def test_hysteresis_is_what_its_rule_says_step_by_step(world: World, margin_ns: int) -> None:
    best = solve(world)
    kept = keep(Hysteresis(margin_ns), world.graph, world.delay_ns, world.ground, best)
    for number, (a, b) in enumerate(best.pairs.tolist()):
        path: tuple[int, ...] = ()
        for step in range(world.steps):
            now = world.along(step, (a, b), path) if path else DOWN_NS
            shortest = int(best.delay_ns[step, number])
            if now >= DOWN_NS or shortest + margin_ns < now:
                path, now = best.path(step, number), shortest
            assert kept.path(step, number) == path
            assert kept.delay_ns[step, number] == now


@settings(max_examples=30, deadline=None)
@given(worlds(), st.data())
def test_hysteresis_goes_on_from_the_paths_before(world: World, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, world.steps))
    rule, best = Hysteresis(100), solve(world)
    whole = keep(rule, world.graph, world.delay_ns, world.ground, best)
    parts: list[Paths] = []
    held = None
    for low, high in ((0, cut), (cut, world.steps)):
        if low < high:
            graph_part = world.graph, world.delay_ns[low:high], world.part(low, high)
            parts.append(keep(rule, *graph_part, shortest_paths(*graph_part, best.pairs), held))
            held = [parts[-1].path(high - low - 1, number) for number in range(len(best.pairs))]
    again = joined(parts)
    assert whole.delay_ns.tobytes() == again.delay_ns.tobytes()
    assert whole.satellites.tobytes() == again.satellites.tobytes()


def line() -> World:
    """Satellites 0-1-2-3 in a row and 0-4-3 beside; site 0 sees 0, site 1 sees 3, site 2 sees 4."""
    graph = Graph.of(5, np.array([[0, 1], [1, 2], [2, 3], [0, 4], [4, 3]]))
    ground = Ground(np.array([[0, 1, 2, 3]]), np.array([0, 3, 4]), np.array([10, 20, 30]))
    return World(graph, np.array([[5, 5, 5, 7, 8]]), ground, 3)


def test_of_equal_paths_the_one_over_the_lowest_number_seen_from_its_end() -> None:
    paths = solve(line())
    assert paths.path(0, 0) == (0, 1, 2, 3)  # 3 is reached over 2 and over 4 in 15 ns
    assert paths.delay_ns[0].tolist() == [45, 47, 58]


def test_no_path_goes_over_another_site() -> None:
    """Site 1 sees both satellites, which have no link: site 0 to 2 would go over it."""
    graph = Graph.of(2, np.empty((0, 2), np.int64))
    ground = Ground(np.array([[0, 1, 3, 4]]), np.array([0, 0, 1, 1]), np.array([1, 1, 1, 1]))
    paths = shortest_paths(graph, np.empty((1, 0), np.int64), ground, all_pairs(3))
    assert paths.delay_ns[0].tolist() == [2, -1, 2]


@pytest.mark.parametrize(
    ("delay_ns", "words"),
    [(0, "delay is 0 ns"), (-5, "delay is -5 ns"), (4_000_000_001, "delay is 4,000,000,001 ns")],
)
def test_delays_that_cannot_be(delay_ns: int, words: str) -> None:
    world = line()
    wrong = world.delay_ns.copy()
    wrong[0, 2] = delay_ns
    with pytest.raises(PlanError, match=words):
        shortest_paths(world.graph, wrong, world.ground, all_pairs(3))


def test_links_that_cannot_be() -> None:
    with pytest.raises(PlanError, match="link 1 joins 2 and 2"):
        Graph.of(3, np.array([[0, 1], [2, 2]]))
    with pytest.raises(PlanError, match="link 0 joins 0 and 3"):
        Graph.of(3, np.array([[0, 3]]))
    with pytest.raises(PlanError, match="margin -1 ns"):
        Hysteresis(-1)
