"""testbed.emulation.timeline and wiring: each change of a plan is made once, in the order that harms no packet."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
from emulated import NEWQDISC, FakeKernel, wire
from plan_data import small_plan

from testbed.emulation.player import Player
from testbed.emulation.state import State
from testbed.emulation.timeline import compile_timeline
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import ManualClock
from testbed.ground.errors import PlanError
from testbed.kernel import queues
from testbed.kernel.netlink import Message
from testbed.kernel.queues import MIN_PACKET_BYTES
from testbed.plan.model import Plan

NEWFILTER, DELFILTER, NEWROUTE, NEWLINK = 44, 45, 24, 16  # linux/rtnetlink.h
ORDERS = ["hold", "drop", "reorder"]


def plain(order: str = "hold") -> Plan:
    """A minute of the Italian plan, without the address translation that needs a kernel."""
    plan = small_plan(order)
    return replace(plan, nodes=tuple(replace(node, nat=False) for node in plan.nodes))


def kind(message: Message) -> int:
    (number,) = struct.unpack_from("=H", message.data, 4)
    return int(number)


@dataclass
class Played:
    """A plan played to its end: what every node was told, tick by tick, in the order of the whole network."""

    wiring: Wiring
    player: Player
    ticks: list[tuple[int, list[tuple[str, Message]]]] = field(default_factory=list)


def played(plan: Plan) -> Played:
    wiring, clock = wire(plan), ManualClock()
    told: list[tuple[str, Message]] = []
    for name, node in wiring.nodes.items():
        kernel = node.netlink
        assert isinstance(kernel, FakeKernel)
        kernel.log = Diary(name, told)
    sockets = {name: node.netlink for name, node in wiring.nodes.items()}
    ends = [wiring.end(number) for number in range(len(plan.links))]
    ticks = compile_timeline(wiring)
    found = Played(wiring, Player(ticks, State(plan, wiring.limits), ends, sockets))
    for tick in ticks:
        told.clear()
        found.player.act(clock)
        found.ticks.append((tick.time_ns, list(told)))
    return found


class Diary(list[Message]):
    """One node's log that is kept in a common one too."""

    def __init__(self, name: str, told: list[tuple[str, Message]]) -> None:
        self._name, self._told = name, told

    def __iadd__(self, messages: list[Message]) -> Diary:  # type: ignore[override,misc]
        self._told += [(self._name, message) for message in messages]
        return self


@pytest.mark.parametrize("order", ORDERS)
def test_after_each_tick_the_kernel_holds_the_plan_of_that_instant(order: str) -> None:
    plan = plain(order)
    run = played(plan)
    assert [time_ns for time_ns, _ in run.ticks] == sorted(
        {*plan.steps["time_ns"].tolist(), *(route.time_ns for route in plan.routes)} - {0}
    )
    found: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
    for time_ns, messages in run.ticks:
        for node, message in messages:
            if kind(message) == NEWQDISC:
                index, held = queues.parse_netem(message.data[16:])
                assert held is not None
                found.setdefault((node, index), []).append((time_ns, held.delay_ns, held.loss))
    for number, link in enumerate(plan.links):
        steps = plan.link_steps(number)
        loss = np.where(steps["up"], steps["loss"], 1.0)  # what is down loses everything
        states = list(zip(steps["time_ns"].tolist(), steps["delay_ns"].tolist(), loss.tolist(), strict=True))
        moved = [new for old, new in pairwise(states) if old[1:] != new[1:]]
        assert found.get((link.a, run.wiring.end(number).index), []) == moved
    assert run.player.mismatches == []


@pytest.mark.parametrize("order", ORDERS)
def test_first_what_packets_need_then_routes_from_the_far_side_then_what_goes(order: str) -> None:
    """A route must never lead where nothing is yet, nor what is in use be taken away before the routes have moved."""
    plan = plain(order)
    routes_seen, ups, downs = 0, 0, 0
    for _, messages in played(plan).ticks:
        places = []
        for node, message in messages:
            if kind(message) == NEWROUTE:
                places.append(1 if plan.node(node).role in ("gateway", "satellite") else 2)
                routes_seen += 1
            elif kind(message) == DELFILTER:
                places.append(0)
                ups += 1
            elif kind(message) == NEWFILTER:
                places.append(3)
                downs += 1
            elif kind(message) == NEWLINK:
                places.append(places[-1])  # the signal comes and goes with the filter
            else:
                held = queues.parse_netem(message.data[16:])[1]
                assert held is not None
                if held.loss < 1:  # of a link that is up: its delay, or a hold
                    places.append(0)
        assert places == sorted(places)
    assert routes_seen == 2 * sum(route.time_ns > 0 for route in plan.routes)
    steps = [plan.link_steps(number)["up"].astype(int) for number in range(len(plan.links))]
    assert ups == sum(int(np.sum(np.diff(up) == 1)) for up in steps) > 0
    assert downs == sum(int(np.sum(np.diff(up) == -1)) for up in steps) > 0


@pytest.mark.parametrize("order", ORDERS)
def test_darkness_falls_at_the_receiving_end_of_a_link_that_goes_down(order: str) -> None:
    plan = plain(order)
    run = played(plan)
    ends = [run.wiring.end(number) for number in range(len(plan.links))]
    now = {(end.far_node, end.far_index) for n, end in enumerate(ends) if not plan.link_steps(n)["up"][0]}
    dark: dict[int, set[tuple[str, int]]] = {}
    for time_ns, messages in run.ticks:
        for node, message in messages:
            if kind(message) in (NEWFILTER, DELFILTER):
                _, index, _, _, _ = struct.unpack_from("=BxxxiIII", message.data, 16)
                assert ((node, index) in now) == (kind(message) == DELFILTER)  # never twice: the kernel would refuse
                now ^= {(node, index)}
        dark[time_ns] = set(now)
    for number, end in enumerate(ends):
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
    wiring = Wiring(plan)
    for number, limit in enumerate(wiring.limits):
        steps = plan.link_steps(number)
        in_flight_bytes = int(steps["rate_bps"].max()) * int(steps["delay_ns"].max()) / 8e9
        assert limit * MIN_PACKET_BYTES >= in_flight_bytes + plan.links[number].buffer_bytes


def test_every_pair_is_wired_once() -> None:
    wiring = wire(plain())
    pairs = [frozenset(pair) for pair in wiring.pairs]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {frozenset((link.a, link.b)) for link in wiring.plan.links} | {
        frozenset((lan.host, lan.router)) for lan in wiring.plan.lans
    }
    with pytest.raises(PlanError, match="no link from rome to dc-rome"):
        wiring.interface("rome", "dc-rome")


def test_a_rate_beyond_netems_own_is_refused() -> None:
    plan = plain()
    steps = plan.steps.copy()
    steps["rate_bps"][0] = 2 * queues.NOMINAL_RATE_BPS
    link = plan.links[0]
    with pytest.raises(PlanError, match=rf"link {link.a}→{link.b} has 20 Gbit/s: at most 10 can be emulated"):
        Wiring(replace(plan, steps=steps))
