"""Which system carried what, how soon traffic left a broken path and came back, and what that cost each flow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from testbed.plan.chosen import Chosen, Move, moves
from testbed.plan.model import Plan
from testbed.report.evidence import Evidence


def findings(plan: Plan, chosen: Chosen) -> tuple[list[str], str]:
    """(a line for each move that took longer than promised or did not come, what was found in all)."""
    asked = moves(plan, chosen)
    reasons = [_late(move) for move in asked if not move.kept]
    told = []
    for kind in ("failover", "return"):
        mine = [move for move in asked if move.kind == kind]
        took = [move.took_ns / 1e6 for move in mine if move.took_ns is not None]
        slowest = f", the slowest after {max(took):,.0f} ms" if took else ""
        told.append(f"{sum(move.kept for move in mine)} of {len(mine)} {kind}s in time{slowest}")
    return reasons, "; ".join(told)


def summary(evidence: Evidence, flows: list[dict[str, Any]]) -> dict[str, Any]:
    """For report.json: the systems, what was promised, each move, which system carried when, and each flow's loss."""
    chosen, plan = evidence.chosen, evidence.plan
    assert chosen is not None
    pairs = dict.fromkeys((path[0].nodes[0], path[0].nodes[-1]) for path in plan.paths)
    return {
        "systems": list(chosen.systems),
        "terms": asdict(chosen.terms),
        "mptcp": chosen.mptcp,
        "stalls": chosen.stalls,
        "moves": [
            {
                "kind": move.kind,
                "from": move.host,
                "to": move.peer,
                "left": move.before,
                "taken": move.after,
                "at_s": move.since_ns / 1e9,
                "took_ms": None if move.took_ns is None else move.took_ns / 1e6,
                "promised_ms": move.bound_ns / 1e6,
                "kept": move.kept,
            }
            for move in moves(plan, chosen)
        ],
        "in_force": [
            {"from": host, "to": peer, "ways": [[time_ns / 1e9, system] for time_ns, system in rows]}
            for host, peer in pairs
            for rows in [chosen.in_force(host, peer)]
        ],
        "flows": [
            {
                "name": flow["name"],
                "lost": flow["lost"],
                "second_copies_removed": flow["integrity"]["counts"].get("SECOND_COPY", 0),
            }
            for flow in flows
        ],
    }


def told(selection: dict[str, Any]) -> list[str]:
    """The summary in lines for a person; every single move stands in report.json."""
    terms, moved = selection["terms"], selection["moves"]
    held_up = f"; the run itself was held up {selection['stalls']:,} times" if selection["stalls"] else ""
    lines = [
        f"asked every {terms['hello_ms']} ms, left after {terms['misses']} misses, trusted again after "
        f"{terms['restore_ms'] / 1e3:g} s{held_up}"
    ]
    for row in selection["in_force"]:
        ways = ", ".join(f"{system} from {time_s:.2f} s" for time_s, system in row["ways"])
        lines.append(f"{row['from']} → {row['to']}: {ways}")
    for kind in ("failover", "return"):
        took = [
            f"{move['from']} → {move['to']} {'never' if move['took_ms'] is None else format(move['took_ms'], ',.0f')}"
            f" of {move['promised_ms']:,.0f}"
            for move in moved
            if move["kind"] == kind
        ]
        if took:
            lines.append(f"{kind}, ms taken of ms promised: {', '.join(took)}")
    lost = [f"{flow['name']} {flow['lost']:,}" for flow in selection["flows"] if flow["lost"]]
    removed = sum(flow["second_copies_removed"] for flow in selection["flows"])
    mptcp = f"net.mptcp.enabled is {selection['mptcp']}" if selection["mptcp"] else "not in this kernel"
    lines.append(f"lost: {', '.join(lost) or 'nothing'}; second copies removed: {removed:,}; Multipath TCP: {mptcp}")
    return lines


def _late(move: Move) -> str:
    ends, promised = f"{move.host}→{move.peer}", f"{move.bound_ns / 1e6:,.0f} ms were promised"
    if move.kind == "failover":
        what = f"{ends} stayed on {move.before}, which broke at {move.since_ns / 1e9:.3f} s"
    else:
        what = f"{ends} stayed on {move.before} though {move.after} was mended at {move.since_ns / 1e9:.3f} s"
    if move.took_ns is None:
        return f"failover: {what}, to the end: {promised}"
    return f"failover: {what}, for {move.took_ns / 1e6:,.0f} ms: {promised}"
