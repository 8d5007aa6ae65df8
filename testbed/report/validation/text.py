"""A validation for a terminal: the scores, and the shape of each series."""

from __future__ import annotations

from typing import Any, Final, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from testbed.ground.constants import NS_PER_S, SLOT_PHASE_NS
from testbed.report.validation.statistics import STEP_QUANTILES

DASH: Final = "–"

SHORT_S: Final = 600
"""Assumption: what is shorter than 40 slots says little of a distribution of slots. Real windows of 60 s scatter by
standard deviations of 4.0, 5.4 and 7.6 ms at their 20, 50 and 80 % quantiles (FjordLink)."""

SCATTER: Final = "the median of real windows of 60 s scatters by 5.4 ms (standard deviation)"


def print_validation(document: dict[str, Any], file: TextIO) -> None:
    """Print what `score.validate` made."""
    console = Console(file=file, highlight=False)
    console.print(_scores(document))
    console.print(_steps(document))
    console.print(_scatter(document))
    for line in sentences(document):
        console.print(line, soft_wrap=True)


def sentences(document: dict[str, Any]) -> list[str]:
    """What the tables do not say by themselves."""
    limits, fitted, measured = document["limits"], document["fit"], document["measured"]
    lines = [
        f"{measured['name']}: {document['split']}; {fitted['slots']:,} slots made the fit (memory "
        f"{fitted['memory']:.2f}, median kept at {fitted['median_ms']:.1f} ms).",
        f"Suite: Wasserstein-1 to the part held out at most {limits['wasserstein_ms']:g} ms, and autocorrelation at "
        f"15 s within {limits['autocorrelation']:g} of the whole file's {decimals(measured['autocorrelation'], 2)}. "
        "Real days are judged by it too: some of them differ by more.",
    ]
    if measured["averaged_s"]:
        lines.append(
            f"What was measured is a running average over {measured['averaged_s']:g} s. All others are averaged alike "
            "before distributions and autocorrelations are compared. Slots are read at their end, where the average is "
            "of one slot alone; scatter within slots is that of the average, and cannot be compared."
        )
    for row in document["series"]:
        lines += [f"{row['name']}: {row['note']}."] if row["note"] else []
        if row["kind"] in ("emulated", "planned") and row["seconds"] < SHORT_S:
            lines.append(f"{row['name']}: {row['seconds']} s are short: {SCATTER}.")
    return lines


def _scores(document: dict[str, Any]) -> Table:
    table = _table(f"Round trips, ms: {document['split']}", "p5", "p50", "p95", "p99", "W1", "K–S", "r 15 s", "suite")
    for row in document["series"]:
        table.add_row(row["name"], *score_cells(row))
    return table


def score_cells(row: dict[str, Any]) -> list[str]:
    """Quantiles, distances, autocorrelation and judgement of a series."""
    distance = row["distance"] or {}
    return [
        *(decimals(row["quantiles_ms"][at], 1) for at in ("0.05", "0.5", "0.95", "0.99")),
        decimals(distance.get("wasserstein_ms"), 2),
        decimals(distance.get("kolmogorov_smirnov"), 3),
        decimals(row["autocorrelation"], 2),
        DASH if row["passed"] is None else "passes" if row["passed"] else "fails",
    ]


def _steps(document: dict[str, Any]) -> Table:
    titles = ("p50", "p90", "p99", "largest at", "by chance", "on slots")
    table = _table("Steps between slots, ms, and the second of a quarter minute at which levels change", *titles)
    for row in document["series"]:
        found = row["alignment"]
        table.add_row(row["name"], *shape_cells(row)[:5], DASH if found is None else yes(found["aligned"]))
    return table


def _scatter(document: dict[str, Any]) -> Table:
    table = _table("Scatter within slots, ms, and loss", "SD", "|Δ|", "each ms", "lost %", "bursts", "of s")
    for row in document["series"]:
        spread, difference, lost, burst = shape_cells(row)[5:]
        bursts = DASH if row["kind"] == "model" else f"{row['loss']['bursts']:,}"
        spacing = decimals(row["jitter"]["spacing_ms"], 0)
        table.add_row(row["name"], spread, difference, spacing, lost, bursts, burst)
    return table


def shape_cells(row: dict[str, Any]) -> list[str]:
    """Quantiles of steps, where in 15 s they come and how likely by chance, scatter within slots, loss."""
    steps, found, loss, jitter = row["steps_ms"] or {}, row["alignment"], row["loss"], row["jitter"]
    half, nine, _, most = (decimals(steps.get(f"{at:g}"), 1) for at in STEP_QUANTILES)
    models = row["kind"] == "model"
    return [
        half,
        nine,
        most,
        DASH if found is None else f":{found['second']:04.1f}",
        DASH if found is None else chance(found["p"]),
        decimals(jitter["spread_ms"], 2),
        decimals(jitter["difference_ms"], 2),
        DASH if models else decimals(100.0 * loss["lost"], 3),
        DASH if models else decimals(loss["mean_s"], 2),
    ]


def yes(value: bool) -> str:
    """In a word."""
    return "yes" if value else "no"


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def chance(p: float) -> str:
    """A probability: '0.03', '<0.001'."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def decimals(value: float | None, digits: int) -> str:
    """A figure, a dash where there is none."""
    return DASH if value is None else f"{value:.{digits}f}"


def phase_text() -> str:
    """The seconds at which slots begin."""
    begin = SLOT_PHASE_NS // NS_PER_S
    return " ".join(f":{begin + 15 * number}" for number in range(4))
