"""What a run chose, where hosts have several systems: which carried when, and how soon after a path had broken.

The plan says when each path is broken; the run says when it moved from one to another. Held against each other here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.plan.expected import MOVED, path_delay_ns
from testbed.plan.faults import LATE_NS
from testbed.plan.model import Event, PathStep, Plan

CHOSEN: Final = "selection.json"
"""In the run directory: {"systems", "terms", "changes": [Change], "sessions": [each change of a session's state]}."""

SLACK_NS: Final = 50_000_000
"""Assumption: how much later than its time the run may do something; a tick of the player is late beyond that too."""

RETURN_FLIGHTS: Final = 2
"""Round trips in which a session comes up again (three flights, and what was on its way when the path was mended)."""

GRACE_NS: Final = 3_000_000_000
"""Assumption: a path that has never answered yet is not given up before: sessions come up in three flights."""

SLOW_NS: Final = 1_000_000_000
"""How far the packets of a session that is down are apart (RFC 5880, 6.8.3)."""


@dataclass(frozen=True)
class Terms:
    """How a path is judged: asked every `hello_ms`, down after so many misses, trusted again after `restore_ms`."""

    hello_ms: int
    misses: int
    restore_ms: int

    @property
    def hello_ns(self) -> int:
        """The interval of BFD's packets."""
        return self.hello_ms * 1_000_000

    @property
    def restore_ns(self) -> int:
        """How long a path that fell must answer before traffic returns to it."""
        return self.restore_ms * 1_000_000

    def failover_ns(self, round_trip_ns: int) -> int:
        """From the break of a path until traffic has left it, at most: the misses, the other end's word, the slack."""
        return self.misses * self.hello_ns + round_trip_ns + SLACK_NS

    def return_ns(self, round_trip_ns: int) -> int:
        """From the mending of a path until traffic has returned to it, at most."""
        return max(self.hello_ns, SLOW_NS) + RETURN_FLIGHTS * round_trip_ns + self.restore_ns + SLACK_NS


@dataclass(frozen=True, slots=True)
class Change:
    """From `time_ns` on, what `host` sends to `peer` takes `after`, not `before`; `second`: its second copies do."""

    time_ns: int
    host: str
    peer: str
    before: str
    after: str
    second: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What a break of the path in use asked for, or its mending, and what came of it.

    kind: 'failover' or 'return'. since_ns: when the path broke, or was mended. took_ns: until traffic had moved; None
    if it did not, although another system was there. bound_ns: what was promised.
    """

    kind: str
    host: str
    peer: str
    before: str
    after: str | None
    since_ns: int
    took_ns: int | None
    bound_ns: int

    @property
    def kept(self) -> bool:
        """Within what was promised?"""
        return self.took_ns is not None and self.took_ns <= self.bound_ns


@dataclass(frozen=True)
class Chosen:
    """A run's choices."""

    systems: tuple[str, ...]
    terms: Terms
    changes: tuple[Change, ...]
    sessions: tuple[dict[str, Any], ...]
    mptcp: str | None = None  # the kernel's net.mptcp.enabled; None where it has no Multipath TCP
    stalls: int = 0  # times that the runner's own loop was held up, and both ends' packets with it

    def in_force(self, host: str, peer: str, *, second: bool = False) -> list[tuple[int, str]]:
        """(from when on, system) of what a host sends to a peer, from time 0 on."""
        mine = [one for one in self.changes if (one.host, one.peer, one.second) == (host, peer, second)]
        return [(0, self.systems[int(second)]), *((one.time_ns, one.after) for one in mine)]

    def why(self, change: Change) -> str:
        """In words."""
        if self.systems.index(change.after) < self.systems.index(change.before):
            return f"{change.after} answers again"
        return f"{change.before} did not answer"


def read_chosen(folder: Path) -> Chosen | None:
    """What the run directory says; None where nothing was to be chosen."""
    try:
        told = json.loads((folder / CHOSEN).read_text())
    except FileNotFoundError:
        return None
    changes = tuple(Change(**one) for one in told["changes"])
    beside = told.get("mptcp"), told.get("stalls", {}).get("count", 0)
    return Chosen(tuple(told["systems"]), Terms(**told["terms"]), changes, tuple(told["sessions"]), *beside)


def system_path(plan: Plan, host: str, peer: str, system: str) -> tuple[PathStep, ...]:
    """The planned way of a pair over one system; raises StopIteration where the plan has none."""
    vias = {(uplink.router, uplink.via) for uplink in plan.uplinks if (uplink.host, uplink.system) == (host, system)}
    return next(
        path
        for path in plan.paths
        if (path[0].nodes[0], path[0].nodes[-1]) == (host, peer) and path[0].nodes[1:3] in vias
    )


def system_of(plan: Plan, path: tuple[PathStep, ...]) -> str:
    """Which system a planned path takes; raises StopIteration where the plan has no such uplink."""
    _, router, via = path[0].nodes[:3]
    return next(uplink.system for uplink in plan.uplinks if (uplink.router, uplink.via) == (router, via))


def with_chosen(plan: Plan, chosen: Chosen | None) -> Plan:
    """The plan with the ways that traffic took, and an event for each move.

    What was in flight on the way that was left may be overtaken, or come after what was sent later.
    """
    if chosen is None:
        return plan
    first = tuple(tuple(_taken(plan, chosen, *pair)) for pair in _pairs(plan))
    second = tuple(tuple(_taken(plan, chosen, *pair, second=True)) for pair in _pairs(plan))
    events = [
        Event(
            time_ns=one.time_ns - LATE_NS,
            kind=MOVED,
            node=system_path(plan, one.host, one.peer, one.after)[0].nodes[1],
            cause=chosen.why(one),
            window_ns=_longest_ns(plan, one.host, one.peer, one.before) + 2 * LATE_NS,
            detail={"to": one.peer, "from_system": one.before, "to_system": one.after},
        )
        for one in chosen.changes
        if not one.second
    ]
    ordered = tuple(sorted([*plan.events, *events], key=lambda event: event.time_ns))
    return replace(plan, taken=first, taken_second=second, events=ordered)


def moves(plan: Plan, chosen: Chosen) -> list[Move]:
    """Every break of a path in use that asked for a failover, and every mending that asked for a return.

    `plan`: with what faults did (`with_faults`). A break counts if it outlasts its bound while another system answers,
    or if traffic left because of it; a mending counts if it lasts, and traffic was on a system that is liked less.
    """
    found = []
    for host, peer in _pairs(plan):
        asked = _Asked(plan, chosen, host, peer)
        found += [*asked.failovers(), *asked.returns()]
    return sorted(found, key=lambda move: (move.since_ns, move.host, move.peer))


class _Asked:
    """What one direction of a pair was asked for by breaks and mendings of its paths."""

    def __init__(self, plan: Plan, chosen: Chosen, host: str, peer: str) -> None:
        self._duration_ns, self._chosen, self._ends = plan.duration_ns, chosen, (host, peer)
        self._in_force = chosen.in_force(host, peer)
        self._broken = {
            system: _united(
                [*_breaks(plan, host, peer, system), *_breaks(plan, peer, host, system)]  # BFD hears both ways
            )
            for system in chosen.systems
        }
        self._round_trip_ns = {
            system: _longest_ns(plan, host, peer, system) + _longest_ns(plan, peer, host, system)
            for system in chosen.systems
        }

    def failovers(self) -> Iterator[Move]:
        for system, breaks in self._broken.items():
            bound_ns = self._chosen.terms.failover_ns(self._round_trip_ns[system])
            for begin_ns, end_ns in breaks:
                if self._at(begin_ns) != system:
                    continue
                promised_ns = bound_ns + (GRACE_NS if begin_ns < GRACE_NS else 0)
                left = next((row for row in self._in_force if row[0] >= begin_ns and row[1] != system), None)
                moved = left is not None and left[0] <= end_ns + promised_ns
                lasts = begin_ns + promised_ns < min(end_ns, self._duration_ns)
                if moved and left is not None:
                    yield self._move("failover", system, left, begin_ns, promised_ns)
                elif lasts and self._others_answer(system, begin_ns, begin_ns + promised_ns):
                    yield self._move("failover", system, None, begin_ns, promised_ns)

    def returns(self) -> Iterator[Move]:
        rank = self._chosen.systems.index
        for system, breaks in self._broken.items():
            bound_ns = self._chosen.terms.return_ns(self._round_trip_ns[system])
            for _, end_ns in breaks:
                used, until_ns = self._at(end_ns), end_ns + bound_ns
                if rank(used) <= rank(system) or until_ns >= self._duration_ns:
                    continue
                back = next((row for row in self._in_force if row[0] > end_ns and row[1] == system), None)
                if not self._whole(system, end_ns, until_ns) or rank(self._at(until_ns)) < rank(system):
                    continue
                yield self._move("return", used, back, end_ns, bound_ns, system)

    def _move(
        self,
        kind: str,
        before: str,
        row: tuple[int, str] | None,
        since_ns: int,
        bound_ns: int,
        after: str | None = None,
    ) -> Move:
        took_ns = None if row is None else row[0] - since_ns
        return Move(kind, *self._ends, before, row[1] if row else after, since_ns, took_ns, bound_ns)

    def _at(self, time_ns: int) -> str:
        return [system for begin_ns, system in self._in_force if begin_ns <= time_ns][-1]

    def _whole(self, system: str, begin_ns: int, end_ns: int) -> bool:
        return not any(begin < end_ns and end > begin_ns for begin, end in self._broken[system])

    def _others_answer(self, system: str, begin_ns: int, end_ns: int) -> bool:
        """Does another system answer all the time, and did it for long enough before to be known?"""
        rest = [other for other in self._broken if other != system]
        lead_ns = {other: self._chosen.terms.return_ns(self._round_trip_ns[other]) for other in rest}
        return any(self._whole(other, begin_ns - lead_ns[other], end_ns) for other in rest)


def _pairs(plan: Plan) -> list[tuple[str, str]]:
    """Sender and receiver of every audited path, each way once."""
    return list(dict.fromkeys((path[0].nodes[0], path[0].nodes[-1]) for path in plan.paths))


def _breaks(plan: Plan, host: str, peer: str, system: str) -> Iterator[tuple[int, int]]:
    """[begin, end) in which a link of the way in force is down, by the plan or by a fault."""
    path = system_path(plan, host, peer, system)
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    for step, end_ns in zip(path, [*(step.time_ns for step in path[1:]), plan.duration_ns], strict=True):
        for hop in pairwise(step.nodes):
            if hop in numbers:
                for begin, end in _down(plan, numbers[hop]):
                    if begin < end_ns and end > step.time_ns:
                        yield max(begin, step.time_ns), min(end, end_ns)


def _down(plan: Plan, link: int) -> Iterator[tuple[int, int]]:
    steps = plan.link_steps(link)
    ends = [*steps["time_ns"][1:].tolist(), plan.duration_ns]
    for begin_ns, end_ns, up in zip(steps["time_ns"].tolist(), ends, steps["up"].tolist(), strict=True):
        if not up:
            yield begin_ns, end_ns
    for event in plan.events:
        if link in event.detail.get("dark", ()):  # as `with_faults` writes it
            yield event.time_ns + LATE_NS, event.time_ns + event.window_ns - LATE_NS


def _united(intervals: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that touch as one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _longest_ns(plan: Plan, host: str, peer: str, system: str) -> int:
    """The longest that the way takes in the plan, apart from queues; 0 where it is never whole."""
    delays = path_delay_ns(plan, system_path(plan, host, peer, system), np.unique(plan.steps["time_ns"]))
    return 0 if np.all(np.isnan(delays)) else int(np.nanmax(delays))


def _taken(plan: Plan, chosen: Chosen, host: str, peer: str, *, second: bool = False) -> Iterator[PathStep]:
    """The way of a pair, from choice to choice."""
    rows = chosen.in_force(host, peer, second=second)
    for (begin_ns, system), end_ns in zip(rows, [*(row[0] for row in rows[1:]), plan.duration_ns], strict=True):
        path = system_path(plan, host, peer, system)
        for step, following_ns in zip(path, [*(step.time_ns for step in path[1:]), plan.duration_ns], strict=True):
            if step.time_ns < end_ns and following_ns > begin_ns:
                yield PathStep(max(step.time_ns, begin_ns), step.nodes)
