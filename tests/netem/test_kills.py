"""A run that is killed at any instant leaves nothing: no link, no named namespace, no process, no claim to be alive."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from testbed.emulation import run
from testbed.ground.units import parse_utc_ns
from testbed.lab import clean, rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from topologies.starlink_italy import scenario

KILLS = int(os.environ.get("TESTBED_KILLS", "6"))  # 50 by hand, three minutes
LONGEST_S = 4.5  # building, the lead, and a good part of the play


def state() -> tuple[str, ...]:
    """Links, named namespaces, and the processes that have a program of their own."""
    commands = (["ip", "-o", "link"], ["ip", "netns"], ["ps", "-eww", "-o", "args"])
    told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    told[2] = "\n".join(sorted(line for line in told[2].splitlines() if line.startswith("/")))
    return tuple(told)


def start(folder: Path) -> int:
    """The runner in a process of its own, without the seconds that its imports would take; returns its number."""
    child = os.fork()
    if child:
        return child
    os.environ["TESTBED_RUN"], os.environ["TESTBED_CHANNEL"] = str(folder), ""
    sys.argv[1:] = [str(folder)]
    os.setsid()
    os._exit(run.main())


def test_a_kill_at_any_instant_leaves_nothing(tmp_path: Path) -> None:
    chance = random.Random(20260614)
    plan = build_plan(scenario(adversary="bitflip"), *elements((), parse_utc_ns("2026-06-14T06:00:08Z")), 6 * 10**9)
    before = state()
    lives = 0
    for number in range(KILLS):
        folder = rundir.create(plan, tmp_path / f"run{number}", pcap=True)
        child = start(folder)
        time.sleep(chance.uniform(0.0, LONGEST_S))
        patience = time.monotonic() + 60.0
        while not lives and number == KILLS - 1 and time.monotonic() < patience:  # a busy machine builds slowly
            lives += (folder / "live.json").exists()
            time.sleep(0.1)
        lives += (folder / "live.json").exists()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        clean.remove(clean.find(tmp_path))
        deadline = time.monotonic() + 5.0
        while state() != before and time.monotonic() < deadline:  # the kernel takes a killed process away by and by
            time.sleep(0.1)
        assert state() == before, f"after kill number {number}"
        assert not (folder / "live.json").exists()
    assert lives, "no kill came while a run was live: the test shows nothing"


def test_the_comparison_sees_what_is_left() -> None:
    before = state()
    subprocess.run(["ip", "link", "add", "left-eth0", "type", "veth", "peer", "name", "left-eth1"], check=True)
    assert state() != before
    subprocess.run(["ip", "link", "del", "left-eth0"], check=True)
    assert state() == before
