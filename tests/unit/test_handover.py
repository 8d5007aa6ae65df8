"""Handovers: the laws of hold, drop and reorder, on any sequence of satellites and gateways."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orbit_data import START_NS
from plan_data import MS, S, dense, italy, overtaken, small_plan, sparse, steps_between, walk

from testbed.plan.access import Leg
from testbed.plan.build import build_plan
from testbed.plan.geometry import Geometry
from testbed.plan.handover import find_handovers, held_ns, merge, user_intervals
from testbed.plan.holding import RadioKey
from testbed.plan.routing import routes
from testbed.plan.schedule import Schedule
from testbed.plan.variation import Variation

SATELLITES = ("S0", "S1", "S2", "S3")
SLOT_NS = 15 * S
AROUND_NS = 70 * MS


@dataclass(frozen=True)
class StillGeometry(Geometry):
    """Ranges that do not change with time, as given: site and satellite to metres."""

    ranges_m: dict[tuple[str, int], float] = field(default_factory=dict)

    def look(self, site, satellite, time_ns):
        shape = np.shape(time_ns)
        return np.full(shape, self.ranges_m[site.name, satellite]), np.full(shape, 45.0)


def still(scenario, ranges_m):
    return StillGeometry(scenario, None, START_NS, 0, ranges_m)


def make_legs(choices):
    """Legs of each terminal; choices: per slot ({satellite: gateway}, (satellite of each terminal, -1 for none))."""
    legs = [[], []]
    for slot, (landing, chosen) in enumerate(choices):
        for terminal, satellite in enumerate(chosen):
            gateway = landing[satellite] if satellite >= 0 else -1
            begin, end = slot * SLOT_NS, (slot + 1) * SLOT_NS
            last = legs[terminal][-1] if legs[terminal] else None
            if last and (last.satellite, last.gateway) == (satellite, gateway):
                legs[terminal][-1] = replace(last, end_ns=end)
            else:
                legs[terminal].append(Leg(begin, end, satellite, gateway))
    return legs


def play(geometry, legs):
    """Walk packets, one per ms around each boundary, both ways: (terminal, upward, sent times, arrivals)."""
    duration_ns = legs[0][-1].end_ns
    schedule = Schedule(geometry, legs, find_handovers(geometry, legs).raises, SATELLITES, duration_ns, S)
    schedule.add_user_links(range(4))
    schedule.add_isl_links(range(4))
    schedule.add_feeder_links(range(4))
    schedule.add_fibres()
    boundaries = sorted({leg.begin_ns for its in legs for leg in its} - {0})
    sent = [t for boundary in boundaries for t in range(boundary - AROUND_NS, boundary + AROUND_NS, MS)]
    cases = [(number, upward) for number in range(2) for upward in (True, False)]
    packets = []
    for number, upward in cases:
        terminal = geometry.scenario.terminals[number]
        ends = (terminal.name, "dc-rome", "pop-milan") if upward else ("pop-milan", terminal.host, terminal.name)
        packets += [(t, *ends) for t in sent]
    arrivals = walk(schedule.links, schedule.steps(), routes(geometry.scenario, legs, SATELLITES), packets)
    return [
        (*case, sent, arrivals[begin : begin + len(sent)])
        for case, begin in zip(cases, range(0, len(arrivals), len(sent) or 1), strict=False)
    ]


@st.composite
def slot_choices(draw):
    landing = draw(st.tuples(*[st.integers(0, 2)] * 3))
    chosen = draw(st.tuples(*[st.integers(-1, 2)] * 2))
    return dict(enumerate(landing)), chosen


ranges = st.fixed_dictionaries(
    {
        (site, satellite): st.floats(300e3, 3_000e3)
        for site in ("rome", "taranto", "milano", "foggia", "marsala")
        for satellite in range(3)
    }
)
choices = st.lists(slot_choices(), min_size=2, max_size=4).filter(
    lambda slots: all(any(chosen[terminal] >= 0 for _, chosen in slots) for terminal in range(2))
)


@settings(max_examples=60, deadline=None)
@given(ranges, choices)
def test_hold_never_lets_a_new_packet_overtake_an_old_one(ranges_m, slots):
    legs = make_legs(slots)
    for _, _, _, arrivals in play(still(italy(), ranges_m), legs):
        assert overtaken(arrivals) == 0


VARIATIONS = (Variation(), Variation(jitter=1.0), Variation(jitter=2.0, period_ns=10 * MS))
SECONDS_OFF = (0, 12)
"""Handovers at :00 and at :12: slots' offsets change there too."""


