"""A fault that a person asks for while a run plays: checked, put into the run's inbox, its answer awaited."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from testbed.ground.errors import InputError, RunError
from testbed.lab import runs
from testbed.plan.faults import INBOX, LOG, parse_fault
from testbed.plan.model import Plan, load

_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.1


def inject(folder: Path, entry: Mapping[str, Any], plan: Plan | None = None) -> dict[str, Any]:
    """Begin the fault `entry` (`plan.faults`) in the live run of `folder`; returns the log's line about it.

    plan: the run's, if it is at hand. Raises InputError for a run that does not play or a fault that does not fit it,
    RunError when the run does not take it up.
    """
    runs.must_play(folder)
    parse_fault(entry, plan or load(folder / "plan"), where="event")
    name = secrets.token_hex(4)
    waiting = folder / INBOX / f"{name}.part"
    try:
        waiting.write_text(json.dumps(entry))
        waiting.rename(waiting.with_suffix(".json"))
    except PermissionError:
        raise runs.another_users(folder) from None
    told = _answer(folder, name)
    if told["act"] == "refused":
        raise InputError(str(told["why"]))
    return told


def _answer(folder: Path, name: str) -> dict[str, Any]:
    """The log's line about it; raises RunError when the run does not take it up."""
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        if (folder / LOG).exists():
            for line in (folder / LOG).read_text().splitlines():
                told: dict[str, Any] = json.loads(line)
                if told["id"] == name:
                    return told
        time.sleep(_LOOK_S)
    raise RunError(f"{folder}: the run has not taken the event up in {_ANSWER_S:g} s: has it ended?")
