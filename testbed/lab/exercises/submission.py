"""What a student hands in, read once: a run, a plan or a campaign, and answers in a TOML file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from testbed.ground.errors import InputError
from testbed.lab import runs
from testbed.lab.exercises.students import plain
from testbed.plan import store
from testbed.plan.model import Plan
from testbed.plan.texts import nearest
from testbed.report.evidence import read_evidence
from testbed.report.results import judge

Kind = Literal["run", "plan", "campaign"]

ANSWERS: Final = Path("answers.toml")
"""Where answers are looked for when no file is named."""

Value = str | int | float | bool
"""An answer."""


@dataclass(frozen=True)
class Answers:
    """What a student wrote: of one lab, by question. `student`: '' where the file names none."""

    student: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """What is graded. `report`: of a run, judged anew from its files, whatever its report.json says; {} without one.
    `acts`: what an attacker did in it. `cells`: of a campaign, what came of each system's run. `topologies`: those
    that are installed.
    """

    where: Path
    student: str
    answers: Mapping[str, Value]
    plans: tuple[Plan, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    acts: tuple[Mapping[str, Any], ...] = ()
    cells: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    topologies: frozenset[str] = frozenset()

    @property
    def plan(self) -> Plan:
        """The plan of a run, or the plan itself."""
        return self.plans[0]

    @property
    def unjudged(self) -> str:
        """Why nothing measured in it can be graded: the machine was busy, or the run was cut short. '' if it can."""
        if self.report.get("verdict") == "invalid":
            return str(self.report["reasons"][0])
        wrong = [name for name, cell in self.cells.items() if cell["verdict"] == "invalid"]
        return f"invalid runs of {', '.join(wrong)}" if wrong else ""


def read_answers(file: Path | None, lab: int, questions: Mapping[str, type]) -> Answers:
    """The answers to `questions` (each with str, float or bool) of a lab; none where there is no file and none named.

    Raises InputError with file, table and key.
    """
    if file is None and not ANSWERS.exists():
        return Answers()
    path = file or ANSWERS
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give --answers FILE") from None
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({error}): write it as the lab's page shows") from None
    student, table = document.get("student", ""), document.get(f"lab{lab}", {})
    if not isinstance(student, str) or not isinstance(table, dict):
        raise InputError(f'{path}: write student = "NAME", and below [lab{lab}] a line for each answer')
    return Answers(student, {key: _value(f"{path} [lab{lab}]", key, table[key], questions) for key in table})


def _value(where: str, key: str, value: Any, questions: Mapping[str, type]) -> Value:
    if key not in questions:
        known = ", ".join(questions) or "no answers"
        raise InputError(f"{where}: unknown answer '{key}'{nearest(key, questions)}; it takes {known}")
    wanted = questions[key]
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if wanted is str and isinstance(value, str):
        return value.strip()
    words = {float: "a number", str: 'a text in "quotes"'}
    raise InputError(f"{where}: {key} = {value!r} is not {words[wanted]}")


def read(
    kind: Kind, name: str, student: str | None, answers: Answers, topologies: frozenset[str] = frozenset()
) -> Submission:
    """What is handed in as `name`, by `student` or else by whom the answers name.

    Raises InputError for what is no run, plan or campaign or is nobody's, PlanError for a damaged plan, RunError for a
    run without an end.
    """
    who = plain(student or answers.student) if student or answers.student else ""
    if not who:
        raise InputError(f'whose is {name}? Give --student NAME, or student = "NAME" in the answers')
    if kind == "plan":
        plan = _plan(Path(name))
        return Submission(Path(name), who, answers.values, (plan,), topologies=topologies)
    if kind == "campaign":
        return Submission(Path(name), who, answers.values, cells=_cells(Path(name)), topologies=topologies)
    folder = runs.find(name)
    evidence = read_evidence(folder)
    report = judge(evidence)
    return Submission(folder, who, answers.values, (evidence.plan,), report, evidence.acts or (), topologies=topologies)


def _plan(path: Path) -> Plan:
    """A plan's file, or the one in a run directory."""
    return store.read_parquet(path / "plan.parquet" if path.is_dir() else path)


def _cells(folder: Path) -> dict[str, dict[str, Any]]:
    """What came of each system's quiet run in a campaign; of several the last."""
    try:
        campaign = json.loads((folder / "campaign.json").read_text())
        cells = [one for one in campaign["cells"] if one["trial"] == "quiet"]
        return {one["system"]: json.loads((folder / "cells" / f"{one['name']}.json").read_text()) for one in cells}
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: no finished campaign ({error.filename} is missing): run 'testbed compare' with --out {folder}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: the campaign is damaged ({error!r}): start it anew in another --out") from None
