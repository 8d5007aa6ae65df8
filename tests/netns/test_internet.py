"""Services over TCP between the hosts of a real network without netem: results, refusals, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.bench.streams import FAR, NEAR, chain
from testbed.emulation.internet import Internet, split
from testbed.emulation.network import running
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.plan.model import Plan
from traffic.errors import FlowError

pytestmark = pytest.mark.netns

S = 1_000_000_000
HOPS = [("user", 5.0, 10**9, 10**6, "tail"), ("feeder", 5.0, 10**9, 10**6, "tail")]
PAGE: dict[str, Any] = {
    "name": "page", "kind": "web", "src": NEAR, "dst": FAR, "dscp": 10, "objects": 5, "main_bytes": 18_432,
    "object_bytes": 38_531, "connections": 3, "repeat_s": 0.5, "start_ns": 0, "stop_ns": S,
}  # fmt: skip
UPLOAD: dict[str, Any] = {
    "name": "upload", "kind": "tcp", "src": NEAR, "dst": FAR, "dscp": 0, "algorithm": "cubic", "protect": "none",
    "seconds": 1, "start_ns": S // 10, "stop_ns": 3 * S,
}  # fmt: skip
DOWNLOAD = UPLOAD | {"name": "download", "src": FAR, "dst": NEAR, "algorithm": "bbr"}


def plan() -> Plan:
    """A chain whose far end stands outside the operator's NAT."""
    made = chain(HOPS)
    return replace(made, nodes=tuple(replace(node, inside=node.name != FAR) for node in made.nodes))


@pytest.fixture
def wiring() -> Iterator[Wiring]:
    with running(plan(), impaired=False) as net:
        yield net.topo.emulation.wiring


def test_pages_and_transfers_both_ways_beside_each_other(wiring: Wiring, tmp_path: Path) -> None:
    internet = Internet(wiring, tmp_path, [PAGE, UPLOAD, DOWNLOAD])
    assert internet.clear_tcp_ports == (8443, 5201, 5202)
    assert internet.clear_udp_ports == ()
    try:
        internet.prepare()
        internet.start(time.time_ns() + S // 5)
        internet.finish()
    finally:
        internet.close()
    told = {service["name"]: service for service in json.loads((tmp_path / "internet.json").read_text())["services"]}
    assert [told[name]["errors"] for name in ("page", "upload", "download")] == [[], [], []]
    assert told["page"]["loads"] >= 1
    assert told["page"]["group"] == "X25519MLKEM768"
    assert all(load["received_bytes"] == 18_432 + 4 * 38_531 for load in told["page"]["list"])
    for name, algorithm in (("upload", "cubic"), ("download", "bbr")):
        assert told[name]["algorithm"] == algorithm
        assert told[name]["received_bytes"] > 1_000_000
        assert told[name]["limited_by"] in ("network", "generator", "machine")
    reverse = {}
    for name in ("upload", "download"):
        start = json.loads((tmp_path / "internet" / f"{name}.iperf3.json").read_text())["start"]
        reverse[name] = start["test_start"]["reverse"]
    assert reverse == {"upload": 0, "download": 1}  # the host behind the NAT asks, whoever sends


def test_a_server_behind_the_nat_is_refused(wiring: Wiring, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=f"flow 'page': its server {NEAR} is behind a NAT"):
        Internet(wiring, tmp_path, [PAGE | {"src": FAR, "dst": NEAR}])
    with pytest.raises(PlanError, match="51 services over TCP: declare 50 at most"):
        Internet(wiring, tmp_path, [UPLOAD] * 51)
    with pytest.raises(FlowError, match="host 'paris' is unknown"):
        Internet(wiring, tmp_path, [UPLOAD | {"dst": "paris"}])


def test_a_service_that_fails_says_why_and_the_others_go_on(wiring: Wiring, tmp_path: Path) -> None:
    internet = Internet(wiring, tmp_path, [PAGE, UPLOAD])
    try:
        internet.prepare()
        command = ["pgrep", "-f", "-P", str(os.getpid()), "iperf3 --server"]
        for server in subprocess.run(command, capture_output=True, check=True).stdout.split():
            os.kill(int(server), signal.SIGKILL)
        internet.start(time.time_ns() + S // 5)
        internet.finish()
    finally:
        internet.close()
    page, upload = json.loads((tmp_path / "internet.json").read_text())["services"]
    assert (page["failed"], upload["failed"], upload["goodput_bps"]) == (0, 1, None)
    assert "Connection refused" in upload["errors"][0]


def test_no_services_leave_nothing(wiring: Wiring, tmp_path: Path) -> None:
    internet = Internet(wiring, tmp_path, [])
    internet.prepare()
    internet.start(time.time_ns())
    internet.finish()
    internet.close()
    assert list(tmp_path.iterdir()) == []


def test_flows_are_split_by_kind() -> None:
    voice = {"kind": "voice", "name": "call"}
    assert split([voice, PAGE, UPLOAD]) == ([voice], [PAGE, UPLOAD])


HELD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_internet import PAGE, UPLOAD, S, plan
from testbed.emulation.internet import Internet
from testbed.emulation.network import running
flows = [PAGE | {"stop_ns": 60 * S}, UPLOAD | {"seconds": 50, "stop_ns": 60 * S}]
with running(plan(), impaired=False) as net:
    internet = Internet(net.topo.emulation.wiring, Path(sys.argv[1]), flows)
    internet.prepare()
    internet.start(time.time_ns())
    time.sleep(1.5)
    print("up", flush=True)
    time.sleep(60)
"""


def test_nothing_outlives_a_runner_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD, str(tmp_path), str(Path(__file__).parent)]
    environment = os.environ | {"TESTBED_RUN": str(tmp_path)}
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert runner.stdout is not None
    assert runner.stdout.readline() == b"up\n"
    tagged = processes_of(tmp_path)
    assert len(tagged) >= 6  # the runner, a page's server and client, a transfer's process, iperf3 at both ends
    runner.kill()
    runner.communicate()
    for _ in range(100):
        if not processes_of(tmp_path):
            break
        time.sleep(0.05)
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[int]:
    """Those with this folder as TESTBED_RUN in their environment."""
    tag, found = f"TESTBED_RUN={folder}".encode(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and tag in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found
