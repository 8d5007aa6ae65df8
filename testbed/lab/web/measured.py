"""What was measured in a run that has ended, as the page shows it: probes beside the plan, flows, the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.lab.web.scene import rounded
from testbed.plan.faults import LOG
from testbed.plan.model import Plan

MOST_PROBES: Final = 4_000
"""Of each path; of more every k-th is shown."""


def measured(plan: Plan, folder: Path) -> dict[str, Any]:
    """Probes of every path, the faults, and the report; parts that the run has not left are empty."""
    return {"probes": _probes(plan, folder), "faults": faults(folder), "report": report(folder)}


def _probes(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Of each path: when sent (s), measured and planned one-way delay (ms); None: lost, or planned to be."""
    try:
        samples = np.load(folder / "samples.npy")
    except FileNotFoundError:
        return []
    shown = []
    for number in range(len(plan.paths)):
        mine = samples[samples["path"] & (samples["index"] == number)]
        mine = mine[:: max(1, -(-len(mine) // MOST_PROBES))]
        delay_ms = np.where(mine["delay_ns"] >= 0, mine["delay_ns"] / 1e6, np.nan)
        planned_ms = np.where(mine["planned_ns"] > 0, mine["planned_ns"] / 1e6, np.nan)
        shown.append(
            {"t": (mine["tx_ns"] / 1e9).round(3).tolist(), "ms": rounded(delay_ms), "planned": rounded(planned_ms)}
        )
    return shown


def faults(folder: Path) -> list[dict[str, Any]]:
    """The lines of the faults' log."""
    try:
        return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    except FileNotFoundError:
        return []


def report(folder: Path) -> dict[str, Any] | None:
    """Of the report: verdict, reasons, checks, flows and the audit's figures; None before there is one."""
    try:
        whole = json.loads((folder / "report.json").read_text())
    except FileNotFoundError:
        return None
    kept = ("name", "kind", "sent", "received", "lost", "one_way_delay_ms")
    return {
        "verdict": whole["verdict"],
        "reasons": whole["reasons"],
        "checks": whole["checks"],
        "audit": whole["audit"]["one_way_delay_error_us"] if whole.get("audit") else None,
        "flows": [
            {name: flow.get(name) for name in kept} | {"integrity": (flow.get("integrity") or {}).get("verdict")}
            for flow in whole["flows"]
        ],
    }
