"""Routes that daemons have made: what becomes of a plan when they are seen, and what the report says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated import wire
from orbit_data import START_NS
from plan_data import dense, italy

from testbed.emulation.frr import config
from testbed.emulation.frr.routers import routers
from testbed.emulation.frr.ways import Ways
from testbed.ground.errors import PlanError
from testbed.orbits.walker import Shell
from testbed.plan.build import build_plan
from testbed.plan.expected import path_delay_ns, planned_loss
from testbed.plan.mesh import build_mesh_plan
from testbed.plan.model import Plan
from testbed.plan.observed import ROUTING, read_routing, reroutes, with_routing
from testbed.report.routing import summarise

MS = 1_000_000
S = 1_000_000_000


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(italy(routing="frr"), dense(), START_NS, 40 * S)


def first_loss(plan: Plan) -> tuple[int, tuple[str, ...]]:
    """When a link of the first path's way goes down for good, and that way."""
    first = plan.paths[0][0].nodes
    for step in plan.paths[0][1:]:
        if step.nodes[2] != first[2]:
            number = next(n for n, link in enumerate(plan.links) if (link.a, link.b) == (first[1], first[2]))
            steps = plan.link_steps(number)
            return int(steps["time_ns"][~steps["up"] & (steps["time_ns"] > 0)][0]), first
    raise AssertionError("no handover in this plan: choose another start")


def seen(plan: Plan, folder: Path) -> tuple[int, dict[str, Any]]:
    """OSPF notices 300 ms after the loss, and has another way 900 ms after it; all other paths keep theirs."""
    lost_ns, old = first_loss(plan)
    new = next(step.nodes for step in plan.paths[0] if step.nodes[2] != old[2])
    ways = [[{"after_ns": 0, "by_ns": 0, "nodes": list(path[0].nodes)}] for path in plan.paths]
    ways[0] += [
        {"after_ns": lost_ns + 280 * MS, "by_ns": lost_ns + 300 * MS, "nodes": None},
        {"after_ns": lost_ns + 880 * MS, "by_ns": lost_ns + 900 * MS, "nodes": list(new)},
    ]
    told: dict[str, Any] = {"routers": 12, "daemons": 36, "started_s": 9.0, "settled_s": 3.0, "memory_bytes": 4e8}
    told |= {"resolution_ns": 20 * MS, "ways": ways}
    told["changes"] = [[lost_ns + 300 * MS, 7], [lost_ns + 900 * MS, 5]]
    (folder / ROUTING).write_text(json.dumps(told))
    return lost_ns, told


def test_the_ways_seen_take_the_place_of_the_plans_paths(plan: Plan, tmp_path: Path) -> None:
    assert with_routing(plan, tmp_path) is plan
    lost_ns, told = seen(plan, tmp_path)
    observed = with_routing(plan, tmp_path)
    assert [step.nodes for step in observed.paths[0]] == [tuple(told["ways"][0][place]["nodes"]) for place in (0, 2)]
    assert [step.time_ns for step in observed.paths[0]] == [0, lost_ns + 900 * MS]
    assert len(observed.paths[1]) == 1


def test_loss_is_planned_from_the_lost_link_until_there_is_a_way_and_not_longer(plan: Plan, tmp_path: Path) -> None:
    lost_ns, _ = seen(plan, tmp_path)
    observed = with_routing(plan, tmp_path)
    source, sink = observed.paths[0][0].nodes[0], observed.paths[0][0].nodes[-1]
    offsets_ms = {-200: False, -5: True, 0: True, 500: True, 890: True, 1_000: False}
    times = np.array([lost_ns + offset * MS for offset in offsets_ms])
    assert planned_loss(observed, source, sink, times).tolist() == list(offsets_ms.values())


