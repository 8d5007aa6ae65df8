"""The record that a run tells once a second: against the plan's own functions, and a kernel that is a dictionary."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from emulated import MS, S, wire
from run_fixture import make_plan

from testbed.emulation.live import Counts, Live
from testbed.emulation.player import Player
from testbed.emulation.state import State
from testbed.emulation.timeline import compile_timeline
from testbed.ground.clock import ManualClock
from testbed.ground.joining import forget_progress, read_progress, write_progress
from testbed.plan.expected import path_delay_ns

REALTIME_NS = 1_700_000_000 * S


def playing(**changes: Any) -> tuple[Live, Player, ManualClock, dict[int, tuple[int, int]], Counts]:
    """A fixture's plan at schedule time 0: what tells of it, the player, its clock, the newest probes, the counts."""
    plan = make_plan(**changes)
    wiring = wire(plan)
    clock = ManualClock()
    sockets = {name: node.netlink for name, node in wiring.nodes.items()}
    ends = [wiring.end(number) for number in range(len(plan.links))]
    player = Player(compile_timeline(wiring), State(plan, wiring.limits), ends, sockets)
    newest: dict[int, tuple[int, int]] = {}
    counts = Counts(2)
    prober: Any = SimpleNamespace(newest=newest.get)
    return Live(plan, player, prober, ["voice", "bulk"], counts, REALTIME_NS), player, clock, newest, counts


def play_until(player: Player, clock: ManualClock, until_ns: int) -> None:
    while (due := player.due_ns()) is not None and due <= until_ns:
        clock.sleep_until_ns(due)
        if clock.now_ns() >= due:
            player.act(clock)


@pytest.mark.parametrize("at_s", [0, 11, 12, 13, 40])
def test_the_planned_delay_is_the_plans(at_s: int) -> None:
    live, player, clock, _, _ = playing()
    play_until(player, clock, at_s * S)
    plan = make_plan()
    told = json.loads(json.dumps(live.record(at_s * S)))
    assert len(told["paths"]) == 4
    for path, row in zip(plan.paths, told["paths"], strict=True):
        (expected_ns,) = path_delay_ns(plan, path, [at_s * S])
        assert row["planned_ms"] == pytest.approx(expected_ns / 1e6, abs=0.001)
        assert row["satellites"] == [name for name in row["way"] if name.startswith("NORAD")]
    assert told["paths"][0]["satellites"] == ["NORAD45123" if 12 <= at_s < 27 else "NORAD44714"]


def test_a_measured_delay_is_of_the_way_in_force_and_not_old() -> None:
    live, player, clock, newest, _ = playing()
    play_until(player, clock, 13 * S)
    newest[0] = (REALTIME_NS + 12 * S + 500 * MS, 23 * MS)
    newest[1] = (REALTIME_NS + 12 * S - 1, 23 * MS)  # sent over the satellite before
    newest[2] = (REALTIME_NS + 9 * S, 23 * MS)
    measured = [row["measured_ms"] for row in live.record(13 * S)["paths"]]
    assert measured == [23.0, None, None, None]


def test_a_path_whose_link_is_dark_has_no_delay() -> None:
    live, player, clock, _, _ = playing()
    play_until(player, clock, 5 * S)
    player.state.overlay.down[0] = 1  # ut-rome → NORAD44714
    player.refresh(clock, [0])
    rows = live.record(5 * S)["paths"]
    assert [(row["up"], row["planned_ms"] is None) for row in rows[:2]] == [(False, True), (True, False)]


def test_what_comes_next_is_told_in_real_seconds() -> None:
    live, *_ = playing()
    told = live.record(10 * S)
    assert told["next_slot_s"] == pytest.approx(2.0)  # the plan begins at :00, slots at :12
    assert told["next_event"] == {"in_s": 2.0, "kind": "handover", "node": "ut-rome", "cause": "slot"}
    assert live.record(12 * S)["next_slot_s"] == pytest.approx(15.0)
    assert live.record(58 * S)["next_event"] is None
    faster, *_ = playing(speed=10.0)
    assert faster.record(1 * S)["next_slot_s"] == pytest.approx(0.2)
    unslotted, *_ = playing(events=())
    assert unslotted.record(0)["next_slot_s"] is None


def test_counts_of_flows_cross_into_the_one_that_forked() -> None:
    live, _, _, _, counts = playing()
    counts.take({"flows": [(10, 9, 0), (4, 2, 1)], "alarms": 7})
    told = live.record(0)
    assert told["flows"] == [
        {"name": "voice", "sent": 10, "received": 9, "alarms": 0},
        {"name": "bulk", "sent": 4, "received": 2, "alarms": 1},
    ]
    assert told["alarms"] == 7


def test_the_newest_record_is_kept_whole_private_and_only_while_it_plays(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    (tmp_path / "victim").write_text("as it was")
    (tmp_path / "progress.json.new").symlink_to(tmp_path / "victim")
    for number in range(2):
        write_progress(tmp_path, {"time_s": number})
        assert read_progress(tmp_path) == {"time_s": number}
    assert (tmp_path / "progress.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "victim").read_text() == "as it was"
    forget_progress(tmp_path)
    assert read_progress(tmp_path) is None
    assert list(tmp_path.iterdir()) == [tmp_path / "victim"]
