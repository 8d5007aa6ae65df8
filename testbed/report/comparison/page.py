"""The comparison as one page that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

from typing import Any, Final

from testbed.report.comparison import plots
from testbed.report.comparison.text import figure_text, recovery_text, shown_figures, verdicts_text
from testbed.report.pages import fill

PICTURED: Final = ("round_trip_ms", "available_percent", "mos", "page_ms")
"""Figures with a picture of their own."""

CONTEXT: Final = (
    "Italy discussed a contract with SpaceX of 1.5 billion euro over five years: encryption for government phone and "
    "internet, communications of the forces in the Mediterranean, direct-to-cell in emergencies. A constellation of "
    "its own was put at more than 10 billion euro (silicon.co.uk, 7 January 2025; europeanspaceflight.com). Nothing "
    "was signed. These are figures of the press, given as context; nothing here is computed from them."
)

SOVEREIGNTY_ROWS: Final = {
    "landing": "Where traffic comes down",
    "operator": "Operator",
    "jurisdiction": "Jurisdiction over the operator",
    "keys": "Who holds the keys",
    "off": "Who can switch it off",
}


def render(document: dict[str, Any]) -> str:
    """The HTML of what `table.compare` made."""
    systems = document["systems"]
    return fill(
        "comparison/comparison.html.j2",
        systems=systems,
        cells=document["cells"],
        figures=[
            {"name": figure["name"], "unit": figure["unit"], "meaning": figure["meaning"]}
            | {"values": [figure_text(system, figure) for system in systems]}
            for figure in shown_figures(document)
        ],
        verdicts=[verdicts_text(system["verdicts"]) for system in systems],
        trials=[
            {"system": system["name"], "still": recovery_text(trial)} | trial
            for system in systems
            for trial in system["trials"]
        ],
        sovereignty=SOVEREIGNTY_ROWS,
        context=CONTEXT,
        delay_plots=plots.delay_plots(document),
        figure_plots=plots.figure_plots(document, PICTURED),
    )
