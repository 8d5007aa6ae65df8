"""The report as one page that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from testbed.report import meeting, plots
from testbed.report.evidence import Evidence
from testbed.report.exposure import matrix
from testbed.report.internet import rows as service_rows
from testbed.report.pages import fill
from testbed.report.selection import told
from testbed.report.words import HARMLESS, MEANINGS

PLACES: Final = {
    "native": {"name": "Native", "kernel": "the machine's own kernel,"},
    "uml": {"name": "Guest", "kernel": "user-mode Linux"},
}


def render(report: dict[str, Any], evidence: Evidence) -> str:
    """The HTML of `report`, with figures drawn from `evidence`."""
    fidelity = [plot for plot in (plots.error_plot(evidence), plots.tick_plot(evidence)) if plot is not None]
    return fill(
        "report.html.j2",
        report=report,
        sentence=verdict_sentence(report),
        place=PLACES[report["where"]],
        links=worst_first(report),
        verdicts=verdict_rows(report),
        selection=told(report["selection"]) if report["selection"] else [],
        meetings=[meeting.sentence(row) for row in report["meetings"]],
        exposed=matrix(report["exposure"]),
        services=list(service_rows(report["internet"])) if report["internet"] else [],
        manifest=json.dumps(report["manifest"], indent=2, ensure_ascii=False),
        delay_plots=plots.delay_plots(evidence),
        fidelity_plots=fidelity,
        flow_plots=plots.flow_plots(evidence),
    )


def verdict_sentence(report: dict[str, Any]) -> str:
    """The verdict in one sentence."""
    checks = report["checks"]
    if report["verdict"] == "invalid":
        return "This run cannot be judged: what follows says nothing against the links."
    judged = sum(check["judged"] for check in checks)
    if report["verdict"] == "fail":
        failed = sum(check["judged"] and not check["passed"] for check in checks)
        return f"{failed} of {judged} checks failed."
    idle = len(checks) - judged
    return f"All {judged} checks passed" + (f"; {idle} more had nothing to judge." if idle else ".")


def worst_first(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The audited links and directions, the largest median error first, those without a judgement last."""
    links: list[dict[str, Any]] = report["audit"]["links"] if report["audit"] else []
    return sorted(links, key=lambda row: (not row.get("judged", True), -(row["error_us"] or {}).get("p50", 0.0)))


def verdict_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each verdict name that came up, with how often and what it means; alarms first, then by count."""
    counts: Counter[str] = Counter()
    for flow in report["flows"]:
        counts.update(flow["integrity"]["counts"])
    for unattributed in report["unattributed"].values():
        counts.update(unattributed)
    rows = [
        {"name": name, "count": count, "alarm": name not in HARMLESS, "meaning": MEANINGS.get(name, "No description.")}
        for name, count in counts.items()
        if count
    ]
    return sorted(rows, key=lambda row: (not row["alarm"], -row["count"]))
