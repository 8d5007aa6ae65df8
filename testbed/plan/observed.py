"""A plan whose routes others have made: the ways that were in force, seen while it played, in place of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.plan.expected import path_delay_ns
from testbed.plan.faults import LATE_NS
from testbed.plan.model import Event, PathStep, Plan

ROUTING: Final = "routing.json"
"""In the run directory: what the daemons' routes were, and when they changed (`emulation.frr.watch`).

{"routers", "daemons", "started_s", "settled_s", "memory_bytes", "resolution_ns", "changes": [[time_ns, how many]],
"ways": for each path of the plan [{"after_ns", "by_ns", "nodes"}], "edges": for each domain's edge {"router", "domain",
"as", "announces", "expected", "learned"}}: the change to a way lies between its two times, nodes is null while there is
none; learned are all prefixes that BGP ever put into the edge's kernel, expected those that the others announce.
"""


@dataclass(frozen=True, slots=True)
class Reroute:
    """A path that leaves its way for another. `broken_ns`: since when the old one led nowhere; before, if it held."""

    old: tuple[str, ...]
    new: tuple[str, ...] | None  # None: no way came until the end
    broken_ns: int
    left_ns: int  # the routes had changed by then,
    whole_ns: int  # and by then there was a way again

    @property
    def without_ns(self) -> int:
        """How long there was no way."""
        return max(0, self.whole_ns - self.broken_ns)


def with_routing(plan: Plan, folder: Path) -> Plan:
    """The plan with the observed ways as its paths; what a reroute loses or delays is planned.

    What faults do is known from the plan's events: it comes from `with_faults`.
    """
    told = read_routing(folder)
    if told is None:
        return plan
    paths = tuple(_path(seen) for seen in told["ways"])
    observed = replace(plan, paths=paths)
    events = []
    for path, seen in zip(paths, told["ways"], strict=True):
        events += [_event(observed, path, reroute) for reroute in reroutes(plan, seen)]
    return replace(observed, events=tuple(sorted([*plan.events, *events], key=lambda event: event.time_ns)))


def read_routing(folder: Path) -> dict[str, Any] | None:
    """What the run directory says about routes that were not the plan's; None where they were the plan's."""
    try:
        told: dict[str, Any] = json.loads((folder / ROUTING).read_text())
    except FileNotFoundError:
        return None
    return told


def reroutes(plan: Plan, seen: Sequence[dict[str, Any]]) -> list[Reroute]:
    """How one path went from way to way; `seen`: its entry in "ways"."""
    found = []
    for number, (before, after) in enumerate(pairwise(seen), 1):
        if before["nodes"] is None:
            continue  # told already
        whole = next((entry for entry in seen[number:] if entry["nodes"]), None)
        whole_ns = whole["by_ns"] if whole else plan.duration_ns
        left_ns = after["by_ns"]
        broken_ns = left_ns if after["nodes"] is None else whole_ns
        dark_ns = _dark_ns(plan, before["nodes"], before["by_ns"], left_ns)
        new = tuple(whole["nodes"]) if whole else None
        found.append(Reroute(tuple(before["nodes"]), new, min(dark_ns, broken_ns), left_ns, whole_ns))
    return found


def _dark_ns(plan: Plan, way: Sequence[str], begin_ns: int, end_ns: int) -> int:
    """When the first link of a way went down between two times, by the plan or by a fault; `end_ns` if none did."""
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    first_ns = end_ns
    for hop in pairwise(way):
        if hop in numbers:
            steps = plan.link_steps(numbers[hop])
            faults = [event for event in plan.events if numbers[hop] in event.detail.get("dark", ())]
            times = [*steps["time_ns"][~steps["up"]].tolist(), *(event.time_ns + LATE_NS for event in faults)]
            first_ns = min([first_ns, *(time_ns for time_ns in times if time_ns >= begin_ns)])
    return first_ns


def _path(seen: Sequence[dict[str, Any]]) -> tuple[PathStep, ...]:
    """While there is no way, the one before it stands."""
    return tuple(PathStep(entry["by_ns"], tuple(entry["nodes"])) for entry in seen if entry["nodes"])


def _event(plan: Plan, path: tuple[PathStep, ...], reroute: Reroute) -> Event:
    """From the old way's end until there is a new one, and until what the old one held has arrived."""
    begin_ns = min(reroute.broken_ns, reroute.left_ns) - LATE_NS
    delays = path_delay_ns(plan, path, np.array([begin_ns]))
    drained_ns = 0 if np.isnan(delays[0]) else int(delays[0])
    return Event(
        time_ns=begin_ns,
        kind="reroute",
        node=path[0].nodes[1],
        cause="frr",
        window_ns=reroute.whole_ns + drained_ns + LATE_NS - begin_ns,
        detail={"to": path[0].nodes[-1], "old_way": list(reroute.old), "new_way": reroute.new and list(reroute.new)},
    )
