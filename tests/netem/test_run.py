"""Whole runs of the runner on a real kernel: the checks pass when all is well, and each fails when it should."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from testbed.plan.model import load
from testbed.report.results import exit_code, make_report
from topologies.starlink_italy import scenario
from traffic.judge import judge_capture
from traffic.keys import load_keys
from traffic.pcapng import read_capture
from traffic.verdicts import Verdict

SECONDS = 8
START = "2026-06-14T06:00:08Z"  # a slot begins in the middle, at :12


@pytest.fixture(scope="module")
def satellites() -> Any:
    catalogue, start_ns = elements((), parse_utc_ns(START))
    return catalogue, start_ns


@pytest.fixture
def run_dir(satellites: Any, tmp_path: Path) -> Callable[..., Path]:
    numbers = itertools.count()

    def make(*, readback: bool = True, pcap: bool | Literal["links"] = False, **parameters: str) -> Path:
        plan = build_plan(scenario(**parameters), *satellites, SECONDS * 10**9)
        return rundir.create(plan, tmp_path / f"run{next(numbers)}", readback=readback, pcap=pcap)

    return make


CALM = {"policy": "highest", "antennas": "100"}
"""Satellites that keep their gateway: fewer changes for routing daemons to follow."""


CAUGHT = {"fail": 1, "invalid": 4}
"""What a run may say in which somebody meddles: on a busy machine his commands alone can make it invalid."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"TESTBED_RUN": str(folder), "TESTBED_CHANNEL": ""}
    with (folder / "runner.log").open("wb") as log:
        command = [sys.executable, "-m", "testbed.emulation.run", str(folder)]
        return subprocess.Popen(command, stderr=log, env=environment)


def play(
    make: Callable[[], Path], *, meanwhile: Callable[[Path], None] | None = None, tries: int = 3
) -> dict[str, Any]:
    """Run to the end and report; a run that the machine's noise made invalid is tried again."""
    report: dict[str, Any] = {}
    for _ in range(tries):
        folder = make()
        runner = start(folder)
        if meanwhile is not None:
            wait_for_play(folder, runner)
            meanwhile(folder)
        assert runner.wait() == 0, (folder / "runner.log").read_text()
        report = make_report(folder)
        if report["verdict"] != "invalid":
            break
    return report


