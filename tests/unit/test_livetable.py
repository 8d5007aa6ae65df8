"""The live table: what stands on the terminal, and plain lines where there is none."""

from __future__ import annotations

import os
import pty
import sys
from typing import Any

import pytest
from rich.console import Console

from testbed.cli.livetable import LiveTable
from testbed.cli.progress import Follow

RECORD: dict[str, Any] = {
    "time_s": 14.0, "of_s": 60.0, "utc": "2026-06-14T06:00:14.000Z", "speed": 1.0,
    "paths": [
        {"name": "rome → dc-rome", "way": ["rome", "ut-rome", "NORAD44714"], "satellites": ["NORAD44714"], "hops": 4,
         "up": True, "planned_ms": 25.652, "measured_ms": 25.701},
        {"name": "dc-rome → rome", "way": [], "satellites": ["A", "B", "C"], "hops": 6, "up": False,
         "planned_ms": None, "measured_ms": None},
        {"name": "milano → dc-rome", "way": [], "satellites": [], "hops": 3, "up": True,
         "planned_ms": 3.0, "measured_ms": 3.1},
    ],
    "paths_left_out": 0,
    "flows": [{"name": f"voice-{number}", "sent": 1_661, "received": 1_658, "alarms": number} for number in range(6)],
    "alarms": 7, "next_slot_s": 13.0,
    "next_event": {"in_s": 13.0, "kind": "handover", "node": "ut-rome", "cause": "slot"},
}  # fmt: skip


def drawn(width: int = 80, height: int = 40, *, over: bool = False) -> list[str]:
    table = LiveTable()
    table.stage = "playing"
    table.take(RECORD)
    if over:
        table.over()
    console = Console(width=width, height=height)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def test_it_shows_paths_satellites_delays_flows_and_what_comes_next() -> None:
    lines = drawn()
    assert lines[0] == "playing  14 of 60 s · 06:00:14 UTC · slot in 13 s · handover ut-rome in 13 s"
    (row,) = [line for line in lines if line.startswith("rome → dc-rome")]
    assert row.split()[3:] == ["NORAD44714", "25.652", "25.701"]
    (dark,) = [line for line in lines if line.startswith("dc-rome → rome")]
    assert dark.split()[3:] == ["A", "→", "…", "→", "C", "–", "–"]
    (fibre,) = [line for line in lines if line.startswith("milano")]
    assert "3 hops" in fibre
    assert any(line.split() == ["voice-5", "1,661", "1,658", "5"] for line in lines)
    assert lines[-1] == "7 alarms in all"


def test_after_the_end_nothing_is_counted_down() -> None:
    assert drawn(over=True)[0] == "playing  14 of 60 s · 06:00:14 UTC"


@pytest.mark.parametrize("height", [10, 14, 20, 24])
def test_a_low_terminal_gets_fewer_rows_and_is_told_so(height: int) -> None:
    lines = drawn(height=height)
    assert len(lines) <= max(height, 15)
    hidden = sum(int(line.split()[1]) for line in lines if line.startswith("and "))
    shown = sum("→ dc-rome" in line or line.startswith(("dc-rome", "voice")) for line in lines)
    assert shown + hidden == 9


def told(*messages: dict[str, Any], plain: bool, monkeypatch: pytest.MonkeyPatch, term: str) -> bytes:
    """What stands on a terminal of that kind after these messages."""
    master, slave = pty.openpty()
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LINES", "30")
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Follow("native", plain=plain) as follow:
            for message in messages:
                follow(message)
            follow._live.refresh()
        monkeypatch.undo()
        terminal.flush()
        os.set_blocking(master, False)
        said = os.read(master, 1 << 20)
    os.close(master)
    return said


@pytest.mark.parametrize(("term", "plain"), [("dumb", False), ("xterm", True)])
def test_a_dumb_terminal_and_json_get_plain_lines(monkeypatch: pytest.MonkeyPatch, term: str, plain: bool) -> None:
    messages = {"stage": "building"}, {"stage": "playing"}, {"progress": 15.0, "of": 60.0, "live": RECORD}
    said = told(*messages, plain=plain, monkeypatch=monkeypatch, term=term)
    lines = ["starting", "building the network", "playing the schedule", "played 15 of 60 s"]
    assert said.decode().split("\r\n")[:-1] == lines


def test_a_terminal_gets_the_table_and_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    said = told({"stage": "playing"}, {"live": RECORD}, plain=False, monkeypatch=monkeypatch, term="xterm-256color")
    text = said.decode()
    assert "NORAD44714" in text
    assert "25.701" in text
    assert text.rstrip().endswith("\x1b[2K")  # the table is wiped: the report follows on a clean terminal
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back
