"""The frozen plan: what it refuses, and that it survives being written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from plan_data import small_plan

from testbed.ground.errors import PlanError
from testbed.plan.model import Link, PathStep, Route, from_json, load, save, to_json


def changed(column, row, value):
    """The steps of the small plan with one value changed."""
    steps = small_plan().steps.copy()
    steps[column][row] = value
    return steps


def test_a_plan_survives_save_and_load(tmp_path):
    plan = small_plan()
    save(plan, tmp_path / "plan")
    again = load(tmp_path / "plan")
    assert to_json(again) == to_json(plan)
    assert again.nodes == plan.nodes
    assert again.paths == plan.paths
    assert again.steps.tobytes() == plan.steps.tobytes()


def test_a_plan_is_json_and_read_only():
    assert json.loads(json.dumps(to_json(small_plan())))["topology"] == "starlink-italy"
    with pytest.raises(ValueError, match="read-only"):
        small_plan().steps["delay_ns"][0] = 1


def test_nodes_and_link_steps_are_found_by_name_and_number():
    plan = small_plan()
    assert plan.node("pop-milan").nat
    with pytest.raises(PlanError, match="no node 'pop-rome'"):
        plan.node("pop-rome")
    for number in range(len(plan.links)):
        steps = plan.link_steps(number)
        assert len(steps)
        assert steps["time_ns"][0] == 0
        assert (steps["link"] == number).all()


def test_counts():
    plan = small_plan()
    assert plan.satellites_used == len({node.name for node in plan.nodes if node.name.startswith("A")})
    assert plan.handovers == len(plan.events)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"nodes": (*p.nodes, p.nodes[0])}, "two nodes share a name"),
        (lambda p: {"duration_ns": 0}, "duration 0 ns is not positive"),
        (lambda p: {"links": (Link("rome", "nowhere", "user", 1), *p.links[1:])}, "link rome→nowhere"),
        (lambda p: {"routes": (Route(0, "rome", "default", "nowhere"),)}, "route at rome via nowhere"),
        (lambda p: {"steps": np.zeros(3, dtype=[("link", "<i4")])}, "wrong columns"),
        (lambda p: {"steps": p.steps[p.steps["link"] != 3]}, "some links have no steps"),
        (lambda p: {"steps": p.steps[::-1]}, "not ordered by link and time"),
        (lambda p: {"steps": np.repeat(p.steps, 2)}, "not ordered by link and time"),
        (lambda p: {"steps": p.steps[1:]}, "no step at time 0"),
        (lambda p: {"steps": changed("delay_ns", 5, -1)}, "a delay is negative"),
        (lambda p: {"steps": changed("rate_bps", 5, 0)}, "rate not positive"),
        (lambda p: {"steps": changed("loss", 5, np.nan)}, "loss is outside"),
    ],
)
def test_what_cannot_be_played_is_refused(change, message):
    plan = small_plan()
    with pytest.raises(PlanError, match=message) as caught:
        replace(plan, **change(plan))
    assert "plan of starlink-italy" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_description_is_refused():
    document = to_json(small_plan())
    del document["lans"]
    with pytest.raises(PlanError, match="damaged: KeyError"):
        from_json(document, small_plan().steps)
    with pytest.raises(PlanError, match="damaged: TypeError"):
        from_json({**to_json(small_plan()), "colour": "red"}, small_plan().steps)


def test_a_missing_plan_is_refused(tmp_path):
    with pytest.raises(PlanError, match="not a readable plan"):
        load(tmp_path)


def test_paths_come_back_as_tuples():
    again = from_json(json.loads(json.dumps(to_json(small_plan()))), small_plan().steps)
    assert isinstance(again.paths[0][0], PathStep)
    assert isinstance(again.paths[0][0].nodes, tuple)
