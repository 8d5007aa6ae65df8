"""The comparison as data: what each system showed, in its quiet runs and in its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from testbed.report.comparison.figures import FIGURES, estimate

QUIET: Final = "quiet"
"""The trial in which nothing is attacked and nothing fails."""

VALID: Final = ("pass", "fail")

Outcome = dict[str, Any]


def compare(rows: Sequence[tuple[Mapping[str, Any], Outcome]]) -> dict[str, Any]:
    """The document of a comparison, JSON types only. `rows`: each cell ({"system", "trial", "seed", …}) and what came
    of it, in the order in which the systems were named."""
    systems = list(dict.fromkeys(cell["system"] for cell, _ in rows))
    return {
        "schema": 1,
        "figures": [
            {"key": one.key, "name": one.name, "unit": one.unit, "digits": one.digits, "meaning": one.meaning}
            | {"better": "higher" if one.higher else "lower"}
            for one in FIGURES
        ],
        "systems": [_system(name, [row for row in rows if row[0]["system"] == name]) for name in systems],
        "cells": [_cell(cell, outcome) for cell, outcome in rows],
    }


def _system(name: str, rows: Sequence[tuple[Mapping[str, Any], Outcome]]) -> dict[str, Any]:
    quiet = [outcome for cell, outcome in rows if cell["trial"] == QUIET and outcome["verdict"] in VALID]
    known = [outcome for _, outcome in rows if outcome["ended"] == "complete"]
    shown = known[0] if known else {}
    trials = [(cell, outcome) for cell, outcome in rows if cell["trial"] != QUIET]
    return {
        "name": name,
        "title": shown.get("title", ""),
        "start": shown.get("start"),
        "duration_s": quiet[0]["duration_s"] if quiet else None,
        "runs": len(rows),
        "verdicts": dict(Counter(outcome["verdict"] for cell, outcome in rows if cell["trial"] == QUIET)),
        "figures": {
            figure.key: found and asdict(found)
            for figure in FIGURES
            for found in (estimate(figure.of(summary) for summary in quiet),)
        },
        "traffic": [{name: flow[name] for name in ("name", "kind", "src", "dst")} for flow in shown.get("flows", ())],
        "integrity": dict(Counter(flow["integrity"]["verdict"] for summary in quiet for flow in summary["flows"])),
        "delays": _delays(quiet),
        "trials": [_trial(cell, outcome) for cell, outcome in trials],
        "sovereignty": shown.get("sovereignty"),
        "assumptions": list(shown.get("assumptions", ())),
        "parameters": shown.get("parameters", {}),
    }


def _delays(summaries: Sequence[Outcome]) -> dict[str, list[float]]:
    """Percentiles 0 to 100 of one-way delay in ms by kind of flow: the mean over flows and runs."""
    kinds = dict.fromkeys(flow["kind"] for summary in summaries for flow in summary["flows"])
    found = {}
    for kind in kinds:
        curves = [
            flow["delay_ms"] for one in summaries for flow in one["flows"] if flow["kind"] == kind and flow["delay_ms"]
        ]
        if curves:
            found[kind] = [sum(values) / len(values) for values in zip(*curves, strict=True)]
    return found


def _trial(cell: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """What an attack or a fault did."""
    counts: Counter[str] = Counter()
    for flow in outcome.get("flows", ()):
        counts.update(flow["integrity"]["counts"])
    still = [one["still_s"] for one in outcome.get("recoveries", ())]
    recovered = None if not still or None in still else max(still)
    return {
        "trial": cell["trial"],
        "verdict": outcome["verdict"],
        "acts": outcome.get("acts"),
        "alarms": outcome.get("alarms"),
        "verdicts": dict(counts),
        "recoveries": list(outcome.get("recoveries", ())),
        "recovery_s": recovered,
        "lost": sum(flow["lost"] for flow in outcome.get("flows", ())),
        "sent": sum(flow["sent"] for flow in outcome.get("flows", ())),
        "reasons": list(outcome.get("reasons", ())),
        "error": outcome.get("error"),
    }


def _cell(cell: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    kept = ("verdict", "ended", "tries", "wall_s", "reasons", "failed_checks", "error", "where", "start")
    return {name: cell[name] for name in ("name", "system", "trial", "seed", "arguments")} | {
        name: outcome.get(name) for name in kept
    }
