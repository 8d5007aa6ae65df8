"""What has happened in a run: from its plan and the log of its faults, while it plays and afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from run_fixture import make_plan

from testbed.cli.events import command
from testbed.ground.joining import LIVE, write_progress
from testbed.lab import happenings
from testbed.plan.faults import LOG
from testbed.plan.model import save

BEGIN = {
    "act": "begin",
    "id": "1",
    "time_ns": 20 * 10**9,
    "kind": "gateway",
    "cause": "power cut",
    "nodes": ["gw-milano"],
}
END = BEGIN | {"act": "end", "time_ns": 22 * 10**9}
REFUSED = {"act": "refused", "id": "2", "time_ns": 23 * 10**9, "why": "no gateway 'gw-none'"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's, with handovers of both terminals at 12, 27, 42 and 57 s and a fault at 20 s."""
    save(make_plan(), tmp_path / "plan")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in (BEGIN, END, REFUSED)))
    return tmp_path


def test_while_it_plays_what_has_been_and_afterwards_all_that_was_played(folder: Path) -> None:
    assert happenings.FAULTS_LOG == LOG
    assert not any(told["by"] == "plan" for told in happenings.past(folder))  # it does not play yet
    (folder / LIVE).write_text("{}")
    write_progress(folder, {"time_s": 30.0})
    kinds = [(told["time_s"], told["kind"], told["by"]) for told in happenings.past(folder)]
    assert kinds == [
        (12.0, "handover", "plan"), (12.0, "handover", "plan"),
        (20.0, "fault", "fault"), (22.0, "fault over", "fault"), (23.0, "fault refused", "fault"),
        (27.0, "handover", "plan"), (27.0, "handover", "plan"),
    ]  # fmt: skip
    (folder / LIVE).unlink()
    (folder / "run.json").write_text(json.dumps({"played_ns": 45 * 10**9}))
    assert sum(told["kind"] == "handover" for told in happenings.past(folder)) == 6


def test_a_line_that_is_being_written_waits_until_it_is_whole(folder: Path) -> None:
    log = happenings._Log(folder)
    assert len(log.new()) == 3
    with (folder / LOG).open("a") as file:
        file.write(json.dumps(BEGIN)[:20])
    assert log.new() == []
    with (folder / LOG).open("a") as file:
        file.write(json.dumps(BEGIN)[20:] + "\n")
    assert [told["kind"] for told in log.new()] == ["fault"]
    assert log.new() == []


def test_each_is_a_sentence_or_a_line_of_json(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps({"played_ns": 25 * 10**9}))
    text = CliRunner().invoke(command, [str(folder)]).output.splitlines()
    assert text[0] == "    12.000 s  handover      ut-rome: NORAD44714 → NORAD45123 (slot)  [plan]"
    assert text[2] == "    20.000 s  fault         gw-milano: gateway (power cut)  [fault]"
    assert text[4] == "    23.000 s  fault refused (no gateway 'gw-none')  [fault]"
    followed = CliRunner().invoke(command, [str(folder), "--follow", "--format", "json"])  # of an ended run: the same
    assert [json.loads(line)["time_s"] for line in followed.output.splitlines()] == [12.0, 12.0, 20.0, 22.0, 23.0]
