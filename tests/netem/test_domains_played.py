"""Three domains with BGP between them: what each learns of the others, and what becomes of it when their link is cut.

The witnesses are the kernels' tables as `ip` shows them, and bgpd's own table, asked over its socket.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netem_line import command
from test_routing_played import CENTRE
from test_run import CALM, START, from_outside, named, play

from testbed.emulation.frr import config, daemons
from testbed.emulation.frr.convergence import Monitor
from testbed.emulation.frr.domains import FIRST_SYSTEM
from testbed.emulation.frr.watch import Routing
from testbed.emulation.network import running
from testbed.emulation.wiring import Wiring
from testbed.ground.units import parse_utc_ns
from testbed.kernel import links
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from testbed.plan.model import Plan
from testbed.plan.observed import read_routing
from testbed.report.routing import leaked
from topologies.starlink_italy import scenario

SECONDS = 20
CUT_S, CUT_FOR_S = 9, 5
PATIENCE_S = 60.0
OPERATOR = {"203.0.113.0/24", "2001:db8::/48", "2001:db8:1::/48"}
GOVERNMENT = {"198.51.100.0/24", "2001:db8:2::/48"}
LEARNED = {"pop-milan": GOVERNMENT, "pe-milan": OPERATOR | GOVERNMENT, "ce-rome": OPERATOR}
AS_OPERATOR, AS_GOVERNMENT, AS_CARRIER = range(FIRST_SYSTEM, FIRST_SYSTEM + 3)  # in the order of the plan's nodes

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Without traffic: beside it dozens of daemons that all calculate at once can make its packets leave late."""
    asked = scenario(**CALM, routing="frr", domains="three")
    return replace(build_plan(asked, *elements((), parse_utc_ns(START)), SECONDS * 10**9), flows=())


def told_by_bgpd(folder: Path, router: str) -> dict[str, str]:
    """AS paths by prefix: bgpd's table in both families, asked as vtysh asks.

    A command ends with a zero byte, an answer with three and a code.
    """
    (path,) = [*Path("/run").glob(f"frr-*/{router}/bgpd.vty"), *folder.glob(f"frr/frr-*/{router}/bgpd.vty")]
    found: dict[str, str] = {}
    with socket.socket(socket.AF_UNIX) as vty:
        vty.settimeout(PATIENCE_S)
        vty.connect(str(path))
        for family in ("ipv4", "ipv6"):
            vty.sendall(f"show bgp {family} unicast json\0".encode())
            answer = b""
            while answer[-4:-1] != bytes(3):
                answer += vty.recv(1 << 16)
            routes = json.loads(answer[:-4])["routes"]
            found |= {prefix: paths[0]["path"] for prefix, paths in routes.items()}
    return found


def by_bgp(show: Callable[..., str]) -> set[str]:
    """What the kernel has by BGP in both families; `show` runs a command in the node."""
    tables = [json.loads(show("ip", "-j", family, "route", "show", "proto", "bgp")) for family in ("-4", "-6")]
    return {route["dst"] for table in tables for route in table}


