"""Points for what was handed in: a lab is a list of rules, each with its points and a judge of one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from testbed.ground.errors import InputError
from testbed.lab.exercises.students import seed_of
from testbed.lab.exercises.submission import Kind, Submission

SCHEMA: Final = 1

Judgement = tuple[bool, str]
"""Is it right, and what was found. A wrong answer is not told the right one."""


@dataclass(frozen=True)
class Rule:
    """What earns `of` points. measured: it rests on what was measured, which a busy machine spoils; that is nobody's
    mistake, and the run is to be made again. alarm: it stands even so where it is right, for a busy machine forges no
    packets. asks: the type of the answer of that name, None if it asks for none.
    """

    name: str
    of: int
    judge: Callable[[Submission], Judgement]
    measured: bool = False
    alarm: bool = False
    asks: type | None = None


@dataclass(frozen=True)
class Lab:
    """An exercise. `kind`: what is handed in. `page`: its file in docs/labs."""

    number: int
    title: str
    page: str
    kind: Kind
    rules: tuple[Rule, ...]

    @property
    def of(self) -> int:
        """All its points."""
        return sum(rule.of for rule in self.rules)

    @property
    def questions(self) -> dict[str, type]:
        """The answers that it takes, each with its type."""
        return {rule.name: rule.asks for rule in self.rules if rule.asks is not None}


def grade(lab: Lab, handed: Submission) -> dict[str, Any]:
    """The score sheet, JSON types only. `again`: why some items could not be judged; the run is to be made again."""
    items = [_item(rule, handed) for rule in lab.rules]
    return {
        "schema": SCHEMA,
        "lab": lab.number,
        "student": handed.student,
        "seed": seed_of(handed.student),
        "handed_in": str(handed.where),
        "score": sum(item["points"] for item in items),
        "of": lab.of,
        "again": handed.unjudged if any(not item["judged"] for item in items) else None,
        "items": items,
    }


def exit_code(sheet: dict[str, Any]) -> int:
    """0: all points; 4: some could not be judged, make the run again; 1: some are missing."""
    if sheet["again"] is not None:
        return 4
    return 0 if sheet["score"] == sheet["of"] else 1


def _item(rule: Rule, handed: Submission) -> dict[str, Any]:
    spoilt = rule.measured and bool(handed.unjudged)
    if rule.asks is not None and rule.name not in handed.answers:
        right, judged, detail = False, True, "no answer"
    elif spoilt and not (rule.alarm and rule.judge(handed)[0]):
        right, judged, detail = False, False, "not judged, and no mistake of yours: run it again on a quieter machine"
    else:
        judged = True
        right, detail = rule.judge(handed)
    return {"name": rule.name, "points": rule.of if right else 0, "of": rule.of, "judged": judged, "detail": detail}


def find(number: int, labs: Sequence[Lab]) -> Lab:
    """The lab of that number; raises InputError."""
    for lab in labs:
        if lab.number == number:
            return lab
    raise InputError(f"lab {number}: there is none; 'testbed lab list' lists them")
