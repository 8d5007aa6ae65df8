"""Handovers: when radio links are up around a slot's boundary, and what holds packets in order.

At a boundary T a terminal's routes move from an old to a new way: satellites and gateway. Packets of the old way are
still in flight, and a shorter new way would overtake them. `hold` makes the new way wait: the links that carry new
packets alone get an extra delay until the old way has drained (`plan.holding`). They are
- the new user link when the satellite changes: it is the terminal's own;
- the new feeder link, or link between satellites, when a satellite changes its next hop: its user links carry old and
  new packets alike.
Order inside one link is the kernel's business: its queue is first in, first out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from testbed.plan.access import Leg, serving
from testbed.plan.geometry import Geometry
from testbed.plan.holding import Change, RadioKey, Raises, hops
from testbed.plan.scenario import Access

Interval = tuple[int, int]
"""[begin, end) within the plan, ns."""


@dataclass(frozen=True)
class Handover:
    """One terminal's change of satellite or gateway; for `window_ns` packets may be lost or late because of it."""

    terminal: int
    time_ns: int
    old: Leg
    new: Leg
    window_ns: int


@dataclass
class Handovers:
    """All handovers, ordered by time, then terminal, and the delays that hold packets in order meanwhile."""

    events: list[Handover] = field(default_factory=list)
    raises: Raises = field(default_factory=dict)


def user_intervals(legs: Sequence[Leg], satellite: int, access: Access) -> list[Interval]:
    """When the user link between the terminal of `legs` and `satellite` is up.

    Ahead of its slot and beyond it for the drain, but not into an outage; with 'drop' it starts late after a handover
    and ends at the boundary.
    """
    intervals: list[Interval] = []
    for number, leg in enumerate(legs):
        if leg.satellite != satellite:
            continue
        after_leg = number > 0 and not legs[number - 1].outage
        before_leg = number + 1 < len(legs) and not legs[number + 1].outage
        if access.order == "drop":
            intervals.append((leg.begin_ns + access.outage_ns * after_leg, leg.end_ns))
        else:
            intervals.append((leg.begin_ns - access.lead_ns * after_leg, leg.end_ns + access.drain_ns * before_leg))
    return merge(intervals)


def feeder_intervals(legs: Iterable[Leg], access: Access) -> list[Interval]:
    """When a feeder link, or one between satellites, is up; `legs`: those of all terminals that use it."""
    drain_ns = 0 if access.order == "drop" else access.drain_ns
    return merge((leg.begin_ns - access.lead_ns, leg.end_ns + drain_ns) for leg in legs)


def without(intervals: Iterable[Interval], gaps: Iterable[Interval]) -> list[Interval]:
    """The union of the intervals, less the gaps."""
    left = merge(intervals)
    for begin, end in gaps:
        left = [part for one in left for part in ((one[0], min(one[1], begin)), (max(one[0], end), one[1]))]
        left = [part for part in left if part[0] < part[1]]
    return left


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The union as disjoint intervals in order; touching ones become one, empty ones vanish."""
    merged: list[Interval] = []
    for begin, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def find_handovers(geometry: Geometry, legs: Sequence[Sequence[Leg]]) -> Handovers:
    """The handovers of all terminals; `legs` as `access.assign` gives them.

    After an outage nothing of the old path is in flight: the routes just move.
    """
    access = geometry.scenario.access
    found = Handovers()
    for time_ns in sorted({leg.begin_ns for its_legs in legs for leg in its_legs[1:]}):
        ending = {number: leg for number, leg in _served(legs) if leg.end_ns == time_ns}
        beginning = {number: leg for number, leg in _served(legs) if leg.begin_ns == time_ns}
        change = Change(geometry, time_ns, ending, beginning)
        if access.order == "hold":
            for key, one in change.hold().items():
                found.raises.setdefault(key, []).append(one)
        for terminal, new in beginning.items():
            old = serving(legs[terminal], time_ns - 1)
            if old.way == new.way:
                continue
            window_ns = held_ns(found.raises, terminal, new)
            if terminal in ending:
                window_ns = max(window_ns, change.drained_ns(terminal) + access.outage_ns * (access.order == "drop"))
            found.events.append(Handover(terminal, time_ns, old, new, window_ns + access.margin_ns))
    return found


def held_ns(raises: Raises, terminal: int, new: Leg) -> int:
    """How long after the beginning of the leg `new` raises on its links still delay packets.

    A packet that entered just before a raise ended leaves late by all of it, and holds back those behind it.
    """
    ends = [
        one.end_ns + one.extra_ns - new.begin_ns
        for upward in (True, False)
        for key in [RadioKey("user", terminal, new.satellite, upward), *(hop.key(upward) for hop in hops(new))]
        for one in raises.get(key, [])
        if one.begin_ns == new.begin_ns
    ]
    return max(ends, default=0)


def _served(legs: Sequence[Sequence[Leg]]) -> list[tuple[int, Leg]]:
    """Legs over satellites. Between those and a cell, or another system, an outage lies: nothing is held."""
    return [(terminal, leg) for terminal, its_legs in enumerate(legs) for leg in its_legs if leg.chain]
