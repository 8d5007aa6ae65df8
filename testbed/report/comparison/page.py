"""The comparison as one page that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

from typing import Any, Final

from testbed.report import canvas
from testbed.report.comparison import plots
from testbed.report.comparison.figures import Estimate
from testbed.report.comparison.table import QUIET
from testbed.report.comparison.text import outcome, recovery_text, sentences, shown_figures, traffic_text, verdicts_text
from testbed.report.pages import fill

PICTURED: Final = ("round_trip_ms", "available_percent", "mos", "page_ms")
"""Figures with a picture of their own."""

DELAYS_SHOWN: Final = 2
"""Kinds of traffic whose delays are shown; the others are folded away."""

COSTS: Final = (
    (
        "Contract with SpaceX, over five years",
        "1.5 billion €",
        "Discussed by Italy, not signed: encryption for government phone and internet, communications of the forces in "
        "the Mediterranean, direct-to-cell in emergencies.",
    ),
    ("Constellation of its own", "over 10 billion €", "What such a one was put at, in the same articles."),
)
"""What the press wrote: what for, the sum, in more words."""

COSTS_SOURCE: Final = "silicon.co.uk, 7 January 2025; europeanspaceflight.com"

SOVEREIGNTY_ROWS: Final = {
    "landing": "Where traffic comes down",
    "operator": "Operator",
    "jurisdiction": "Jurisdiction over the operator",
    "keys": "Who holds the keys",
    "off": "Who can switch it off",
}

NUMBERS: Final = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def render(document: dict[str, Any]) -> str:
    """The HTML of what `table.compare` made."""
    systems = document["systems"]
    delays = plots.delay_plots(document)
    quiet = [cell for cell in document["cells"] if cell["trial"] == QUIET]
    return fill(
        "comparison/comparison.html.j2",
        heading=f"{NUMBERS[len(systems)] if len(systems) < len(NUMBERS) else len(systems)} "
        f"way{'s' if len(systems) != 1 else ''} to connect a government",
        systems=[{"colour": canvas.on_page(plots.colour(number))} | one for number, one in enumerate(systems)],
        cells=document["cells"],
        quiet=quiet,
        verdict=_verdict(quiet),
        lengths=sorted({system["duration_s"] for system in systems if system["duration_s"]}),
        starts=sorted({cell["start"] for cell in quiet if cell["start"]}),
        traffic=traffic_text(document),
        told=sentences(document),
        figures=[
            figure | {"cells": [_cell(system, figure) for system in systems]} for figure in shown_figures(document)
        ],
        verdicts=[verdicts_text(system["verdicts"]) for system in systems],
        trials=[
            {"system": system["name"], "outcome": outcome(trial)}
            | trial
            | {"still": recovery_text(trial) if trial["recoveries"] else "–"}
            for system in systems
            for trial in system["trials"]
        ],
        sovereignty=SOVEREIGNTY_ROWS,
        costs=COSTS,
        costs_source=COSTS_SOURCE,
        delay_plots=delays[:DELAYS_SHOWN],
        more_plots=delays[DELAYS_SHOWN:],
        figure_plots=plots.figure_plots(document, PICTURED),
    )


def _verdict(quiet: list[dict[str, Any]]) -> dict[str, Any]:
    """{"tone", "word", "sentence", "reasons"}: how many of the runs that the figures rest on can be relied on."""
    count = {name: sum(cell["verdict"] == name for cell in quiet) for name in ("pass", "fail")}
    unknown = len(quiet) - sum(count.values())
    if count["pass"] == len(quiet):
        tone, word = "pass", f"All {len(quiet)} quiet runs passed"
        sentence = (
            "Delays on the wire were the computed ones within the audit's budget; every packet accepted was genuine."
        )
    elif unknown:
        tone, word = "invalid", f"{unknown} of {len(quiet)} quiet runs cannot be judged"
        sentence = "They are in no figure; a system all of whose runs are such has none."
    elif all(map(_lacks_service, (cell for cell in quiet if cell["verdict"] == "fail"))):
        tone, word = "fail", f"A service fell short in {count['fail']} of {len(quiet)} quiet runs"
        sentence = (
            "All can be relied on: delays on the wire were the computed ones, every packet accepted was genuine. "
            "What fell short is the system, not the emulation."
        )
    else:
        tone, word = "fail", f"{count['fail']} of {len(quiet)} quiet runs failed a check"
        sentence = "They are in the figures: what failed is said below, run by run."
    bad = [cell for cell in quiet if cell["verdict"] != "pass"]
    reasons = [
        f"{cell['name']}: {cell['error'] or '; '.join((cell['reasons'] or [cell['verdict']])[:1])}" for cell in bad
    ]
    return {"tone": tone, "word": word, "sentence": sentence, "reasons": reasons}


def _lacks_service(cell: dict[str, Any]) -> bool:
    """Did nothing fail but what a flow must get?"""
    failed = cell["failed_checks"] or ()
    return bool(failed) and all(name.startswith("service:") for name in failed)


def _cell(system: dict[str, Any], figure: dict[str, Any]) -> dict[str, str]:
    """A figure and its interval as a table shows them; the latter is empty for a single run."""
    found = system["figures"][figure["key"]]
    if found is None:
        return {"mean": "–", "half": ""}
    mean, _, half = Estimate(**found).text(figure["digits"]).partition(" ± ")
    return {"mean": mean, "half": half}
