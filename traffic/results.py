"""What a flow experienced, from the times at which its packets left and arrived.

Definitions: one-way delay RFC 7679, loss RFC 7680, delay variation RFC 3393 (between consecutive packets), reordering
RFC 4737, duplication RFC 5560. Percentiles are over the packets received; lost ones are counted apart and not, as
RFC 7679 allows, taken as infinite. A packet counts as received if it was delivered: GENUINE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traffic.records import NOT_RECEIVED, PACKET_DTYPE
from traffic.verdicts import Verdict

GAP_NS: Final = 200_000_000
"""Assumption: a silence of more than 200 ms between arrivals is heard as a break in speech."""
UNSTAMPED: Final = -1
"""In a column of times: the kernel gave no stamp."""

_NS_PER_MS: Final = 1e6


@dataclass(frozen=True)
class FlowResult:
    """The measures of one flow; percentiles in ms, None where nothing was measured."""

    sent: int
    received: int
    lost: int
    duplicated: int  # authentic copies beyond the first, delivered or (as it should be) not
    reordered: int
    one_way_delay_ms: dict[str, float | None]
    ipdv_ms: dict[str, float | None]  # of the absolute differences
    gaps_over_200ms: int


def percentiles_ms(values_ns: NDArray[np.int64], points: Sequence[int]) -> dict[str, float | None]:
    """{"p50": …} of values in ns, in ms; None without values. Linear between the order statistics."""
    if len(values_ns) == 0:
        return {f"p{point}": None for point in points}
    values = np.percentile(values_ns, points) / _NS_PER_MS
    return {f"p{point}": round(float(value), 6) for point, value in zip(points, values, strict=True)}


def packet_rows(flow: int, tx_ns: NDArray[np.int64], arrivals: NDArray[np.int64]) -> NDArray[np.void]:
    """The rows of one flow, shape (n,), dtype PACKET_DTYPE: all packets sent by number, then further copies.

    `tx_ns`: shape (sent,), schedule time of each packet, UNSTAMPED where unknown. `arrivals`: shape (n_arrivals, 3),
    columns number, schedule time of arrival (UNSTAMPED where unknown), verdict; in the order of judgement.
    """
    numbers = arrivals[:, 0]
    _, first = np.unique(numbers, return_index=True)
    copies = np.setdiff1d(np.arange(len(arrivals)), first)
    rows = np.zeros(len(tx_ns) + len(copies), PACKET_DTYPE)
    rows["flow"] = flow
    rows["sequence"] = np.r_[np.arange(len(tx_ns)), numbers[copies]]
    rows["tx_ns"] = tx_ns[rows["sequence"]]
    rows["delay_ns"] = -1
    rows["verdict"] = NOT_RECEIVED
    arrived = np.r_[numbers[first], np.arange(len(tx_ns), len(rows))]
    order = np.r_[first, copies]
    rows["verdict"][arrived] = arrivals[order, 2]
    rx_ns = arrivals[order, 1]
    stamped = (rx_ns != UNSTAMPED) & (rows["tx_ns"][arrived] != UNSTAMPED)
    rows["delay_ns"][arrived] = np.where(stamped, rx_ns - rows["tx_ns"][arrived], -1)
    return rows


def reordered(numbers: NDArray[np.int64]) -> int:
    """How many of the packet numbers, in order of arrival, lie below the next expected one (RFC 4737, 3.3)."""
    if len(numbers) == 0:
        return 0
    return int(np.count_nonzero(numbers < np.maximum.accumulate(numbers)))


def measure(sent: int, rows: NDArray[np.void]) -> FlowResult:
    """The measures of one flow from its `packet_rows`."""
    genuine = rows[rows["verdict"] == Verdict.GENUINE]
    delivered = np.unique(genuine["sequence"]).size
    timed = np.sort(genuine[(genuine["delay_ns"] >= 0) & (genuine["tx_ns"] != UNSTAMPED)], order="sequence")
    arrival_ns = timed["tx_ns"] + timed["delay_ns"]
    order = np.argsort(arrival_ns, kind="stable")
    consecutive = np.diff(timed["sequence"]) == 1
    variation = np.abs(np.diff(timed["delay_ns"]))[consecutive]
    return FlowResult(
        sent=sent,
        received=delivered,
        lost=sent - delivered,
        duplicated=len(rows) - sent,
        reordered=reordered(timed["sequence"][order]),
        one_way_delay_ms=percentiles_ms(timed["delay_ns"], (50, 95, 99)),
        ipdv_ms=percentiles_ms(variation, (50, 99)),
        gaps_over_200ms=int(np.count_nonzero(np.diff(arrival_ns[order]) > GAP_NS)),
    )


def as_json(result: FlowResult) -> dict[str, Any]:
    """The measures as JSON types, in the order of the fields."""
    return dict(vars(result))