def varied(variation, **parameters):
    return replace(italy(**parameters), variation=variation)


@settings(max_examples=40, deadline=None)
@given(ranges, choices, st.sampled_from(VARIATIONS), st.sampled_from(SECONDS_OFF), st.integers(0, 1_000))
def test_hold_keeps_the_order_when_access_delays_vary(ranges_m, slots, variation, off_s, seed):
    legs = make_legs(slots)
    geometry = StillGeometry(varied(variation), None, START_NS + off_s * S, seed, ranges_m)
    for _, _, _, arrivals in play(geometry, legs):
        assert overtaken(arrivals) == 0


@pytest.mark.parametrize("upward", [True, False])
def test_what_varies_is_bounded_to_the_millisecond(upward):
    """Packets every millisecond: the latest before an instant, the earliest after it, and the extremes between two."""
    geometry = Geometry(varied(Variation(jitter=2.0, period_ns=10 * MS)), None, START_NS)
    for instant_ns in range(12 * S, 40 * S, 1_370 * MS):
        before, after = instant_ns - MS * np.arange(1, 400), instant_ns + MS * np.arange(400)
        latest_ns = (geometry.extra_ns(0, upward, before) + before - instant_ns).max()
        assert 0 <= geometry.latest_extra_ns(0, upward, instant_ns) - latest_ns <= MS
        earliest_ns = (geometry.extra_ns(0, upward, after) + after - instant_ns).min()
        assert geometry.earliest_extra_ns(0, upward, instant_ns) == earliest_ns
        extra_ns = geometry.extra_ns(0, upward, after)
        extremes = geometry.extreme_extra_ns(0, upward, instant_ns, instant_ns + 400 * MS)
        assert extremes == (extra_ns.min(), extra_ns.max())


def test_the_plan_varies_as_asked_and_only_on_user_links():
    plans = [build_plan(varied(one), dense(), START_NS, 60 * S) for one in (None, *VARIATIONS[:2])]
    for number, link in enumerate(plans[0].links):
        still_ns, *moved = (plan.link_steps(number) for plan in plans)
        for steps in moved:
            common = np.isin(steps["time_ns"], still_ns["time_ns"])
            same = np.array_equal(steps["delay_ns"][common], still_ns["delay_ns"])
            assert same == (link.kind != "user" or not still_ns["up"].any())
    again = build_plan(varied(VARIATIONS[1]), dense(), START_NS, 60 * S)
    assert again.steps.tobytes() == plans[2].steps.tobytes()
    other = build_plan(varied(VARIATIONS[1]), dense(), START_NS, 60 * S, seed=1)
    assert not np.array_equal(other.steps["delay_ns"], plans[2].steps["delay_ns"])


@settings(max_examples=25, deadline=None)
@given(ranges, choices)
def test_hold_and_reorder_lose_nothing_outside_outages(ranges_m, slots):
    legs = make_legs(slots)
    for order in ("hold", "reorder"):
        for terminal, _, sent, arrivals in play(still(italy(order=order), ranges_m), legs):
            outages = [(leg.begin_ns - 2 * AROUND_NS, leg.end_ns) for leg in legs[terminal] if leg.outage]
            for time_ns, arrival in zip(sent, arrivals, strict=True):
                if not any(begin <= time_ns < end for begin, end in outages):
                    assert arrival is not None


