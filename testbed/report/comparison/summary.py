"""What a comparison keeps of one run: figures that mean the same over every system."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.report.evidence import GENUINE, Evidence, read_evidence

POINTS: Final = tuple(range(101))
"""Percentiles of delay that are kept of each flow."""

BIN_NS: Final = 1_000_000_000
"""Assumption: availability is judged second by second,"""
SERVED: Final = 0.9
"""and a second counts in which this share of the packets sent in it was delivered."""

NOTICED_NS: Final = 200_000_000
"""Assumption: a gap that is shorter is no interruption, as for the gaps in a call."""

FAULTS: Final = ("outage", "gateway", "pop", "fault", "cut", "jam", "denial", "loss")
"""Kinds of events after which recovery is measured."""


def summarise(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """The summary of the run in `folder`, of which `report` was made. JSON types only."""
    evidence = read_evidence(folder)
    manifest = report["manifest"]
    return {
        "verdict": report["verdict"],
        "reasons": report["reasons"][:5],
        "failed_checks": [check["name"] for check in report["checks"] if not check["passed"]],
        "title": manifest.get("title", ""),
        "parameters": manifest.get("parameters", {}),
        "assumptions": report["assumptions"],
        "sovereignty": manifest.get("sovereignty"),
        "start": report["start"],
        "duration_s": report["duration_s"],
        "where": report["where"],
        "audit_us": (report["audit"] or {}).get("one_way_delay_error_us"),
        "round_trips": _round_trips(report),
        "flows": [_flow(evidence, number, row) for number, row in enumerate(report["flows"])],
        "internet": report.get("internet"),
        "acts": None if evidence.acts is None else len(evidence.acts),
        "alarms": report["alarm_count"],
        "recoveries": list(_recoveries(evidence, report)),
    }


def _round_trips(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The audit's medians there and back, of each pair that is audited both ways; of several systems the first."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in (report["audit"] or {}).get("paths", ()):
        rows.setdefault((row["from"], row["to"]), row)
    found: list[dict[str, Any]] = []
    for (a, b), there in rows.items():
        back = rows.get((b, a))
        if back is None or (b, a) in [(one["a"], one["b"]) for one in found]:
            continue
        both = {
            name: None
            if None in (there[f"{name}_p50_ms"], back[f"{name}_p50_ms"])
            else there[f"{name}_p50_ms"] + back[f"{name}_p50_ms"]
            for name in ("planned", "measured")
        }
        found.append({"a": a, "b": b, "planned_ms": both["planned"], "measured_ms": both["measured"]})
    return found


def _flow(evidence: Evidence, number: int, row: dict[str, Any]) -> dict[str, Any]:
    packets = evidence.packets[evidence.packets["flow"] == number]
    first = first_copies(packets)
    came = first[first["delay_ns"] >= 0]
    delays_ms: list[float] = np.percentile(came["delay_ns"] / 1e6, POINTS).tolist() if len(came) else []
    kept = ("name", "kind", "src", "dst", "sent", "received", "lost", "reordered")
    return {
        **{name: row[name] for name in kept},
        "delay_ms": [round(value, 4) for value in delays_ms],
        "available": availability(first),
        "integrity": row["integrity"],
        **{name: row[name] for name in ("call", "deadlines", "delivery") if name in row},
    }


def first_copies(packets: NDArray[np.void]) -> NDArray[np.void]:
    """One row for each packet sent that has a stamp: its first copy delivered, else the row that says it was lost;
    by number. `delay_ns` is negative where it was lost."""
    stamped = packets[packets["tx_ns"] >= 0]
    delivered = (stamped["verdict"] == GENUINE) & (stamped["delay_ns"] >= 0)
    order = np.lexsort((~delivered, stamped["sequence"]))
    rows = stamped[order]
    _, first = np.unique(rows["sequence"], return_index=True)
    kept: NDArray[np.void] = rows[first].copy()
    kept["delay_ns"][~delivered[order][first]] = -1
    return kept


def availability(packets: NDArray[np.void]) -> float | None:
    """Share of the seconds with traffic in which SERVED of the packets sent came; `packets` as `first_copies` gives."""
    if not len(packets):
        return None
    second = packets["tx_ns"] // BIN_NS
    second -= second.min()
    sent = np.bincount(second)
    came = np.bincount(second[packets["delay_ns"] >= 0], minlength=len(sent))
    return float(np.mean(came[sent > 0] >= SERVED * sent[sent > 0]))


def _recoveries(evidence: Evidence, report: dict[str, Any]) -> Any:
    """How long each flow stood still after each fault, planned or thrown in: {"at_s", "what", "flow", "still_s"}."""
    faults = [event for event in evidence.plan.events if event.kind in FAULTS]
    for number, row in enumerate(report["flows"]):
        first = first_copies(evidence.packets[evidence.packets["flow"] == number])
        for at_ns in sorted({event.time_ns for event in faults}):
            still_ns = standstill_ns(first, at_ns)
            if still_ns is not None and still_ns >= NOTICED_NS:
                named = sorted({f"{event.kind} {event.node}" for event in faults if event.time_ns == at_ns})
                yield {
                    "at_s": at_ns / 1e9,
                    "what": ", ".join(named),
                    "flow": row["name"],
                    "still_s": None if np.isinf(still_ns) else round(still_ns / 1e9, 3),
                }


def standstill_ns(packets: NDArray[np.void], at_ns: int) -> float | None:
    """How long a flow's packets were lost from a fault on: from the sending of the first lost to that of the next that
    came; infinite if none came again, None if none was lost within a second of the fault, or none sent.

    `packets`: as `first_copies` gives them.
    """
    lost = packets["delay_ns"] < 0
    begin = np.flatnonzero(lost & (packets["tx_ns"] >= at_ns - BIN_NS) & (packets["tx_ns"] < at_ns + BIN_NS))
    if not len(begin):
        return None
    came = packets["tx_ns"][(~lost) & (packets["tx_ns"] > max(int(packets["tx_ns"][begin[0]]), at_ns))]
    return float(came[0] - packets["tx_ns"][begin[0]]) if len(came) else float("inf")
