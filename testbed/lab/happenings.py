"""What has happened in a run and what happens: the plan's events, the faults' log, and the kernel's own words.

The standard library alone; the plan's arrays are not read.
"""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from testbed.emulation.join import frames
from testbed.emulation.join.frames import Conversation, HungUp
from testbed.ground.joining import read_progress
from testbed.lab.join import ask
from testbed.lab.runs import another_users

FAULTS_LOG: Final = "faults.jsonl"
"""As testbed.plan.faults.LOG, which needs numpy."""

_LOOK_S: Final = 0.05  # how often the faults' log is looked at while following

Happening = dict[str, Any]
"""{"time_s", "kind", "node", "by", …}: schedule time in real seconds; by: plan, fault, kernel."""


def past(folder: Path) -> list[Happening]:
    """What the plan and the log of faults say has happened by now, in the order of time; all of it after the end.

    Raises InputError.
    """
    try:
        return _past(folder)
    except PermissionError:
        raise another_users(folder) from None


def _past(folder: Path) -> list[Happening]:
    run = folder / "run.json"
    if run.exists():
        until_s = json.loads(run.read_text())["played_ns"] / 1e9
    else:
        record = read_progress(folder)
        until_s = record["time_s"] if record else -1.0  # it does not play yet
    plan = json.loads((folder / "plan" / "plan.json").read_text())
    planned = [_planned(event) for event in plan["events"] if event["time_ns"] / 1e9 <= until_s]
    return sorted([*planned, *_Log(folder).new()], key=lambda happening: float(happening["time_s"]))


def follow(folder: Path) -> Iterator[Happening]:
    """What happens from now on, until the run ends. Raises InputError where one may not join it."""
    log = _Log(folder)
    log.new()
    with closing(ask(folder, {"do": "watch"})) as talk, selectors.DefaultSelector() as selector:
        selector.register(talk.descriptor, selectors.EVENT_READ)
        looked = time.monotonic()
        with suppress(HungUp):
            while True:
                if selector.select(_LOOK_S):
                    yield from _kernel(talk)
                if time.monotonic() - looked >= _LOOK_S:
                    looked = time.monotonic()
                    yield from log.new()
        yield from log.new()


def _kernel(talk: Conversation) -> Iterator[Happening]:
    kind, payload = talk.hear()
    if kind == frames.OUTPUT:
        yield from (json.loads(line) for line in payload.splitlines() if line)


def _planned(event: dict[str, Any]) -> Happening:
    detail = {name: event["detail"][name] for name in ("from", "to") if name in event["detail"]}
    told = {"time_s": event["time_ns"] / 1e9, "kind": event["kind"], "node": event["node"], "by": "plan"}
    return told | detail | {"cause": event["cause"]}


class _Log:
    """The faults' log, read on from where it was left."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FAULTS_LOG
        self._at = 0

    def new(self) -> list[Happening]:
        """Its new lines that are whole."""
        with suppress(FileNotFoundError), self._path.open() as file:
            file.seek(self._at)
            whole, _, _ = file.read().rpartition("\n")
            if whole:
                self._at += len(whole.encode()) + 1
                return [_fault(json.loads(line)) for line in whole.splitlines()]
        return []


def _fault(line: dict[str, Any]) -> Happening:
    what = {"begin": "fault", "end": "fault over", "refused": "fault refused"}[line["act"]]
    told: Happening = {"time_s": line["time_ns"] / 1e9, "kind": what, "node": ", ".join(line.get("nodes", ()))}
    return told | {"by": "fault", "fault": line.get("kind"), "cause": line.get("why", line.get("cause"))}
