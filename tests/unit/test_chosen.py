"""testbed.plan.chosen: a failover is held against the break that asked for it, and a late one is told."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from testbed.plan.chosen import CHOSEN, Change, Chosen, Terms, moves, read_chosen, with_chosen
from testbed.plan.expected import pair_path, planned_loss
from testbed.plan.faults import LATE_NS
from testbed.plan.model import STEP_DTYPE, Event, Lan, Link, Node, PathStep, Plan, Route, Uplink
from testbed.report.selection import findings, told

MS = 1_000_000
S = 1_000 * MS
TERMS = Terms(hello_ms=100, misses=3, restore_ms=2000)
BREAK_NS, MEND_NS = 10 * S, 15 * S


def plan(*, both_broken: bool = False) -> Plan:
    """Two sites with two ways of 10 and 20 ms; the first is broken from second 10 to 15."""
    links = [Link(*ends, "fibre", 10**6) for via in ("x", "y") for ends in (("ce-a", via), (via, "ce-a"))]
    rows = []
    for number in range(4):
        delay_ns = (10 if number < 2 else 20) * MS
        rows.append((number, 0, True, delay_ns, 10**9, 0.0, np.nan, np.nan))
        if number < 2 or both_broken:
            rows.append((number, BREAK_NS, False, delay_ns, 10**9, 0.0, np.nan, np.nan))
            rows.append((number, MEND_NS, True, delay_ns, 10**9, 0.0, np.nan, np.nan))
    roles = {"a": "host", "b": "host", "ce-a": "router", "ce-b": "router", "x": "router", "y": "router"}
    ways = [("a", "ce-a", via, "ce-b", "b") for via in ("x", "y")]
    return Plan(
        topology="two-ways",
        start_ns=0,
        duration_ns=30 * S,
        satellites=0,
        nodes=tuple(Node(name, role, inside=False) for name, role in roles.items()),  # type: ignore[arg-type]
        links=tuple(links),
        lans=(Lan("a", "ce-a"), Lan("b", "ce-b")),
        routes=(Route(0, "ce-a", "b", "x"),),
        events=(),
        paths=tuple((PathStep(0, nodes),) for way in ways for nodes in (way, way[::-1])),
        steps=np.array(rows, STEP_DTYPE),
        uplinks=tuple(
            Uplink(host, f"ce-{host}", system, via) for host in "ab" for system, via in (("one", "x"), ("two", "y"))
        ),
    )


def chosen(*changes: Change) -> Chosen:
    return Chosen(("one", "two"), TERMS, changes, ())


def both(away_ns: int, back_ns: int) -> tuple[Change, ...]:
    """Both hosts leave the first way and return to it."""
    return tuple(
        Change(time_ns, *ends, *ways)
        for ends in (("a", "b"), ("b", "a"))
        for time_ns, ways in ((away_ns, ("one", "two")), (back_ns, ("two", "one")))
    )


def test_moves_in_time_are_kept_and_measured_from_the_break_and_the_mending() -> None:
    asked = moves(plan(), chosen(*both(BREAK_NS + 310 * MS, MEND_NS + 2_900 * MS)))
    assert [(move.kind, move.host, move.took_ns) for move in asked] == [
        ("failover", "a", 310 * MS),
        ("failover", "b", 310 * MS),
        ("return", "a", 2_900 * MS),
        ("return", "b", 2_900 * MS),
    ]
    assert all(move.kept for move in asked)
    assert asked[0].bound_ns == 3 * 100 * MS + 20 * MS + 50 * MS  # misses, round trip, slack


@pytest.mark.parametrize(
    ("away_ns", "back_ns", "reason"),
    [
        (BREAK_NS + 371 * MS, MEND_NS + 2_900 * MS, "a→b stayed on one, which broke at 10.000 s, for 371 ms: 370 ms"),
        (BREAK_NS + 300 * MS, MEND_NS + 3_200 * MS, "a→b stayed on two though one was mended at 15.000 s, for 3,200"),
    ],
    ids=["failover", "return"],
)
def test_a_move_that_takes_longer_than_promised_fails_the_check(away_ns: int, back_ns: int, reason: str) -> None:
    reasons, _ = findings(plan(), chosen(*both(away_ns, back_ns)))
    assert len(reasons) == 2
    assert reasons[0].startswith(f"failover: {reason}")


def test_a_path_that_is_never_left_fails_the_check() -> None:
    reasons, summed = findings(plan(), chosen())
    assert len(reasons) == 2
    assert "to the end: 370 ms were promised" in reasons[0]
    assert summed == "0 of 2 failovers in time; 0 of 0 returns in time"


def test_nothing_is_asked_where_no_other_way_answers() -> None:
    assert moves(plan(both_broken=True), chosen()) == []


def test_what_is_lost_on_the_way_that_was_left_is_planned_and_what_is_lost_after_is_not(tmp_path: Path) -> None:
    seen_choices = chosen(*both(BREAK_NS + 310 * MS, MEND_NS + 2_900 * MS))
    seen = with_chosen(plan(), seen_choices)
    tx_ns = np.array([9 * S, BREAK_NS + 100 * MS, BREAK_NS + 320 * MS, 14 * S, 20 * S])
    assert planned_loss(seen, "a", "b", tx_ns).tolist() == [False, True, False, False, False]
    assert [step.nodes[2] for step in pair_path(seen, "a", "b") or ()] == ["x", "y", "x"]
    assert [step.nodes[2] for step in pair_path(seen, "a", "b", second=True) or ()] == ["y"]
    assert [(event.kind, event.node, event.cause) for event in seen.events][:1] == [
        ("path", "ce-a", "one did not answer")
    ]
    changes = [asdict(one) for one in seen_choices.changes]
    document = {"systems": seen_choices.systems, "terms": asdict(TERMS), "changes": changes}
    (tmp_path / CHOSEN).write_text(json.dumps(document | {"sessions": []}))
    assert read_chosen(tmp_path) == seen_choices
    assert read_chosen(tmp_path / "elsewhere") is None


def test_a_fault_breaks_a_path_as_the_plan_does() -> None:
    whole = plan()
    steps = whole.steps[whole.steps["time_ns"] == 0]
    fault = Event(20 * S - LATE_NS, "link", "ce-a", "digger", 5 * S + 2 * LATE_NS, {"links": 2, "dark": [0, 1]})
    reasons, _ = findings(replace(whole, steps=steps, events=(fault,)), chosen())
    assert "one, which broke at 20.000 s" in reasons[0]


def test_the_summary_says_what_each_move_took_beside_what_was_promised() -> None:
    told_moves = [
        {"kind": kind, "from": "a", "to": "b", "took_ms": took, "promised_ms": 370.0}
        for kind, took in (("failover", 310.2), ("return", None))
    ]
    selection = {
        "terms": asdict(TERMS),
        "stalls": 2,
        "mptcp": None,
        "moves": told_moves,
        "in_force": [{"from": "a", "to": "b", "ways": [[0.0, "one"], [10.31, "two"]]}],
        "flows": [
            {"name": "call", "lost": 12, "second_copies_removed": 0},
            {"name": "alert", "lost": 0, "second_copies_removed": 40},
        ],
    }
    assert told(selection) == [
        "asked every 100 ms, left after 3 misses, trusted again after 2 s; the run itself was held up 2 times",
        "a → b: one from 0.00 s, two from 10.31 s",
        "failover, ms taken of ms promised: a → b 310 of 370",
        "return, ms taken of ms promised: a → b never of 370",
        "lost: call 12; second copies removed: 40; Multipath TCP: not in this kernel",
    ]
