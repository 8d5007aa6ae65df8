"""One-way delay: constants against exact arithmetic and published figures."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_data import MS, small_plan, steps_between

from testbed.ground.errors import PlanError
from testbed.orbits.sites import Site
from testbed.plan.delays import (
    Overheads,
    breakdown,
    centre_fibre,
    feeder_link,
    gateway_fibre,
    propagation_ns,
    total_ns,
    user_link,
)

MILANO, FRANKFURT = Site("milano", 45.4642, 9.19), Site("frankfurt", 50.11, 8.68)
ROMA, PALERMO = Site("roma", 41.9, 12.49), Site("palermo", 38.116, 13.361)


@given(st.floats(0.0, 5e7))
def test_propagation_is_range_over_c_to_the_nearest_nanosecond(range_m):
    exact = Fraction(range_m) * 10**9 / 299_792_458
    assert abs(int(propagation_ns(np.array(range_m))) - exact) <= Fraction(1, 2) + Fraction(1, 10**6)


def test_propagation_over_one_light_second():
    assert propagation_ns(np.array([0.0, 299_792_458.0])).tolist() == [0, 10**9]


@given(st.lists(st.floats(3e5, 5e6), min_size=1, max_size=5), st.booleans())
def test_a_user_link_is_exactly_the_sum_of_its_components(ranges_m, upward):
    overheads, range_m = Overheads(), np.array(ranges_m)
    parts = user_link(range_m, upward, overheads)
    assert set(parts) == {"propagation", "frame", "scheduling", "processing"}
    assert all(part.shape == range_m.shape and part.dtype == np.int64 for part in parts.values())
    access_ns = overheads.access_up_ns if upward else overheads.access_down_ns
    assert (total_ns(parts) == propagation_ns(range_m) + access_ns).all()


def test_up_and_down_differ_by_scheduling_alone():
    range_m, overheads = np.array([550e3, 1_123e3]), Overheads()
    up, down = user_link(range_m, True, overheads), user_link(range_m, False, overheads)
    assert {name for name in up if (up[name] != down[name]).any()} == {"scheduling"}
    assert (total_ns(up) - total_ns(down) == overheads.scheduling_up_ns - overheads.scheduling_down_ns).all()
    assert overheads.scheduling_up_ns / overheads.scheduling_down_ns == pytest.approx(4.6 / 1.7, rel=0.01)


def test_a_feeder_link_is_propagation():
    range_m = np.array([550e3, 1_123e3])
    assert (total_ns(feeder_link(range_m)) == propagation_ns(range_m)).all()


def test_a_frame_is_a_750th_of_a_second():
    assert abs(Overheads().frame_ns - Fraction(10**9, 750)) < 1


@pytest.mark.parametrize(
    ("a", "b", "round_trip_ms"),
    [(MILANO, FRANKFURT, 7.6), (ROMA, PALERMO, 6.3), (MILANO, PALERMO, 13.0)],
)
def test_fibre_round_trips_agree_with_published_figures(a, b, round_trip_ms):
    """1.5 times the great circle at an index of 1.468: Roma-Palermo 427 km and so on, to the printed decimal."""
    assert 2 * int(gateway_fibre(a, b, Overheads())["fibre"]) / MS == pytest.approx(round_trip_ms, abs=0.06)


def test_gateway_and_centre_add_their_shares():
    overheads = Overheads()
    gateway, centre = gateway_fibre(ROMA, MILANO, overheads), centre_fibre(ROMA, MILANO, overheads)
    assert gateway["fibre"] == centre["fibre"]
    assert int(total_ns(gateway) - gateway["fibre"]) == overheads.gateway_ns
    assert int(total_ns(centre) - centre["fibre"]) == overheads.centre_access_ns


def test_what_is_fitted_lies_in_the_measured_range():
    """Countries next to a PoP and a gateway: 12 to 14 ms of round trip are neither radio nor fibre."""
    assert 12 * MS <= Overheads().round_trip_ns <= 14 * MS


def test_breakdown_explains_a_path():
    plan = small_plan()
    nodes = plan.paths[0][0].nodes
    parts = breakdown(plan, nodes, 0)
    assert set(parts) == {"user", "feeder", "fibre"}
    assert parts["user"]["overhead"] == Overheads().access_up_ns
    assert parts["feeder"]["overhead"] == 0
    hops = [steps_between(plan, a, b)["delay_ns"][0] for a, b in pairwise(nodes[1:-1])]
    assert sum(sum(part.values()) for part in parts.values()) == sum(hops)


def test_breakdown_shows_a_hold_as_overhead():
    plan = small_plan("hold")
    held = max(
        breakdown(plan, step.nodes, step.time_ns)["user"]["overhead"] for path in plan.paths[::2] for step in path
    )
    assert held > Overheads().access_up_ns


def test_breakdown_refuses_nodes_without_a_link():
    with pytest.raises(PlanError, match="no link rome→pop-milan"):
        breakdown(small_plan(), ("rome", "pop-milan"), 0)
