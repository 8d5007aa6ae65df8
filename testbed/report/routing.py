"""What routing daemons did in a run: how long after each change of the links their routes had settled, and what the
domains learned of each other."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

from testbed.plan.faults import LATE_NS
from testbed.plan.model import Plan
from testbed.plan.observed import Reroute, reroutes


def summarise(plan: Plan, told: dict[str, Any]) -> dict[str, Any]:
    """The report's "routing", from what the run directory holds (`plan.observed.ROUTING`).

    A notice of a route belongs to the last change of the links before it. Times are known to "resolution_ms".
    """
    moments = _moments(plan)
    times = [time_ns for time_ns, _ in moments]
    notices: list[list[tuple[int, int]]] = [[] for _ in moments]
    for time_ns, count in told["changes"]:
        if place := bisect_right(times, time_ns):
            notices[place - 1].append((time_ns, count))
    all_reroutes = [reroutes(plan, seen) for seen in told["ways"]]
    without = [[0] * len(moments) for _ in all_reroutes]
    for path, found in enumerate(all_reroutes):
        for reroute in found:
            if place := bisect_right(times, reroute.broken_ns):
                without[path][place - 1] += reroute.without_ns
    changes: list[dict[str, Any]] = [
        {
            "time_s": time_ns / 1e9,
            "what": what,
            "routes": sum(count for _, count in mine),
            "settled_ms": (mine[-1][0] - time_ns) / 1e6 if mine else None,
            "without_way_ms": max((path[place] for path in without), default=0) / 1e6,
        }
        for place, ((time_ns, what), mine) in enumerate(zip(moments, notices, strict=True))
    ]
    return {
        "by": "frr",
        "routers": told["routers"],
        "daemons": told["daemons"],
        "memory_mb": round(told["memory_bytes"] / 1e6),
        "started_s": told["started_s"],
        "settled_s": told["settled_s"],
        "resolution_ms": told["resolution_ns"] / 1e6,
        "changes": changes,
        "settled_ms": _quantiles([change["settled_ms"] for change in changes if change["settled_ms"] is not None]),
        "paths": [_path(seen, found) for seen, found in zip(told["ways"], all_reroutes, strict=True)],
        "domains": [edge | {"leaked": leaked(edge)} for edge in told.get("edges", ())],
    }


def leaked(edge: dict[str, Any]) -> list[str]:
    """What an edge learned by BGP though nobody was to announce it; `edge`: an entry in the run directory's "edges"."""
    return sorted(set(edge["learned"]) - set(edge["expected"]))


def _moments(plan: Plan) -> list[tuple[int, str]]:
    """When links come and go, by the plan and by faults, and which; those of one instant together."""
    found: dict[int, list[str]] = {}
    for number, link in enumerate(plan.links):
        if link.a > link.b:
            continue  # of both directions one
        steps = plan.link_steps(number)
        for place in np.flatnonzero(np.diff(steps["up"].astype(np.int8))) + 1:
            word = "comes" if steps["up"][place] else "goes"
            found.setdefault(int(steps["time_ns"][place]), []).append(f"{link.a} – {link.b} {word}")
    for event in plan.events:
        if event.kind not in ("handover", "outage", "reroute"):
            end_ns = event.time_ns + event.window_ns - LATE_NS  # a fault's window is wider by this on both sides
            found.setdefault(event.time_ns + LATE_NS, []).append(f"{event.kind} at {event.node}: {event.cause}")
            found.setdefault(end_ns, []).append(f"end of {event.kind} at {event.node}")
    return [(time_ns, ", ".join(what)) for time_ns, what in sorted(found.items())]


def _path(seen: list[dict[str, Any]], found: list[Reroute]) -> dict[str, Any]:
    first = seen[0]["nodes"]
    return {
        "from": first[0],
        "to": first[-1],
        "reroutes": len(found),
        "without_way_s": sum(reroute.without_ns for reroute in found) / 1e9,
    }


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, most = np.percentile(values, [50, 100])
    return {"p50": float(p50), "max": float(most)}
