"""Plans played faster than real time: shorter times, the same delays, and nothing that matters lost between."""

from __future__ import annotations

import numpy as np
import pytest
from plan_data import MS, S, small_plan

from testbed.ground.errors import PlanError
from testbed.plan.accelerate import LEAST_GAP_NS, accelerated, accelerated_faults
from testbed.plan.model import Plan

SPEED = 12.0


@pytest.fixture
def plan() -> Plan:
    return small_plan()


def test_speed_one_is_the_plan_itself(plan: Plan) -> None:
    assert accelerated(plan, 1.0) is plan


def test_times_are_divided_and_delays_are_not(plan: Plan) -> None:
    fast = accelerated(plan, SPEED)
    assert fast.speed == SPEED
    assert fast.duration_ns == plan.duration_ns / SPEED == 5 * S
    assert [event.time_ns for event in fast.events] == [int(event.time_ns / SPEED) for event in plan.events]
    assert [event.window_ns for event in fast.events] == [event.window_ns for event in plan.events]
    assert set(np.unique(fast.steps["delay_ns"])) <= set(np.unique(plan.steps["delay_ns"]))


def test_at_every_moment_a_link_is_as_it_was_a_little_before(plan: Plan) -> None:
    fast = accelerated(plan, SPEED)
    assert len(fast.steps) < len(plan.steps)
    for number in range(len(plan.links)):
        slow, quick = plan.link_steps(number), fast.link_steps(number)
        for time_ns in range(0, fast.duration_ns, 37 * MS):
            was = slow[np.searchsorted(slow["time_ns"], time_ns * SPEED, side="right") - 1]
            now = quick[np.searchsorted(quick["time_ns"], time_ns, side="right") - 1]
            assert now["up"] == was["up"]
            assert abs(time_ns - now["time_ns"]) <= abs(time_ns - was["time_ns"] / SPEED) + LEAST_GAP_NS + 1


def test_going_down_and_coming_up_are_never_left_out(plan: Plan) -> None:
    fast = accelerated(plan, 600.0)
    for number in range(len(plan.links)):
        slow, quick = plan.link_steps(number)["up"], fast.link_steps(number)["up"]
        assert np.count_nonzero(np.diff(quick.astype(int))) == np.count_nonzero(np.diff(slow.astype(int)))


def test_flows_last_as_long_as_the_schedule_and_keep_clear_of_its_ends(plan: Plan) -> None:
    for before, after in zip(plan.flows, accelerated(plan, SPEED).flows, strict=True):
        assert before["start_ns"] == after["start_ns"] == 500 * MS
        assert after["stop_ns"] == 4_500 * MS


def test_faults_of_a_file_come_at_their_schedule_time() -> None:
    entries = [{"kind": "link", "a": "x", "b": "y", "at": 60, "for": 6, "cause": "cut"}]
    assert accelerated_faults(entries, SPEED) == [
        {"kind": "link", "a": "x", "b": "y", "at": 5, "for": 0.5, "cause": "cut"}
    ]


@pytest.mark.parametrize("speed", [0.0, 0.5, -3.0, 1_001.0, float("nan"), float("inf")])
def test_other_speeds_are_refused(plan: Plan, speed: float) -> None:
    with pytest.raises(PlanError, match=r"^speed .* is outside 1 to 1000: it is schedule seconds per real second$"):
        accelerated(plan, speed)


def test_a_plan_is_accelerated_once(plan: Plan) -> None:
    with pytest.raises(PlanError, match=r"^plan of starlink-italy: it is for speed 12 already: plan it anew$"):
        accelerated(accelerated(plan, SPEED), 2.0)
