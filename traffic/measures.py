"""Everything that the standards define about one flow, from its rows of flows.npy (docs/measures.md).

Quantiles are order statistics, without interpolation (RFC 2330, 11.3): the smallest value that at least the share p of
the values does not exceed. A packet counts as received if it was delivered (GENUINE) within the waiting time; one that
came later is lost and also `late`. Times are schedule times in ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traffic.records import NOT_RECEIVED
from traffic.results import GAP_NS, UNSTAMPED
from traffic.verdicts import Verdict

DELAY_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
VARIATION_QUANTILES: Final = (0.5, 0.95, 0.99, 0.999)
NOTICEABLE_DISTANCE: Final = 99
"""Packets; RFC 3357 (5.5.1) leaves δ to the user. With it a loss counts as noticeable if another came less than 1 % of
the packets apart."""

Numbers = NDArray[np.int64]

_NS_PER_MS: Final = 1e6
_NS_PER_S: Final = 1e9


def quantile(values: Numbers, share: float) -> int:
    """The order statistic of rank ⌈share · n⌉ of sorted `values`, shape (n,), n > 0 (RFC 2330, 11.3)."""
    rank = max(int(np.ceil(round(share * len(values), 9))), 1)
    return int(values[rank - 1])


def named_quantiles(values: Numbers, shares: tuple[float, ...]) -> dict[str, float | None]:
    """{"min", "p50" …, "max"} in ms of values in ns; None without values."""
    names = ["min", *(f"p{100 * share:g}" for share in shares), "max"]
    if not len(values):
        return dict.fromkeys(names)
    ordered = np.sort(values)
    figures = [int(ordered[0]), *(quantile(ordered, share) for share in shares), int(ordered[-1])]
    return {name: round(figure / _NS_PER_MS, 6) for name, figure in zip(names, figures, strict=True)}


def with_lost_as_infinite(delays: Numbers, sent: int, shares: tuple[float, ...]) -> dict[str, float | None]:
    """Quantiles in ms over all packets sent, a lost one taking forever (RFC 7679, 5.1); None: infinite."""
    ordered = np.sort(delays)
    found: dict[str, float | None] = {}
    for share in shares:
        rank = max(int(np.ceil(round(share * sent, 9))), 1)
        name = f"p{100 * share:g}"
        found[name] = round(int(ordered[rank - 1]) / _NS_PER_MS, 6) if rank <= len(ordered) else None
    return found


@dataclass(frozen=True)
class LossPattern:
    """Loss patterns of RFC 3357, over packets in the order of sending."""

    periods: tuple[int, ...]  # length of each loss period, packets (5.5.3)
    between: tuple[int, ...]  # from the end of one to the begin of the next, as loss distance (5.5.4)
    distances: tuple[int, ...]  # of each loss but the first to the one before (5.4.1)


def loss_pattern(lost: Numbers) -> LossPattern:
    """The pattern of sorted sequence numbers that were lost, shape (n_lost,)."""
    distances = np.diff(lost)
    ends = np.flatnonzero(distances > 1)
    bounds = np.r_[-1, ends, len(lost) - 1]
    return LossPattern(
        periods=tuple(np.diff(bounds).tolist()) if len(lost) else (),
        between=tuple(distances[ends].tolist()),
        distances=tuple(distances.tolist()),
    )


@dataclass(frozen=True)
class Reordering:
    """Reordering of RFC 4737, one entry per reordered packet in the order of arrival."""

    positions: Numbers  # index in the order of arrival
    extents: Numbers  # packets (4.2.2): back to the earliest that should have come later
    late_ns: Numbers  # (4.3)
    degrees: Numbers  # the largest n for which it is n-reordered (5.3)


def reordering(numbers: Numbers, arrival_ns: Numbers) -> Reordering:
    """`numbers`, `arrival_ns`: shape (n,), in the order of arrival, each number once."""
    highest = np.maximum.accumulate(numbers) if len(numbers) else numbers
    positions = np.flatnonzero(numbers < highest)
    first = np.searchsorted(highest, numbers[positions], side="right")  # the earliest above it
    degrees = np.zeros(len(positions), np.int64)
    for place, position in enumerate(positions.tolist()):
        before = position - 1
        while before >= 0 and numbers[before] > numbers[position]:
            before -= 1
        degrees[place] = position - 1 - before
    return Reordering(positions, positions - first, arrival_ns[positions] - arrival_ns[first], degrees)


def rtp_jitter_ns(arrival_ns: Numbers, media_ns: Numbers) -> NDArray[np.float64]:
    """Interarrival jitter of RFC 3550 (6.4.1, A.8) after each packet but the first, ns, shape (n - 1,).

    In the order of arrival. `media_ns`: what the RTP timestamps say.
    """
    jitter, estimates = 0.0, []
    for difference in np.abs(np.diff(arrival_ns - media_ns)).tolist():
        jitter += (difference - jitter) / 16
        estimates.append(jitter)
    return np.array(estimates, np.float64)


def gaps_ns(arrival_ns: Numbers) -> Numbers:
    """Silences longer than GAP_NS between arrivals in their order."""
    ordered = np.sort(arrival_ns)
    silences = ordered[1:] - ordered[:-1]
    return silences[silences > GAP_NS]


def measure_all(
    rows: NDArray[np.void],
    sent: int,
    *,
    rate_pps: float | None = None,
    waiting_ns: int | None = None,
    absolute: bool = True,
) -> dict[str, Any]:
    """The measures of one flow, as JSON types; keys in docs/measures.md.

    `rows`: PACKET_DTYPE, shape (n,). `rate_pps`: declared, as the RTP timestamps have it; without it jitter is over the
    times of sending. `waiting_ns`: a packet that took longer is lost; None: all that came count. `absolute`: False
    where both ends have unlike clocks, which leaves the variation.
    """
    delivered = rows[rows["verdict"] == Verdict.GENUINE]
    late = np.zeros(len(delivered), bool) if waiting_ns is None else delivered["delay_ns"] > waiting_ns
    in_time = np.sort(delivered[~late], order="sequence")
    timed = in_time[(in_time["delay_ns"] >= 0) & (in_time["tx_ns"] != UNSTAMPED)]
    delays, numbers = timed["delay_ns"], timed["sequence"]
    arrivals = timed["tx_ns"] + delays
    order = np.lexsort((numbers, arrivals))
    media = timed["tx_ns"] if rate_pps is None else np.rint(numbers * (_NS_PER_S / rate_pps)).astype(np.int64)
    variation = np.diff(delays)[np.diff(numbers) == 1]
    lost = np.setdiff1d(rows["sequence"], in_time["sequence"])
    refused = int(np.count_nonzero(rows["verdict"] == Verdict.LATE_OUTSIDE_WINDOW))
    document = {
        "one_way_delay_ms": named_quantiles(delays, DELAY_QUANTILES) if absolute else None,
        "one_way_delay_lost_infinite_ms": with_lost_as_infinite(delays, sent, DELAY_QUANTILES) if absolute else None,
        "loss": _loss(lost, sent, int(late.sum()), refused),
        "ipdv_ms": named_quantiles(variation, VARIATION_QUANTILES),
        "ipdv_absolute_ms": named_quantiles(np.abs(variation), VARIATION_QUANTILES),
        "pdv_ms": named_quantiles(delays - delays.min() if len(delays) else delays, VARIATION_QUANTILES),
        "rtp_jitter_ms": _jitter(rtp_jitter_ns(arrivals[order], media[order])),
        "reordering": _reordering(reordering(numbers[order], arrivals[order]), len(timed)),
        "duplication": _duplication(rows),
    }
    return document | {"gaps": _gaps(gaps_ns(arrivals))}


def _loss(lost: Numbers, sent: int, late: int, refused: int) -> dict[str, Any]:
    pattern = loss_pattern(lost)
    noticeable = sum(distance <= NOTICEABLE_DISTANCE for distance in pattern.distances)
    return {
        "sent": sent,
        "lost": len(lost),
        "ratio": len(lost) / sent if sent else None,
        "late": late,
        "refused_by_window": refused,
        "periods": len(pattern.periods),
        "period_longest": max(pattern.periods, default=0),
        "period_mean": len(lost) / len(pattern.periods) if pattern.periods else None,
        "between_periods_shortest": min(pattern.between, default=None),
        "noticeable_rate": noticeable / len(lost) if len(lost) else None,
    }


def _jitter(estimates: NDArray[np.float64]) -> dict[str, float | None]:
    if not len(estimates):
        return dict.fromkeys(("mean", "max", "last"))
    figures = {"mean": estimates.mean(), "max": estimates.max(), "last": estimates[-1]}
    return {name: round(float(figure) / _NS_PER_MS, 6) for name, figure in figures.items()}


def _reordering(found: Reordering, received: int) -> dict[str, Any]:
    count = len(found.positions)
    return {
        "reordered": count,
        "ratio": count / received if received else None,
        "extent_max": int(found.extents.max()) if count else 0,
        "late_ms_max": round(int(found.late_ns.max()) / _NS_PER_MS, 6) if count else None,
        "n_reordering": {
            str(n): int(np.count_nonzero(found.degrees >= n)) for n in range(1, 4) if (found.degrees >= n).any()
        },
        "n_max": int(found.degrees.max()) if count else 0,
    }


def _duplication(rows: NDArray[np.void]) -> dict[str, Any]:
    arrived = rows["sequence"][rows["verdict"] != NOT_RECEIVED]
    _, copies = np.unique(arrived, return_counts=True)
    unique = len(copies)
    return {
        "copies": len(arrived) - unique,
        "fraction": (len(arrived) - unique) / unique if unique else None,
        "replicated_rate": int(np.count_nonzero(copies > 1)) / unique if unique else None,
    }


def _gaps(silences: Numbers) -> dict[str, Any]:
    longest = round(int(silences.max()) / _NS_PER_MS, 6) if len(silences) else None
    total = round(int(silences.sum()) / _NS_PER_MS, 6)
    return {"over_ms": GAP_NS / _NS_PER_MS, "count": len(silences), "longest_ms": longest, "total_ms": total}
