"""A whole run whose hosts leave encryption to strongSwan and the kernel: keys renewed, nothing lost, nobody reads."""

from __future__ import annotations

import itertools
import json
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_run import CALM, START, play

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from topologies.starlink_italy import scenario

SECONDS = 8  # a handover in the middle
OPERATORS = ("operator", "space")


@pytest.fixture
def run_dir(tmp_path: Path) -> Callable[..., Path]:
    numbers = itertools.count()
    catalogue = elements((), parse_utc_ns(START))

    def make(**parameters: str) -> Path:
        plan = build_plan(scenario(**CALM, **parameters), *catalogue, SECONDS * 10**9)
        return rundir.create(plan, tmp_path / f"run{next(numbers)}", readback=True)

    return make


def test_a_run_through_strongswan_loses_nothing(run_dir: Callable[..., Path], tmp_path: Path) -> None:
    report = play(partial(run_dir, profile="strongswan", rekey_s="2"), tries=1)
    assert report["verdict"] in ("pass", "invalid"), report["reasons"]  # a busy machine has its own delays
    assert all(flow["sent"] == flow["received"] > 300 for flow in report["flows"])
    integrity = next(check for check in report["checks"] if check["name"] == "integrity")
    assert report["verdict"] == "invalid" or "6 protected by their hosts' kernels" in integrity["detail"]
    folder = max(tmp_path.glob("run*"))
    told: dict[str, Any] = json.loads((folder / "strongswan.json").read_text())
    assert told["version"] == "5.9.8"  # whose log's words are understood
    assert [tunnel["name"] for tunnel in told["tunnels"]] == ["rome-dc-rome", "taranto-dc-rome"]
    for tunnel in told["tunnels"]:
        assert sum(renewal["what"] == "child" for renewal in tunnel["renewals"]) >= 3
        assert {address for _, address, _ in tunnel["heard_from"]} == {"203.0.113.1"}  # the PoP's
    assert set(map(str, told["refused"].values())) == {"{}"}
    readers = {
        row["node"] for row in report["exposure"]["nodes"] for cell in row["flows"] if cell["level"] == "payload"
    }
    assert readers == set()
    secret = [*(folder / "strongswan").rglob("*")]
    assert secret
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in secret} == {0}


def test_when_a_pop_is_lost_charon_follows_to_the_other_s_nat(run_dir: Callable[..., Path], tmp_path: Path) -> None:
    lost = {"lost": "pop-milan@2", "fallback": "frankfurt"}
    report = play(partial(run_dir, profile="strongswan", rekey_s="2", **lost), tries=1)  # so IKE speaks now and then
    assert report["verdict"] != "fail", report["reasons"]
    assert all(0.5 * flow["sent"] < flow["received"] < flow["sent"] for flow in report["flows"])
    folder = max(tmp_path.glob("run*"))
    told = json.loads((folder / "strongswan.json").read_text())
    for tunnel in told["tunnels"]:
        assert [address for _, address, _ in tunnel["heard_from"]][-1] == "203.0.113.2"
    log = (folder / "strongswan" / "dc-rome" / "charon.log").read_text()
    assert log.count("] established between") == len(told["tunnels"])  # followed, and nothing made anew