def wait_for_play(folder: Path, runner: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The runner's live.json, once it plays."""
    while not (folder / "live.json").exists():
        assert runner.poll() is None, (folder / "runner.log").read_text()
        time.sleep(0.1)
    time.sleep(2.0)
    found: dict[str, Any] = json.loads((folder / "live.json").read_text())
    return found


def from_outside(folder: Path, node: str, *command: str) -> str:
    """Run a command in a node of a live run, as any root user could."""
    live = json.loads((folder / "live.json").read_text())
    namespace = f"/proc/{live['pid']}/fd/{live['namespaces'][node]}"
    done = subprocess.run(["nsenter", f"--net={namespace}", *command], capture_output=True, text=True, check=True)
    return done.stdout


def named(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(check for check in report["checks"] if check["name"] == name)


def fibre_device(folder: Path) -> tuple[str, float]:
    """Interface of pop-milan towards ce-rome, and its planned delay in ms: a link that the plan never changes."""
    plan = load(folder / "plan")
    number = next(n for n, link in enumerate(plan.links) if (link.a, link.b) == ("pop-milan", "ce-rome"))
    route = from_outside(folder, "pop-milan", "ip", "route", "show", "198.51.100.16/29")
    return route.split(" dev ")[1].split()[0], int(plan.link_steps(number)[0]["delay_ns"]) / 1e6


def test_a_quiet_run_passes_every_check(run_dir: Callable[..., Path]) -> None:
    report = play(run_dir)
    assert report["verdict"] == "pass", report["reasons"]
    assert report["where"] == ("uml" if os.environ.get("TESTBED_GUEST") else "native")
    assert {flow["integrity"]["verdict"] for flow in report["flows"]} == {"intact"}
    assert all(set(flow["integrity"]["counts"]) == {"GENUINE"} for flow in report["flows"])
    assert all(flow["sent"] == flow["received"] > 300 for flow in report["flows"])
    assert report["alarm_count"] == 0
    assert report["audit"]["late_ticks"] == 0
    assert report["audit"]["readback_mismatches"] == 0
    assert report["audit"]["unplanned_losses"] == 0


def test_a_delay_changed_from_outside_fails_the_audit_and_names_the_link(run_dir: Callable[..., Path]) -> None:
    def meddle(folder: Path) -> None:
        device, delay_ms = fibre_device(folder)
        change = f"delay {delay_ms + 5}ms limit 200000 rate 10gbit".split()
        from_outside(folder, "pop-milan", "tc", "qdisc", "change", "dev", device, "root", "netem", *change)

    report = play(partial(run_dir, readback=False), meanwhile=meddle)
    assert exit_code(report) == CAUGHT[report["verdict"]]
    link = [reason for reason in report["reasons"] if "link" in reason]
    assert len(link) == 1
    assert "pop-milan→ce-rome" in link[0]
    assert "5.0" in link[0]
    assert not named(report, "link-delay")["passed"]
    assert named(report, "read-back")["passed"]  # it was off in rotation: the audit alone found it


def test_when_a_pop_is_lost_what_comes_down_follows_to_the_other_s_nat(run_dir: Callable[..., Path]) -> None:
    report = play(partial(run_dir, lost="pop-milan@2", fallback="frankfurt"))
    assert report["verdict"] != "fail", report["reasons"]
    for flow in report["flows"]:
        assert 0.5 * flow["sent"] < flow["received"] < flow["sent"]


def test_a_change_too_small_to_measure_is_found_by_the_read_back_alone(run_dir: Callable[..., Path]) -> None:
    def meddle(folder: Path) -> None:
        device, delay_ms = fibre_device(folder)
        change = f"delay {delay_ms}ms limit 777 rate 10gbit".split()  # tc cuts the delay to whole microseconds
        from_outside(folder, "pop-milan", "tc", "qdisc", "change", "dev", device, "root", "netem", *change)

    report = play(run_dir, meanwhile=meddle)
    assert exit_code(report) == CAUGHT[report["verdict"]]
    failed = [check["name"] for check in report["checks"] if not check["passed"]]
    assert "read-back" in failed, report["reasons"]
    assert report["verdict"] == "invalid" or failed == ["read-back"], report["reasons"]
    assert report["audit"]["readback_mismatches"] > 0
    if report["verdict"] == "fail":
        assert any("read-back" in reason and "pop-milan→ce-rome" in reason for reason in report["reasons"])


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("bitflip", {"FORGED"}),
        ("replay", {"REPLAY_IN_WINDOW", "REPLAY_OLD"}),
        ("plaintext", {"PLAINTEXT_IN"}),
    ],
)
def test_each_attack_is_caught_and_named(run_dir: Callable[..., Path], action: str, names: set[str]) -> None:
    report = play(partial(run_dir, adversary=action, adversary_every="16"))
    folder = Path(report["run_dir"])
    assert report["verdict"] == "fail"
    assert exit_code(report) == 1
    raised = {alarm["verdict"] for alarm in report["alarms"]}
    assert raised
    assert raised <= names  # the right name, and no other
    acts = [json.loads(line) for line in (folder / "adversary.jsonl").read_text().splitlines()]
    ledger = named(report, "ledger")  # of the edges, by itself where an attacker is
    assert ledger["passed"] or not ledger["judged"], ledger["detail"]  # a busy machine makes no names wrong
    if ledger["judged"]:
        assert f"{action}: " in ledger["detail"]
        assert "; 0 false alarms" in ledger["detail"]
    check = named(report, "adversary-caught")
    assert check["passed"] or not check["judged"]  # a busy machine makes the measurement invalid, not the names
    assert report["alarm_count"] >= 0.9 * sum(act["action"] == action for act in acts)  # some may be still on their way


def test_captures_on_the_links_show_where_the_attacker_sits(run_dir: Callable[..., Path]) -> None:
    """It flips bits at the satellites, on the way up: before them every packet is genuine, behind them some are not."""
    report = play(partial(run_dir, adversary="bitflip", adversary_every="16", pcap="links"))
    folder = Path(report["run_dir"])
    keys = load_keys(folder / "keys.json")
    forged: Counter[str] = Counter()
    for capture in (folder / "pcap").glob("*.pcap"):
        finding = judge_capture(list(read_capture(capture)), keys)
        assert set(finding.verdicts) <= {Verdict.GENUINE, Verdict.FORGED}, (capture.stem, finding.verdicts)
        forged[capture.stem.split("~")[0].split("-")[0]] += finding.verdicts[Verdict.FORGED]
        assert "0 packets dropped by kernel" in capture.with_suffix(".log").read_text()
    acts = len((folder / "adversary.jsonl").read_text().splitlines())
    assert acts > 20
    assert forged["ut"] == forged["rome"] == 0
    assert 0.9 * acts <= forged["pop"] <= acts  # some may be still on their way
    assert 0.9 * acts <= forged["dc"] <= acts


