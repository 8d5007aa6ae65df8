"""The comparison for a terminal: one table, and what was tried."""

from __future__ import annotations

from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from testbed.report.comparison.figures import Estimate


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


def verdicts_text(counts: dict[str, int]) -> str:
    """Like '3 pass' or '2 pass, 1 fail'."""
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "–"


def recovery_text(trial: dict[str, Any]) -> str:
    """How long the slowest flow stood still."""
    if not trial["recoveries"]:
        return "nothing stood still"
    return "not within the run" if trial["recovery_s"] is None else f"{trial['recovery_s']:.2f} s"


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
