"""A plan whose schedule is played faster than real time: its times are shorter, its delays and packets are not.

What follows from that, and the report says: the sky moves `speed` times as fast, packets, TCP and timers stay real. A
hold at a handover lasts too short to keep packets in order: within its window, which keeps its real length, they may
overtake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.errors import PlanError
from testbed.plan.model import PathStep, Plan

LEAST_GAP_NS: Final = 50_000_000
"""Between two changes of a link that is up, in real time: as often as half a plan step of 100 ms."""

MOST: Final = 1_000.0
"""Assumption: at more than this a 15 s slot is shorter than a tick may be late."""


def accelerated(plan: Plan, speed: float) -> Plan:
    """`plan` for a run in which its schedule passes `speed` times as fast as real time.

    Of several changes of a link within `LEAST_GAP_NS` the last one is made; going up and down is never left out.
    Raises PlanError for a speed outside 1 to `MOST`, or a plan that is accelerated already.
    """
    if not 1.0 <= speed <= MOST:
        raise PlanError(f"speed {speed:g} is outside 1 to {MOST:g}: it is schedule seconds per real second")
    if speed == 1.0:
        return plan
    if plan.speed != 1.0:
        raise PlanError(f"plan of {plan.topology}: it is for speed {plan.speed:g} already: plan it anew")

    def real(time_ns: int) -> int:
        return int(time_ns / speed)

    duration_ns = max(1, real(plan.duration_ns))
    return replace(
        plan,
        speed=speed,
        duration_ns=duration_ns,
        steps=_steps(plan.steps, speed),
        routes=tuple(replace(route, time_ns=real(route.time_ns)) for route in plan.routes),
        paths=tuple(_path(path, speed) for path in plan.paths),
        events=tuple(replace(event, time_ns=real(event.time_ns)) for event in plan.events),
        flows=tuple(_flow(flow, plan.duration_ns, speed) for flow in plan.flows),
        assumptions=(
            *plan.assumptions,
            f"the schedule was played at {speed:g} times its speed: the sky alone was accelerated; packets, TCP and "
            "timers stayed real, and handovers did not hold packets in order",
        ),
    )


def accelerated_faults(entries: Sequence[Mapping[str, Any]], speed: float) -> list[dict[str, Any]]:
    """Entries of `plan.faults`, whose times are the schedule's, for an accelerated plan."""
    return [
        {key: value / speed if key in ("at", "for") else value for key, value in entry.items()} for entry in entries
    ]


def _steps(steps: NDArray[np.void], speed: float) -> NDArray[np.void]:
    """Real times, no two of a link the same, thinned."""
    found = steps.copy()
    found["time_ns"] = (found["time_ns"] / speed).astype(np.int64)
    link, time_ns, up = found["link"], found["time_ns"], found["up"]
    last = np.r_[link[1:] != link[:-1], True]
    first = np.r_[True, link[1:] != link[:-1]]
    edge = first | np.r_[False, up[1:] != up[:-1]]  # comes up or goes down here
    following_edge = np.r_[edge[1:], True]
    bucket = time_ns // LEAST_GAP_NS
    newest = np.r_[(link[1:] != link[:-1]) | (bucket[1:] != bucket[:-1]), True]
    kept: NDArray[np.void] = found[edge | last | newest | following_edge]
    same = np.r_[(kept["link"][1:] == kept["link"][:-1]) & (kept["time_ns"][1:] == kept["time_ns"][:-1]), False]
    distinct: NDArray[np.void] = kept[~same]
    return distinct


def _path(path: tuple[PathStep, ...], speed: float) -> tuple[PathStep, ...]:
    found: list[PathStep] = []
    for step in path:
        moved = PathStep(int(step.time_ns / speed), step.nodes)
        if found and found[-1].time_ns == moved.time_ns:
            found.pop()
        found.append(moved)
    return tuple(found)


def _flow(flow: dict[str, Any], duration_ns: int, speed: float) -> dict[str, Any]:
    """A flow begins and ends with the schedule, and stays as far from the plan's ends as it was, if there is room."""
    room_ns = int(duration_ns / speed) // 4
    head_ns, tail_ns = min(flow["start_ns"], room_ns), min(duration_ns - flow["stop_ns"], room_ns)
    start_ns = max(int(flow["start_ns"] / speed), head_ns)
    stop_ns = min(int(flow["stop_ns"] / speed), int(duration_ns / speed) - tail_ns)
    return flow | {"start_ns": start_ns, "stop_ns": max(stop_ns, start_ns + 1)}
