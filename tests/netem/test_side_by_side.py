"""Two runs at once in one kernel: neither sees the other, and each finds what it would find alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from test_kills import start, state

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from topologies.starlink_italy import scenario


def namespaces(folder: Path) -> set[str]:
    """Of a live run's nodes, by the kernel's own names for them."""
    live = json.loads((folder / "live.json").read_text())
    return {str(Path(f"/proc/{live['pid']}/fd/{number}").readlink()) for number in live["namespaces"].values()}


def test_two_runs_do_not_see_each_other(tmp_path: Path) -> None:
    plan = build_plan(scenario(), *elements((), parse_utc_ns("2026-06-14T06:00:08Z")), 6 * 10**9)
    before = state()
    folders = [rundir.create(plan, tmp_path / name) for name in ("one", "two")]
    children = [start(folder) for folder in folders]
    deadline = time.monotonic() + 30
    while not all((folder / "live.json").exists() for folder in folders):
        assert time.monotonic() < deadline, "the runs were not live at the same time"
        time.sleep(0.05)
    one, two = map(namespaces, folders)
    assert len(one) == len(two) == len(plan.nodes)
    assert not one & two
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    for folder in folders:
        told = json.loads((folder / "run.json").read_text())
        assert (told["ended"], told["error"]) == ("complete", None)
        audit = json.loads((folder / "audit.json").read_text())
        assert audit["readback"]["mismatches"] == []
        assert sum(link["lost"] for link in audit["links"]) == 0
        flows = json.loads((folder / "flows.json").read_text())["flows"]
        counts = [flow["integrity"]["counts"] for flow in flows]
        assert {name for count in counts for name, number in count.items() if number} == {"GENUINE"}
    assert state() == before
