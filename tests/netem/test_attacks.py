"""Attackers at every place of a whole run, under the default rules of access: caught and rightly named."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_run import SECONDS, START, named, play

from testbed.ground.units import parse_utc_ns
from testbed.lab import rundir
from testbed.plan.build import build_plan
from testbed.plan.inputs import elements
from testbed.plan.model import load
from testbed.report.words import CAUGHT_AS
from topologies.starlink_italy import scenario


@pytest.fixture
def run_dir(tmp_path: Path) -> Callable[..., Path]:
    numbers = itertools.count()

    def make(**parameters: str) -> Path:
        plan = build_plan(scenario(**parameters), *elements((), parse_utc_ns(START)), SECONDS * 10**9)
        return rundir.create(plan, tmp_path / f"run{next(numbers)}", readback=True)

    return make


def attacked(run_dir: Callable[..., Path], **parameters: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report and the acts of a run with an attacker, all of whose alarms must be the right ones."""
    report = play(partial(run_dir, **parameters))
    lines = (Path(report["run_dir"]) / "adversary.jsonl").read_text().splitlines()
    acts = [json.loads(line) for line in lines]
    names = {name for action in parameters["adversary"].split("+") for name in CAUGHT_AS[action]}
    raised = {alarm["verdict"] for alarm in report["alarms"]}
    assert raised
    assert raised <= names
    assert not [act for act in acts if "error" in act]
    check = named(report, "adversary-caught")
    assert check["passed"] or not check["judged"], check  # a busy machine makes the measurement invalid, not the names
    return report, acts


def test_an_attacker_at_a_satellite_that_changes_its_gateway(run_dir: Callable[..., Path]) -> None:
    """Milano is lost after 2 s: the satellite lands at Foggia, and what the attacker sends takes the new way."""
    report, acts = attacked(
        run_dir,
        adversary="bitflip+flip-spi+plaintext+truncate",
        adversary_every="8",
        policy="sticky",
        lost="gw-milano@2",
    )
    plan = load(Path(report["run_dir"]) / "plan")
    landings = Counter(link.a for link in plan.links if link.kind == "feeder")
    moved = {link.b for link in plan.links if link.kind == "user" and landings[link.b] > 1}
    assert moved
    there = [act for act in acts if act["crossing"].split("→")[1] in moved]
    assert {act["action"] for act in there} == {"bitflip", "flip-spi", "plaintext", "truncate"}
    # All but the second without a landing, of seven, and what is under way at the end, arrives and is noticed.
    assert report["alarm_count"] >= 0.75 * len(acts)


def test_an_attacker_at_gateways_in_both_directions_in_its_window(run_dir: Callable[..., Path]) -> None:
    _, acts = attacked(
        run_dir,
        adversary="flip-icv+splice+replay-soon",
        adversary_position="gateway",
        adversary_direction="both",
        adversary_percent="10",
        adversary_from_s="2",
        adversary_to_s="6",
    )
    ways = {act["crossing"].split("→")[0].split("-")[0] for act in acts}
    assert "pop" in ways
    assert len(ways) > 1
    assert 3.8e9 < max(act["time_ns"] for act in acts) - min(act["time_ns"] for act in acts) < 4.5e9


def test_fragments_beyond_the_operators_nat(run_dir: Callable[..., Path]) -> None:
    attacked(run_dir, adversary="fragment-overlap+fragment-gap", adversary_position="fibre", adversary_every="16")


def test_a_key_exchange_is_tampered_with(run_dir: Callable[..., Path]) -> None:
    """The first exchange is let through, the rekey is not: the old keys carry on, nothing goes in the clear."""
    report, _ = attacked(
        run_dir, adversary="kex-tamper", adversary_from_s="1", profile="eu-hybrid", rekey_s="3", adversary_to_s="100"
    )
    assert all(flow["received"] > 0.9 * flow["sent"] > 200 for flow in report["flows"])


@pytest.mark.parametrize(("insider", "esn"), [("nonce-reuse", "on"), ("no-esn", "on"), ("sequence-wrap", "off")])
def test_a_faulty_endpoint(run_dir: Callable[..., Path], insider: str, esn: str) -> None:
    attacked(run_dir, adversary=insider, esn=esn, adversary_every="16")
