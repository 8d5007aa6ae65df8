"""Whole runs on a real kernel: who on the way reads what, with each kind of encryption and of access.

None of this depends on time: a busy machine makes a run invalid, but changes nothing in what a listener reads.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_run import CALM, START, from_outside, play

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from topologies.starlink_italy import scenario

SECONDS = 4
FORGE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_RAW, 50) as sock:
    for number in range(10):
        sock.sendto(bytes([0, 0, 99, number]) + bytes(60), ("100.127.255.1", 0))
"""


@pytest.fixture(scope="module")
def satellites() -> Any:
    return elements((), parse_utc_ns(START))


@pytest.fixture
def run_dir(satellites: Any, tmp_path: Path) -> Callable[..., Path]:
    numbers = itertools.count()

    def make(**parameters: str) -> Path:
        plan = build_plan(scenario(**CALM, **parameters), *satellites, SECONDS * 10**9)
        return rundir.create(plan, tmp_path / f"run{next(numbers)}", readback=True)

    return make


def live(folder: Path) -> dict[str, int]:
    """The descriptor of each node's namespace."""
    found: dict[str, int] = json.loads((folder / "live.json").read_text())["namespaces"]
    return found


def levels(report: dict[str, Any], flow: str) -> dict[str, str]:
    """What each node reads of a flow; nodes that see nothing are left out."""
    cells = {row["node"]: cell for row in report["exposure"]["nodes"] for cell in row["flows"] if cell["flow"] == flow}
    return {node: cell["level"] for node, cell in cells.items() if cell["level"] != "nothing"}


def roles(report: dict[str, Any], flow: str) -> dict[str, str]:
    """The same by role: satellites and gateways of the plan are the day's."""
    known = {row["node"]: row["role"] for row in report["exposure"]["nodes"]}
    return {known[node]: level for node, level in levels(report, flow).items()}


def arrived(report: dict[str, Any]) -> dict[str, bool]:
    return {flow["name"]: flow["received"] >= 0.9 * flow["sent"] > 0 for flow in report["flows"]}


def judged(report: dict[str, Any]) -> dict[str, Any]:
    assert all(row["lost"] == 0 for row in report["exposure"]["nodes"])
    return next(check for check in report["checks"] if check["name"] == "exposure")


@pytest.mark.parametrize("encryption", ["overlay", "both"])
def test_what_the_hosts_encrypt_nobody_on_the_way_reads(run_dir: Callable[..., Path], encryption: str) -> None:
    report = play(partial(run_dir, encryption=encryption), tries=1)
    assert all(arrived(report).values())
    assert judged(report)["passed"], report["reasons"]
    assert "nobody on the way reads payload" in judged(report)["detail"]
    for flow in report["flows"]:
        assert set(flow["integrity"]["counts"]) == {"GENUINE"}
        assert roles(report, flow["name"]) == dict.fromkeys(
            ("terminal", "satellite", "gateway", "pop", "router"), "metadata"
        )
    assert report["exposure"]["tunnels_refused"] == {}


def test_what_the_operator_encrypts_its_pop_reads_and_its_satellites_do_not(run_dir: Callable[..., Path]) -> None:
    def forge(folder: Path) -> None:
        """Ten packets that are nobody's, to the tunnel's end at the PoP, from a satellite's place."""
        satellite = next(name for name in live(folder) if name.startswith(("A", "B", "NORAD")))
        from_outside(folder, satellite, sys.executable, "-c", FORGE)

    report = play(partial(run_dir, encryption="operator"), tries=1, meanwhile=forge)
    assert report["exposure"]["tunnels_refused"] == {"pop-milan": {"XfrmInNoStates": 10}}
    assert all(arrived(report).values())
    assert judged(report)["passed"], report["reasons"]
    assert "operator reads payload at ut-rome, ut-taranto, pop-milan" in judged(report)["detail"]
    for flow in report["flows"]:
        assert flow["integrity"]["verdict"] == "unprotected"
        assert roles(report, flow["name"]) == {
            "terminal": "payload", "satellite": "metadata", "gateway": "metadata", "pop": "payload", "router": "payload"
        }  # fmt: skip
    on_the_air = next(row for row in report["exposure"]["nodes"] if row["role"] == "satellite")
    told = [pair for cell in on_the_air["flows"] for pair in cell.get("addresses", [])]
    assert all("100.127.255.1" in pair for pair in told)  # the tunnel's ends alone: no host is named
    assert told


def test_one_clear_packet_with_an_inner_address_fails_a_run(run_dir: Callable[..., Path]) -> None:
    def leak(folder: Path) -> None:
        from_outside(folder, "rome", "ip", "address", "add", "10.64.0.1/32", "dev", "lo")
        ping = ("ping", "-c1", "-W1", "-I", "10.64.0.1", "198.51.100.18")
        with pytest.raises(subprocess.CalledProcessError):  # nobody answers what is never translated
            from_outside(folder, "rome", *ping)

    report = play(run_dir, meanwhile=leak, tries=1)
    assert report["verdict"] == "fail"
    assert not judged(report)["passed"]
    leaks = [reason for reason in report["reasons"] if "PLAINTEXT_LEAK" in reason]
    assert any("at ut-rome: " in leak and "bore an address from inside ESP" in leak for leak in leaks)


@pytest.mark.parametrize("access", ["cgnat", "public", "ipv6"])
def test_two_sites_meet_over_a_hub_where_a_nat_parts_them_and_else_directly(
    run_dir: Callable[..., Path], access: str
) -> None:
    report = play(partial(run_dir, meet="on", access=access), tries=1)
    assert all(arrived(report).values())
    assert judged(report)["passed"], report["reasons"]
    flows = {flow["name"]: flow for flow in report["flows"]}
    assert all(set(flow["integrity"]["counts"]) == {"GENUINE"} for flow in flows.values())
    rows = {row["flow"]: row for row in report["meetings"]}
    assert set(rows) == {"call-rome-taranto", "call-taranto-rome"}
    for name, row in rows.items():
        assert row["planned_via_hub_ms"] > row["planned_direct_ms"] + 5  # Milan to Rome and back, 7 ms of fibre
        least_ms = row["planned_via_hub_ms" if access == "cgnat" else "planned_direct_ms"]
        assert row["measured_p50_ms"] >= least_ms - 0.5
        assert row["via"] == (["dc-rome"] if access == "cgnat" else [])
        seen = roles(report, name)
        assert seen["pop"] == "metadata"  # nothing turns at a satellite or gateway
        assert ("router" in seen) == (access == "cgnat")
