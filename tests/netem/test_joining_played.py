"""Joining a run where it plays natively with real netem: what netem holds, and a handover as the kernel tells of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from test_kills import start, state

from testbed.ground.joining import DOOR, LIVE, PROGRESS
from testbed.ground.units import parse_utc_ns
from testbed.lab import happenings, join, rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from topologies.starlink_italy import scenario


def test_what_is_told_from_outside_is_what_the_plan_does(tmp_path: Path) -> None:
    plan = build_plan(
        scenario(), *elements((), parse_utc_ns("2026-06-14T06:00:08Z")), 60 * 10**9
    )  # handovers from 4 s on
    before = state()
    folder = rundir.create(plan, tmp_path / "run")
    child = start(folder)
    deadline = time.monotonic() + 180
    while not (folder / LIVE).exists():
        assert time.monotonic() < deadline, "the run was not live"
        time.sleep(0.05)
    seen: list[tuple[float, dict[str, Any]]] = []

    def follow() -> None:
        for told in happenings.follow(folder):
            seen.append((time.time(), told))

    follower = threading.Thread(target=follow)
    follower.start()
    asked = time.monotonic()
    address = join.collect(folder, "rome", ["ip", "-br", "address", "show", "rome-eth0"])
    took_ms = 1000 * (time.monotonic() - asked)
    shown = join.inspect(folder, "ut-rome")
    (port,) = [link["interface"] for link in join.inspect(folder, "ce-rome")["links"] if link["from"] == "ce-rome"]
    meddling = ["tc", "qdisc", "replace", "dev", port, "root", "netem", "delay", "1ms"]
    meddled = join.collect(folder, "ce-rome", meddling)
    after = join.inspect(folder, "ce-rome")
    while not any(told["kind"] == "handover" for _, told in seen):
        assert time.monotonic() < deadline, "no handover was told of"
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    follower.join(10)
    assert "100.64.0.2/24" in address["stdout"]
    assert all(link["agrees"] for link in shown["links"])
    assert any(link["held"]["up"] and link["held"]["delay_ms"] > 5 for link in shown["links"])
    assert meddled["code"] == 0, meddled
    assert [link["agrees"] for link in after["links"] if link["interface"] == port] == [False]
    started = datetime.fromisoformat(json.loads((folder / "run.json").read_text())["started_utc"]).timestamp()
    planned = {(event.node, event.detail["to"]) for event in plan.events if event.kind == "handover"}
    handovers = [(at - started, told) for at, told in seen if told["kind"] == "handover"]
    assert {(told["node"], told["to"]) for _, told in handovers} <= planned
    late = ", ".join(f"{1000 * (at - told['time_s']):.0f}" for at, told in handovers)
    sys.stdout.write(f"exec answered in {took_ms:.0f} ms; handovers were shown {late} ms after the kernel's word\n")
    assert not {DOOR, LIVE, PROGRESS} & {path.name for path in folder.iterdir()}
    assert state() == before
