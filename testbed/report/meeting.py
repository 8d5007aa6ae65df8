"""What it costs that two sites meet over a hub: their flows' delay as measured, beside both ways as planned."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from testbed.plan.expected import pair_path, path_delay_ns
from testbed.plan.model import PathStep, Plan

_SAMPLES: Final = 200  # instants, evenly over the plan


def meetings(plan: Plan, flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each flow between two users: {"flow", "from", "to", "via", "measured_p50_ms", "planned_via_hub_ms",
    "planned_direct_ms"}. Planned: the median over the plan of the links' delays; None where no path tells.

    Directly: up to the PoP and down from there, as without a NAT.
    """
    users = {lan.host for lan in plan.lans if plan.node(lan.router).role == "terminal"}
    found = []
    for flow in flows:
        if not {flow["src"], flow["dst"]} <= users:
            continue
        hub, direct = _planned_ms(plan, flow["src"], flow["dst"])
        found.append(
            {
                "flow": flow["name"],
                "from": flow["src"],
                "to": flow["dst"],
                "via": flow.get("via", []),
                "measured_p50_ms": flow["one_way_delay_ms"]["p50"],
                "planned_via_hub_ms": hub,
                "planned_direct_ms": direct,
            }
        )
    return found


def _planned_ms(plan: Plan, source: str, destination: str) -> tuple[float | None, float | None]:
    """(by way of a host that both have an audited path with, up to the PoP and down again)."""
    for node in plan.nodes:
        up, down = pair_path(plan, source, node.name), pair_path(plan, node.name, destination)
        if up is not None and down is not None:
            return _median_ms(plan, up, down), _median_ms(plan, *_turning(plan, up, down))
    return None, None


def _turning(
    plan: Plan, up: tuple[PathStep, ...], down: tuple[PathStep, ...]
) -> tuple[tuple[PathStep, ...], tuple[PathStep, ...]]:
    """Both ways, cut at the PoP."""

    def cut(step: PathStep, *, upwards: bool) -> PathStep:
        place = next(number for number, name in enumerate(step.nodes) if plan.node(name).role == "pop")
        return PathStep(step.time_ns, step.nodes[: place + 1] if upwards else step.nodes[place:])

    return tuple(cut(step, upwards=True) for step in up), tuple(cut(step, upwards=False) for step in down)


def _median_ms(plan: Plan, up: tuple[PathStep, ...], down: tuple[PathStep, ...]) -> float | None:
    sent = np.linspace(0, plan.duration_ns, _SAMPLES, endpoint=False).astype(np.int64)
    risen = path_delay_ns(plan, up, sent)
    sent, risen = sent[~np.isnan(risen)], risen[~np.isnan(risen)]
    total = risen + path_delay_ns(plan, down, sent + risen.astype(np.int64))
    return round(float(np.nanmedian(total)) / 1e6, 3) if np.any(~np.isnan(total)) else None


def sentence(row: dict[str, Any]) -> str:
    """The row in words."""
    told = f"{row['from']} → {row['to']}: "
    hub, direct = row["planned_via_hub_ms"], row["planned_direct_ms"]
    if row["measured_p50_ms"] is not None:
        told += f"{row['measured_p50_ms']:.1f} ms measured (p50), "
    if hub is None or direct is None:
        return told + "no planned way to compare with"
    if row["via"]:
        return told + (
            f"through {', '.join(row['via'])}, which decrypts and encrypts again; planned {hub:.1f} ms that way, "
            f"{direct:.1f} ms directly: the NAT costs {hub - direct:.1f} ms"
        )
    return told + f"directly; planned {direct:.1f} ms, over a hub {hub:.1f} ms"
