"""What the links of a path can do to a packet at most: how long queues hold it, how late a copy can come."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from testbed.plan.expected import path_delay_ns
from testbed.plan.model import PathStep, Plan

PRIORITY_BANDS = 3
"""In front of best effort: network control, EF, AF (testbed.kernel.queues)."""


def longest_queue_ns(plan: Plan, path: tuple[PathStep, ...], priority_bytes: int) -> int:
    """The longest that full queues along a path hold a best-effort packet, ns, at the lowest rates of the plan.

    priority_bytes: the buffer of each band in front of it. Links between satellites have no queue.
    """
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    lowest = _lowest_rates(plan)
    longest = 0
    for step in path:
        total = 0
        for hop in pairwise(step.nodes):
            link = plan.links[numbers[hop]] if hop in numbers else None
            if link is not None and link.kind != "isl":
                held_bytes = link.buffer_bytes + PRIORITY_BANDS * priority_bytes
                total += round(held_bytes * 8e9 / int(lowest[numbers[hop]]))
        longest = max(longest, total)
    return longest


def delays_ns(plan: Plan, path: tuple[PathStep, ...]) -> NDArray[np.float64]:
    """The path's planned delay at each instant at which something in the plan changes, shape (n,); nan where down."""
    return path_delay_ns(plan, path, np.unique(plan.steps["time_ns"]))


def longest_lag_ns(plan: Plan, priority_bytes: int) -> int:
    """L_max: by how much the second of two packets sent at once on one path can come after the first, ns.

    The largest propagation with full queues less the smallest propagation, over all paths of the plan.
    """
    longest = 0
    for path in plan.paths:
        delays = delays_ns(plan, path)
        if not np.all(np.isnan(delays)):
            spread = float(np.nanmax(delays) - np.nanmin(delays))
            longest = max(longest, round(spread) + longest_queue_ns(plan, path, priority_bytes))
    return longest


def _lowest_rates(plan: Plan) -> NDArray[np.int64]:
    begins = np.searchsorted(plan.steps["link"], np.arange(len(plan.links)))
    lowest: NDArray[np.int64] = np.minimum.reduceat(plan.steps["rate_bps"], begins)
    return lowest
