"""What each flow experienced by the standards' measures: over the run, in each slot, and around each handover.

The definitions are in traffic.measures and docs/measures.md. A packet belongs to the slot in which it was sent.
Computed here, after the run, because the runner has better things to do.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS
from testbed.ground.units import format_utc
from testbed.plan.expected import pair_path, path_nodes
from testbed.plan.model import Event, Plan
from testbed.report.evidence import GENUINE, Evidence
from traffic.intervals import CONFIDENCE, proportion, quantile_interval
from traffic.measures import measure_all

AROUND_NS: Final = NS_PER_S
"""Before and after a handover: longer than its window and what queues behind it, shorter than a slot."""

_NS_PER_MS: Final = 1e6
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def measured_flows(evidence: Evidence) -> list[dict[str, Any]]:
    """The flows of flows.json, each with its "measures"; those without packets in flows.npy as they are."""
    flows = evidence.flows or {}
    waiting_s = flows.get("waiting_time_s")
    waiting_ns = None if waiting_s is None else round(waiting_s * NS_PER_S)
    return [
        flow | ({"measures": _measures(evidence.plan, flow, rows, waiting_ns)} if len(rows) else {})
        for flow, rows in (
            (flow, evidence.packets[evidence.packets["flow"] == index])
            for index, flow in enumerate(flows.get("flows", []))
        )
    ]


def _measures(plan: Plan, flow: dict[str, Any], packets: NDArray[np.void], waiting_ns: int | None) -> dict[str, Any]:
    part = _Part(packets, flow.get("rate_pps") or None, waiting_ns)
    document = measure_all(
        part.rows, len(np.unique(part.rows["sequence"])), rate_pps=part.rate_pps, waiting_ns=waiting_ns
    )
    delays = part.delays(part.rows)
    document["loss"]["ci95"] = proportion(document["loss"]["lost"], document["loss"]["sent"], CONFIDENCE)
    document["one_way_delay_ci95_ms"] = {name: _interval_ms(delays, share) for name, share in _QUANTILES.items()}
    document["waiting_time_s"] = None if waiting_ns is None else waiting_ns / NS_PER_S
    document["slots"] = [
        {"begin_utc": format_utc(begin_utc_ns), "begin_s": max(begin_ns, 0) / NS_PER_S}
        | part.brief(part.sent_within(begin_ns, end_ns))
        for begin_utc_ns, begin_ns, end_ns in slots(plan)
    ]
    handovers = handovers_of(plan, flow["src"], flow["dst"])
    document["handovers"] = [part.around(event) for event in handovers]
    return document


def slots(plan: Plan) -> list[tuple[int, int, int]]:
    """(begin in UTC ns, begin and end in schedule time ns) of each slot that the run touches: :12 :27 :42 :57."""
    first = (plan.start_ns - SLOT_PHASE_NS) // SLOT_NS * SLOT_NS + SLOT_PHASE_NS
    found = []
    while (begin_ns := round((first - plan.start_ns) / plan.speed)) < plan.duration_ns:
        found.append((first, begin_ns, round((first + SLOT_NS - plan.start_ns) / plan.speed)))
        first += SLOT_NS
    return found


def handovers_of(plan: Plan, source: str, destination: str) -> list[Event]:
    """The handovers of the terminals between two hosts; all of them where the plan does not follow that pair."""
    path = pair_path(plan, source, destination)
    crossed = None if path is None else path_nodes(path)
    return [event for event in plan.events if event.kind == "handover" and (crossed is None or event.node in crossed)]


def sent_times_ns(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Schedule time at which each row's packet was sent, shape (n,); between its neighbours' where it has no stamp."""
    stamped = np.sort(rows[rows["tx_ns"] >= 0], order="sequence")
    if not len(stamped):
        return np.full(len(rows), -1, np.int64)
    between = np.interp(rows["sequence"], stamped["sequence"], stamped["tx_ns"])
    return np.where(rows["tx_ns"] >= 0, rows["tx_ns"], between).astype(np.int64)


def _interval_ms(ordered: NDArray[np.int64], share: float) -> list[float | None]:
    return [None if bound is None else bound / _NS_PER_MS for bound in quantile_interval(ordered, share, CONFIDENCE)]


class _Part:
    """A flow's rows in the order of sending, of which parts are measured."""

    def __init__(self, packets: NDArray[np.void], rate_pps: float | None, waiting_ns: int | None) -> None:
        sent_ns = sent_times_ns(packets)
        order = np.argsort(sent_ns, kind="stable")
        self.rows, self._sent_ns = packets[order], sent_ns[order]
        self.rate_pps, self._waiting_ns = rate_pps, waiting_ns

    def sent_within(self, begin_ns: int, end_ns: int) -> NDArray[np.void]:
        """The rows of packets sent at or after the one time and before the other."""
        begin, end = np.searchsorted(self._sent_ns, (begin_ns, end_ns))
        return self.rows[begin:end]

    def delays(self, rows: NDArray[np.void]) -> NDArray[np.int64]:
        """One-way delays of what was delivered in time, sorted."""
        delays = np.sort(_timed(rows)["delay_ns"])
        return delays if self._waiting_ns is None else delays[delays <= self._waiting_ns]

    def brief(self, rows: NDArray[np.void]) -> dict[str, Any]:
        """A part of the flow in few figures."""
        sent = len(np.unique(rows["sequence"]))
        told = measure_all(rows, sent, rate_pps=self.rate_pps, waiting_ns=self._waiting_ns)
        delays = self.delays(rows)
        return {
            "sent": sent,
            "lost": told["loss"]["lost"],
            "loss_ci95": proportion(told["loss"]["lost"], sent, CONFIDENCE),
            "late": told["loss"]["late"],
            "one_way_delay_ms": {name: told["one_way_delay_ms"][name] for name in _QUANTILES},
            "one_way_delay_ci95_ms": {name: _interval_ms(delays, share) for name, share in _QUANTILES.items()},
            "pdv_p99_ms": told["pdv_ms"]["p99"],
            "rtp_jitter_max_ms": told["rtp_jitter_ms"]["max"],
            "reordered": told["reordering"]["reordered"],
            "extent_max": told["reordering"]["extent_max"],
            "copies": told["duplication"]["copies"],
            "gaps": told["gaps"]["count"],
        }

    def around(self, event: Event) -> dict[str, Any]:
        """Packets sent within AROUND_NS before a handover, and after it; the longest silence among all of them."""
        time_ns = event.time_ns
        timed = _timed(self.sent_within(time_ns - AROUND_NS, time_ns + AROUND_NS))
        arrivals = np.sort(timed["tx_ns"] + timed["delay_ns"])
        before = self.brief(self.sent_within(time_ns - AROUND_NS, time_ns))
        after = self.brief(self.sent_within(time_ns, time_ns + AROUND_NS))
        medians = [part["one_way_delay_ms"]["p50"] for part in (before, after)]
        return {
            "time_s": time_ns / NS_PER_S,
            "node": event.node,
            "from": event.detail.get("from"),
            "to": event.detail.get("to"),
            "window_ms": event.window_ns / _NS_PER_MS,
            "before": before,
            "after": after,
            "step_ms": None if None in medians else round(medians[1] - medians[0], 6),
            "silence_ms": float(np.diff(arrivals).max()) / _NS_PER_MS if len(arrivals) > 1 else None,
        }


def _timed(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Of delivered packets those with both stamps."""
    timed: NDArray[np.void] = rows[(rows["verdict"] == GENUINE) & (rows["delay_ns"] >= 0) & (rows["tx_ns"] >= 0)]
    return timed
