"""Losses known to the plan: how they are written, and that the plan avoids what is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from orbit_data import START_NS
from plan_data import MS, S, dense, italy, steps_between, walk

from testbed.ground.errors import PlanError, ScenarioError
from testbed.plan.build import build_plan
from testbed.plan.losses import Loss, lost, parse_losses, pop_at


def test_losses_as_written():
    assert parse_losses("none") == ()
    assert parse_losses("gw-foggia") == (Loss("gw-foggia"),)
    assert parse_losses("gw-foggia@20-40, pop-milan@2.5") == (
        Loss("gw-foggia", 20 * S, 40 * S),
        Loss("pop-milan", 2_500 * MS),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gw-foggia@40-20", "lost='gw-foggia@40-20' has a window that ends before it begins: write gw-foggia@20-40"),
        ("gw-foggia@20-20", "has a window that ends before it begins"),
        ("gw-foggia@", "is not understood: write gw-SITE or pop-SITE, @BEGIN or @BEGIN-END in seconds behind it"),
        ("", "is not understood"),
        ("gw-foggia@-3", "is not understood"),
        ("gw-fogia", "lost 'gw-fogia' is no gateway and no PoP (did you mean 'gw-foggia'?)"),
        ("ut-rome", "starlink-italy: parameter lost='ut-rome' is not understood"),
        ("pop-sofia", "lost 'pop-sofia' is no gateway and no PoP"),
    ],
)
def test_bad_losses_are_one_line(text, message):
    with pytest.raises(ScenarioError) as caught:
        italy(lost=text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gateway_falls_back_and_does_not_return():
    losses = (Loss("a", 10, 20),)
    assert [pop_at(("a", "b"), losses, time) for time in (0, 10, 19, 20, 99)] == ["a", "b", "b", "b", "b"]
    assert [pop_at(("a",), losses, time) for time in (0, 10, 20)] == ["a", None, "a"]
    assert [lost(losses, "a", time) for time in (9, 10, 20)] == [False, True, False]


def way_at(plan, host, time_ns):
    path = next(path for path in plan.paths if path[0].nodes[0] == host)
    return [step for step in path if step.time_ns <= time_ns][-1].nodes


def test_a_lost_gateway_is_avoided_from_that_instant_with_an_outage_before():
    used = way_at(build_plan(italy(), dense(), START_NS, 60 * S), "rome", 20 * S)[3]
    plan = build_plan(italy(lost=f"{used}@20-40"), dense(), START_NS, 60 * S)
    assert way_at(plan, "rome", 20 * S - 1)[3] == used
    for number, link in enumerate(plan.links):
        if used in (link.a, link.b):
            steps = plan.link_steps(number)
            assert not steps["up"][(steps["time_ns"] >= 20 * S) & (steps["time_ns"] < 40 * S)].any()
    outage = next(event for event in plan.events if event.kind == "outage" and event.node == "ut-rome")
    assert (outage.time_ns, outage.cause) == (20 * S, f"{used} lost")
    assert S <= outage.window_ns < S + 100 * MS  # until the loss is noticed
    after = next(e for e in plan.events if e.kind == "handover" and e.node == "ut-rome" and e.time_ns == 21 * S)
    assert after.cause == "loss noticed"
    assert (after.detail["gateway_from"], after.detail["gateway_to"] != used) == (used, True)
    loss = next(event for event in plan.events if event.kind == "gateway")
    assert (loss.time_ns, loss.node, loss.window_ns) == (20 * S, used, 0)
    for host in ("rome", "taranto"):
        assert all(way_at(plan, host, t * S)[3] != used for t in range(21, 40))
    sent = range(18 * S, 24 * S, 10 * MS)
    arrived = walk(plan.links, plan.steps, plan.routes, [(t, "ut-rome", "dc-rome", "ce-rome") for t in sent])
    missing = [t for t, arrival in zip(sent, arrived, strict=True) if arrival is None]
    assert 20 * S - 40 * MS < missing[0] <= 20 * S
    assert missing == list(range(missing[0], 21 * S, 10 * MS))


def test_a_gateway_lost_from_the_beginning_is_never_used_and_costs_no_outage():
    plan = build_plan(italy(lost="gw-milano,gw-foggia"), dense(), START_NS, 60 * S)
    assert {step.nodes[3] for path in plan.paths[::2] for step in path} == {"gw-marsala"}
    assert not [event for event in plan.events if event.kind == "outage"]


def test_nothing_left_to_land_at_is_one_line():
    with pytest.raises(PlanError, match="rome: no satellite has a gateway in view for a whole slot"):
        build_plan(italy(lost="gw-milano,gw-foggia,gw-marsala"), dense(), START_NS, 30 * S)


def test_a_lost_pop_falls_back_to_the_next_and_traffic_finds_it_both_ways():
    plan = build_plan(italy(lost="pop-milan@20", fallback="frankfurt"), dense(), START_NS, 60 * S)
    assert way_at(plan, "rome", 19 * S)[4] == "pop-milan"
    assert {way_at(plan, host, t * S)[4] for host in ("rome", "taranto") for t in range(21, 60)} == {"pop-frankfurt"}
    assert [node.name for node in plan.nodes if node.nat] == ["pop-milan", "pop-frankfurt"]
    sent = range(22 * S, 59 * S, S // 2)
    up = walk(plan.links, plan.steps, plan.routes, [(t, "ut-rome", "dc-rome", "ce-rome") for t in sent])
    down = walk(plan.links, plan.steps, plan.routes, [(t, "ce-rome", "rome", "ut-rome") for t in sent])
    assert None not in up + down
    milan, frankfurt = (steps_between(plan, pop, "ce-rome")["delay_ns"][0] for pop in ("pop-milan", "pop-frankfurt"))
    assert frankfurt - milan == pytest.approx(3.5 * MS, abs=0.2 * MS)  # (14.1 - 7.0) / 2: facts on terrestrial fibre


def test_without_another_pop_its_loss_is_an_outage_to_the_end_of_the_window():
    plan = build_plan(italy(lost="pop-milan@20-40"), dense(), START_NS, 60 * S)
    outages = [event for event in plan.events if event.kind == "outage"]
    assert {event.node for event in outages} == {"ut-rome", "ut-taranto"}
    for event in outages:
        assert event.cause == "pop-milan lost"
        assert event.time_ns == 20 * S
        assert event.time_ns + event.window_ns == 42 * S  # the next slot's beginning


def test_losses_may_touch_what_is_not_used():
    calm = build_plan(italy(), dense(), START_NS, 30 * S)
    plan = build_plan(italy(lost="gw-muallim@5-10"), dense(), START_NS, 30 * S)
    assert plan.routes == calm.routes


def test_the_detection_time_is_the_access_models():
    scenario = italy(lost="gw-milano@20")
    scenario = replace(scenario, access=replace(scenario.access, detection_ns=3 * S))
    plan = build_plan(scenario, dense(), START_NS, 30 * S)
    outages = [event for event in plan.events if event.kind == "outage"]
    assert outages
    assert all(3 * S <= event.window_ns < 3_100 * MS for event in outages)