def test_in_a_run_of_three_domains_the_link_between_two_is_cut_and_mended(
    plan: Plan, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folders: list[Path] = []
    seen: dict[str, Any] = {}

    def make() -> Path:
        folders.append(rundir.create(plan, tmp_path / f"run{len(folders)}"))
        fault = {"kind": "link", "a": "pop-milan", "b": "pe-milan", "at": CUT_S, "for": CUT_FOR_S, "cause": "digger"}
        (folders[-1] / "faults.json").write_text(json.dumps([fault]))
        return folders[-1]

    def look(folder: Path) -> None:
        for router in LEARNED:
            seen[router] = by_bgp(lambda *words, at=router: from_outside(folder, at, *words))
        seen["paths"] = told_by_bgpd(folder, "pe-milan")
        for what in ("default", CENTRE, "198.51.100.0/24"):
            seen[what] = json.loads(from_outside(folder, "ut-rome", "ip", "-j", "-d", "route", "show", what))

    report = play(make, meanwhile=look, tries=1)
    # The looks from outside hold the one processor for a second: too busy to judge delays by is no defect here.
    assert report["verdict"] != "fail", report["reasons"]
    assert report["audit"]["readback_mismatches"] == 0
    assert report["audit"]["unplanned_losses"] == 0
    assert {router: seen[router] for router in LEARNED} == LEARNED
    operator, government = str(AS_OPERATOR), str(AS_GOVERNMENT)
    assert seen["paths"] == dict.fromkeys(OPERATOR, operator) | dict.fromkeys(GOVERNMENT, government)
    assert [route["protocol"] for route in seen["default"]] == ["ospf"]  # the terminal knows the way out,
    assert seen[CENTRE] == seen["198.51.100.0/24"] == []  # and nothing of the government's network

    check = named(report, "announcements")
    assert (check["passed"], check["judged"]) == (True, True)
    told = json.loads((folders[-1] / "routing.json").read_text())
    ways = [[entry["nodes"] for entry in path] for path in told["ways"]]
    assert all(None in path for path in ways)  # nobody finds a way round the cut
    assert all("pe-milan" in path[0] and "pe-milan" in path[-1] for path in ways)
    withdrawn, restored = (
        next(change for change in report["routing"]["changes"] if change["what"].startswith(what))
        for what in ("link at pop-milan: digger", "end of link at pop-milan")
    )
    assert withdrawn["routes"] >= 5 + 3  # the government's two, the operator's three at the carrier, and behind it
    assert restored["routes"] >= 5 + 3
    assert 1e3 * CUT_FOR_S < withdrawn["without_way_ms"] < 1e3 * (CUT_FOR_S + 5)
    for name, change in (("withdrawn", withdrawn), ("restored", restored)):
        assert change["settled_ms"] < 1e3 * CUT_FOR_S
        record_property(name, {key: change[key] for key in ("routes", "settled_ms", "without_way_ms")})
    record_property("daemons", [report["routing"][key] for key in ("daemons", "memory_mb", "started_s", "settled_s")])


@contextmanager
def routed(plan: Plan, folder: Path) -> Iterator[tuple[Wiring, Monitor, Routing]]:
    """The plan's network, its routing settled; nothing plays."""
    folder.mkdir()
    with running(plan) as net:
        wiring: Wiring = net.topo.emulation.wiring
        with (
            Monitor({name: wiring.nodes[name].namespace for name in LEARNED}) as monitor,
            Routing(wiring, folder) as routing,
        ):
            monitor.listen(0)
            yield wiring, monitor, routing


def held(monitor: Monitor) -> dict[str, set[str]]:
    return {router: {prefix for node, prefix in monitor.by_bgp if node == router} for router in LEARNED}


def test_what_is_beyond_a_cut_is_withdrawn_from_all_and_comes_back(
    plan: Plan, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with routed(plan, tmp_path / "run") as (wiring, monitor, _):
        ends = [("pop-milan", "pe-milan"), ("pe-milan", "pop-milan")]

        def signal(*, present: bool) -> float:
            for here, there in ends:
                index = wiring.interface(here, there).index
                wiring.nodes[here].netlink.send([links.signal(index, present=present)])
            return time.monotonic()

        wanted = LEARNED
        assert held(monitor) == wanted
        cut = signal(present=False)
        gone = {"pop-milan": set(), "pe-milan": GOVERNMENT, "ce-rome": set()}
        monitor.wait(lambda now: held(now) == gone, PATIENCE_S)
        withdrawn_s = monitor.changed_s - cut
        for router, prefixes in gone.items():
            assert by_bgp(lambda *words, at=router: command(wiring.nodes[at].namespace, *words)) == prefixes
        mended = signal(present=True)
        monitor.wait(lambda now: held(now) == wanted, PATIENCE_S)
        restored_s = monitor.changed_s - mended
        for router, prefixes in wanted.items():
            assert by_bgp(lambda *words, at=router: command(wiring.nodes[at].namespace, *words)) == prefixes
    assert withdrawn_s < config.HOLD_S  # by the lost signal, not by silence
    record_property("withdrawn_s", round(withdrawn_s, 2))
    record_property("restored_s", round(restored_s, 2))


def leaky(router: config.Router) -> str:
    """A PoP that tells the world all that it has: no filter, and everything from OSPF."""
    text = config.bgpd(router)
    if router.name != "pop-milan":
        return text
    lines = [line for line in text.splitlines() if not line.endswith(" out")]
    for version, protocol in (("4", "ospf"), ("6", "ospf6")):
        place = lines.index(f" address-family ipv{version} unicast")
        lines[place + 1 : place + 1] = [f"  redistribute {protocol}", "  redistribute connected"]
    return "\n".join([*lines, ""])


def test_what_leaks_over_bgp_is_found(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of every run can fail: with the operator's filter gone its links and its NAT's inside are seen."""
    monkeypatch.setitem(daemons.PROTOCOLS, "bgpd", leaky)
    with routed(plan, tmp_path / "run") as (_, _, routing):
        table = told_by_bgpd(tmp_path / "run", "pe-milan")
        routing.finish()
    told = read_routing(tmp_path / "run")
    assert told is not None
    leaks = {edge["router"]: leaked(edge) for edge in told["edges"]}
    assert leaks["pop-milan"] == []
    for router in ("pe-milan", "ce-rome"):  # the carrier hands on what it gets
        assert {"100.64.0.0/24", "100.64.1.0/24"} <= set(leaks[router])
        assert any(prefix.startswith("10.") for prefix in leaks[router])
        assert any(prefix.startswith("fd00:") for prefix in leaks[router])
    assert set(leaks["pe-milan"]) <= set(table)
