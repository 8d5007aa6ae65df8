"""Verdicts over many packets: what the links explain, and what they do not.

Each is a test of the hypothesis "nobody interfered", one-sided, at ALPHA: were it true, a test would alarm once in a
million times. The binomials are exact; nothing here needs more than the standard library and numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALPHA: Final = 1e-6
"""How often a statistical verdict may be a false alarm, per test: acceptance criterion A3."""
POWER: Final = 0.99
"""With what probability an excess that is called detectable is detected."""
CONFIDENCE: Final = 0.95
"""Of the bounds that stand beside counts."""

LEAST_RESIDUAL_NS: Final = 3_000_000
"""Assumption: no delay is called an attack for less; a busy machine's timers do as much."""
RESIDUAL_FACTOR: Final = 6
"""Assumption: times the 99th percentile of the calibration."""

_NEGLIGIBLE: Final = 1e-18  # of a sum: below a double's last digit
_HALVINGS: Final = 60  # of an interval within 0..1: to below 1e-18


def tail(count: int, total: int, probability: float) -> float:
    """P(X ≥ count) for X binomial with `total` trials, summed term by term; relative error below 1e-6 up to 10⁷ trials.

    Raises ValueError for a probability outside 0..1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"a probability of {probability} is outside 0 to 1")
    if count <= 0:
        return 1.0
    if count > total or probability == 0:
        return 0.0
    if probability == 1:
        return 1.0
    if count <= total * probability:  # more terms lie above than below: sum those
        return max(0.0, 1.0 - _sum(total - count + 1, total, 1 - probability))
    return min(1.0, _sum(count, total, probability))


def _sum(count: int, total: int, probability: float) -> float:
    """The terms from `count` on, which lies above the mean: each is smaller than the one before."""
    log_term = math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
    log_term += count * math.log(probability) + (total - count) * math.log1p(-probability)
    term = total_sum = math.exp(log_term)
    odds = probability / (1 - probability)
    while count < total and term > _NEGLIGIBLE * total_sum:
        term *= (total - count) / (count + 1) * odds
        total_sum += term
        count += 1
    return total_sum


def critical_count(total: int, probability: float, alpha: float = ALPHA) -> int:
    """The smallest count that alarms, total + 1 if none does: P(X ≥ count) ≤ alpha."""
    low, high = 0, total + 1  # tail(low) > alpha, tail(high) ≤ alpha
    while high - low > 1:
        middle = (low + high) // 2
        if tail(middle, total, probability) <= alpha:
            high = middle
        else:
            low = middle
    return high


def detectable(total: int, probability: float, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The smallest probability instead of `probability` that the test would notice; None if even 1 would not do."""
    needed = critical_count(total, probability, alpha)
    if needed > total:
        return None
    low, high = probability, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if tail(needed, total, middle) >= power:
            high = middle
        else:
            low = middle
    return high


