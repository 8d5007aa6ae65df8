"""testbed.plan.faults, testbed.emulation.faults: what is asked for happens, to those links only, until its own end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulated import FakeKernel, S, wire
from plan_data import small_plan

from testbed.emulation.faults import Faults
from testbed.emulation.loop import run_activities
from testbed.emulation.player import Player
from testbed.emulation.state import State
from testbed.emulation.timeline import compile_timeline
from testbed.ground.clock import ManualClock
from testbed.ground.errors import PlanError
from testbed.kernel import queues
from testbed.plan.faults import INBOX, LOG, parse_fault, read_entries, with_faults
from testbed.plan.model import Plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    plan = small_plan("hold")
    return replace(plan, nodes=tuple(replace(node, nat=False) for node in plan.nodes))


def satellite(plan: Plan) -> str:
    return next(node.name for node in plan.nodes if node.role == "satellite")


def ends(plan: Plan, numbers: tuple[int, ...]) -> set[tuple[str, str]]:
    return {(plan.links[number].a, plan.links[number].b) for number in numbers}


def test_each_kind_finds_its_links(plan: Plan) -> None:
    def links(**entry: Any) -> set[tuple[str, str]]:
        return ends(plan, parse_fault(entry, plan, where="test").links)

    every = {(link.a, link.b): link.kind for link in plan.links}
    one = satellite(plan)
    assert links(kind="satellite", node=one) == {pair for pair in every if one in pair}
    assert links(kind="pop", node="pop-milan") == {pair for pair in every if "pop-milan" in pair}
    assert links(kind="link", a="pop-milan", b="ce-rome") == {("pop-milan", "ce-rome"), ("ce-rome", "pop-milan")}
    assert links(kind="congestion", a="pop-milan", b="ce-rome", rate=0.5) == {("pop-milan", "ce-rome")}
    rome = links(kind="jam", area=[41.9, 12.5, 60], loss=0.5)
    assert rome == {pair for pair, kind in every.items() if kind == "user" and "ut-rome" in pair}
    assert links(kind="rain", node="ut-rome", loss=0.1) == rome
    assert links(kind="denial", area=[41.9, 12.5, 60]) == rome
    assert links(kind="denial") == {pair for pair, kind in every.items() if kind == "user"}


def test_an_operators_denial_is_dark_and_takes_no_share(plan: Plan) -> None:
    fault = parse_fault({"kind": "denial", "at": 1, "for": 1, "cause": "account suspended"}, plan, where="test")
    assert fault.down
    assert fault.nodes == ("ut-rome", "ut-taranto")
    with pytest.raises(PlanError, match="'loss' is nothing that denial takes: area"):
        parse_fault({"kind": "denial", "loss": 0.5}, plan, where="test")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"kind": "fire"}, "kind 'fire' is not one of"),
        (["x"], "is not one of"),
        ({"kind": ["pop"]}, "kind .'pop'. is not one of"),
        ({"kind": "pop", "node": "pop-milan", "at": 1e300}, "at 1e.300 is not a number"),
        ({"kind": "gateway"}, "gateway needs 'node'"),
        ({"kind": "gateway", "node": "rome"}, "no gateway 'rome'; there is gw-"),
        ({"kind": "rain", "node": "gw-none", "loss": 0.1}, "no node 'gw-none'"),
        ({"kind": "rain", "node": "ce-rome", "loss": 0.1}, "'ce-rome' has no radio link"),
        ({"kind": "link", "a": "rome", "b": "ce-rome"}, "no link rome→ce-rome"),
        ({"kind": "link", "a": "pop-milan", "b": "ce-rome", "loss": 1}, "'loss' is nothing that link takes"),
        ({"kind": "jam", "area": [41.9, 12.5], "loss": 1}, "is not .latitude, longitude, radius in km."),
        ({"kind": "jam", "area": [0, 0, 5], "loss": 1}, "no terminal within 5 km"),
        ({"kind": "rain", "node": "ut-rome"}, "rain does nothing"),
        ({"kind": "rain", "node": "ut-rome", "loss": 1.5}, "loss 1.5 is not a number from 0 to 1"),
        ({"kind": "rain", "node": "ut-rome", "loss": "much"}, "loss 'much' is not a number"),
        ({"kind": "rain", "node": "ut-rome", "loss": True}, "loss True is not a number"),
        ({"kind": "pop", "node": "pop-milan", "at": 99}, "is not inside the plan's"),
        ({"kind": "pop", "node": "pop-milan", "at": -1}, "at -1 is not a number"),
        ({"kind": "pop", "node": "pop-milan", "at": 1, "for": 0}, "is not inside the plan's"),
        ({"kind": "congestion", "a": "pop-milan", "b": "ce-rome", "delay": 1e6}, "delay 1000000.0 is not a number"),
    ],
)
def test_a_bad_entry_is_told_in_one_line(plan: Plan, entry: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words) as told:
        parse_fault(entry, plan, where="faults.json: fault 3")
    assert str(told.value).startswith("faults.json: fault 3: ")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["{", "{}", '"x"'])
def test_a_bad_file_is_told(plan: Plan, tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(PlanError, match="list of faults"):
        read_entries(path, plan)


def played(plan: Plan, folder: Path, entries: list[dict[str, Any]]) -> tuple[Player, dict[str, FakeKernel], list[Any]]:
    """The plan and the faults played; and at each half second what link end 'pop-milan→ce-rome' holds."""
    wiring, clock = wire(plan), ManualClock()
    kernels = {name: node.netlink for name, node in wiring.nodes.items()}
    link_ends = [wiring.end(number) for number in range(len(plan.links))]
    player = Player(compile_timeline(wiring), State(plan, wiring.limits), link_ends, kernels)
    known = [parse_fault(entry, plan, where="test") for entry in entries]
    faults = Faults(plan, player, folder, known)
    number = next(n for n, link in enumerate(plan.links) if (link.a, link.b) == ("pop-milan", "ce-rome"))
    seen: list[Any] = []

    class Watcher:
        def due_ns(self) -> int | None:
            due_ns = S // 4 + len(seen) * S // 2
            return due_ns if due_ns < plan.duration_ns else None

        def act(self, clock: object) -> None:
            kernel = kernels["pop-milan"]
            assert isinstance(kernel, FakeKernel)
            index = link_ends[number].index
            held = queues.parse_netem(kernel.queues[index])[1]
            bottleneck = kernel.bottlenecks[index]
            assert held is not None
            seen.append((held.delay_ns, round(held.loss, 6), queues.parse_rate(bottleneck)))

    run_activities([faults, player, Watcher()], clock, lambda: False)
    return player, kernels, seen  # type: ignore[return-value]


def test_faults_overlap_and_each_is_healed_by_its_own_end_only(plan: Plan, tmp_path: Path) -> None:
    first = plan.link_steps(next(n for n, k in enumerate(plan.links) if (k.a, k.b) == ("pop-milan", "ce-rome")))[0]
    here = {"kind": "congestion", "a": "pop-milan", "b": "ce-rome"}
    entries = [
        here | {"at": 1, "for": 3, "delay": 5, "rate": 0.5},
        here | {"at": 2, "for": 1, "loss": 0.5, "rate": 0.5},
        {"kind": "pop", "node": "pop-milan", "at": 6, "for": 1},
    ]
    player, _, seen = played(plan, tmp_path, entries)
    delay_ns, rate = int(first["delay_ns"]), int(first["rate_bps"])
    plain = (delay_ns, 0.0, rate)
    slow = (delay_ns + 5_000_000, 0.0, rate // 2)
    both = (delay_ns + 5_000_000, 0.5, rate // 4)
    dark = (delay_ns, 1.0, rate)
    assert seen[:16] == [plain] * 2 + [slow] * 2 + [both] * 2 + [slow] * 2 + [plain] * 4 + [dark] * 2 + [plain] * 2
    assert set(seen[16:]) == {plain}
    assert player.mismatches == []
    told = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(entry["act"], entry["id"]) for entry in told] == [
        ("begin", "1"), ("begin", "2"), ("end", "2"), ("end", "1"), ("begin", "3"), ("end", "3")
    ]  # fmt: skip
    windows = [
        (event.kind, event.time_ns // S, round(event.window_ns / S)) for event in with_faults(plan, tmp_path).events
    ]
    assert {("congestion", 0, 3), ("congestion", 1, 1), ("pop", 5, 1)} <= set(windows)


def test_a_fault_in_the_last_instant_begins_and_one_that_outlasts_the_plan_ends_with_it(
    plan: Plan, tmp_path: Path
) -> None:
    here = {"kind": "congestion", "a": "pop-milan", "b": "ce-rome", "delay": 5}
    last_s = plan.duration_ns / S - 0.01
    player, _, _ = played(plan, tmp_path, [here | {"at": last_s}, here | {"at": 1, "for": 1_000_000}])
    told = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(entry["act"], entry["id"], entry["time_ns"] / S) for entry in told] == [
        ("begin", "2", 1.0),
        ("begin", "1", pytest.approx(last_s)),
    ]
    number = next(n for n, k in enumerate(plan.links) if (k.a, k.b) == ("pop-milan", "ce-rome"))
    assert player.wanted(number).delay_ns == int(plan.link_steps(number)["delay_ns"][-1]) + 10_000_000


def test_delays_of_overlapping_faults_find_room_in_flight_and_keep_it(plan: Plan, tmp_path: Path) -> None:
    here = {"kind": "congestion", "a": "pop-milan", "b": "ce-rome", "delay": 100, "at": 1, "for": 2}
    number = next(n for n, k in enumerate(plan.links) if (k.a, k.b) == ("pop-milan", "ce-rome"))
    first = plan.link_steps(number)[0]
    player, _, _ = played(plan, tmp_path, [here] * 3)
    before = wire(plan).limits[number]
    assert player.wanted(number).limit == before + math.ceil(int(first["rate_bps"]) * 0.3 / (8 * 64))


def test_a_fault_may_come_while_it_plays_and_a_bad_one_is_refused(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / INBOX).mkdir()
    entry = {"kind": "congestion", "a": "pop-milan", "b": "ce-rome", "delay": 7, "for": 1}
    (tmp_path / INBOX / "a.json").write_text(json.dumps(entry))
    (tmp_path / INBOX / "b.json").write_text(json.dumps({"kind": "fire"}))
    (tmp_path / INBOX / "c.json").write_bytes(b"{\xff")
    _, _, seen = played(plan, tmp_path, [])
    assert [delay_ns - seen[-1][0] for delay_ns, _, _ in seen[:4]] == [7_000_000, 7_000_000, 0, 0]
    told = {entry["id"]: entry for entry in map(json.loads, (tmp_path / LOG).read_text().splitlines())}
    assert told["b"]["act"] == "refused"
    assert "fire" in told["b"]["why"]
    assert told["c"]["act"] == "refused"
    assert list((tmp_path / INBOX).iterdir()) == []


def test_a_run_without_faults_keeps_its_plan(plan: Plan, tmp_path: Path) -> None:
    assert with_faults(plan, tmp_path) is plan
