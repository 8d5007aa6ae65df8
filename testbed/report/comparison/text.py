"""The comparison in words, and for a terminal: one table, and what was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from testbed.report.comparison.figures import Estimate

KIND_NAMES: Final = {
    "voice": "calls",
    "bulk": "transfers",
    "message": "commands",
    "track": "tracks",
    "stream": "sensors",
    "alert": "warnings to the public",
    "sms": "short messages",
}
"""Kinds of flows in words; others by their own name."""

TOLD: Final = ("round_trip_ms", "mos", "available_percent", "page_ms", "alert_s", "in_time_percent")
"""Figures told of in a sentence."""


def print_comparison(document: dict[str, Any], file: TextIO) -> None:
    """Print what `table.compare` made."""
    console = Console(file=file, highlight=False)
    console.print(_headline(document))
    if any(system["trials"] for system in document["systems"]):
        console.print(_trials(document))
    for system in document["systems"]:
        for name, value in (system["sovereignty"] or {}).items():
            console.print(f"{system['name']}: {name}: {value}", soft_wrap=True)


def figure_text(system: dict[str, Any], figure: dict[str, Any]) -> str:
    """A figure with its interval, a dash where there is none."""
    found = system["figures"][figure["key"]]
    return "–" if found is None else Estimate(**found).text(figure["digits"])


def shown_figures(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that at least one system has."""
    return [
        figure
        for figure in document["figures"]
        if any(system["figures"][figure["key"]] is not None for system in document["systems"])
    ]


def sentences(document: dict[str, Any]) -> list[dict[str, str]]:
    """{"name", "text"} for each figure in TOLD that two systems have: the best, the worst, and whether they differ by
    more than their intervals."""
    told = []
    for figure in shown_figures(document):
        known = [
            (Estimate(**system["figures"][figure["key"]]), system["name"])
            for system in document["systems"]
            if system["figures"][figure["key"]]
        ]
        if figure["key"] not in TOLD or len(known) < 2:
            continue
        known.sort(key=lambda pair: pair[0].mean, reverse=figure["better"] == "higher")
        told.append({"name": figure["name"][0].upper() + figure["name"][1:], "text": _best_to_worst(known, figure)})
    return told


def _best_to_worst(known: list[tuple[Estimate, str]], figure: dict[str, Any]) -> str:
    (best, first), (worst, last) = known[0], known[-1]
    unit = f" {figure['unit']}" if figure["unit"] else ""
    shown = [f"{one.mean:,.{figure['digits']}f}" for one in (best, worst)]
    if abs(worst.mean - best.mean) <= (best.half or 0.0) + (worst.half or 0.0) or shown[0] == shown[1]:
        return f"{shown[0]}{unit}, the same over all within what chance explains."
    alone = "" if best.half is not None and worst.half is not None else " A single run says nothing of chance."
    return f"{shown[0]}{unit} over {first}, {shown[1]}{unit} over {last}.{alone}"


def traffic_text(document: dict[str, Any]) -> str:
    """What was sent, like 'calls: 4 and transfers: 2, between dc-rome and rome'; empty where no run says so."""
    flows: list[dict[str, str]] = next((system["traffic"] for system in document["systems"] if system["traffic"]), [])
    if not flows:
        return ""
    counts = Counter(KIND_NAMES.get(flow["kind"], f"{flow['kind']} flows") for flow in flows)
    places = sorted({flow[end] for flow in flows for end in ("src", "dst")})
    return f"{_listed([f'{name}: {count}' for name, count in counts.items()])}, between {_listed(places)}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def verdicts_text(counts: dict[str, int]) -> str:
    """Like '3 pass' or '2 pass, 1 fail'."""
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts, key=_order)) or "–"


def _order(verdict: str) -> int:
    return ("pass", "fail", "invalid", "failed").index(verdict)


def recovery_text(trial: dict[str, Any]) -> str:
    """How long the slowest flow stood still."""
    if not trial["recoveries"]:
        return "nothing stood still"
    return "not within the run" if trial["recovery_s"] is None else f"{trial['recovery_s']:.2f} s"


def outcome(trial: dict[str, Any]) -> tuple[str, str]:
    """(words, tone) for what came of a trial; the tone is "pass", "fail", "invalid" or "none"."""
    if trial["error"]:
        return "Could not be run", "invalid"
    if trial["verdict"] == "invalid":
        return "Cannot be judged", "invalid"
    if trial["acts"] is not None:
        if not trial["acts"]:
            return "Nothing attacked", "invalid"
        return ("Alarms raised", "pass") if trial["alarms"] else ("No alarm", "fail")
    if trial["recoveries"] and trial["recovery_s"] is None:
        return "Not recovered", "fail"
    return ("Recovered", "pass") if trial["recoveries"] else ("Nothing stood still", "pass")


def _headline(document: dict[str, Any]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title="Systems compared: mean of the runs and its 95 % interval", title_style="bold"
    )
    table.add_column("")
    for system in document["systems"]:
        table.add_column(system["name"], justify="right")
    table.add_row("quiet runs", *(verdicts_text(system["verdicts"]) for system in document["systems"]))
    for figure in shown_figures(document):
        name = f"{figure['name']}, {figure['unit']}" if figure["unit"] else figure["name"]
        table.add_row(name, *(figure_text(system, figure) for system in document["systems"]))
    return table


def _trials(document: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="What was tried", title_style="bold")
    for name in ("system", "trial", "verdict", "lost", "stood still", "acts", "alarms"):
        table.add_column(name, justify="right" if name in ("lost", "stood still", "acts", "alarms") else "left")
    for system in document["systems"]:
        for trial in system["trials"]:
            lost = f"{trial['lost']:,} of {trial['sent']:,}"
            acts, alarms = (("–" if trial[name] is None else f"{trial[name]:,}") for name in ("acts", "alarms"))
            still = recovery_text(trial) if trial["error"] is None else trial["error"]
            table.add_row(system["name"], trial["trial"], trial["verdict"], lost, still, acts, alarms)
    return table
