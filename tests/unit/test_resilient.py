"""Three systems at each site: each is what it is alone, and the edges lead into all of them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from orbit_data import START_NS
from plan_data import S

from testbed.ground.errors import ScenarioError
from testbed.plan.accelerate import accelerated
from testbed.plan.chosen import Chosen, Terms, moves, system_of, system_path
from testbed.plan.delays import breakdown
from testbed.plan.expected import path_delay_ns
from testbed.plan.inputs import Request
from testbed.plan.model import Plan, from_json, to_json
from testbed.plan.multihomed import Multihomed, edge
from testbed.plan.plans import make
from topologies import resilient
from traffic.flows import parse_flows

PROJECT = Path(__file__).parents[2]
SYSTEMS = ("starlink", "terrestrial", "geo")
REQUEST = Request((), (), START_NS, 20 * S, S, 0)
PAIRS = [("rome", "dc-rome"), ("dc-rome", "rome"), ("taranto", "dc-rome"), ("dc-rome", "taranto")]


@cache
def planned(**parameters: str) -> Plan:
    return make(resilient.scenario(**parameters), REQUEST)


def followed(plan: Plan, first: str, destination: str, time_ns: int) -> list[str]:
    """Where the routes in force lead, from a node to a host's edge, and that host."""
    tables: dict[tuple[str, str], str] = {}
    for route in plan.routes:
        if route.time_ns <= time_ns:
            tables[route.node, route.destination] = route.via
    nodes = [first]
    while nodes[-1] != edge(destination):
        assert len(nodes) < 20, nodes
        nodes.append(tables.get((nodes[-1], destination)) or tables[nodes[-1], "default"])
    return [*nodes, destination]


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_is_what_it_is_alone(system: str) -> None:
    plan = planned()
    (part,) = (part for part in resilient.scenario().parts if part.system == system)
    alone = make(part.asked, REQUEST)
    times = np.arange(0, 20 * S, S)
    for host, peer in PAIRS:
        path = system_path(plan, host, peer, system)
        (own,) = (one for one in alone.paths if (one[0].nodes[0], one[0].nodes[-1]) == (host, peer))
        np.testing.assert_array_equal(path_delay_ns(plan, path, times), path_delay_ns(alone, own, times))
        assert breakdown(plan, path[0].nodes, 0) == breakdown(alone, own[0].nodes, 0)  # cables add nothing
        assert system_of(plan, path) == system


@pytest.mark.parametrize("system", SYSTEMS)
def test_from_the_edge_on_routes_alone_keep_a_packet_in_its_system(system: str) -> None:
    plan = planned()
    for host, peer in PAIRS:
        path = system_path(plan, host, peer, system)
        for step in path:
            host_edge, via = step.nodes[1:3]
            assert host_edge == edge(host)
            assert followed(plan, via, peer, step.time_ns) == list(step.nodes[2:])


@pytest.mark.parametrize("prefer", SYSTEMS)
def test_edges_begin_with_what_is_preferred(prefer: str) -> None:
    plan = planned(prefer=prefer)
    for host, peer in PAIRS:
        nodes = system_path(plan, host, peer, prefer)[0].nodes
        assert followed(plan, edge(host), peer, 0) == list(nodes[1:])
    assert list(dict.fromkeys(one.system for one in plan.uplinks)) == list(resilient.PREFERENCES[prefer])


def test_the_plan_says_whose_each_part_is_and_survives_a_file() -> None:
    plan = planned()
    assert set(plan.manifest["systems"]) == set(SYSTEMS)
    assert all(entry["sovereignty"]["operator"] for entry in plan.manifest["systems"].values())
    assert len(set(plan.assumptions)) == len(plan.assumptions)
    assert len(parse_flows(plan.flows, {lan.host for lan in plan.lans})) == 11
    document = to_json(plan)
    assert to_json(from_json(document, plan.steps)) == document
    earlier = {name: value for name, value in document.items() if name not in ("cables", "uplinks")}
    assert from_json(earlier, plan.steps).uplinks == ()


def test_what_fails_breaks_its_own_system_alone() -> None:
    """PoP, control centre and fibre, one after another: nobody moving, every break is told."""
    plan = planned(lost="pop-milan@6-16,gw-vigna@10-14", cut="roma-napoli@8-16")
    chosen = Chosen(SYSTEMS, Terms(100, 3, 2000), (), ())
    asked = {(move.host, move.peer, move.since_ns / S) for move in moves(plan, chosen)}
    # Another system answers beside the PoP's loss: fibre for Rome, fibre until it is cut for Taranto.
    assert asked == {(*pair, 6.0) for pair in PAIRS}
    centre = replace(chosen, systems=("terrestrial", "starlink", "geo"))
    cut = {(move.host, move.peer, move.since_ns / S) for move in moves(plan, centre)}
    assert cut == {(*pair, 8.0) for pair in PAIRS if "taranto" in pair}


def test_an_outage_is_one_break_at_any_speed_and_its_promise_stays_real() -> None:
    plan = accelerated(planned(lost="pop-milan@14-19"), 4.0)
    asked = moves(plan, Chosen(SYSTEMS, Terms(100, 3, 500), (), ()))
    assert {(move.host, move.peer, move.since_ns / S) for move in asked} == {(*pair, 3.5) for pair in PAIRS}
    assert all(0.35 < move.bound_ns / S < 0.45 for move in asked)


def test_it_is_registered_and_every_parameter_is_on_its_page() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["testbed.topologies"][resilient.NAME] == "topologies.resilient:scenario"
    page = (PROJECT / "docs/systems/resilient.md").read_text()
    assert [one.name for one in resilient.PARAMETERS if f"`{one.name}" not in page] == []


@pytest.mark.parametrize("trial", sorted(resilient.TRIALS))
def test_every_trial_can_be_asked_for(trial: str) -> None:
    assert resilient.scenario(**resilient.TRIALS[trial]).name == "resilient"


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"sites": "twelve"}, "add -p hello_ms=260"),
        ({"lost": "gw-nowhere@3"}, "lost 'gw-nowhere' is no gateway and no PoP"),
        ({"cut": "roma-milano@3"}, "no span 'roma-milano' to cut"),
        ({"misses": "1"}, "not a whole number from 2 to 50"),
    ],
)
def test_what_cannot_be_is_refused(parameters: dict[str, str], complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        resilient.scenario(**parameters)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (lambda asked: {"parts": asked.parts[:1]}, "it takes two or three"),
        (lambda asked: {"parts": (asked.parts[0], asked.parts[0])}, "each named once"),
        (lambda asked: {"pairs": (("rome", "taranto"),)}, "does not audit all of its pairs"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed: Any, complaint: str) -> None:
    asked: Multihomed = resilient.scenario()
    with pytest.raises(ScenarioError, match=complaint):
        replace(asked, **changed(asked))