def bounds(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of Clopper and Pearson (Biometrika 26, 1934) for a probability of which `count` of `total` came out.

    Two-sided; where all or none came out one-sided, so that 0 of n gives close to 3/n at 95 %.
    """
    if not total:
        return 0.0, 1.0
    error = (1 - confidence) / (1 if count in (0, total) else 2)
    lower = 0.0 if count == 0 else _probability(count, total, error)
    upper = 1.0 if count == total else 1 - _probability(total - count, total, error)
    return lower, upper


def _probability(count: int, total: int, error: float) -> float:
    """The probability at which `count` or more come out with probability `error`."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if tail(count, total, middle) < error:
            low = middle
        else:
            high = middle
    return low


@dataclass(frozen=True)
class CountTest:
    """`count` of `total` where `expected` is the probability of each; `detectable`: see there."""

    count: int
    total: int
    expected: float
    p_value: float
    detectable: float | None
    alarm: bool


def judge_count(count: int, total: int, expected: float, alpha: float = ALPHA) -> CountTest:
    """Whether lost packets (SUSPECT_DROP) or copies (more than DUP_LINK explains) are too many.

    Where packets differ in their probability, `expected` is its mean: the binomial with it has the heavier tail
    (Hoeffding, Annals of Mathematical Statistics 27, 1956, theorem 4), so that the test alarms rather too seldom.
    """
    p_value = tail(count, total, expected)
    return CountTest(
        count, total, expected, p_value, detectable(total, expected, alpha), p_value <= alpha and count > 0
    )


@dataclass(frozen=True)
class DelayTest:
    """Packets held longer than `threshold_ns` beyond what explains their delay; `worst_ns`: the largest residual.

    `count`: of the packets held, where packets of the control were held as often as `count.expected` says.
    """

    held: NDArray[np.intp]  # indices
    threshold_ns: int
    worst_ns: int
    count: CountTest
    judged: bool

    @property
    def alarm(self) -> bool:
        """DELAY_ATTACK."""
        return self.judged and self.count.alarm


def threshold_ns(calibration_ns: NDArray[np.int64]) -> int:
    """From which residual on a packet counts as held: 3 ms, or six times the calibration's 99th percentile."""
    if not len(calibration_ns):
        return LEAST_RESIDUAL_NS
    return max(LEAST_RESIDUAL_NS, round(RESIDUAL_FACTOR * float(np.percentile(calibration_ns, 99))))


def judge_delays(residuals_ns: NDArray[np.int64], control_ns: NDArray[np.int64], alpha: float = ALPHA) -> DelayTest:
    """Whether packets were held more often than a busy machine does it. Shapes (n,), (m,).

    Residual: measured less propagation, serialisation and the longest wait in queues. `control_ns`: of packets that
    nobody is after, on the same machine at the same time, such as the audit's probes: they set the threshold, and how
    often the machine alone holds a packet beyond it (one more than was seen, so that few of them prove little).
    """
    limit_ns = threshold_ns(control_ns)
    held = np.flatnonzero(residuals_ns > limit_ns)
    expected = (np.count_nonzero(control_ns > limit_ns) + 1) / (len(control_ns) + 1)
    count = judge_count(len(held), len(residuals_ns), float(expected), alpha)
    worst_ns = int(residuals_ns.max()) if len(residuals_ns) else 0
    return DelayTest(held, limit_ns, worst_ns, count, len(residuals_ns) > 0 and len(control_ns) > 0)


@dataclass(frozen=True)
class ReorderTest:
    """Packets overtaken where nothing explains it (`outside` the windows), or by more than `bound` packets (`beyond`).

    `largest`: by how many at most.
    """

    reordered: int
    total: int
    outside: int
    beyond: int
    bound: int
    largest: int

    @property
    def alarm(self) -> bool:
        """REORDER_ATTACK."""
        return self.outside + self.beyond > 0


def judge_order(
    numbers: NDArray[np.int64],
    tx_ns: NDArray[np.int64],
    changes_ns: NDArray[np.int64],
    step_ns: int,
    rate_pps: float,
    burst: int = 1,
) -> ReorderTest:
    """Whether packets of one class were overtaken (RFC 4737, 3.3) although no path became shorter.

    `numbers`, `tx_ns`: of the packets in order of arrival, shape (n,); copies left out. `changes_ns`: when paths
    change, shape (k,). Where one becomes shorter by `step_ns`, packets sent up to `step_ns` before or after may be
    overtaken, by as many as leave in that time and `burst`: the highest number so far less their own.
    """
    bound = math.ceil(rate_pps * step_ns / 1e9) + burst
    lag = np.maximum.accumulate(numbers) - numbers
    begins, ends = np.sort(changes_ns) - step_ns, np.sort(changes_ns) + step_ns
    near = np.searchsorted(begins, tx_ns, side="right") > np.searchsorted(ends, tx_ns, side="left")
    overtaken = lag > 0
    return ReorderTest(
        reordered=int(overtaken.sum()),
        total=len(numbers),
        outside=int((overtaken & ~near).sum()),
        beyond=int((near & (lag > bound)).sum()),
        bound=bound,
        largest=int(lag.max(initial=0)),
    )
