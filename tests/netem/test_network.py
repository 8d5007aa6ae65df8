"""A plan as a Mininet network: Mininet's own ways of using one work, the schedule plays, and nothing is left behind."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mininet.net import Mininet
from netem_line import MS, S, command, tc, wait_until
from netem_plan import Steps, hand_made

from testbed.emulation.addresses import PUBLIC_ADDRESS
from testbed.emulation.loop import run_activities
from testbed.emulation.network import PlanTopo
from testbed.emulation.player import Player, ReadBack
from testbed.ground.clock import Clock, RealClock
from testbed.kernel.namespaces import Namespace
from testbed.plan.model import Node, Plan

LATER_NS = 30 * MS
MOVES_NS = [400 * MS + 5 * MS * number for number in range(60)]


def plan() -> Plan:
    """Two terminals under one satellite each, a PoP with address translation, a host outside; rome's link moves."""
    nodes = [Node("rome", "host"), Node("milano", "host"), Node("dc", "host", inside=False)]
    nodes += [Node("ut-rome", "terminal"), Node("ut-milano", "terminal"), Node("NORAD1", "satellite")]
    nodes += [Node("NORAD2", "satellite"), Node("gw", "gateway"), Node("pop", "pop", nat=True)]
    nodes += [Node("ce", "router", inside=False)]
    users = (("rome", "ut-rome", "NORAD1"), ("milano", "ut-milano", "NORAD2"))
    chain = [pair for _, terminal, satellite in users for pair in ((terminal, satellite), (satellite, "gw"))]
    steps: dict[tuple[str, str], Steps] = {}
    for a, b in [*chain, ("gw", "pop"), ("pop", "ce")]:
        steps |= {(a, b): [(0, True, 1 * MS)], (b, a): [(0, True, 1 * MS)]}
    drift = [(time_ns, True, LATER_NS + number) for number, time_ns in enumerate(MOVES_NS)]
    steps["ut-rome", "NORAD1"] = [(0, True, 1 * MS), *drift]
    routes = [(0, "gw", "default", "pop"), (0, "pop", "dc", "ce"), (0, "ce", "default", "pop")]
    for host, terminal, satellite in users:
        routes += [(0, terminal, "default", satellite), (0, satellite, "default", "gw")]
        routes += [(0, satellite, host, terminal), (0, "gw", host, satellite), (0, "pop", host, "gw")]
    return hand_made(nodes, {"rome": "ut-rome", "milano": "ut-milano", "dc": "ce"}, steps, routes, 2 * S)


