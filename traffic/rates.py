"""Whether a flow left as declared: one that its generator holds back must say so, or the network gets the blame."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traffic.flows import Flow
from traffic.results import UNSTAMPED

IN_TIME_NS: Final = 20_000_000
"""Assumption: a packet that leaves later than this after it was due has missed its place; speech sends one in 20 ms."""
LEAST_IN_TIME: Final = 0.99
"""Assumption: with fewer of the due packets in time, the flow was limited by its generator and not by the network."""

_NS_PER_S: Final = 1e9


def packets_due(flow: Flow, stop_ns: int) -> int:
    """How many packets a flow is to send before schedule time `stop_ns` and its own stop."""
    stop_ns = min(stop_ns, flow.stop_ns)
    count = max(int((stop_ns - flow.start_ns) * flow.rate_pps / _NS_PER_S), 0)
    while flow.due_ns(count) < stop_ns:
        count += 1
    while count and flow.due_ns(count - 1) >= stop_ns:
        count -= 1
    return count


def as_declared(
    declared_pps: float, due: int, due_ns: NDArray[np.int64], tx_ns: NDArray[np.int64], *, excused: int = 0
) -> dict[str, Any]:
    """{"declared_pps", "achieved_pps", "due", "in_time", "limited_by"} of a flow.

    `due`: how many packets the flow was to send; `excused`: those of them that it did not send for another reason, such
    as no key. `due_ns`, `tx_ns`: of the packets it sent, shape (sent,), UNSTAMPED where the kernel gave no stamp; such
    a packet counts as in time. `achieved_pps`: between the first and the last that left; None below two. `limited_by`
    is "generator" or None.
    """
    left = np.sort(tx_ns[tx_ns != UNSTAMPED])
    late = int(np.count_nonzero((tx_ns != UNSTAMPED) & (tx_ns - due_ns > IN_TIME_NS)))
    in_time = len(due_ns) - late
    span_ns = int(left[-1] - left[0]) if len(left) > 1 else 0
    return {
        "declared_pps": declared_pps,
        "achieved_pps": round((len(left) - 1) / span_ns * _NS_PER_S, 3) if span_ns else None,
        "due": due,
        "in_time": in_time,
        "limited_by": "generator" if in_time < LEAST_IN_TIME * (due - excused) else None,
    }
