"""The result of a run as JSON: the verdict, why, and the figures it rests on. Schema 1 is stable; keys may be added."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.ground.units import format_utc
from testbed.plan.chosen import system_of
from testbed.report.blind import findings
from testbed.report.captures import lost_captures, merge_captures
from testbed.report.checks import alarm_count, run_checks
from testbed.report.evidence import Evidence, read_evidence
from testbed.report.exposure import findings as exposure_findings
from testbed.report.html import render
from testbed.report.internet import limits, over_tcp, with_limits
from testbed.report.measures import measured_flows
from testbed.report.meeting import meetings
from testbed.report.routing import summarise
from testbed.report.selection import summary as selection_summary
from testbed.report.services import service_checks, with_services
from traffic.checker import Finding

SCHEMA: Final = 1
EXIT_CODES: Final = {"pass": 0, "fail": 1, "invalid": 4}
INTERRUPTED_EXIT_CODE: Final = 130
ALARMS: Final = ("integrity", "exposure")
"""Checks whose failure no lack of time explains."""


def make_report(folder: Path) -> dict[str, Any]:
    """Judge the run directory `folder`; nothing is written. Raises PlanError or RunError (see `read_evidence`)."""
    return judge(read_evidence(folder))


def write_report(folder: Path) -> dict[str, Any]:
    """Judge the run directory `folder`, write its report.json and report.html, put its captures together,
    and return the former."""
    evidence = read_evidence(folder)
    report = judge(evidence)
    report["warnings"] += merge_captures(folder)
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    (folder / "report.html").write_text(render(report, evidence))
    return report


def exit_code(report: dict[str, Any]) -> int:
    """What the command line returns: 0 pass, 1 fail, 4 invalid, 130 interrupted."""
    if report["run"]["ended"] == "interrupted":
        return INTERRUPTED_EXIT_CODE
    return EXIT_CODES[report["verdict"]]


def judge(evidence: Evidence) -> dict[str, Any]:
    """The report of what a run left.

    Invalid wins over fail, and a check speaks only for valid measurements. One thing wins over invalid: an alarm of a
    complete run. A busy machine makes packets late; it forges none.
    """
    plan, run, flows = evidence.plan, evidence.run, evidence.flows or {}
    services = with_services(evidence, measured_flows(evidence))
    found = findings(evidence)
    checks = (*run_checks(evidence, found), *service_checks(evidence, services))
    invalid = _invalid_reasons(evidence)
    failed = [reason for check in checks for reason in check.reasons]
    alarmed = run["ended"] == "complete" and any(check.name in ALARMS and check.reasons for check in checks)
    passed = all(check.passed for check in checks)
    report = {
        "schema": SCHEMA,
        "verdict": "fail" if alarmed else "invalid" if invalid else "pass" if passed else "fail",
        "reasons": failed + invalid if alarmed else invalid + failed,
        "warnings": [*plan.warnings, *_run_warnings(evidence)],
        "assumptions": list(plan.assumptions),
        "topology": plan.topology,
        "where": run["where"],
        "start": format_utc(plan.start_ns),
        "duration_s": plan.duration_ns / 1e9,
        "speed": plan.speed,
        "run_dir": str(evidence.folder),
        "run": {**run, "played_s": run["played_ns"] / 1e9},
        "missing": list(evidence.gaps),
        "plan": {
            "satellites": plan.satellites,
            "satellites_used": plan.satellites_used,
            "links": len(plan.links),
            "handovers": plan.handovers,
        },
        "audit": _audit(evidence),
        "flows": services,
        "alarms": flows.get("alarms", []),
        "alarm_count": alarm_count(flows) if flows else 0,
        "unattributed": flows.get("unattributed", {}),
        "exposure": evidence.exposure,
        "meetings": meetings(plan, flows.get("flows", [])),
        "internet": with_limits(evidence.internet, evidence.ticks) if evidence.internet else None,
        "statistics": _statistics(found),
        "routing": summarise(plan, evidence.routing) if evidence.routing else {"by": "plan"},
        "selection": selection_summary(evidence, services) if evidence.chosen else None,
        "events": _events(evidence),
        "checks": [
            {"name": check.name, "passed": check.passed, "judged": check.judged, "detail": check.detail}
            for check in checks
        ],
        "manifest": evidence.manifest,
    }
    finite: dict[str, Any] = _finite(report)
    return finite


def _invalid_reasons(evidence: Evidence) -> list[str]:
    run, audit, flows, plan = evidence.run, evidence.audit, evidence.flows, evidence.plan
    reasons = []
    if run["ended"] != "complete":
        why = f": {run['error']}" if run["error"] else ""
        played, planned = run["played_ns"] / 1e9, plan.duration_ns / 1e9
        reasons.append(f"run: {run['ended']} after {played:.1f} s of {planned:.1f} s{why}")
    reasons += [f"run: partial, {gap}" for gap in evidence.gaps]
    if audit is not None and not audit["valid"]:
        reasons += [f"audit: {why}" for why in audit["invalid_reasons"] or ["not valid, no reason given"]]
    if audit is not None and audit["valid"]:
        for what in ("links", "paths"):
            if audit[what] and not any(row.get("judged", True) for row in audit[what]):
                reasons.append(f"audit: too few probes on each of {len(audit[what])} {what}: let the run last longer")
    if flows is not None and not flows["valid"]:
        reasons += [f"traffic: {why}" for why in flows["invalid_reasons"] or ["not valid, no reason given"]]
    unseen = exposure_findings(evidence.exposure)[2] if evidence.exposure else ""
    if unseen and not over_tcp(plan.flows):
        reasons.append(f"exposure: {unseen}")
    for flow in flows["flows"] if flows is not None and flows["valid"] else ():
        if flow["integrity"]["verdict"] == "invalid":
            reasons.append(f"traffic: flow {flow['name']} ({flow['src']}→{flow['dst']}) could not be judged")
    return reasons


def _run_warnings(evidence: Evidence) -> list[str]:
    links = evidence.audit["links"] if evidence.audit is not None else []
    few = sum(not row.get("judged", True) for row in links)
    warnings = [f"{few} of {len(links)} link directions had too few probes to judge"] if few else []
    warnings += limits(with_limits(evidence.internet, evidence.ticks)) if evidence.internet else []
    for flow in evidence.flows["flows"] if evidence.flows is not None else ():
        rate = flow.get("rate", {})
        if rate.get("limited_by"):
            warnings.append(
                f"flow {flow['name']} was limited by its {rate['limited_by']}: {rate['in_time']:,} of {rate['due']:,} "
                "packets left in time; its figures do not show what the network can carry"
            )
    return warnings + lost_captures(evidence.folder)


def _audit(evidence: Evidence) -> dict[str, Any] | None:
    """The audit in figures. The error of all links together is over every probe of a link outside handovers."""
    audit, samples = evidence.audit, evidence.samples
    if audit is None:
        return None
    rows = [*audit["links"], *audit["paths"]]
    return {
        "valid": audit["valid"],
        "budget": audit["budget"],
        "error_budget_us": audit["error_budget_us"],
        "samples": audit["samples"],
        "one_way_delay_error_us": _quantiles_us(_steady(samples[~samples["path"]])),
        "links": audit["links"],
        "paths": [_path(evidence, row) for row in audit["paths"]],
        "transitions": audit["transitions"],
        "control": audit["control"],
        "ticks": audit["ticks"],
        "late_ticks": audit["late_ticks"],
        "tick_late_ms": audit["tick_late_ms"],
        "unplanned_losses": sum(row["unplanned_losses"] for row in rows),
        "readback_checked": audit["readback"]["checked"],
        "readback_mismatches": len(audit["readback"]["mismatches"]),
    }


def _path(evidence: Evidence, row: dict[str, Any]) -> dict[str, Any]:
    samples = evidence.samples
    steady = _steady(samples[samples["path"] & (samples["index"] == row["path"])])
    medians = {
        "planned_p50_ms": float(np.median(steady["planned_ns"])) / 1e6 if len(steady) else None,
        "measured_p50_ms": float(np.median(steady["delay_ns"])) / 1e6 if len(steady) else None,
    }
    plan = evidence.plan
    system = {"system": system_of(plan, plan.paths[row["path"]])} if plan.uplinks else {}
    return {**row, "path": list(plan.paths[row["path"]][0].nodes), **system, **medians}


def _steady(samples: Any) -> Any:
    """The probes that arrived, outside handover windows."""
    return samples[(samples["delay_ns"] >= 0) & ~samples["transition"]]


def _quantiles_us(samples: Any) -> dict[str, float | None]:
    if not len(samples):
        return dict.fromkeys(("p50", "p90", "p99", "max"))
    error_us = np.abs(samples["delay_ns"] - samples["planned_ns"]) / 1e3
    p50, p90, p99, top = np.percentile(error_us, [50, 90, 99, 100])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(top)}


def _statistics(found: Sequence[tuple[str, Finding]]) -> list[dict[str, Any]]:
    """The blind checker's findings, flow by flow."""
    return [
        {
            "flow": name,
            "verdict": finding.verdict.name,
            "alarm": finding.alarm,
            "judged": finding.judged,
            "count": finding.count,
            "total": finding.total,
            "detail": finding.detail,
        }
        for name, finding in found
    ]


def _events(evidence: Evidence) -> dict[str, Any]:
    plan = evidence.plan
    rows = [
        {
            "time_s": event.time_ns / 1e9,
            "time_utc": format_utc(plan.start_ns + event.time_ns, digits=3),
            "kind": event.kind,
            "node": event.node,
            "cause": event.cause,
            "window_ms": event.window_ns / 1e6,
            "detail": event.detail,
        }
        for event in plan.events
    ]
    return {"handovers": plan.handovers, "list": rows}


def _finite(value: Any) -> Any:
    """Standard JSON has no infinity: a percentile over lost packets (RFC 7679 counts them as +∞) becomes null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
