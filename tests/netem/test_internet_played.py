"""Services over TCP in whole runs on a real kernel: through netem, queues and NAT, beside the encrypted flows.

Whether the machine keeps time is the audit's question: here a run may be invalid, for that reason and no other.
"""

from __future__ import annotations

import itertools
import json
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from testbed.plan.model import Plan
from testbed.report.results import make_report
from topologies.internet import tcp
from topologies.starlink_italy import USER_UP_BPS, scenario

SECONDS = 10
SERVER_SHARE = bytes.fromhex("0033 0464 11ec 0460")
"""How the ServerHello says X25519MLKEM768: extension key_share, 1,124 bytes, group 4588, a share of 1,120 bytes."""

START = "2026-06-14T06:00:08Z"  # a slot begins at :12


@pytest.fixture(scope="module")
def plan() -> Plan:
    catalogue, start_ns = elements((), parse_utc_ns(START))
    calm = scenario(policy="highest", antennas="100", internet="web")
    return build_plan(calm, catalogue, start_ns, SECONDS * 10**9)


@pytest.fixture
def play(plan: Plan, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Play the plan with these services instead of its own, and report.

    Again, at most twice, where one fails on a machine that has no time to spare: pages are given up after ten seconds.
    """
    numbers = itertools.count()

    def run(*services: dict[str, Any], pcap: bool = False) -> dict[str, Any]:
        for _ in range(3):
            report = once(services, pcap=pcap)
            told = report["internet"]["services"]
            if not any(service["failed"] for service in told) or report["verdict"] != "invalid":
                break
        return report

    def once(services: tuple[dict[str, Any], ...], *, pcap: bool) -> dict[str, Any]:
        flows = tuple(flow for flow in plan.flows if flow["kind"] not in ("web", "tcp")) + services
        folder = rundir.create(replace(plan, flows=flows), tmp_path / f"run{next(numbers)}", pcap=pcap)
        command = [sys.executable, "-m", "testbed.emulation.run", str(folder)]
        with (folder / "runner.log").open("wb") as log:
            code = subprocess.run(command, stderr=log, check=False).returncode
        assert code == 0, (folder / "runner.log").read_text()
        return make_report(folder)

    return run


def round_trip_ms(plan: Plan, source: str, destination: str) -> float:
    """The least planned round trip over the run: propagation and access alone, without any queue."""
    steps = {(link.a, link.b): plan.link_steps(number) for number, link in enumerate(plan.links)}
    total = 0.0
    for ends in ((source, destination), (destination, source)):
        path = next(path for path in plan.paths if (path[0].nodes[0], path[0].nodes[-1]) == ends)
        ways = [
            sum(int(steps[hop]["delay_ns"].min()) for hop in itertools.pairwise(step.nodes) if hop in steps)
            for step in path
        ]
        total += min(ways) / 1e6
    return total


def assert_well(report: dict[str, Any]) -> dict[str, Any]:
    """The only service went well and raised no alarm; what a busy machine does to delays is not judged here."""
    check = next(check for check in report["checks"] if check["name"] == "internet")
    assert check["passed"], report["reasons"]
    assert (report["alarm_count"], report["alarms"], report["unattributed"]) == (0, [], {})
    (told,) = report["internet"]["services"]
    assert (told["failed"], told["errors"]) == (0, [])
    found: dict[str, Any] = told
    return found


def test_pages_load_through_the_nat_with_a_post_quantum_handshake(
    plan: Plan, play: Callable[..., dict[str, Any]]
) -> None:
    (web,) = (flow for flow in plan.flows if flow["kind"] == "web")
    report = play(web, pcap=True)
    told = assert_well(report)
    assert told["group"] == "X25519MLKEM768"
    assert told["loads"] >= 1
    trip_ms = round_trip_ms(plan, "rome", "dc-rome")
    assert trip_ms > 20  # access alone is 13.4 ms, fibre to Milan and back 14 ms
    for load in told["list"]:
        assert load["received_bytes"] == told["page_bytes"]
        assert load["load_ms"] >= 3 * trip_ms  # TCP, TLS and the main object, one after the other
        assert min(load["connect_ms"]) >= trip_ms
        assert min(load["handshake_ms"]) >= trip_ms
        assert load["first_byte_ms"] >= trip_ms
    folder = Path(report["run_dir"]) / "internet"
    for name in ("dc-rome.key", f"{web['name']}.keys"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    capture = Path(report["run_dir"]) / "pcap" / "dc-rome.pcap"
    hellos = capture.read_bytes().count(SERVER_SHARE)
    assert hellos >= max(len(load["handshake_ms"]) for load in told["list"])


@pytest.mark.parametrize("algorithm", ["cubic", "bbr"])
def test_an_upload_gets_what_the_access_link_has(play: Callable[..., dict[str, Any]], algorithm: str) -> None:
    report = play(tcp("upload", "rome", "dc-rome", SECONDS * 10**9, algorithm=algorithm))
    told = assert_well(report)
    assert (told["algorithm"], told["seconds"]) == (algorithm, 8)
    assert 1e6 < told["goodput_bps"] <= USER_UP_BPS
    assert told["limited_by"] in ("network", "machine")
    assert told["rtt_ms"]["min"] > 20


def test_an_upload_in_the_kernels_own_tunnel_is_encrypted_all_the_way(play: Callable[..., dict[str, Any]]) -> None:
    report = play(tcp("upload", "rome", "dc-rome", SECONDS * 10**9, protect="xfrm"), pcap=True)
    told = assert_well(report)
    assert 1e6 < told["goodput_bps"] <= USER_UP_BPS
    assert told["tunnel"]["to_server"]["bytes"] > told["received_bytes"]
    assert told["tunnel"]["to_server"]["failed"] == told["tunnel"]["to_client"]["failed"] == 0
    capture = Path(report["run_dir"]) / "pcap" / "rome.pcap"
    inner = socket.inet_aton("10.65.0.1") + socket.inet_aton("10.65.0.2")  # source and destination, as in a header
    assert inner not in capture.read_bytes()  # what leaves the host is ESP: its own packets are not seen in the clear


def test_a_download_is_the_servers_to_send_and_the_clients_to_ask_for(play: Callable[..., dict[str, Any]]) -> None:
    flow = tcp("download", "dc-rome", "rome", SECONDS * 10**9) | {"seconds": 3}
    report = play(flow)
    told = assert_well(report)
    assert told["goodput_bps"] > 1e6
    assert json.loads((Path(report["run_dir"]) / "internet" / "download.iperf3.json").read_text())["start"]
