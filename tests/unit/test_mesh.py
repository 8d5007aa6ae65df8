"""testbed.plan.mesh: delays within their tolerance of the orbits, and routes that arrive."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.ground.errors import PlanError
from testbed.orbits.frames import julian_date
from testbed.orbits.grid import Grid
from testbed.orbits.presets import STARLINK_GEN1
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.mesh import build_mesh_plan
from testbed.plan.model import NUMBER_BITS, Plan, from_json, to_json

S = 1_000_000_000
START_NS = 1_781_000_000_000_000_000
SMALL = Shell("B", 1_200e3, 80.0, 6, 8, 2)
C_M_S = 299_792_458.0


def walk(plan: Plan, source: str, destination: str) -> list[str]:
    """The way that the plan's routes lead, the longest block first, as a kernel reads them."""
    numbers = {node.name: node.number for node in plan.nodes}
    target = numbers[destination]
    assert target is not None
    way = [source]
    while way[-1] != destination:
        fitting = []
        for route in plan.routes:
            if route.node == way[-1]:
                base, length = map(int, route.destination.split("/"))
                if target >> (NUMBER_BITS - length) == base >> (NUMBER_BITS - length):
                    fitting.append((length, route.via))
        way.append(max(fitting)[1])
        assert len(way) <= len(plan.nodes)
    return way


def ring_distance(a: int, b: int, size: int) -> int:
    return min((a - b) % size, (b - a) % size)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.booleans(), st.data())
def test_any_satellite_reaches_any_other_by_the_shortest_way_of_its_rule(
    planes: int, per_plane: int, star: bool, data: st.DataObject
) -> None:
    phasing = data.draw(st.integers(0, planes - 1))
    shell = Shell("A", 8_000e3, 53.0, planes, per_plane, phasing, 180.0 if star else 360.0)
    plan = build_mesh_plan([shell], START_NS, S, tolerance_ns=100_000)
    grid = Grid(shell)
    names = [node.name for node in plan.nodes]
    source, target = (data.draw(st.integers(0, len(names) - 1)) for _ in range(2))
    way = walk(plan, names[source], names[target])
    plane, slot = divmod(source, per_plane)
    aim, its_slot = divmod(target, per_plane)
    hops = 0
    while plane != aim:
        plane, slot = grid.east(plane, slot) if grid.goes_east(plane, aim) else grid.west(plane, slot)
        hops += 1
    most = ring_distance(divmod(source, per_plane)[0], aim, planes) if grid.ring else abs(source // per_plane - aim)
    assert hops == most
    assert len(way) - 1 == hops + ring_distance(slot, its_slot, per_plane)
    linked = {(link.a, link.b) for link in plan.links}
    assert all(hop in linked for hop in pairwise(way))


def test_two_shells_are_routed_apart_and_paths_are_the_ways() -> None:
    plan = build_mesh_plan([STARLINK_GEN1[4], SMALL], START_NS, S, pairs=[("B01-01", "B04-05")], tolerance_ns=20_000)
    there, back = (path[0].nodes for path in plan.paths)
    assert list(there) == walk(plan, "B01-01", "B04-05")
    assert list(back) == walk(plan, "B04-05", "B01-01")
    assert len({node.number for node in plan.nodes}) == len(plan.nodes)
    for path in ("no such satellite", [("B01-01", "X")]), ("different shells", [("B01-01", "E01-01")]):
        with pytest.raises(PlanError, match=path[0]):
            build_mesh_plan([STARLINK_GEN1[4], SMALL], START_NS, S, tolerance_ns=20_000, pairs=path[1])  # type: ignore[arg-type]


def test_at_every_instant_a_delay_is_within_the_tolerance_of_sgp4s() -> None:
    """At random instants, with positions from SGP4 itself and not from the interpolation."""
    tolerance_ns, duration_ns = 10_000, 240 * S
    plan = build_mesh_plan([SMALL], START_NS, duration_ns, tolerance_ns=tolerance_ns)
    catalogue = walker_catalogue([SMALL], START_NS, "test")
    satrecs = dict(zip(catalogue.node_names, catalogue.satrecs, strict=True))
    chance = np.random.default_rng(1)
    worst, changes = 0.0, 0
    for number, link in enumerate(plan.links):
        steps = plan.link_steps(number)
        changes += len(steps) - 1
        for at_ns in chance.integers(0, duration_ns, 20):
            held = steps[np.searchsorted(steps["time_ns"], at_ns, side="right") - 1]
            instant = [float(part) for part in julian_date(START_NS + int(at_ns))]
            near, far = (np.array(satrecs[end].sgp4(*instant)[1]) for end in (link.a, link.b))
            exact_ns = float(np.linalg.norm(near - far)) * 1e12 / C_M_S
            worst = max(worst, abs(exact_ns - held["delay_ns"]))
    assert worst <= tolerance_ns
    assert worst > tolerance_ns / 2  # it does use what it may
    assert changes > 0


def test_no_instant_is_everybodys() -> None:
    plan = build_mesh_plan([STARLINK_GEN1[4], SMALL], START_NS, 120 * S, tolerance_ns=20_000)
    later = plan.steps[plan.steps["time_ns"] > 0]
    _, counts = np.unique(later["time_ns"], return_counts=True)
    assert counts.max() <= 20 * len(later) / 1_200 + 10


def test_a_link_through_the_air_is_down() -> None:
    """Four satellites in a plane at 550 km: the line between two passes 1,500 km below the ground."""
    plan = build_mesh_plan([Shell("A", 550e3, 53.0, 1, 4, 0)], START_NS, S)
    assert not plan.steps["up"].any()
    assert build_mesh_plan([SMALL], START_NS, S, tolerance_ns=20_000).steps["up"].any()


def test_a_step_that_is_too_long_for_the_tolerance_is_refused() -> None:
    with pytest.raises(PlanError, match="shorten the step"):
        build_mesh_plan([SMALL], START_NS, 60 * S, step_ns=10 * S, tolerance_ns=1_000)


def test_numbers_and_blocks_survive_json() -> None:
    plan = build_mesh_plan([SMALL], START_NS, S, tolerance_ns=20_000)
    again = from_json(json.loads(json.dumps(to_json(plan))), plan.steps)
    assert (again.nodes, again.routes) == (plan.nodes, plan.routes)


@pytest.mark.parametrize("block", ["5/19", "1048576/20", "0/21", "x/3", "4", "-4/18"])
def test_a_bad_block_is_refused(block: str) -> None:
    document = to_json(build_mesh_plan([SMALL], START_NS, S, tolerance_ns=20_000))
    document = json.loads(json.dumps(document))
    document["routes"][0]["destination"] = block
    with pytest.raises(PlanError, match="no node and no block"):
        from_json(document, build_mesh_plan([SMALL], START_NS, S, tolerance_ns=20_000).steps)
