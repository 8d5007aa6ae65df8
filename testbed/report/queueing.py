"""How long queues can have held a packet at most, from what was really sent: network calculus, as for leaky buckets.

A flow that never sends more than σ + ρ·t bytes in any time t, with its ρ within what a link has for it, waits there for
at most the sum of all σ divided by the link's rate, in whatever phase they meet (Cruz, IEEE Transactions on Information
Theory 37, 1991). σ is measured: the times of sending are the kernel's. Where other traffic is about or the
links are overloaded, only a full queue is a bound.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.kernel.queues import PRIORITY_BYTES
from testbed.plan.bounds import longest_queue_ns
from testbed.plan.expected import pair_path
from testbed.plan.model import PathStep, Plan
from testbed.report.evidence import Evidence

OVERHEAD_BYTES: Final = 130
"""Of a packet beyond its payload, at most: inner IPv6 and UDP, padding, ESP with ICV, outer UDP and IPv4, Ethernet."""
FRAME_BYTES: Final = 1514
"""One packet of another class may be on its way out already."""
LARGEST_LOAD: Final = 0.9
"""Assumption: of a link's rate; closer to it the bound says nothing that is better than a full queue."""

Hop = tuple[str, str]


def longest_wait_ns(evidence: Evidence, path: tuple[PathStep, ...]) -> int:
    """The longest that queues along a path held a packet of a declared flow, ns."""
    plan = evidence.plan
    full_ns = longest_queue_ns(plan, path, PRIORITY_BYTES)
    sent = _sent(evidence)
    if sent is None:
        return full_ns
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links) if link.kind != "isl"}
    total_ns = 0.0
    for hop in {hop for step in path for hop in pairwise(step.nodes)} & numbers.keys():
        rate = float(plan.link_steps(numbers[hop])["rate_bps"].min()) / 8
        crossing = [(tx_ns, size) for hops, tx_ns, size in sent if hops is None or hop in hops]
        loads = [_load(tx_ns, size) for tx_ns, size in crossing]
        if sum(loads) > LARGEST_LOAD * rate:
            return full_ns
        bursts = [
            _burst(tx_ns, size, load / sum(loads) * rate) for (tx_ns, size), load in zip(crossing, loads, strict=True)
        ]
        total_ns += (sum(bursts) + FRAME_BYTES) / rate * 1e9
    return min(full_ns, round(total_ns))


def _sent(evidence: Evidence) -> list[tuple[set[Hop] | None, NDArray[np.int64], int]] | None:
    """The hops that each flow uses (None: unknown), its times of sending and its size; None where others send too."""
    plan, flows = evidence.plan, evidence.flows
    assert flows is not None
    declared = {flow["name"]: flow for flow in plan.flows}
    if declared.keys() - {flow["name"] for flow in flows["flows"]}:
        return None  # services over sockets, which take what there is
    found = []
    for number, flow in enumerate(flows["flows"]):
        tx_ns = evidence.packets["tx_ns"][evidence.packets["flow"] == number].astype(np.int64)
        size = int(declared.get(flow["name"], {}).get("payload_bytes", FRAME_BYTES)) + OVERHEAD_BYTES
        found.append((_hops(plan, flow["src"], flow["dst"]), np.sort(tx_ns[tx_ns >= 0]), size))
    return found


def _hops(plan: Plan, source: str, destination: str) -> set[Hop] | None:
    path = pair_path(plan, source, destination)
    return None if path is None else {hop for step in path for hop in pairwise(step.nodes)}


def _load(tx_ns: NDArray[np.int64], size: int) -> float:
    """Bytes per second, at least one packet's in a second."""
    if len(tx_ns) < 2:
        return float(size)
    return max(size, size * (len(tx_ns) - 1) / max(float(tx_ns[-1] - tx_ns[0]) / 1e9, 1e-9))


def _burst(tx_ns: NDArray[np.int64], size: int, rate: float) -> float:
    """σ in bytes: the largest backlog of a bucket that leaks `rate` bytes/s (Lindley's recursion, written out)."""
    if not len(tx_ns):
        return 0.0
    before = size * np.arange(len(tx_ns)) - rate * (tx_ns - tx_ns[0]) / 1e9
    return float(np.max(before - np.minimum.accumulate(before)) + size)
