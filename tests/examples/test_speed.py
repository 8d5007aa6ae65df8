"""A schedule played faster than real time, from the command to the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import guests, run

pytestmark = pytest.mark.examples


def test_two_and_a_half_minutes_of_sky_in_fifteen_seconds(open_folder: Path) -> None:
    cut = [{"kind": "gateway", "node": "gw-milano", "at": 60, "for": 30, "cause": "power cut"}]
    (open_folder / "faults.json").write_text(json.dumps(cut))
    job = ["run", "starlink-italy", "--start", "2026-06-14T06:00:00Z", "--duration", "150", "--step", "500"]
    for _ in range(3):
        outcome = run(*job, "--speed", "10", "--events", "faults.json", "--format", "json", cwd=open_folder)
        if outcome.code != 4:
            break
    assert outcome.code == 0, outcome.stderr + outcome.stdout[:3000]
    report = json.loads(outcome.stdout)
    assert report["speed"] == 10
    assert report["duration_s"] == 15
    assert report["plan"]["handovers"] >= 8  # slots of 15 s, of two terminals
    assert report["audit"]["late_ticks"] == 0
    told = [json.loads(line) for line in (Path(report["run_dir"]) / "faults.jsonl").read_text().splitlines()]
    assert [(line["act"], round(line["time_ns"] / 1e9)) for line in told] == [("begin", 6), ("end", 9)]
    assert guests(open_folder) == []
