"""A whole run with FRR in every router: a handover that OSPF has to find out about, and what the audit makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from test_run import CALM, START, from_outside, named, play

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from topologies.starlink_italy import scenario

SECONDS = 8

CENTRE = "198.51.100.16/29"
"""The data centre's LAN: the third of the plan, the first outside."""


def test_ospf_finds_the_new_satellite_and_the_paths_keep_their_delays(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Without traffic: beside it dozens of daemons that all calculate at once can make its packets leave late."""
    plan = build_plan(scenario(**CALM, routing="frr"), *elements((), parse_utc_ns(START)), SECONDS * 10**9)
    folders: list[Path] = []
    taken: list[dict[str, Any]] = []

    def make() -> Path:
        folders.append(rundir.create(replace(plan, flows=()), tmp_path / f"run{len(folders)}"))
        return folders[-1]

    def look(folder: Path) -> None:
        taken.extend(json.loads(from_outside(folder, "ut-rome", "ip", "-j", "-d", "route", "show", CENTRE)))

    report = play(make, meanwhile=look)
    assert report["verdict"] == "pass", report["reasons"]
    routing = report["routing"]
    told = json.loads((folders[-1] / "routing.json").read_text())
    ways: list[list[dict[str, Any]]] = told["ways"]

    first = ways[0][0]["nodes"]  # before the handover, by the kernels' notices and by `ip`
    assert first == list(plan.paths[0][0].nodes)
    assert taken[-1]["protocol"] == "ospf"
    assert f"hostname {first[2]}" in (folders[-1] / "frr" / first[2] / "ospfd.conf").read_text()
    assert ways[0][-1]["nodes"] == list(plan.paths[0][-1].nodes) != first  # in the end all take the new satellite
    assert any(len(seen) > 1 for seen in ways)

    lost = [change for change in routing["changes"] if "goes" in change["what"]]
    assert lost
    assert all(change["routes"] for change in lost)
    assert routing["settled_ms"]["max"] < 10_000
    assert named(report, "path-delay")["judged"]
    record_property("started_s", routing["started_s"])
    record_property("settled_s", routing["settled_s"])
    record_property("settled_ms", routing["settled_ms"])
    record_property("without_way_s", [path["without_way_s"] for path in routing["paths"]])
