"""Handovers: when radio links are up around a slot's boundary, and what holds packets in order.

At a boundary T a terminal's routes move from an old to a new pair of satellite and gateway. Packets of the old path are
still in flight, and a shorter new path would overtake them. `hold` makes the new path wait: the first link that carries
new packets alone gets an extra delay until the old path has drained. That link is
- the new user link when the satellite changes: it is the terminal's own;
- the new feeder link when a satellite changes its gateway: its user links carry old and new packets alike.
Order inside one link is the kernel's business: its queue is first in, first out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from testbed.plan.access import Leg, serving
from testbed.plan.geometry import Geometry
from testbed.plan.scenario import Access

Interval = tuple[int, int]
"""[begin, end) within the plan, ns."""

_MS_NS = 1_000_000


@dataclass(frozen=True)
class Raise:
    """Extra one-way delay in [begin_ns, end_ns)."""

    begin_ns: int
    end_ns: int
    extra_ns: int


@dataclass(frozen=True)
class RadioKey:
    """One direction of a radio link; `ground` is the terminal's or the gateway's index in the scenario."""

    kind: str  # "user" or "feeder"
    ground: int
    satellite: int
    upward: bool  # from the terminal towards the PoP


Raises = dict[RadioKey, list[Raise]]


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
    """When a feeder link is up; `legs`: those of all terminals that use it."""
    drain_ns = 0 if access.order == "drop" else access.drain_ns
    return merge((leg.begin_ns - access.lead_ns, leg.end_ns + drain_ns) for leg in legs)


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
        if access.order == "hold":
            _hold_satellites(geometry, time_ns, ending, beginning, found.raises)
            _hold_terminals(geometry, time_ns, ending, beginning, found.raises)
        for terminal, new in beginning.items():
            old = serving(legs[terminal], time_ns - 1)
            if (old.satellite, old.gateway) == (new.satellite, new.gateway):
                continue
            window_ns = held_ns(found.raises, terminal, new)
            if terminal in ending:
                drained_ns = max(_whole_ns(geometry, terminal, old, upward, time_ns) for upward in (True, False))
                window_ns = max(window_ns, drained_ns + access.outage_ns * (access.order == "drop"))
            found.events.append(Handover(terminal, time_ns, old, new, window_ns + access.margin_ns))
    return found


def held_ns(raises: Raises, terminal: int, new: Leg) -> int:
    """How long after the beginning of the leg `new` raises on its links still delay packets.

    A packet that entered just before a raise ended leaves late by all of it, and holds back those behind it.
    """
    ends = [
        one.end_ns + one.extra_ns - new.begin_ns
        for upward in (True, False)
        for key in (
            RadioKey("user", terminal, new.satellite, upward),
            RadioKey("feeder", new.gateway, new.satellite, upward),
        )
        for one in raises.get(key, [])
        if one.begin_ns == new.begin_ns
    ]
    return max(ends, default=0)


def _served(legs: Sequence[Sequence[Leg]]) -> list[tuple[int, Leg]]:
    return [(terminal, leg) for terminal, its_legs in enumerate(legs) for leg in its_legs if not leg.outage]


def _whole_ns(geometry: Geometry, terminal: int, leg: Leg, upward: bool, time_ns: int) -> int:
    """One-way delay between the terminal and the PoP over this leg's satellite and gateway at `time_ns`."""
    user_ns = geometry.user_ns(terminal, leg.satellite, upward, time_ns)
    return user_ns + geometry.beyond_ns(leg.satellite, leg.gateway, time_ns)


def _hold_satellites(
    geometry: Geometry, time_ns: int, ending: dict[int, Leg], beginning: dict[int, Leg], raises: Raises
) -> None:
    """Satellites that change their gateway: raise the new feeder link."""
    margin_ns = geometry.scenario.access.margin_ns
    landed = {leg.satellite: leg.gateway for leg in ending.values()}
    landing = {leg.satellite: leg.gateway for leg in beginning.values()}
    for satellite, gateway in sorted(landing.items()):
        if landed.get(satellite, gateway) == gateway:
            continue
        before_ns = geometry.beyond_ns(satellite, landed[satellite], time_ns)
        after_ns = geometry.beyond_ns(satellite, gateway, time_ns)
        for upward in (True, False):
            drained_ns = margin_ns + max(
                _whole_ns(geometry, terminal, old, upward, time_ns)
                for terminal, old in ending.items()
                if old.satellite == satellite
            )
            key = RadioKey("feeder", gateway, satellite, upward)
            _raise(raises, key, time_ns, before_ns + margin_ns - after_ns, drained_ns)


def _hold_terminals(
    geometry: Geometry, time_ns: int, ending: dict[int, Leg], beginning: dict[int, Leg], raises: Raises
) -> None:
    """Terminals that change their satellite: raise the new user link."""
    landing = {leg.satellite: leg.gateway for leg in beginning.values()}
    for terminal, new in beginning.items():
        old = ending.get(terminal, new)
        if old.satellite == new.satellite:
            continue
        for upward in (True, False):
            drained_ns = _whole_ns(geometry, terminal, old, upward, time_ns)
            moved_to = landing.get(old.satellite, old.gateway)
            if upward and moved_to != old.gateway:
                # The satellite that the terminal leaves sends what still comes up to its own new gateway.
                held_ns = _extra_ns(raises, RadioKey("feeder", moved_to, old.satellite, True), time_ns)
                moved = Leg(old.begin_ns, old.end_ns, old.satellite, moved_to)
                drained_ns = max(drained_ns, _whole_ns(geometry, terminal, moved, True, time_ns) + held_ns)
            drained_ns += geometry.scenario.access.margin_ns
            new_ns = _whole_ns(geometry, terminal, new, upward, time_ns)
            _raise(raises, RadioKey("user", terminal, new.satellite, upward), time_ns, drained_ns - new_ns, drained_ns)


def _raise(raises: Raises, key: RadioKey, time_ns: int, extra_ns: int, lasts_ns: int) -> None:
    """Raise a link by `extra_ns`, if positive, for `lasts_ns` rounded up to whole milliseconds."""
    if extra_ns > 0:
        end_ns = time_ns - -lasts_ns // _MS_NS * _MS_NS
        raises.setdefault(key, []).append(Raise(time_ns, end_ns, extra_ns))


def _extra_ns(raises: Raises, key: RadioKey, time_ns: int) -> int:
    return sum(one.extra_ns for one in raises.get(key, []) if one.begin_ns == time_ns)
