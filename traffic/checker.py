"""The blind checker: what an endpoint can say of a whole flow, from its own packets and from what links can do at most.

It sees the rows of `flows.npy` (`traffic.records`) and bounds that follow from the scenario: no tap on the way, no
attacker's diary. The ledger (`traffic.ledger`) is what it is scored against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from traffic.records import NOT_RECEIVED
from traffic.statistics import CountTest, judge_count, judge_delays, judge_order
from traffic.verdicts import Verdict

_COPIES: Final = (Verdict.DUP_LINK, Verdict.REPLAY_IN_WINDOW, Verdict.REPLAY_OLD)
_NOTHING: Final = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Bounds:
    """What the links of one flow can do to it at most.

    Per packet by its number, shape (sent,): `loss`, the probability that the links lose it, 1 where the plan says that
    it may be lost, which is then not judged; `explained_ns`, propagation and serialisation, nan where the plan promises
    nothing. For all of them: `queue_ns`, the longest wait in queues; `duplicates`, the probability of a copy, and
    `longest_lag_ns`, by how much it can come after the first; `changes_ns`, when paths change, and `step_ns`, by how
    much one becomes shorter then at most, queues included.
    """

    loss: NDArray[np.float64]
    explained_ns: NDArray[np.float64]
    rate_pps: float
    queue_ns: int = 0
    duplicates: float = 0.0
    longest_lag_ns: int = 0
    changes_ns: NDArray[np.int64] = field(default_factory=lambda: _NOTHING)
    step_ns: int = 0
    burst: int = 1


@dataclass(frozen=True)
class Finding:
    """The outcome of one test of a flow. Not `judged`: it could not be, as `detail` says; then there is no alarm."""

    verdict: Verdict
    alarm: bool
    judged: bool
    count: int
    total: int
    detail: str


def check_flow(rows: NDArray[np.void], bounds: Bounds, control_ns: NDArray[np.int64] = _NOTHING) -> list[Finding]:
    """Every statistical verdict on one flow: SUSPECT_DROP, copies, DELAY_ATTACK, REORDER_ATTACK, in this order.

    `rows`: of that flow alone, PACKET_DTYPE. `control_ns`: how much longer than explained packets of another kind took
    on the same machine, such as the audit's probes: what holds those up is the machine.
    """
    sent = len(bounds.loss)
    first, copies = rows[:sent], rows[sent:]
    return [
        _drops(first, bounds),
        _copies(first, copies, bounds),
        _delays(first, bounds, control_ns),
        _order(first, bounds),
    ]


def _drops(first: NDArray[np.void], bounds: Bounds) -> Finding:
    """Packets that left and never came, authentic and at whatever time; what the kernel did not stamp never left."""
    counted = (bounds.loss < 1) & (first["tx_ns"] >= 0)
    lost = counted & (first["verdict"] == NOT_RECEIVED)
    total, count = int(counted.sum()), int(lost.sum())
    expected = float(bounds.loss[counted].mean()) if total else 0.0
    test = judge_count(count, total, expected)
    detail = f"{count:,} of {total:,} packets lost, where links lose {expected:.3%}; {_figures(test)}"
    return Finding(Verdict.SUSPECT_DROP, test.alarm, total > 0, count, total, detail)


def _copies(first: NDArray[np.void], copies: NDArray[np.void], bounds: Bounds) -> Finding:
    """Further authentic copies: a link made them if each came soon enough, and all together are not too many."""
    copies = copies[np.isin(copies["verdict"], _COPIES)]
    before_ns = first["delay_ns"][copies["sequence"]]
    timed = (copies["delay_ns"] >= 0) & (before_ns >= 0)
    within = copies["delay_ns"] - before_ns <= bounds.longest_lag_ns
    soon = np.where(timed, within, copies["verdict"] == Verdict.DUP_LINK)  # untimed: as the endpoint saw it
    count, late = int(soon.sum()), int((~soon).sum())
    total = int(np.count_nonzero(first["verdict"] != NOT_RECEIVED))
    test = judge_count(count, total, bounds.duplicates)
    verdict = Verdict.DUP_LINK
    if test.alarm:
        verdict = Verdict.REPLAY_IN_WINDOW
    elif late:
        verdict = Verdict.REPLAY_OLD
    detail = (
        f"{count:,} copies of {total:,} packets within {bounds.longest_lag_ns / 1e6:.1f} ms, {late:,} later, where "
        f"links copy {bounds.duplicates:.3%}; {_figures(test)}"
    )
    return Finding(verdict, test.alarm or late > 0, total > 0, count + late, total, detail)


def _delays(first: NDArray[np.void], bounds: Bounds, control_ns: NDArray[np.int64]) -> Finding:
    timed = (first["delay_ns"] >= 0) & ~np.isnan(bounds.explained_ns)
    residuals_ns = first["delay_ns"][timed] - bounds.explained_ns[timed] - bounds.queue_ns
    test = judge_delays(residuals_ns.astype(np.int64), control_ns)
    least_ms = (test.threshold_ns + bounds.queue_ns) / 1e6
    held, total = test.count.count, test.count.total
    detail = (
        f"{held:,} of {total:,} packets held for more than {least_ms:.1f} ms beyond their way, the worst for "
        f"{(test.worst_ns + bounds.queue_ns) / 1e6:.1f} ms, where the machine holds {test.count.expected:.3%}; "
        f"{_figures(test.count)}"
    )
    return Finding(Verdict.DELAY_ATTACK, test.alarm, test.judged, held, total, detail)


def _order(first: NDArray[np.void], bounds: Bounds) -> Finding:
    timed = first[first["delay_ns"] >= 0]
    arrived = timed[np.argsort(timed["tx_ns"] + timed["delay_ns"], kind="stable")]
    numbers, tx_ns = arrived["sequence"].astype(np.int64), arrived["tx_ns"].astype(np.int64)
    test = judge_order(numbers, tx_ns, bounds.changes_ns, bounds.step_ns, bounds.rate_pps, bounds.burst)
    detail = (
        f"{test.reordered:,} of {test.total:,} packets overtaken, by {test.largest:,} at most; {test.outside:,} more "
        f"than {bounds.step_ns / 1e6:.1f} ms from a change of path, {test.beyond:,} by more than {test.bound:,}"
    )
    return Finding(Verdict.REORDER_ATTACK, test.alarm, test.total > 0, test.outside + test.beyond, test.total, detail)


def _figures(test: CountTest) -> str:
    least = "none" if test.detectable is None else f"{test.detectable:.3%}"
    return f"p = {test.p_value:.2g}, detectable from {least}"