@settings(max_examples=20, deadline=None)
@given(ranges, choices)
def test_windows_contain_every_disturbed_packet(ranges_m, slots):
    """Outside the windows of its terminal a packet takes exactly the sum of its path's delays."""
    legs = make_legs(slots)
    for order in ("hold", "drop", "reorder"):
        geometry = still(italy(order=order), ranges_m)
        found = find_handovers(geometry, legs)
        for terminal, upward, sent, arrivals in play(geometry, legs):
            windows = [(e.time_ns, e.time_ns + e.window_ns) for e in found.events if e.terminal == terminal]
            windows += [(leg.begin_ns, leg.end_ns) for leg in legs[terminal] if leg.outage]
            windows += [
                (new.begin_ns, new.begin_ns + held_ns(found.raises, terminal, new))
                for old, new in pairwise(legs[terminal])
                if old.outage
            ]
            for time_ns, arrival in zip(sent, arrivals, strict=True):
                leg = next(leg for leg in legs[terminal] if leg.begin_ns <= time_ns < leg.end_ns)
                if leg.outage:
                    continue
                whole_ns = geometry.user_ns(terminal, leg.satellite, upward, 0)
                whole_ns += geometry.beyond_ns(leg.satellite, leg.gateway, 0)
                on_the_way = (time_ns, time_ns + whole_ns)
                if not any(begin <= on_the_way[1] and on_the_way[0] < end for begin, end in windows):
                    assert arrival == time_ns + whole_ns


NEAR_MILANO = {
    **{("rome", satellite): 500e3 for satellite in range(3)},
    **{("taranto", satellite): 500e3 for satellite in range(3)},
    **{("milano", satellite): 500e3 for satellite in range(3)},
    **{("foggia", satellite): 500e3 for satellite in range(3)},
    **{("marsala", satellite): 2_000e3 for satellite in range(3)},
}
"""Landing at Marsala takes 11 ms longer than landing at Milano."""

SHORTER = {
    "the satellite changes": [({0: 2, 1: 0}, (0, 0)), ({0: 2, 1: 0}, (1, 1))],
    "the satellite changes its gateway": [({0: 2}, (0, 0)), ({0: 0}, (0, 0))],
    "one leaves a satellite that changes its gateway": [({0: 0}, (0, 0)), ({0: 2, 1: 0}, (1, 0))],
    "one leaves, one takes over, the gateway changes": [({0: 2, 1: 0}, (0, 1)), ({0: 0, 1: 1}, (1, 0))],
    "one leaves for an outage, one takes over": [({0: 2, 1: 0}, (0, 1)), ({0: 0}, (-1, 0))],
}


@pytest.mark.parametrize("slots", SHORTER.values(), ids=SHORTER.keys())
def test_reorder_lets_them_overtake_where_hold_does_not(slots):
    legs = make_legs([({2: 0}, (2, 2)), *slots])
    assert sum(overtaken(arrivals) for *_, arrivals in play(still(italy(order="reorder"), NEAR_MILANO), legs)) > 0
    assert sum(overtaken(arrivals) for *_, arrivals in play(still(italy(order="hold"), NEAR_MILANO), legs)) == 0


def test_hold_raises_the_new_user_link_by_the_difference_and_the_margin():
    geometry = still(italy(), NEAR_MILANO)
    legs = make_legs(SHORTER["the satellite changes"])
    raises = find_handovers(geometry, legs).raises
    assert set(raises) == {RadioKey("user", terminal, 1, upward) for terminal in (0, 1) for upward in (True, False)}
    (up,) = raises[RadioKey("user", 0, 1, True)]
    old_ns, new_ns = (geometry.user_ns(0, s, True, 0) + geometry.beyond_ns(s, g, 0) for s, g in ((0, 2), (1, 0)))
    assert up.begin_ns == 15 * S
    assert up.extra_ns == old_ns - new_ns + 2 * MS
    assert 0 <= up.end_ns - (15 * S + old_ns + 2 * MS) < MS
    assert up.end_ns % MS == 0


def test_hold_raises_nothing_when_the_new_path_is_longer_by_the_margin():
    legs = make_legs([({0: 0}, (0, 0)), ({1: 2}, (1, 1))])
    found = find_handovers(still(italy(), NEAR_MILANO), legs)
    assert found.raises == {}
    assert len(found.events) == 2


