"""testbed.emulation.timeline and wiring: each change of a plan is one message, in the order that harms no packet."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from emulated import NEWQDISC, FakeKernel, wire
from plan_data import small_plan

from testbed.emulation.timeline import Tick, compile_timeline
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.kernel import queues
from testbed.kernel.netlink import Message
from testbed.kernel.queues import MIN_PACKET_BYTES
from testbed.plan.model import Plan

NEWFILTER, DELFILTER, NEWROUTE = 44, 45, 24  # linux/rtnetlink.h
ORDERS = ["hold", "drop", "reorder"]


def plain(order: str = "hold") -> Plan:
    """A minute of the Italian plan, without the address translation that needs a kernel."""
    plan = small_plan(order)
    return replace(plan, nodes=tuple(replace(node, nat=False) for node in plan.nodes))


def kind(message: Message) -> int:
    (number,) = struct.unpack_from("=H", message.data, 4)
    return int(number)


def messages(tick: Tick) -> list[tuple[str, Message]]:
    return [(node, message) for node, batch in tick.batches for message in batch]


@pytest.mark.parametrize("order", ORDERS)
def test_every_step_is_in_the_tick_of_its_instant(order: str) -> None:
    plan = plain(order)
    wiring = wire(plan)
    timeline = compile_timeline(wiring)
    assert [tick.time_ns for tick in timeline.ticks] == sorted({tick.time_ns for tick in timeline.ticks})
    found: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for (node, index), (number, held) in timeline.initial.items():
        assert (node, index) == (plan.links[number].a, wiring.end(number).index)
        found[number].append((0, held.delay_ns, held.loss))
    for tick, held_then in zip(timeline.ticks, timeline.held, strict=True):
        for (node, index), (number, held) in held_then.items():
            assert (node, index) == (plan.links[number].a, wiring.end(number).index)
            found[number].append((tick.time_ns, held.delay_ns, held.loss))
    for number in range(len(plan.links)):
        steps = plan.link_steps(number)
        loss = np.where(steps["up"], steps["loss"], 1.0)  # what is down loses everything
        assert found[number] == list(zip(steps["time_ns"], steps["delay_ns"], loss, strict=True))


@pytest.mark.parametrize("order", ORDERS)
def test_the_messages_of_a_tick_are_what_it_says_is_held(order: str) -> None:
    timeline = compile_timeline(wire(plain(order)))
    for tick, held in zip(timeline.ticks, timeline.held, strict=True):
        sent = {}
        for node, message in messages(tick):
            if kind(message) == NEWQDISC:
                index, impairment = queues.parse_netem(message.data[16:])
                assert impairment is not None
                sent[node, index] = (impairment.delay_ns, round(impairment.loss, 9), impairment.limit)
        assert sent == {end: (it.delay_ns, round(it.loss, 9), it.limit) for end, (_, it) in held.items()}


@pytest.mark.parametrize("order", ORDERS)
def test_first_what_packets_need_then_routes_from_the_far_side_then_what_goes(order: str) -> None:
    """A route must never lead where nothing is yet, nor what is in use be taken away before the routes have moved."""
    plan = plain(order)
    timeline = compile_timeline(wire(plan))
    routes_seen, ups, downs = 0, 0, 0
    for tick in timeline.ticks:
        places = []
        for node, message in messages(tick):
            if kind(message) == NEWROUTE:
                places.append(1 if plan.node(node).role in ("gateway", "satellite") else 2)
                routes_seen += 1
            elif kind(message) == DELFILTER:
                places.append(0)
                ups += 1
            elif kind(message) == NEWFILTER:
                places.append(3)
                downs += 1
            elif queues.parse_netem(message.data[16:])[1].loss < 1:  # of a link that is up: its delay, or a hold
                places.append(0)
        assert places == sorted(places)
    assert routes_seen == 2 * sum(route.time_ns > 0 for route in plan.routes)
    steps = [plan.link_steps(number)["up"].astype(int) for number in range(len(plan.links))]
    assert ups == sum(int(np.sum(np.diff(up) == 1)) for up in steps) > 0
    assert downs == sum(int(np.sum(np.diff(up) == -1)) for up in steps) > 0


@pytest.mark.parametrize("order", ORDERS)
def test_darkness_falls_at_the_receiving_end_of_a_link_that_goes_down(order: str) -> None:
    plan = plain(order)
    wiring = wire(plan)
    timeline = compile_timeline(wiring)
    dark: dict[int, set[tuple[str, int]]] = {}
    now = {
        (wiring.end(number).far_node, wiring.end(number).far_index)
        for number in range(len(plan.links))
        if not plan.link_steps(number)["up"][0]
    }
    for tick in timeline.ticks:
        for node, message in messages(tick):
            if kind(message) in (NEWFILTER, DELFILTER):
                _, index, _, _, _ = struct.unpack_from("=BxxxiIII", message.data, 16)
                assert ((node, index) in now) == (kind(message) == DELFILTER)  # never twice: the kernel would refuse
                now ^= {(node, index)}
        dark[tick.time_ns] = set(now)
    for number in range(len(plan.links)):
        end = wiring.end(number)
        for step in plan.link_steps(number)[1:]:
            assert ((end.far_node, end.far_index) in dark[int(step["time_ns"])]) == (not step["up"])


def test_the_kernel_has_known_darkness_once_before_the_schedule_starts() -> None:
    """Its first use loads modules, longer than a tick may last; a plan may have no link that is down at first."""
    plan = plain()
    steps = plan.steps.copy()
    steps["up"] = True
    wiring = wire(replace(plan, steps=steps))
    sent = [message for node in wiring.nodes.values() for message in node.netlink.log]  # type: ignore[attr-defined]
    dark = [message for message in sent if "matchall" in message.what or "relighting" in message.what]
    assert [kind(message) for message in dark] == [NEWFILTER, DELFILTER]


def test_what_is_configured_is_the_plan_at_its_first_instant() -> None:
    plan = plain()
    wiring = wire(plan)
    for number, link in enumerate(plan.links):
        kernel = wiring.nodes[link.a].netlink
        assert isinstance(kernel, FakeKernel)
        _, held = queues.parse_netem(kernel.queues[wiring.end(number).index])
        assert held is not None
        assert held.delay_ns == plan.link_steps(number)["delay_ns"][0]
    at_first = sum(route.time_ns == 0 for route in plan.routes)
    sent = [message for node in wiring.nodes.values() for message in node.netlink.log]  # type: ignore[attr-defined]
    assert sum(kind(message) == NEWROUTE for message in sent) == 2 * (at_first + len(plan.lans))


def test_the_limit_holds_the_smallest_packets_of_the_longest_delay_and_the_buffer() -> None:
    plan = plain()
    timeline = compile_timeline(wire(plan))
    for number, held in timeline.initial.values():
        steps = plan.link_steps(number)
        in_flight_bytes = int(steps["rate_bps"][0]) * int(steps["delay_ns"].max()) / 8e9
        assert held.limit * MIN_PACKET_BYTES >= in_flight_bytes + plan.links[number].buffer_bytes
    limits = [{held[end][1].limit for held in timeline.held if end in held} for end in timeline.initial]
    assert all(len(found) <= 1 for found in limits)  # constant: a smaller one would drop what is in flight


def test_every_pair_is_wired_once() -> None:
    wiring = wire(plain())
    pairs = [frozenset(pair) for pair in wiring.pairs]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {frozenset((link.a, link.b)) for link in wiring.plan.links} | {
        frozenset((lan.host, lan.router)) for lan in wiring.plan.lans
    }
    with pytest.raises(PlanError, match="no link from rome to dc-rome"):
        wiring.interface("rome", "dc-rome")


def test_a_rate_that_changes_is_refused() -> None:
    plan = plain()
    steps = plan.steps.copy()
    row = next(row for row, (a, b) in enumerate(pairwise(steps["link"])) if a == b) + 1
    steps["rate_bps"][row] //= 2
    link = plan.links[steps["link"][row]]
    with pytest.raises(PlanError, match=rf"the rate of link {link.a}→{link.b} changes at [0-9.]+ s: make a plan with"):
        Wiring(replace(plan, steps=steps))
