"""Rates of user links drawn for each slot, and what the weather takes: in a plan, from the topology's parameters."""

from __future__ import annotations

import numpy as np
import pytest
from orbit_data import START_NS
from plan_data import MS, S, dense, italy

from testbed.ground.constants import SLOT_NS, SLOT_PHASE_NS
from testbed.ground.errors import ScenarioError
from testbed.plan.build import build_plan
from testbed.plan.model import Plan


def plan_of(seed: int = 0, **parameters: str) -> Plan:
    return build_plan(italy(**parameters), dense(), START_NS, 60 * S, 1_000 * MS, seed)


def user_rates(plan: Plan) -> dict[tuple[str, str], dict[int, set[int]]]:
    """By user link: the rates of each slot while it is up."""
    found: dict[tuple[str, str], dict[int, set[int]]] = {}
    for number, link in enumerate(plan.links):
        if link.kind == "user":
            for step in plan.link_steps(number):
                slot = (plan.start_ns + int(step["time_ns"]) - SLOT_PHASE_NS) // SLOT_NS
                found.setdefault((link.a, link.b), {}).setdefault(slot, set()).add(int(step["rate_bps"]))
    return found


def test_without_the_parameter_rates_are_the_medians() -> None:
    rates = {rate for slots in user_rates(plan_of()).values() for one in slots.values() for rate in one}
    assert rates == {41_000_000, 282_000_000}


def test_a_rate_holds_for_its_slot_and_moves_with_slot_and_seed() -> None:
    drawn, other = (user_rates(plan_of(seed, capacity="slots")) for seed in (0, 1))
    assert all(len(rates) == 1 for slots in drawn.values() for rates in slots.values())
    assert len({rate for slots in drawn.values() for rates in slots.values() for rate in rates}) > len(drawn)
    assert drawn != other
    assert drawn == user_rates(plan_of(0, capacity="slots"))


@pytest.mark.parametrize("worse", [{"load": "50"}, {"rain": "0.01"}])
def test_load_and_rain_take_rate_and_no_delay(worse: dict[str, str]) -> None:
    clear, less = plan_of(capacity="slots"), plan_of(capacity="slots", **worse)
    user = np.isin(clear.steps["link"], [number for number, link in enumerate(clear.links) if link.kind == "user"])
    assert np.all(less.steps["rate_bps"][user] < clear.steps["rate_bps"][user])
    assert np.array_equal(less.steps["rate_bps"][~user], clear.steps["rate_bps"][~user])
    assert np.array_equal(less.steps["delay_ns"], clear.steps["delay_ns"])


def test_more_rain_takes_more() -> None:
    totals = [int(plan_of(capacity="slots", rain=percent).steps["rate_bps"].sum()) for percent in ("1", "0.1", "0.01")]
    assert totals[0] > totals[1] > totals[2]


@pytest.mark.parametrize("parameters", [{"rain": "1"}, {"load": "20"}])
def test_rain_without_drawn_rates_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ScenarioError, match=r"^starlink-italy: rain and load act on .*: add -p capacity=slots$"):
        italy(**parameters)


def test_what_is_assumed_is_told() -> None:
    told = " ".join(plan_of(capacity="slots", rain="0.1").assumptions)
    assert "drawn for each slot" in told
    assert "0.1 % of the year" in told
    assert "282 Mbit/s" not in told
