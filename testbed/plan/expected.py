"""What the plan promises a packet, end to end: its delay, the satellites of a handover, where loss is planned."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.plan.model import PathStep, Plan


def path_delay_ns(plan: Plan, path: tuple[PathStep, ...], times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Planned one-way delay, ns, of packets sent along `path` at `times_ns`, shape (n,).

    The sum of the link delays hop by hop, each taken at the instant the packet reaches that hop, along the way in
    force when it was sent. Plain links add nothing. nan where a link of the way is down, or goes down while the packet
    is on it, or before the path begins.
    Serialisation is not in it.
    """
    times = np.asarray(times_ns, dtype=np.int64)
    delays = np.full(len(times), np.nan)
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    in_force = np.searchsorted([step.time_ns for step in path], times, side="right") - 1
    for number, step in enumerate(path):
        chosen = in_force == number
        arrival = times[chosen].astype(np.float64)
        for hop in pairwise(step.nodes):
            if hop in numbers:
                steps = plan.link_steps(numbers[hop])
                # nan sorts behind every step: what is lost on one hop stays lost on the next.
                enters = _row(steps, arrival)
                leaves = _row(steps, arrival + steps["delay_ns"][enters])
                up = steps["up"][enters] & steps["up"][leaves]  # darkness falls at the receiving end
                arrival = np.where(up, arrival + steps["delay_ns"][enters], np.nan)
        delays[chosen] = arrival - times[chosen]
    return delays


HELD_NS: Final = 20_000
"""Assumption: what waits less than this behind others in a queue is not disturbed by it."""


def held_back(plan: Plan, path: tuple[PathStep, ...], times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for packets sent along `path` at `times_ns` that may wait behind earlier ones on a hop, shape (n,).

    Where a link's delay falls at once, as with jitter, what goes in just after may not leave before what went in just
    before. How long it waits depends on who sent what then: somewhere between its own delay and that of the latest.
    """
    times = np.asarray(times_ns, dtype=np.int64)
    held = np.zeros(len(times), dtype=bool)
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    in_force = np.searchsorted([step.time_ns for step in path], times, side="right") - 1
    for number, step in enumerate(path):
        chosen = np.flatnonzero(in_force == number)
        arrival = times[chosen].astype(np.float64)
        for hop in pairwise(step.nodes):
            if hop in numbers:
                steps = plan.link_steps(numbers[hop])
                enters = _row(steps, arrival)
                own = arrival + steps["delay_ns"][enters]
                latest = np.maximum(own, _latest_ns(steps)[enters])
                held[chosen] |= latest - own > HELD_NS
                arrival = own
    return held


def link_held_back(plan: Plan, index: int, times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The same for packets that go into one link at `times_ns`."""
    steps = plan.link_steps(index)
    enters = _row(steps, times_ns.astype(np.float64))
    held: NDArray[np.bool_] = _latest_ns(steps)[enters] - (times_ns + steps["delay_ns"][enters]) > HELD_NS
    return held


def _latest_ns(steps: NDArray[np.void]) -> NDArray[np.float64]:
    """When the last packet has left that went into a link before each of its steps, shape (n_steps,); -inf: none."""
    leaves = np.where(steps["up"][:-1], steps["time_ns"][1:] + steps["delay_ns"][:-1], -np.inf)
    latest: NDArray[np.float64] = np.maximum.accumulate(np.r_[-np.inf, leaves])
    return latest


def longest_flight_ns(plan: Plan) -> int:
    """No packet of a path or a link is on its way for longer, one way, apart from queueing."""
    if not len(plan.steps):
        return 0
    begins = np.searchsorted(plan.steps["link"], np.arange(len(plan.links)))
    longest: list[int] = np.maximum.reduceat(plan.steps["delay_ns"], begins).tolist()
    hops = {(link.a, link.b): longest[number] for number, link in enumerate(plan.links)}
    ways = (pairwise(step.nodes) for path in plan.paths for step in path)
    return max(*longest, *(sum(hops.get(hop, 0) for hop in way) for way in ways))


def _row(steps: NDArray[np.void], times: NDArray[np.float64]) -> NDArray[np.intp]:
    """The step in force at each time."""
    found: NDArray[np.intp] = np.clip(np.searchsorted(steps["time_ns"], times, side="right") - 1, 0, None)
    return found


MOVED: Final = "path"
"""Kind of the event that says that a host's traffic moved to another of its systems."""


def pair_path(plan: Plan, source: str, destination: str, *, second: bool = False) -> tuple[PathStep, ...] | None:
    """The planned path from host `source` to host `destination`; None if the plan does not follow that pair.

    Where hosts have several systems: the way that was taken, by second copies if `second`.
    """
    for path in (plan.taken_second if second else plan.taken) or plan.paths:
        if (path[0].nodes[0], path[0].nodes[-1]) == (source, destination):
            return path
    return None


def path_nodes(path: tuple[PathStep, ...]) -> set[str]:
    """Every node that the path crosses at some time."""
    return {node for step in path for node in step.nodes}


def planned_loss(
    plan: Plan, source: str, destination: str, tx_ns: NDArray[np.int64], *, second: bool = False
) -> NDArray[np.bool_]:
    """True for packets that the plan itself may lose, sent at `tx_ns` from host to host, shape (n,).

    Those on their way during a planned disturbance of a node they cross, and those sent while a link is down. A
    packet is on its way for its planned delay; for a pair without a planned path that is twice the longest delay of
    any path of the plan, as over a hub, and every disturbance counts. Where a run chose between systems, what disturbs
    a node counts only for packets whose way then led over it. `second`: of second copies.
    """
    path = pair_path(plan, source, destination, second=second)
    if path is None:
        instants = np.unique(plan.steps["time_ns"])
        longest = [np.nanmax(path_delay_ns(plan, other, instants), initial=0.0) for other in plan.paths]
        transit = np.full(len(tx_ns), 2 * max(longest, default=0.0))
        events = list(plan.events)
    else:
        transit = path_delay_ns(plan, path, tx_ns)
        crossed = path_nodes(path)
        events = [event for event in plan.events if event.node in crossed]
    planned: NDArray[np.bool_] = np.isnan(transit)
    for event in events:
        if event.window_ns and event.kind != MOVED:
            hit = (tx_ns + transit >= event.time_ns) & (tx_ns < event.time_ns + event.window_ns)
            planned |= hit & _over(path, event.node, tx_ns) if plan.taken and path else hit
    return planned


def _over(path: tuple[PathStep, ...], node: str, tx_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Did the way in force at each time lead over the node?"""
    crosses = np.array([node in step.nodes for step in path])
    in_force = np.searchsorted([step.time_ns for step in path], tx_ns, side="right") - 1
    found: NDArray[np.bool_] = crosses[np.clip(in_force, 0, None)]
    return found
