"""Handovers on real netem: what each rule promises to the packets on their way, held against every single packet.

Three terminals leave one satellite for another, over which the way is 7 ms shorter: one by each rule, one after the
other. When links go up and down, and what holds packets back, is the plan's own rule (`testbed.plan.handover`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from mininet.net import Mininet
from netem_line import MS, S, Stream, every, read_number, settle
from netem_plan import Steps, hand_made

from testbed.emulation.loop import run_activities
from testbed.emulation.network import PlanTopo
from testbed.ground.clock import Clock, RealClock
from testbed.plan.access import Leg
from testbed.plan.handover import find_handovers, user_intervals
from testbed.plan.holding import RadioKey
from testbed.plan.model import Node, Plan
from testbed.plan.scenario import Access, Order
from traffic.timestamps import open_tap, receive

SATELLITES = ("NORAD1", "NORAD2")
USER_NS = (20 * MS, 13 * MS)  # by satellite
FEEDER_NS = 5 * MS
OUTAGE_NS = 60 * MS
BOUNDARIES_NS: dict[str, int] = {"hold": 400 * MS, "drop": 900 * MS, "reorder": 1_400 * MS}
DURATION_NS = 1_900 * MS
GAP_NS = 2 * MS
TOO_LATE_NS = 10 * MS  # a tick later than that is the machine's fault, and the network is played once more


class OldAndNew:
    """The geometry of one terminal under two satellites that stand still."""

    def __init__(self, order: Order) -> None:
        access = Access(order=order, outage_ns=OUTAGE_NS, lead_ns=200 * MS, drain_ns=200 * MS)
        self.scenario = SimpleNamespace(access=access)

    def user_ns(self, _terminal: int, satellite: int, _upward: bool, _time_ns: int) -> int:
        return USER_NS[satellite]

    def beyond_ns(self, *_: int) -> int:
        return FEEDER_NS

    def latest_extra_ns(self, *_: int) -> int:
        return 0

    def earliest_extra_ns(self, *_: int) -> int:
        return 0

    def extreme_extra_ns(self, *_: int) -> tuple[int, int]:
        return 0, 0


def user_steps(order: Order) -> dict[tuple[str, str], Steps]:
    """Both user links of the terminal that hands over by this rule, both directions."""
    geometry: Any = OldAndNew(order)
    boundary_ns = BOUNDARIES_NS[order]
    legs = [Leg(0, boundary_ns, 0, 0), Leg(boundary_ns, DURATION_NS, 1, 0)]
    raises = find_handovers(geometry, [legs]).raises
    found: dict[tuple[str, str], Steps] = {}
    for number, satellite in enumerate(SATELLITES):
        intervals = user_intervals(legs, number, geometry.scenario.access)
        for upward in (True, False):
            held = raises.get(RadioKey("user", 0, number, upward), [])
            edges = {0, *(edge for interval in intervals for edge in interval)}
            edges |= {edge for one in held for edge in (one.begin_ns, one.end_ns)}
            ends = (f"ut-{order}", satellite) if upward else (satellite, f"ut-{order}")
            found[ends] = [
                (
                    edge,
                    any(begin <= edge < end for begin, end in intervals),
                    USER_NS[number] + sum(one.extra_ns for one in held if one.begin_ns <= edge < one.end_ns),
                )
                for edge in sorted(edges)
                if edge < DURATION_NS
            ]
    return found


def handover_plan() -> Plan:
    orders = get_args(Order)
    nodes = [Node(order, "host") for order in orders] + [Node("dc", "host")]
    nodes += [Node(f"ut-{order}", "terminal") for order in orders]
    nodes += [*(Node(name, "satellite") for name in SATELLITES), Node("gw", "gateway")]
    steps: dict[tuple[str, str], Steps] = {}
    for satellite in SATELLITES:
        steps |= {ends: [(0, True, FEEDER_NS)] for ends in ((satellite, "gw"), ("gw", satellite))}
    routes = [(0, satellite, "default", "gw") for satellite in SATELLITES]
    for order in orders:
        steps |= user_steps(order)
        routes += [(0, satellite, order, f"ut-{order}") for satellite in SATELLITES]
        for time_ns, satellite in ((0, SATELLITES[0]), (BOUNDARIES_NS[order], SATELLITES[1])):
            routes += [(time_ns, f"ut-{order}", "default", satellite), (time_ns, "gw", order, satellite)]
    lans = {order: f"ut-{order}" for order in orders} | {"dc": "gw"}
    return hand_made(nodes, lans, steps, routes, DURATION_NS)


class Senders:
    """The packets of all streams at their times; an Activity of the loop."""

    def __init__(self, schedule: list[tuple[int, Stream]]) -> None:
        self._schedule = sorted(schedule, key=lambda pair: pair[0])
        self._next = 0

    def due_ns(self) -> int | None:
        return self._schedule[self._next][0] if self._next < len(self._schedule) else None

    def act(self, _clock: Clock) -> None:
        self._schedule[self._next][1].send()
        self._next += 1


@dataclass
class Played:
    """Streams by (order, direction), and which numbers of each were seen to arrive at which satellite."""

    streams: dict[tuple[str, str], Stream] = field(default_factory=dict)
    seen: dict[tuple[str, str], tuple[list[int], list[int]]] = field(default_factory=dict)
    worst_late_ns: int = 0


def play_once() -> Played:
    played = Played()
    topo = PlanTopo(handover_plan(), background=False)
    net = Mininet(topo=topo, controller=None)
    try:
        net.start()
        wiring, player = topo.emulation.wiring, topo.emulation.player
        ports: dict[int, tuple[str, str]] = {}
        schedule = []
        for number, (order, boundary_ns) in enumerate(BOUNDARIES_NS.items()):
            # Up in IPv4, down in IPv6: the routes of both have to move.
            for direction, source, sink, family in (("up", order, "dc", 0), ("down", "dc", order, 1)):
                port = 5_000 + 2 * number + family
                spaces = wiring.nodes[source].namespace, wiring.nodes[sink].namespace
                stream = Stream(*spaces, str(wiring.lans[sink].host[family]), port)
                ports[port] = order, direction
                played.streams[order, direction] = stream
                first_ns = boundary_ns - 200 * MS + family * GAP_NS // 2
                schedule += every(GAP_NS, boundary_ns + 250 * MS, stream, first_ns)
        taps = []
        for satellite in SATELLITES:
            with wiring.nodes[satellite].namespace.entered():
                taps.append([open_tap(interface.name) for interface in wiring.nodes[satellite].intfList()])
        clock = RealClock(time.monotonic_ns() + S // 2)
        run_activities([player, Senders(schedule)], clock, lambda: False)
        settle(played.streams.values(), 100 * MS)
        played.worst_late_ns = max(tick.late_ns for tick in player.ticks)
        played.seen = {flow: ([], []) for flow in played.streams}
        for number, its_taps in enumerate(taps):
            for tap in its_taps:
                for frame, _, _ in receive(tap):
                    port, sequence = read_number(frame) or (0, 0)
                    if port in ports:
                        played.seen[ports[port]][number].append(sequence)
                tap.close()
    finally:
        for stream in played.streams.values():
            stream.close()
        net.stop()
    return played


@pytest.fixture(scope="module")
def played() -> Played:
    for _ in range(3):
        played = play_once()
        if played.worst_late_ns < TOO_LATE_NS:
            break
    return played


FLOWS = [(order, direction) for order in BOUNDARIES_NS for direction in ("up", "down")]


@pytest.mark.parametrize("flow", FLOWS)
def test_every_packet_takes_the_satellite_of_its_time(played: Played, flow: tuple[str, str]) -> None:
    old, new = played.seen[flow]
    assert old
    assert len(new) > 80
    assert max(old) < min(new)  # the routes move once, and for all
    assert len(old) == len(set(old))
    assert len(new) == len(set(new))


@pytest.mark.parametrize("direction", ["up", "down"])
def test_hold_loses_and_reorders_nothing(played: Played, direction: str) -> None:
    stream = played.streams["hold", direction]
    assert (stream.lost, stream.reordered, stream.duplicated) == ([], 0, 0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_reorder_loses_nothing_and_overtakes(played: Played, direction: str) -> None:
    stream = played.streams["reorder", direction]
    assert (stream.lost, stream.duplicated) == ([], 0)
    assert 0 < stream.reordered <= (USER_NS[0] - USER_NS[1]) // GAP_NS + 2


@pytest.mark.parametrize("direction", ["up", "down"])
def test_drop_loses_the_outage_and_what_was_in_flight(played: Played, direction: str) -> None:
    stream = played.streams["drop", direction]
    assert (stream.reordered, stream.duplicated) == (0, 0)
    assert stream.lost == list(range(stream.lost[0], stream.lost[-1] + 1))
    lost_ns = len(stream.lost) * GAP_NS
    in_flight_ns = USER_NS[0] + (FEEDER_NS if direction == "down" else 0)
    assert lost_ns == pytest.approx(OUTAGE_NS + in_flight_ns, abs=2 * TOO_LATE_NS)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_delay_is_that_of_the_old_way_and_then_of_the_new(played: Played, flow: tuple[str, str]) -> None:
    stream = played.streams[flow]
    for delays_ns, user_ns in ((stream.delays_ns[:50], USER_NS[0]), (stream.delays_ns[-50:], USER_NS[1])):
        assert user_ns + FEEDER_NS < np.median(delays_ns) < user_ns + FEEDER_NS + MS
