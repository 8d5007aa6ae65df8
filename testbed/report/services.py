"""What each service got: a call's rating, a message's deadline, an alert's delivery; and whether that is acceptable.

Worked out on the host from the packets and the declarations in the plan. A check speaks only for a valid measurement,
as all others do; an unacceptable service fails the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from testbed.ground.units import format_utc
from testbed.plan.model import Plan
from testbed.report.checks import Check
from testbed.report.evidence import GENUINE, Evidence
from traffic.emodel import CODECS
from traffic.flows import DEADLINES
from traffic.jitterbuffer import FIXED_60, Buffer, judge_call
from traffic.messages import parts_of

DEFAULT_CODEC: Final = "g711-plc"
_NS_PER_S: Final = 1e9
_NS_PER_MS: Final = 1e6


class Packets(NamedTuple):
    """The packets of a flow by number, both of shape (sent,). `delay_ns`: -1 where it was not delivered."""

    tx_ns: NDArray[np.int64]
    delay_ns: NDArray[np.int64]


def with_services(evidence: Evidence, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The flows of a report, each with `call`, `deadlines` or `delivery` where its kind has them."""
    declared = {flow["name"]: flow for flow in evidence.plan.flows}
    return [row | _service(evidence, number, row, declared.get(row["name"], {})) for number, row in enumerate(rows)]


def service_checks(evidence: Evidence, rows: list[dict[str, Any]]) -> Iterator[Check]:
    """A check "service:<flow>" for each flow that declares what it must get; `rows` as `with_services` returns them."""
    flows, by_name = evidence.flows, {row["name"]: row for row in rows}
    for declared in evidence.plan.flows:
        accepted: Mapping[str, float] = declared.get("acceptance", {})
        name = f"service:{declared['name']}"
        if not accepted:
            continue
        if flows is None or not flows["valid"]:
            why = "the flows left no result" if flows is None else "the flow measurement is not valid"
            yield Check(name, False, f"not judged: {why}", judged=False)
        elif not (row := by_name.get(declared["name"], {})).get("sent"):
            yield Check(name, False, "nothing was sent", (f"service: flow {declared['name']}: nothing was sent",))
        else:
            yield _judged(name, row, accepted)


def _judged(name: str, row: dict[str, Any], accepted: Mapping[str, float]) -> Check:
    told, reasons = [], []
    for limit, value in accepted.items():
        what, found, least = _found(row, limit)
        word = "at least" if least else "at most"
        told.append(f"{what} {_figure(found)}, {word} {value:g}")
        if found is None or (found < value if least else found > value):
            reasons.append(
                f"service: flow {row['name']} ({row['src']}→{row['dst']}): {what} {_figure(found)}, accepted is {word} "
                f"{value:g}"
            )
    return Check(name, not reasons, "; ".join(told), tuple(reasons))


def _found(row: dict[str, Any], limit: str) -> tuple[str, float | None, bool]:
    """(what it is, its value or None if nothing was measured, whether it must be reached and not kept below)."""
    if limit == "loss_max":
        return "share lost", row["lost"] / row["sent"], False
    if limit in ("delay_p95_ms", "delay_p99_ms"):
        quantile = limit.split("_")[1]
        return f"delay {quantile} in ms", row["one_way_delay_ms"][quantile], False
    if limit == "mos_min":
        return "MOS", row.get("call", {}).get("MOS"), True
    if limit == "gaps_max":
        gaps = row["call"]["gaps"] if "call" in row else row["gaps_over_200ms"]
        return "gaps over 200 ms", gaps, False
    return "share within deadline", row.get("deadlines", {}).get("share"), True


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"