def children() -> set[int]:
    """Processes whose parent we are."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    parents = {int(stat.split()[0]): int(stat.rpartition(")")[2].split()[1]) for stat in stats}
    return {process for process, parent in parents.items() if parent == os.getpid()}


def running(word: str) -> bool:
    """Is there a process with this word in its command line?"""
    return any(word.encode() in path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline"))


def rtt_ms(answer: str | None) -> float:
    assert answer is not None
    assert "1 received" in answer, answer
    return float(answer.split("time=")[1].split()[0])


@pytest.fixture(scope="module")
def net() -> Iterator[Mininet]:
    """The network as a person would start it: the schedule plays in the background."""
    net = Mininet(topo=PlanTopo(plan()), controller=None)
    net.start()
    yield net
    net.stop()


def test_the_schedule_plays_from_start_on(net: Mininet) -> None:
    emulation = net.topo.emulation
    while emulation.now_ns() < MOVES_NS[-1] + 100 * MS:
        time.sleep(0.05)
    assert len(emulation.player.ticks) == len(MOVES_NS)
    assert rtt_ms(net["rome"].cmd(f"ping -c1 {net['dc'].IP()}")) > LATER_NS / MS


def test_a_shell_is_there_when_it_is_asked_for(net: Mininet) -> None:
    before = children()
    assert net["ut-rome"].shell is None
    process = net["ut-rome"].popen(["ip", "-br", "address"])
    said = process.communicate()[0].decode()
    assert "rome-ut1" in said
    assert net["ut-rome"].pexec("ip -br link show rome-ut1")[2] == 0
    assert net["ut-rome"].shell is None  # a program needs none
    assert children() == before
    said = net["ut-rome"].cmd("hostname; ip -br address")
    assert socket.gethostname() in said
    assert "rome-ut1" in said
    assert len(children() - before) == 1
    assert children() - before == {net["ut-rome"].pid}


def test_all_hosts_reach_all_hosts_in_both_families(net: Mininet) -> None:
    assert net.pingAll() == 0
    six = net.topo.emulation.wiring.lans
    for a, b in (("rome", "dc"), ("dc", "milano"), ("milano", "rome")):
        assert rtt_ms(net[a].cmd(f"ping -6 -c1 {six[b].host[1]}")) > 6


@pytest.mark.parametrize("ends", [("rome", "ut-rome"), ("gw", "pop")])
def test_a_link_goes_down_and_up_by_hand(net: Mininet, ends: tuple[str, str]) -> None:
    (link,) = net.linksBetween(net[ends[0]], net[ends[1]])
    assert {link.intf1.node.name, link.intf2.node.name} == set(ends)
    for to in (net["dc"].IP(), "2001:db8:2::2"):
        net.configLinkStatus(*ends, "down")
        net.configLinkStatus(*ends, "down")  # a second time is no error
        assert not link.intf1.isUp()
        assert "100% packet loss" in net["rome"].cmd(f"ping -c2 -i0.1 -W0.3 {to}")
        net.configLinkStatus(*ends, "up")
        assert link.intf1.isUp()
        rtt_ms(net["rome"].cmd(f"ping -c1 {to}"))


def test_outside_an_inside_host_has_the_public_address(net: Mininet) -> None:
    nodes = net.topo.emulation.wiring.nodes
    with nodes["dc"].namespace.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((net["dc"].IP(), 5_000))
        receiver.settimeout(5)
    with nodes["rome"].namespace.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"hello", (net["dc"].IP(), 5_000))
    assert receiver.recvfrom(100)[1][0] == str(PUBLIC_ADDRESS)
    sender.close()
    receiver.close()


def test_nothing_is_left_behind() -> None:
    def state() -> list[object]:
        namespaces, interfaces = Path("/run/netns"), Path("/sys/class/net")
        return [
            children(),
            sorted(namespaces.iterdir()) if namespaces.exists() else [],
            sorted(interfaces.iterdir()),
            {thread.name for thread in threading.enumerate()},
            len(list(Path("/proc/self/fd").iterdir())),  # each namespace is one
        ]

    before = state()
    net = Mininet(topo=PlanTopo(plan()), controller=None)
    net.start()
    assert children() == before[0]  # and without being asked there was no process at all
    assert state()[-1] > before[-1]
    net["rome"].cmd("sleep 98765 &")
    assert children() != before[0]
    assert running("98765")
    net.stop()
    assert state() == before
    wait_until(lambda: not running("98765"))


class Meddler:
    """Does something to the network once, from outside; an Activity of the loop."""

    def __init__(self, player: Player, words: list[str], space: Namespace, links: int) -> None:
        self._player, self._words, self._space, self._links = player, words, space, links
        self._checked = -1
        self.time_ns = 200 * MS

    def due_ns(self) -> int | None:
        return self.time_ns if self._checked < 0 else None

    def act(self, clock: Clock) -> None:
        command(self._space, *self._words)
        self.time_ns = clock.now_ns()
        self._checked = self._player.checked

    def one_rotation_ago(self) -> bool:
        """Has every link end been read once since, its netem and its bottleneck?"""
        return self._checked >= 0 and self._player.checked >= self._checked + 2 * self._links


def test_ticks_are_absolute_and_the_read_back_finds_what_others_change() -> None:
    topo = PlanTopo(plan(), background=False)
    net = Mininet(topo=topo, controller=None)
    try:
        net.start()
        wiring, player = topo.emulation.wiring, topo.emulation.player
        run_activities([player], RealClock(time.monotonic_ns()), lambda: False)
        assert [tick.time_ns for tick in player.ticks] == MOVES_NS
        ends_ns = [tick.time_ns + tick.late_ns for tick in player.ticks]
        assert ends_ns == sorted(ends_ns)
        assert all(tick.late_ns >= 0 for tick in player.ticks)
        moved = tc(
            wiring.nodes["ut-rome"].namespace, "qdisc", "show", "dev", wiring.interface("ut-rome", "NORAD1").name
        )
        assert moved[0]["options"]["delay"]["delay"] == pytest.approx(LATER_NS / S, abs=1e-6)
        assert (player.checked, player.mismatches) == (len(MOVES_NS), [])

        number = [(link.a, link.b) for link in wiring.plan.links].index(("pop", "ce"))
        planned = player.wanted(number)
        device = wiring.interface("pop", "ce").name
        rate_bps = 8 * (int(wiring.plan.link_steps(number)["rate_bps"][0]) // 8)
        delay = f"tc qdisc change dev {device} root netem delay 6ms limit {planned.limit} rate 10gbit"
        rate = f"tc qdisc change dev {device} parent 1:1 handle 2: tbf rate 8mbit burst 20000 limit 100000"
        remove = f"tc qdisc del dev {device} root"
        late, slow = (number, "delay_ns", planned.delay_ns, 6 * MS), (number, "rate_bps", rate_bps, 8_000_000)
        gone = {(number, "qdisc", queue, "another") for queue in ("netem", "tbf")}
        for words, told in ((delay, {late}), (rate, {late, slow}), (remove, gone)):
            meddler = Meddler(player, words.split(), wiring.nodes["pop"].namespace, len(wiring.plan.links))
            read_back = ReadBack(player, len(wiring.plan.links), 10 * S)
            clock = RealClock(time.monotonic_ns())
            player.mismatches.clear()
            run_activities([meddler, read_back], clock, meddler.one_rotation_ago)
            seen = [mismatch for mismatch in player.mismatches if mismatch.time_ns > meddler.time_ns]
            assert {(mismatch.link, mismatch.field, mismatch.planned, mismatch.held) for mismatch in seen} == told
    finally:
        net.stop()
