"""testbed.emulation.selection.Choice: which system, from what its sessions say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from testbed.emulation.selection import Choice
from testbed.plan.chosen import GRACE_NS

S = 1_000_000_000
RESTORE_NS = 2 * S
NOW_NS = 60 * S


def session(up: bool = True, fell: bool = False, changed_ns: int = 0) -> Any:
    return SimpleNamespace(is_up=up, fell=fell, changed_ns=changed_ns)


def choice(*sessions: Any, system: str = "one") -> Choice:
    """Systems one, two, three in this order; the one in use."""
    found = Choice("a", "b", dict(zip(("one", "two", "three"), sessions, strict=True)), RESTORE_NS)
    found.system = system
    return found


@pytest.mark.parametrize(
    ("found", "system", "why"),
    [
        (choice(session(), session(), session()), "one", "the first answers"),
        (choice(session(False, True), session(), session()), "two", "the next one answers"),
        (choice(session(False, True), session(False, True), session()), "three", "only the last answers"),
        (choice(session(False, True), session(False, True), session(False, True)), "one", "none does: it stays"),
        (
            choice(session(True, True, NOW_NS - RESTORE_NS + 1), session(), session(), system="two"),
            "two",
            "the first was down, and has not answered for long enough",
        ),
        (choice(session(True, True, NOW_NS - RESTORE_NS), session(), session(), system="two"), "one", "now it has"),
        (
            choice(session(True, True, NOW_NS), session(False, True), session(False, True), system="two"),
            "one",
            "nothing else answers: no time to wait",
        ),
        (choice(session(True), session(), session(), system="three"), "one", "it never failed: it came up late"),
        (choice(session(False, True), session(True, True, 0), session(), system="three"), "two", "back by one"),
    ],
)
def test_the_first_that_answers_and_is_trusted(found: Choice, system: str, why: str) -> None:
    assert found.choose(NOW_NS) == system, why


def test_a_path_that_has_not_answered_yet_is_given_time() -> None:
    found = choice(session(False), session(), session())
    assert found.choose(GRACE_NS - 1) == "one"
    assert list(found.next_ns(GRACE_NS - 1)) == [GRACE_NS]
    assert found.choose(GRACE_NS) == "two"


def test_time_alone_brings_traffic_back() -> None:
    found = choice(session(True, True, NOW_NS), session(), session(), system="two")
    assert list(found.next_ns(NOW_NS)) == [NOW_NS + RESTORE_NS]


@pytest.mark.parametrize(
    ("found", "other"),
    [
        (choice(session(), session(), session()), "two"),
        (choice(session(), session(False, True), session()), "three"),
        (choice(session(), session(), session(), system="two"), "one"),
        (choice(session(False, True), session(), session(False, True), system="two"), "one"),
    ],
)
def test_second_copies_take_a_system_that_answers_and_is_not_in_use(found: Choice, other: str) -> None:
    assert found.choose_other() == other != found.system
