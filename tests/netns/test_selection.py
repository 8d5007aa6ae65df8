"""testbed.emulation.selection on real hosts and routers: traffic leaves a path that breaks, and comes back."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from testbed.emulation.loop import run_activities
from testbed.emulation.network import running
from testbed.emulation.selection import Selection
from testbed.emulation.wiring import Wiring
from testbed.emulation.workload import Workload
from testbed.ground.clock import Clock, RealClock
from testbed.kernel.namespaces import set_sysctl
from testbed.plan.chosen import CHOSEN
from testbed.plan.model import STEP_DTYPE, Lan, Link, Node, PathStep, Plan, Route, Uplink

pytestmark = pytest.mark.netns

MS = 1_000_000
S = 1_000 * MS
BREAK_NS, END_NS = 1_500 * MS, 7 * S
URGENT = 18
TERMS = {"hello_ms": 50, "misses": 3, "restore_ms": 300}


def two_ways() -> Plan:
    """a ─ ce-a ═ x or y ═ ce-b ─ b"""
    ends = [(edge, via) for via in ("x", "y") for edge in ("ce-a", "ce-b")]
    links = [Link(*pair, "fibre", 10**6) for a, b in ends for pair in ((a, b), (b, a))]
    names = ("a", "b", "ce-a", "ce-b", "x", "y")
    ways = [("a", "ce-a", via, "ce-b", "b") for via in ("x", "y")]
    return Plan(
        topology="two-ways",
        start_ns=0,
        duration_ns=END_NS,
        satellites=0,
        nodes=tuple(Node(name, "host" if name in "ab" else "router", inside=False) for name in names),
        links=tuple(links),
        lans=(Lan("a", "ce-a"), Lan("b", "ce-b")),
        routes=(
            *(Route(0, via, host, f"ce-{host}") for via in ("x", "y") for host in ("a", "b")),
            Route(0, "ce-a", "b", "x"),
            Route(0, "ce-b", "a", "x"),
        ),
        events=(),
        paths=tuple((PathStep(0, nodes),) for way in ways for nodes in (way, way[::-1])),
        steps=np.array([(number, 0, True, MS, 10**9, 0.0, np.nan, np.nan) for number in range(len(links))], STEP_DTYPE),
        uplinks=tuple(
            Uplink(host, f"ce-{host}", system, via) for host in "ab" for system, via in (("one", "x"), ("two", "y"))
        ),
        flows=tuple(
            {
                "name": name,
                "kind": "bulk",
                "src": "a",
                "dst": "b",
                "dscp": dscp,
                "rate_pps": 50,
                "payload_bytes": 100,
                "start_ns": 500 * MS,
                "stop_ns": END_NS - 500 * MS,
            }
            for name, dscp in (("urgent", URGENT), ("ordinary", 0))
        ),
        traffic={"access": "public", "selection": TERMS, "duplicated": [URGENT]},
    )


class Breaker:
    """Has x forward nothing until traffic has left it, and waits until it is back; an Activity.

    vias: what iproute2 says after each of both moves.
    """

    def __init__(self, wiring: Wiring, selection: Selection) -> None:
        self._wiring, self._selection = wiring, selection
        self._due_ns: int | None = BREAK_NS
        self.mended_ns = 0
        self.broken = False
        self.vias: list[list[str]] = []

    def due_ns(self) -> int | None:
        return self._due_ns

    @property
    def done(self) -> bool:
        return self._due_ns is None

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        self._due_ns = now_ns + 20 * MS
        if not self.broken and not self.mended_ns:
            self._forward(0)
            self.broken = True
        elif self.broken and self._moved("two", BREAK_NS):
            self.vias.append(self._seen())
            self.mended_ns, self.broken = now_ns, False
            self._forward(1)
        elif self.mended_ns and self._moved("one", self.mended_ns):
            self.vias.append(self._seen())
            self._due_ns = None

    def _moved(self, system: str, since_ns: int) -> bool:
        """Do both hosts send, and send second copies, over what was to be chosen since then?"""
        after = [change for change in self._selection.changes if change.time_ns >= since_ns]
        newest = {(change.host, change.second): change.after for change in after}
        other = {"one": "two", "two": "one"}[system]
        return newest == {(host, second): other if second else system for host in "ab" for second in (False, True)}

    def _forward(self, on: int) -> None:
        with self._wiring.nodes["x"].namespace.entered():
            set_sysctl("net/ipv4/ip_forward", on)

    def _seen(self) -> list[str]:
        """By which neighbour a's edge sends what is for each of b's addresses."""
        lan, uplinks = self._wiring.lans["b"], self._wiring.uplinks
        asked = [lan.host[0], uplinks.address(lan, "one"), uplinks.address(lan, "two"), uplinks.other(lan)]
        return [self._via(str(address)) for address in asked]

    def _via(self, address: str) -> str:
        """By which neighbour ce-a sends what is for the address."""
        edge = self._wiring.nodes["ce-a"]
        told = edge.popen(["ip", "-j", "route", "get", address], stdout=subprocess.PIPE)
        gateway = json.loads(told.communicate()[0])[0]["gateway"]
        return next(via for via in "xy" if str(self._wiring.interface(via, "ce-a").addresses[0]) == gateway)


def play(folder: Path) -> tuple[Breaker, dict[str, Any]]:
    """What iproute2 saw, and what the run directory tells."""
    with running(two_ways(), impaired=False) as net:
        wiring = net.topo.emulation.wiring
        with Selection(wiring, folder, END_NS) as selection, Workload(wiring, folder, pcap=False) as workload:
            breaker = Breaker(wiring, selection)
            monotonic_ns, realtime_ns = time.monotonic_ns() + S, time.time_ns() + S
            workload.start(realtime_ns)
            selection.start(realtime_ns)
            clock = RealClock(monotonic_ns)
            run_activities([selection, breaker], clock, lambda: clock.now_ns() >= END_NS)
            selection.finish()
            workload.finish(interrupted=False)
    return breaker, json.loads((folder / CHOSEN).read_text())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a workload's sockets end with its run
def test_traffic_leaves_a_path_that_breaks_and_comes_back_when_it_is_mended(tmp_path: Path) -> None:
    for number in range(3):  # a machine that holds the run up for seconds is given another chance
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        breaker, told = play(folder)
        if breaker.done:
            break
    # What iproute2 says: the host's own address, both that are bound to a system, and the one for second copies.
    assert breaker.vias == [["y", "x", "y", "x"], ["x", "x", "y", "y"]]
    moved = [change for change in told["changes"] if not change["second"]]
    for host in ("a", "b"):
        away = next(one for one in moved if one["host"] == host and one["time_ns"] >= BREAK_NS)
        back = next(one for one in moved if one["host"] == host and one["time_ns"] >= breaker.mended_ns)
        assert (away["before"], away["after"], back["after"]) == ("one", "two", "one")
        least_ns = TERMS["misses"] * TERMS["hello_ms"] * MS * 0.5  # the last answer came up to an interval before
        assert away["time_ns"] >= BREAK_NS + least_ns
        assert back["time_ns"] >= breaker.mended_ns + TERMS["restore_ms"] * MS
    assert {row["diagnostic"] for row in told["sessions"] if row["state"] == "DOWN"} <= {"EXPIRED", "NEIGHBOUR"}
    # What was sent over both ways lost nothing; what was not lost what was sent until traffic had moved.
    flows = json.loads((folder / "flows.json").read_text())
    urgent, ordinary = flows["flows"]
    assert flows["alarm_count"] == 0
    assert urgent["lost"] == 0 < urgent["integrity"]["counts"]["SECOND_COPY"] < urgent["sent"]
    assert urgent["integrity"]["counts"]["GENUINE"] == urgent["sent"]
    assert ordinary["lost"] > 0
    assert set(ordinary["integrity"]["counts"]) == {"GENUINE"}
