"""Operator's denial: how it is written, whom it reaches, and that nothing of theirs comes through meanwhile."""

from __future__ import annotations

import importlib

import pytest
from orbit_data import START_NS
from plan_data import MS, S, dense, italy, walk

from testbed.ground.errors import PlanError, ScenarioError
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Track, Waypoint
from testbed.plan.build import build_plan
from testbed.plan.denial import Denial, parse_denials


def test_denials_as_written() -> None:
    assert parse_denials("none") == ()
    assert parse_denials("account@8-16") == (Denial(8 * S, 16 * S),)
    (area,) = parse_denials("area:34,-32.5,400@8.5")
    assert (area.begin_ns, area.end_ns, area.radius_m) == (8_500 * MS, None, 400e3)
    assert area.centre == Site("area", 34.0, -32.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("account@16-8", "denied='account@16-8' has a window that ends before it begins: write account@8-16"),
        ("account", "is not understood: write account or area:LAT,LON,KM (degrees north and east), and @BEGIN or"),
        ("area:34,32.5@8", "is not understood"),
        ("area:94,32.5,10@8", "is not on Earth: 94 degrees north, 32.5 east"),
        ("rome@8", "is not understood"),
    ],
)
def test_bad_denials_are_one_line(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        italy(denied=text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_account_is_dark_at_once_and_comes_back_a_second_after_the_end() -> None:
    plan = build_plan(italy(denied="account@20-30"), dense(), START_NS, 60 * S)
    calm = build_plan(italy(), dense(), START_NS, 60 * S)
    assert plan.nodes == calm.nodes  # everything of the operator's is there
    outages = [event for event in plan.events if event.kind == "outage"]
    assert [(one.node, one.time_ns, one.cause) for one in outages] == [
        (name, 20 * S, "account denied by the operator") for name in ("ut-rome", "ut-taranto")
    ]
    assert all(11 * S <= one.window_ns < 11 * S + 100 * MS for one in outages)
    denials = [event for event in plan.events if event.kind == "denial"]
    assert [(one.node, one.time_ns, one.detail) for one in denials] == [
        (name, 20 * S, {"denied_s": 10.0}) for name in ("ut-rome", "ut-taranto")
    ]
    for number, link in enumerate(plan.links):
        steps = plan.link_steps(number)
        if link.kind == "user":
            assert not steps["up"][(steps["time_ns"] >= 20 * S) & (steps["time_ns"] < 31 * S)].any()
    sent = range(18 * S, 34 * S, 10 * MS)
    for walked in (
        walk(plan.links, plan.steps, plan.routes, [(t, "ut-rome", "dc-rome", "ce-rome") for t in sent]),
        walk(plan.links, plan.steps, plan.routes, [(t, "ce-rome", "taranto", "ut-taranto") for t in sent]),
    ):
        missing = [t for t, arrival in zip(sent, walked, strict=True) if arrival is None]
        assert 20 * S - 40 * MS < missing[0] <= 20 * S
        assert 31 * S - 40 * MS <= missing[-1] < 31 * S
        assert missing == list(range(missing[0], missing[-1] + 1, 10 * MS))


def test_an_area_takes_those_that_are_in_it_and_no_others() -> None:
    plan = build_plan(italy(denied="area:40.4,17.2,50@20"), dense(), START_NS, 60 * S)
    assert {event.node for event in plan.events if event.kind in ("denial", "outage")} == {"ut-taranto"}
    (outage,) = [event for event in plan.events if event.kind == "outage"]
    assert (outage.time_ns, outage.time_ns + outage.window_ns) == (20 * S, 60 * S)
    elsewhere = build_plan(italy(denied="area:50,0,50@20"), dense(), START_NS, 30 * S)
    assert not [event for event in elsewhere.events if event.kind in ("denial", "outage")]


def test_a_ship_is_where_it_sails() -> None:
    ship = Track("ship", (Waypoint(34.0, 32.0), Waypoint(34.0, 31.0)), 25.0).starting_at(START_NS)
    near = Denial(7_200 * S, None, Site("area", 34.0, 31.0), 30e3)  # 92 km away, two hours at 46 km/h
    assert near.reaches(ship, START_NS)
    assert not Denial(0, None, near.centre, near.radius_m).reaches(ship, START_NS)


def test_denied_to_the_end_from_the_beginning_is_no_plan() -> None:
    with pytest.raises(PlanError, match=r"rome: account denied by the operator from .* let the denial begin later"):
        build_plan(italy(denied="account@0"), dense(), START_NS, 30 * S)
    late = build_plan(italy(denied="account@0-10"), dense(), START_NS, 30 * S)
    assert [event.window_ns // S for event in late.events if event.kind == "outage"] == [11, 11]


@pytest.mark.parametrize("name", ["starlink_italy", "iris2"])
def test_a_denial_is_among_what_is_tried_and_assumed(name: str) -> None:
    module = importlib.import_module(f"topologies.{name}")
    asked = module.scenario(**module.TRIALS["operator denies"])
    assert asked.denied == (Denial(8 * S, 16 * S),)
    assert any("denies the account from second 8 to second 16" in line for line in asked.assumptions)
    assert not any("denies" in line for line in module.scenario().assumptions)


def test_the_frigate_in_the_levant_is_denied_by_area() -> None:
    module = importlib.import_module("topologies.mediterranean")
    (denial,) = module.scenario(**module.TRIALS["operator denies"]).denied
    fleet = module.scenario().starting_at(START_NS).terminals
    assert [user.host for user in fleet if denial.reaches(user.site, START_NS)] == ["frigate-e"]
