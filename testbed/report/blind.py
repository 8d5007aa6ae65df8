"""What the blind checker says of each flow: statistical verdicts from an endpoint's packets and the plan's bounds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.kernel.queues import PRIORITY_BYTES
from testbed.plan.bounds import delays_ns, longest_lag_ns
from testbed.plan.expected import held_back, pair_path, path_delay_ns, path_nodes, planned_loss
from testbed.plan.model import PathStep, Plan
from testbed.report.evidence import Evidence
from testbed.report.queueing import longest_wait_ns
from traffic.checker import Bounds, Finding, check_flow

AFTERMATH_NS: Final = 50_000_000
"""How long a change of path may outlast its time in the plan, unless the player's worst tick was later still."""

_NS_PER_S: Final = 1e9


def findings(evidence: Evidence) -> list[tuple[str, Finding]]:
    """(flow, finding) for every flow and statistical verdict. Nothing where the flow measurement is not valid."""
    flows = evidence.flows
    if flows is None or not flows["valid"]:
        return []
    lag_ns = longest_lag_ns(evidence.plan, PRIORITY_BYTES)
    found = []
    for number, flow in enumerate(flows["flows"]):
        rows = evidence.packets[evidence.packets["flow"] == number]
        sent = int(flow["sent"])
        bounds, control_ns = flow_bounds(evidence, flow, rows[:sent], lag_ns)
        found += [(flow["name"], finding) for finding in check_flow(rows, bounds, control_ns)]
    return found


def flow_bounds(
    evidence: Evidence, flow: dict[str, Any], first: NDArray[np.void], lag_ns: int
) -> tuple[Bounds, NDArray[np.int64]]:
    """What the plan lets happen to the packets of a flow, and how far the audit's probes of its path were off.

    `first`: the rows of the packets sent, by number. Without a planned path delays and order are not judged, nor are
    delays without probes. Serialisation counts as queueing.
    """
    plan, source, destination = evidence.plan, flow["src"], flow["dst"]
    tx_ns = first["tx_ns"].astype(np.int64)
    rate_pps = float(flow["rate_pps"])
    path = pair_path(plan, source, destination)
    if path is None:
        loss = np.where(planned_loss(plan, source, destination, tx_ns), 1.0, _path_loss(plan, None, tx_ns))
        # Any order is allowed, and no delay is promised.
        everywhere = np.array([0], np.int64)
        bounds = Bounds(loss, np.full(len(tx_ns), np.nan), rate_pps, changes_ns=everywhere, step_ns=1 << 62)
        return bounds, np.zeros(0, np.int64)
    times_ns = np.maximum(tx_ns, 0)
    aftermath_ns = max(AFTERMATH_NS, int(evidence.ticks["late_ns"].max(initial=0)))
    loss = np.where(_disturbed(plan, path, times_ns, aftermath_ns), 1.0, _path_loss(plan, path, times_ns))
    queue_ns = longest_wait_ns(evidence, path)
    explained_ns = path_delay_ns(plan, path, times_ns)
    control_ns = _control_ns(evidence)
    explained_ns[loss == 1] = np.nan
    explained_ns[held_back(plan, path, times_ns)] = np.nan  # the plan does not say how long these wait
    step_ns = _largest_step_ns(plan, path) + queue_ns + aftermath_ns
    bounds = Bounds(
        loss=loss,
        explained_ns=explained_ns,
        rate_pps=rate_pps,
        queue_ns=queue_ns,
        longest_lag_ns=lag_ns,
        changes_ns=_changes(plan, path),
        step_ns=step_ns,
        burst=_densest(tx_ns, step_ns),
    )
    return bounds, control_ns


def _disturbed(
    plan: Plan, path: tuple[PathStep, ...], tx_ns: NDArray[np.int64], aftermath_ns: int
) -> NDArray[np.bool_]:
    """Packets on their way during a planned disturbance, with what may follow it, or while a link is down."""
    transit = path_delay_ns(plan, path, tx_ns)
    disturbed: NDArray[np.bool_] = np.isnan(transit)
    crossed = path_nodes(path)
    for event in plan.events:
        if event.window_ns and event.node in crossed:
            end_ns = event.time_ns + event.window_ns + aftermath_ns
            disturbed |= (tx_ns + transit >= event.time_ns) & (tx_ns < end_ns)
    return disturbed


def _path_loss(plan: Plan, path: tuple[PathStep, ...] | None, tx_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The probability that the links lose a packet, shape (n,): independent from link to link.

    Without a path, that of all lossy links together, which is at least that of any way.
    """
    kept = np.ones(len(tx_ns))
    for number, link in enumerate(plan.links):
        steps = plan.link_steps(number)
        if not np.any(steps["loss"]):
            continue
        here = np.clip(np.searchsorted(steps["time_ns"], tx_ns, side="right") - 1, 0, None)
        lost = steps["loss"][here]
        if path is not None:
            lost = np.where(_crosses(path, link.a, link.b, tx_ns), lost, 0.0)
        kept *= 1 - lost
    return 1 - kept


def _crosses(path: tuple[PathStep, ...], a: str, b: str, tx_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the way in force at each time leads over a→b."""
    uses = np.array([any(hop == (a, b) for hop in zip(step.nodes, step.nodes[1:], strict=False)) for step in path])
    step = np.clip(np.searchsorted([step.time_ns for step in path], tx_ns, side="right") - 1, 0, None)
    found: NDArray[np.bool_] = uses[step]
    return found


def _changes(plan: Plan, path: tuple[PathStep, ...]) -> NDArray[np.int64]:
    """When packets may take another way: changes of the path, and begin and end of what disturbs its nodes."""
    crossed = path_nodes(path)
    times = [step.time_ns for step in path[1:]]
    for event in plan.events:
        if event.node in crossed:
            times += [event.time_ns, event.time_ns + event.window_ns]
    return np.unique(np.array(times, np.int64))


def _largest_step_ns(plan: Plan, path: tuple[PathStep, ...]) -> int:
    """By how much the path becomes shorter at most, from any of its delays to any later one."""
    delays = delays_ns(plan, path)
    delays = delays[~np.isnan(delays)]
    if not len(delays):
        return 0
    return round(float(np.max(np.maximum.accumulate(delays) - delays)))


def _densest(tx_ns: NDArray[np.int64], window_ns: int) -> int:
    """How many packets left within a window at most: a sender that was held up makes good for it."""
    stamped = np.sort(tx_ns[tx_ns >= 0])
    if not len(stamped):
        return 1
    return int(np.max(np.searchsorted(stamped, stamped + window_ns, side="right") - np.arange(len(stamped))))


def _control_ns(evidence: Evidence) -> NDArray[np.int64]:
    """How much longer than planned the audit's probes took, on all links and paths, outside handovers: they have a
    class of their own and wait in no queue, but for the machine they wait like all others."""
    samples = evidence.samples
    mine = samples[~samples["transition"] & (samples["delay_ns"] >= 0)]
    late: NDArray[np.int64] = mine["delay_ns"] - mine["planned_ns"]
    return late