def test_scapy_builds_and_sends_every_packet_with_the_same_verdicts(run_dir: Callable[..., Path]) -> None:
    report = play(partial(run_dir, generator="scapy"))
    assert {flow["integrity"]["verdict"] for flow in report["flows"]} == {"intact"}, report["reasons"]
    assert all(set(flow["integrity"]["counts"]) == {"GENUINE"} for flow in report["flows"])
    assert all(flow["received"] > 20 for flow in report["flows"])


def test_a_declared_fault_is_counted_and_is_no_failure_of_the_emulation(run_dir: Callable[..., Path]) -> None:
    """Two seconds without the fibre to Rome's data centre, then two with 10 ms more on the way back."""

    def make() -> Path:
        folder = run_dir()
        faults = [
            {"kind": "link", "a": "pop-milan", "b": "ce-rome", "at": 2, "for": 2, "cause": "digger"},
            {"kind": "congestion", "a": "ce-rome", "b": "pop-milan", "at": 5, "for": 2, "delay": 10},
        ]
        (folder / "faults.json").write_text(json.dumps(faults))
        return folder

    report = play(make)
    assert report["verdict"] == "pass", report["reasons"]
    assert all(0.15 * flow["sent"] < flow["lost"] < 0.4 * flow["sent"] for flow in report["flows"])
    assert report["audit"]["readback_mismatches"] == 0
    told = [json.loads(line) for line in (Path(report["run_dir"]) / "faults.jsonl").read_text().splitlines()]
    assert [(entry["act"], round(entry["time_ns"] / 1e9)) for entry in told] == [
        ("begin", 2), ("end", 4), ("begin", 5), ("end", 7)
    ]  # fmt: skip


def wait_until_in(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until nsenter is in the namespace and has become the program it was to start."""
    while Path(f"/proc/{process.pid}/comm").read_text().strip() != "sleep":
        assert process.poll() is None, (folder / "runner.log").read_text()
        time.sleep(0.02)


def processes() -> set[str]:
    shown = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return {line for line in shown.splitlines() if line.startswith("/") and "ps -eww" not in line}


def system_state() -> tuple[str, str]:
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return links, subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


def test_clean_after_a_killed_run_restores_the_machine_and_spares_decoys(run_dir: Callable[..., Path]) -> None:
    subprocess.run(["ip", "netns", "add", "ut-rome"], check=True)
    subprocess.run(["ip", "link", "add", "rome-eth0", "type", "veth", "peer", "name", "ut-rome-eth1"], check=True)
    decoy = subprocess.Popen(["sleep", "300"])
    try:
        state, programs = system_state(), processes()
        folder = run_dir()
        runner = start(folder)
        live = wait_for_play(folder, runner)
        namespace = f"--net=/proc/{live['pid']}/fd/{live['namespaces']['rome']}"
        tagged = os.environ | {"TESTBED_RUN": str(folder)}
        stray = subprocess.Popen(["nsenter", namespace, "sleep", "301"], env=tagged)
        wait_until_in(stray, folder)
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        command = [sys.executable, "-m", "testbed", "clean", "--runs", str(folder.parent)]
        listed = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True).stdout
        assert f"process {stray.pid} (sleep)" in listed
        assert stray.poll() is None
        subprocess.run(command, check=True, capture_output=True)
        assert stray.wait(timeout=10) == -signal.SIGKILL
        assert decoy.poll() is None
        assert system_state() == state
        assert processes() == programs
        assert not (folder / "live.json").exists()
        assert "nothing to clean" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        decoy.kill()
        decoy.wait()
        subprocess.run(["ip", "netns", "del", "ut-rome"], check=True)
        subprocess.run(["ip", "link", "del", "rome-eth0"], check=True)
