"""Exact confidence intervals, for whoever reads results: not for the runner, since it needs SciPy.

Both hold for independent trials. Packets that follow each other share queues and losses: the intervals are then too
narrow, and say only what so many independent packets would (docs/measures.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

CONFIDENCE: Final = 0.95


def proportion(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Clopper-Pearson interval of a probability of which `count` of `of` trials came true; None without trials.

    Two-sided; at 0 and at `of` the one side is 0 or 1 (Clopper and Pearson, Biometrika 26, 1934).
    """
    if not of:
        return None
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return low, high


def quantile_ranks(size: int, share: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Ranks, from 1, of the order statistics between which the quantile lies with at least this confidence.

    Exact for every distribution (David and Nagaraja, Order Statistics, 7.1). Rank 0 and rank `size` + 1 stand for
    minus and plus infinity: so few values bound the quantile on one side only.
    """
    tail = (1 - confidence) / 2
    return int(binom.ppf(tail, size, share)), int(binom.ppf(1 - tail, size, share)) + 1


def quantile_interval(
    values: NDArray[np.int64], share: float, confidence: float = CONFIDENCE
) -> tuple[int | None, int | None]:
    """The interval of a quantile of sorted `values`, shape (n,); None on a side without bound."""
    size = len(values)
    if not size:
        return None, None
    low, high = quantile_ranks(size, share, confidence)
    return (int(values[low - 1]) if low >= 1 else None), (int(values[high - 1]) if high <= size else None)