def test_hold_raises_less_than_the_margin_when_the_new_path_is_a_little_longer():
    ranges_m = {**NEAR_MILANO, ("rome", 1): 500e3 + 299_792.458}  # 1 ms more
    legs = make_legs([({0: 0}, (0, 0)), ({0: 0, 1: 0}, (1, 0))])
    (one,) = find_handovers(still(italy(), ranges_m), legs).raises[RadioKey("user", 0, 1, True)]
    assert one.extra_ns == MS


def test_hold_on_real_motion_over_a_sparse_shell():
    """Gateways change under satellites, terminals change both: nothing overtakes, and with reorder something does."""
    late = {}
    for order in ("hold", "reorder"):
        late[order] = 0
        for k in range(6):
            scenario = italy(mask_deg=15.0, gateway_mask_deg=50.0, order=order)
            plan = build_plan(scenario, sparse(), START_NS + k * 293 * S, 240 * S)
            for node, host, up in [(t.name, t.host, u) for t in scenario.terminals for u in (True, False)]:
                ends = (node, "dc-rome", "dc-rome") if up else ("pop-milan", host, node)
                links = plan.links
                moments = [event.time_ns for event in plan.events if event.node == node]
                sent = sorted(t for m in moments for t in range(max(m - AROUND_NS, 0), m + AROUND_NS, MS))
                ends = (node, "dc-rome", "pop-milan") if up else ends
                arrivals = walk(links, plan.steps, plan.routes, [(t, *ends) for t in sent])
                late[order] += overtaken(arrivals)
    assert late["hold"] == 0
    assert late["reorder"] > 0


def test_drop_cuts_the_user_link_for_the_outage_and_nothing_more():
    plan = build_plan(italy(order="drop", outage_ms="35"), dense(), START_NS, 60 * S)
    moves = [event for event in plan.events if event.kind == "handover"]
    assert moves
    for event in moves:
        old = steps_between(plan, event.node, event.detail["from"])
        new = steps_between(plan, event.node, event.detail["to"])
        assert old["up"][old["time_ns"] < event.time_ns][-1]
        assert not old["up"][old["time_ns"] == event.time_ns][0]
        assert not new["up"][new["time_ns"] < event.time_ns + 35 * MS].any()
        assert new["up"][new["time_ns"] == event.time_ns + 35 * MS][0]
        sent = range(event.time_ns - AROUND_NS, event.time_ns + AROUND_NS, MS)
        arrivals = walk(plan.links, plan.steps, plan.routes, [(t, event.node, "dc-rome", "pop-milan") for t in sent])
        lost = [t for t, arrival in zip(sent, arrivals, strict=True) if arrival is None]
        assert lost == list(range(event.time_ns, event.time_ns + 35 * MS, MS))
        assert overtaken(arrivals) == 0


def test_reorder_changes_nothing_but_routes():
    for event in small_plan("reorder").events:
        for name in (event.detail["from"], event.detail["to"]):
            steps = steps_between(small_plan("reorder"), event.node, name)
            speed = np.abs(np.diff(steps["delay_ns"])) / np.maximum(np.diff(steps["time_ns"]), 1)
            assert np.max(speed) < 3e-5  # no faster than a satellite: 7.6 km/s over c


def test_links_are_made_ahead_and_kept_for_the_drain():
    plan = small_plan("hold")
    for event in plan.events:
        old = steps_between(plan, event.node, event.detail["from"])
        new = steps_between(plan, event.detail["to"], event.node)
        assert old["time_ns"][old["up"]].max() < event.time_ns + S
        assert not old["up"][old["time_ns"] == event.time_ns + S][0]
        assert new["time_ns"][new["up"]].min() == event.time_ns - S


def test_a_user_link_is_down_in_an_outage_and_up_exactly_after_it():
    access = italy().access
    legs = [Leg(0, 10 * S, 7, 0), Leg(10 * S, 25 * S, -1, -1, "none"), Leg(25 * S, 40 * S, 7, 0)]
    assert user_intervals(legs, 7, access) == [(0, 10 * S), (25 * S, 40 * S)]


def test_merge_joins_what_touches():
    assert merge([(5, 7), (1, 3), (3, 4), (6, 9), (9, 9)]) == [(1, 4), (5, 9)]
