"""Routes and paths: every packet finds its way, and only what changes is said."""

from __future__ import annotations

import pytest
from orbit_data import START_NS
from plan_data import MS, S, italy, small_plan, sparse, walk

from testbed.plan.access import Leg
from testbed.plan.build import build_plan
from testbed.plan.routing import paths, routes

NAMES = ("S0", "S1")


@pytest.mark.parametrize("order", ["hold", "reorder"])
def test_packets_go_from_host_to_host_along_the_routes(order):
    """Twice a second between the routers of all audited pairs, both ways; in the plan's middle nothing is lost."""
    plan = small_plan(order)
    packets = []
    for path in plan.paths:
        first, last = path[0].nodes[1], path[0].nodes[-2]
        packets += [(t, first, path[0].nodes[-1], last) for t in range(0, 59 * S, S // 2)]
    assert all(arrival is not None for arrival in walk(plan.links, plan.steps, plan.routes, packets))


def test_routes_are_ordered_and_never_repeated():
    plan = build_plan(italy(mask_deg=15.0, gateway_mask_deg=50.0), sparse(), START_NS, 600 * S)
    keys = [(route.time_ns, route.node, route.destination) for route in plan.routes]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    held = {}
    for route in plan.routes:
        assert held.get((route.node, route.destination)) != route.via
        held[route.node, route.destination] = route.via


def test_routes_and_paths_of_two_legs():
    legs = (
        (Leg(0, 9, 0, 0), Leg(9, 20, 1, 2)),
        (Leg(0, 9, -1, -1, "none"), Leg(9, 20, 1, 2)),
    )
    at_9 = [(r.node, r.destination, r.via) for r in routes(italy(), legs, NAMES) if r.time_ns == 9]
    assert at_9 == [
        ("S1", "rome", "ut-rome"),
        ("gw-marsala", "rome", "S1"),
        ("pop-milan", "rome", "gw-marsala"),
        ("ut-rome", "default", "S1"),
    ]
    up, down, taranto_up, _ = paths(italy(), legs, NAMES)
    assert [step.time_ns for step in up] == [0, 9]
    assert up[1].nodes == ("rome", "ut-rome", "S1", "gw-marsala", "pop-milan", "ce-rome", "dc-rome")
    assert [step.nodes[::-1] for step in down] == [step.nodes for step in up]
    assert [step.time_ns for step in taranto_up] == [0]  # in the first outage it has the way to come


def test_a_terminal_in_an_outage_does_not_move_a_satellite_that_others_use():
    legs = (
        (Leg(0, 9, 0, 0), Leg(9, 30, -1, -1, "none")),
        (Leg(0, 9, 0, 0), Leg(9, 18, 0, 1), Leg(18, 30, 0, 2)),
    )
    gateways = {r.time_ns: r.via for r in routes(italy(), legs, NAMES) if (r.node, r.destination) == ("S0", "default")}
    assert gateways == {0: "gw-milano", 9: "gw-foggia", 18: "gw-marsala"}


def test_a_terminal_that_waits_for_its_first_satellite_does_not_move_it_either():
    legs = (
        (Leg(0, 9, 0, 0), Leg(9, 30, 1, 0)),
        (Leg(0, 18, -1, -1, "none"), Leg(18, 30, 0, 2)),
    )
    gateways = {r.time_ns: r.via for r in routes(italy(), legs, NAMES) if (r.node, r.destination) == ("S0", "default")}
    assert gateways == {0: "gw-milano", 18: "gw-marsala"}


def test_the_walk_notices_a_missing_route():
    """The check of this file can fail: without the satellites' routes packets have nowhere to go."""
    plan = small_plan()
    kept = [route for route in plan.routes if not route.node.startswith("A")]
    with pytest.raises(KeyError):
        walk(plan.links, plan.steps, kept, [(MS, "ut-rome", "dc-rome", "ce-rome")])
