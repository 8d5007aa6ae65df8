"""Rules that labs share: was it the student's own run of the right thing, and is an answer near what holds?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from testbed.ground.constants import NS_PER_S
from testbed.lab.exercises.grading import Judgement, Rule
from testbed.lab.exercises.students import seed_of
from testbed.lab.exercises.submission import Submission
from testbed.plan.expected import pair_path, path_delay_ns
from testbed.plan.model import Plan

_SAMPLED_NS = 100_000_000
"""How finely a path's delay is looked at for its median: the plans' own step."""


def topology(name: str, of: int = 1) -> Rule:
    """It is that topology."""

    def judge(handed: Submission) -> Judgement:
        found = handed.plan.topology
        return found == name, found if found == name else f"it is {found}: the lab wants {name}"

    return Rule("topology", of, judge)


def seed(of: int = 1) -> Rule:
    """It was made with the student's own seed."""

    def judge(handed: Submission) -> Judgement:
        found, own = handed.plan.manifest.get("seed"), seed_of(handed.student)
        return found == own, f"{found}" if found == own else f"it is {found}: {handed.student}'s is --seed {own}"

    return Rule("seed", of, judge)


def duration(least_s: int, of: int = 1) -> Rule:
    """It lasts long enough."""

    def judge(handed: Submission) -> Judgement:
        found_s = handed.plan.duration_ns / NS_PER_S
        return found_s >= least_s, f"{found_s:g} s" + ("" if found_s >= least_s else f": at least {least_s}")

    return Rule("duration", of, judge)


def parameter(name: str, *accepted: object, of: int = 1) -> Rule:
    """That parameter has one of these values."""

    def judge(handed: Submission) -> Judgement:
        found = handed.plan.manifest.get("parameters", {}).get(name)
        return found in accepted, f"{found}" if found in accepted else f"it is {found}: see the lab's command"

    return Rule(name, of, judge)


def passed(of: int) -> Rule:
    """The run passed."""

    def judge(handed: Submission) -> Judgement:
        return handed.report["verdict"] == "pass", "; ".join([handed.report["verdict"], *handed.report["reasons"][:1]])

    return Rule("verdict", of, judge, measured=True)


def number(
    name: str,
    of: int,
    truth: Callable[[Submission], float | None],
    near: float,
    look: str,
    *,
    measured: bool = False,
) -> Rule:
    """An answer that is a number at most `near` from the truth. `look`: where to look when it is not."""

    def judge(handed: Submission) -> Judgement:
        given, holds = float(handed.answers[name]), truth(handed)
        if holds is None:
            return False, f"there is nothing of the kind in {handed.where}: {look}"
        right = abs(given - holds) <= near
        return right, f"{given:g}" if right else f"{given:g} is not it: {look}"

    return Rule(name, of, judge, measured, asks=float)


def word(
    name: str,
    of: int,
    truth: Callable[[Submission], Sequence[str]],
    look: str,
    *,
    measured: bool = False,
    alarm: bool = False,
) -> Rule:
    """An answer that is one of the words that hold. `look`: where to look when it is not."""

    def judge(handed: Submission) -> Judgement:
        given = str(handed.answers[name])
        right = given.lower() in [one.lower() for one in truth(handed)]
        return right, given if right else f"{given} is not it: {look}"

    return Rule(name, of, judge, measured, alarm, str)


def round_trip_ms(plan: Plan, a: str, b: str) -> float | None:
    """The planned round trip between two hosts: the medians over the plan there and back, added, as the report does."""
    times_ns = np.arange(0, plan.duration_ns, _SAMPLED_NS)
    total_ms = 0.0
    for ends in ((a, b), (b, a)):
        path = pair_path(plan, *ends)
        if path is None:
            return None
        total_ms += float(np.nanmedian(path_delay_ns(plan, path, times_ns))) / 1e6
    return total_ms


def way(plan: Plan, a: str, b: str) -> tuple[str, ...]:
    """The nodes from one host to another at the beginning; none where the plan has no such pair."""
    path = pair_path(plan, a, b)
    return path[0].nodes if path else ()


def hop_ns(plan: Plan, a: str, b: str) -> tuple[int, float] | None:
    """One-way delay, ns, and range, m, of a link's direction at the beginning; None where there is no such link."""
    for index, link in enumerate(plan.links):
        if (link.a, link.b) == (a, b):
            first = plan.link_steps(index)[0]
            return int(first["delay_ns"]), float(first["range_m"])
    return None


def hop_bps(plan: Plan, a: str) -> int | None:
    """What the user link from terminal `a` carries at the beginning, bit/s."""
    for index, link in enumerate(plan.links):
        if link.a == a and link.kind == "user":
            return int(plan.link_steps(index)[0]["rate_bps"])
    return None