def test_a_packet_on_a_link_that_goes_down_is_lost(plan: Plan) -> None:
    lost_ns, old = first_loss(plan)
    path = (plan.paths[0][0],)
    number = next(n for n, link in enumerate(plan.links) if (link.a, link.b) == (old[1], old[2]))
    flight_ns = int(plan.link_steps(number)["delay_ns"][0])
    times = np.array([lost_ns - 2 * flight_ns, lost_ns - flight_ns // 2, lost_ns + 1])
    assert np.isnan(path_delay_ns(plan, path, times)).tolist() == [False, True, True]


def test_a_way_that_never_comes_is_missed_to_the_end(plan: Plan, tmp_path: Path) -> None:
    lost_ns, told = seen(plan, tmp_path)
    (lost,) = reroutes(plan, told["ways"][0][:2])
    assert (lost.broken_ns, lost.whole_ns, lost.new) == (lost_ns, plan.duration_ns, None)
    (found,) = reroutes(plan, told["ways"][0])
    assert found.without_ns == 900 * MS


def test_the_report_says_how_long_routes_took_to_settle(plan: Plan, tmp_path: Path) -> None:
    lost_ns, told = seen(plan, tmp_path)
    report = summarise(with_routing(plan, tmp_path), told)
    (change,) = [change for change in report["changes"] if change["time_s"] == lost_ns / 1e9]
    assert "goes" in change["what"]
    assert (change["routes"], change["settled_ms"], change["without_way_ms"]) == (12, 900.0, 900.0)
    assert [path["without_way_s"] for path in report["paths"]] == [0.9, 0.0, 0.0, 0.0]
    assert report["settled_ms"] == {"p50": 900.0, "max": 900.0}
    assert read_routing(tmp_path) == told


def test_every_router_speaks_on_its_links_and_announces_its_lans(plan: Plan) -> None:
    wiring = wire(plan)
    found = {router.name: router for router in routers(wiring)}
    assert set(found) == {node.name for node in plan.nodes if node.role != "host"}
    terminal = found["ut-rome"]
    speaks = [adjacency for adjacency in terminal.adjacencies if not adjacency.passive]
    assert len(speaks) == sum(link.a == "ut-rome" for link in plan.links)
    assert len(terminal.adjacencies) == len(speaks) + 1  # the ministry's LAN
    lit = next(n for n, link in enumerate(plan.links) if link.a == "ut-rome" and plan.link_steps(n)["up"][0])
    assert config.cost(int(plan.link_steps(lit)["delay_ns"][0])) in {adjacency.cost for adjacency in speaks}
    assert any(adjacency.interface == "lo" for adjacency in found["pop-milan"].adjacencies)  # its public address
    assert "deny 10.0.0.0/8 le 32" in config.zebra(terminal)
    assert "retransmit-interval 1" in config.ospfd(terminal)


def test_a_way_is_followed_through_the_translation_and_a_circle_is_none(plan: Plan) -> None:
    wiring = wire(plan)
    ways = Ways(wiring)
    way = plan.paths[1][0].nodes  # from the data centre to the ministry
    lan = str(wiring.lans[way[-1]].networks[0])
    routes = {}
    for here, there in pairwise(way[1:-1]):
        prefix = lan if "pop-milan" in way[: way.index(here) + 1] else "203.0.113.1/32"
        routes[here, prefix] = str(wiring.interface(there, here).addresses[0])
    assert ways.follow(routes, way[0], way[-1]) == way
    back = routes[way[3], lan]
    routes[way[3], lan] = str(wiring.interface(way[2], way[3]).addresses[0])
    assert ways.follow(routes, way[0], way[-1]) is None
    routes[way[3], lan] = back
    del routes[way[2], lan]
    assert ways.follow(routes, way[0], way[-1]) is None


def test_more_routers_than_daemons_can_be_run_for_are_refused() -> None:
    most, more = (build_mesh_plan([Shell("A", 2_000e3, 53.0, 6, slots, 1)], START_NS, S // 10) for slots in (10, 11))
    assert replace(most, routing="frr").routing == "frr"
    with pytest.raises(PlanError, match="66 routers; with routing=frr at most 60: plan a shorter time"):
        replace(more, routing="frr")
