"""The documented commands that need real netem: Mininet's own `mn`, and the whole command line natively."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def test_mn_custom_pings_all(tmp_path: Path) -> None:
    options = ["--custom", "topologies/starlink_italy.py", "--topo", "starlink_italy,duration=30", "--test", "pingall"]
    done = subprocess.run([BIN / "mn", *options], cwd=PROJECT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "0% dropped (6/6 received)" in said


def test_a_broken_mn_never_cleans_what_is_not_its_own() -> None:
    subprocess.run(["ip", "link", "add", "x-eth0", "type", "dummy"], check=True)
    try:
        options = ["--custom", "topologies/starlink_italy.py", "--topo", "starlink_italy,order=wrong"]
        done = subprocess.run([BIN / "mn", *options], cwd=PROJECT, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert "parameter order='wrong' is not one of hold, drop, reorder" in said
        assert "cleanup is switched off here" in said
        subprocess.run(["ip", "link", "show", "x-eth0"], check=True, capture_output=True)
    finally:
        subprocess.run(["ip", "link", "del", "x-eth0"], check=True)


def test_a_plan_is_played_natively_from_its_file(tmp_path: Path) -> None:
    plan = [BIN / "testbed", "plan", "starlink-italy", "--duration", "6", "--out", "plan.parquet", "--format", "json"]
    made = subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=True)
    for attempt in range(3):
        run = ["run", "--plan", "plan.parquet", "--where", "native", "--format", "json", "--out", f"run{attempt}"]
        done = subprocess.run([BIN / "testbed", *run], cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode != 4:
            break
    assert done.returncode == 0, done.stderr + done.stdout[:2000]
    report = json.loads(done.stdout)
    assert report["verdict"] == "pass"
    assert report["manifest"] == json.loads(made.stdout)["manifest"]
    assert report["where"] == ("uml" if os.environ.get("TESTBED_GUEST") else "native")