def _service(evidence: Evidence, number: int, row: dict[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """What the flow's kind adds to its row, the `number`th of the session's."""
    packets = packets_of(evidence.packets[evidence.packets["flow"] == number])
    if not len(packets.tx_ns):
        return {}
    if row["kind"] == "voice":
        return {"call": _call(evidence.plan, packets, row["rate_pps"], declared.get("codec", DEFAULT_CODEC))}
    if row["kind"] not in DEADLINES:
        return {}
    parts, deadline_ms = parts_of(row["kind"], declared.get("content", "")), declared.get("deadline_ms", 0)
    latency_ns = broadcast_latency_ns(packets, parts) if row["kind"] == "alert" else message_latency_ns(packets, parts)
    found = deadlines(latency_ns, deadline_ms)
    return (
        {"delivery": {"pages": parts, **found}, "deadlines": found} if row["kind"] == "alert" else {"deadlines": found}
    )


def _call(plan: Plan, packets: Packets, rate_pps: float, codec: str) -> dict[str, Any]:
    interval_ns = round(_NS_PER_S / rate_pps)
    work = (*packets, interval_ns, CODECS[codec])
    call = judge_call(*work, Buffer(), plan.start_ns, plan.speed)
    for slot in call["per_slot"]:
        slot["start"] = format_utc(slot.pop("start_ns"))
    fixed = judge_call(*work, FIXED_60, plan.start_ns, plan.speed)
    return call | {"fixed_60ms": {name: fixed[name] for name in ("R", "MOS", "loss_effective", "m2e_ms", "gaps")}}


def packets_of(rows: NDArray[np.void]) -> Packets:
    """The packets of a flow from its rows in flows.npy, the first copy delivered of each.

    A stamp that the kernel did not give is interpolated, and a delay without stamps is the median: the packet came.
    """
    count = int(rows["sequence"].max()) + 1 if len(rows) else 0
    tx_ns, delay_ns = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    stamped = rows[rows["tx_ns"] >= 0]
    tx_ns[stamped["sequence"]] = stamped["tx_ns"]
    known = np.flatnonzero(tx_ns >= 0)
    if not len(known):
        return Packets(np.zeros(0, np.int64), np.zeros(0, np.int64))
    tx_ns = np.interp(np.arange(count), known, tx_ns[known]).astype(np.int64)
    delivered = rows[rows["verdict"] == GENUINE]
    measured = delivered["delay_ns"][delivered["delay_ns"] >= 0]
    usual = int(np.median(measured)) if len(measured) else 0
    delay_ns[delivered["sequence"]] = np.where(delivered["delay_ns"] >= 0, delivered["delay_ns"], usual)
    return Packets(tx_ns, delay_ns)


def message_latency_ns(packets: Packets, parts: int) -> NDArray[np.float64]:
    """From the first part's sending to the last part's arrival, of each whole message sent; infinite if one is lost."""
    sent_ns, arrival_ns = _by_message(packets, parts)
    latency_ns: NDArray[np.float64] = arrival_ns.max(axis=1, initial=-np.inf) - sent_ns
    return latency_ns


def broadcast_latency_ns(packets: Packets, pages: int) -> NDArray[np.float64]:
    """From a broadcast's begin until a phone that begins to listen then has every page; infinite if it never has.

    A page that was missed comes again with the next broadcast.
    """
    sent_ns, arrival_ns = _by_message(packets, pages)
    earliest = np.minimum.accumulate(arrival_ns[::-1], axis=0)[::-1]
    latency_ns: NDArray[np.float64] = earliest.max(axis=1, initial=-np.inf) - sent_ns
    return latency_ns


def _by_message(packets: Packets, parts: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(sending of each first part, shape (n,); arrival of each part, infinite if lost, shape (n, parts))."""
    whole = len(packets.tx_ns) // parts
    tx_ns, delay_ns = (values[: whole * parts].reshape(whole, parts) for values in packets)
    return tx_ns[:, 0], np.where(delay_ns >= 0, tx_ns + delay_ns, np.inf)


def deadlines(latency_ns: NDArray[np.float64], deadline_ms: float) -> dict[str, Any]:
    """How many messages came, and when; `share`: of all sent, those within the deadline. None where there is none."""
    came = latency_ns[np.isfinite(latency_ns)]
    in_time = int(np.count_nonzero(latency_ns <= deadline_ms * _NS_PER_MS)) if deadline_ms else None
    points: dict[str, float | None] = dict.fromkeys(("p50", "p95", "p99", "max"))
    if len(came):
        found = np.percentile(came, [50, 95, 99, 100]) / _NS_PER_MS
        points = {name: round(float(value), 3) for name, value in zip(points, found, strict=True)}
    return {
        "messages": len(latency_ns),
        "delivered": len(came),
        "deadline_ms": deadline_ms or None,
        "within_deadline": in_time,
        "share": round(in_time / len(latency_ns), 6) if in_time is not None and len(latency_ns) else None,
        "time_ms": points,
    }
