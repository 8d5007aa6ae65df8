"""testbed.plan.catalogued: a catalogue's satellites as a network, and the shortest ways over it."""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np
import pytest
from orbit_data import START_NS, S, starlink

from testbed.ground.errors import PlanError
from testbed.orbits.presets import STARLINK_GEN1
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.expected import path_delay_ns
from testbed.plan.inputs import Request
from testbed.plan.model import NUMBER_BITS, Plan
from testbed.plan.plans import make
from testbed.plan.shells import shells_plan
from topologies.global_shell import scenario

ALL = scenario(constellation="all")
TICK_NS = 100_000_000


def shortest_ns(plan: Plan, source: str, destination: str) -> int:
    """Dijkstra's algorithm from a textbook, over the delays at the start."""
    first = plan.steps[plan.steps["time_ns"] == 0]
    beside: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for link, delay_ns, lit in zip(plan.links, first["delay_ns"].tolist(), first["up"].tolist(), strict=True):
        if lit:
            beside[link.a].append((delay_ns, link.b))
    far: dict[str, int] = {}
    waiting = [(0, source)]
    while waiting:
        so_far, here = heapq.heappop(waiting)
        if here not in far:
            far[here] = so_far
            for delay_ns, there in beside[here]:
                heapq.heappush(waiting, (so_far + delay_ns, there))
    return far[destination]


def test_ways_are_the_shortest_and_the_routes_lead_along_them() -> None:
    given = walker_catalogue(STARLINK_GEN1[3:5], START_NS, source="two shells")  # 348 and 172 satellites
    plan = shells_plan(ALL, START_NS, S, TICK_NS, 0, given)
    assert [node.name for node in plan.nodes] == list(given.node_names)
    assert len(plan.paths) == 4  # there and back, in each shell
    vias = {(route.node, route.destination): route.via for route in plan.routes}
    numbers = {node.name: node.number for node in plan.nodes}
    for path in plan.paths:
        way = path[0].nodes
        planned_ns = float(path_delay_ns(plan, path, np.array([0]))[0])
        assert planned_ns == pytest.approx(shortest_ns(plan, way[0], way[-1]), abs=20_000 * len(way))  # the tolerance
        assert list(way[1:]) == [vias[node, f"{numbers[way[-1]]}/{NUMBER_BITS}"] for node in way[:-1]]


def test_every_satellite_of_the_real_constellation_is_there_and_rome_reaches_new_york() -> None:
    real = starlink()
    plan = shells_plan(ALL, START_NS, 2 * S, TICK_NS, 0, real)
    assert len(plan.nodes) == len(real) == 10_544
    assert {node.name for node in plan.nodes} == set(real.node_names)
    assert len(plan.paths) >= 2
    for path in plan.paths:
        delay_ms = float(path_delay_ns(plan, path, np.array([0]))[0]) / 1e6
        assert 20 < delay_ms < 120  # the ground's 6,890 km in vacuum, less what satellites nearer to each other save
    assert any("10,544 satellites have a place in none" in line for line in plan.assumptions)
    assert "shells" not in plan.manifest


def test_what_cannot_be_is_told() -> None:
    alone = walker_catalogue([Shell("A", 550e3, 53.0, 1, 3, 0)], START_NS, source="three")
    with pytest.raises(PlanError, match="three: no two of its satellites stay linked"):
        shells_plan(ALL, START_NS, S, TICK_NS, 0, alone)
    for parameters in ({}, {"constellation": "italy"}):
        with pytest.raises(PlanError, match=r"brings its own shells: .* add -p constellation=all"):
            make(scenario(**parameters), Request(("iris2",), (), START_NS, S, TICK_NS, 0))


def test_a_catalogue_is_taken_as_asked_for_and_its_assumptions_told() -> None:
    plan = make(ALL, Request(("starlink-gen1",), ("inclination=90..180",), START_NS, S, TICK_NS, 0))
    assert plan.satellites == len(plan.nodes) == 520
    assert plan.manifest["catalogue"]["select"] == ["inclination=90..180"]
