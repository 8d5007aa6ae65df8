"""testbed validate: hold the emulation, and models of it, against measured round trips."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from testbed.cli.options import make_plan
from testbed.ground.errors import InputError, MachineError, PlanError
from testbed.ground.units import format_utc
from testbed.lab import rundir
from testbed.plan.trace import Columns
from testbed.report.validation.cells import Observed
from testbed.report.validation.page import write_validation
from testbed.report.validation.score import LIMIT_AUTOCORRELATION, LIMIT_W1_MS, Limits, split, validate
from testbed.report.validation.sources import (
    Pair,
    choose_pair,
    from_files,
    from_plan,
    from_run,
    propagation_only,
)
from testbed.report.validation.text import print_validation

LIKE: Final[dict[str, tuple[Columns, float]]] = {
    "plain": (Columns(), 0.0),
    "fjordlink": (Columns(time="t", delay="lat:ms", loss="drop:ratio"), 15.0),
}
"""Columns of a file, and over how many seconds its values are averaged. fjordlink: dish telemetry of ds-kiel/FjordLink
(CC BY 4.0); the dish averages over about 15 s."""


@click.command("validate")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--like", type=click.Choice(list(LIKE)), default="plain", show_default=True, help="Columns of FILE.")
@click.option("--time", "time_column", metavar="COLUMN", help="When: ISO 8601, or seconds.  [default: time]")
@click.option("--delay", metavar="COLUMN[:UNIT]", help="Round trip.  [default: delay_ms]")
@click.option("--one-way", is_flag=True, help="The delay is one way, the same both ways.")
@click.option("--loss", metavar="COLUMN[:UNIT]", help="Share lost, as ratio or %.")
@click.option("--averaged", type=click.FloatRange(0, 15), metavar="S", help="FILE has running averages over S seconds.")
@click.option("--held-out", metavar="DAY", help="Scored on this day, fitted on the others. Default: the last.")
@click.option("--run", "run_name", metavar="RUN", help="A run directory, or 'latest', whose round trips are scored.")
@click.option("--via", type=click.Choice(["probes", "flows"]), default="probes", show_default=True, help="In that run.")
@click.option("--pair", metavar="A,B", help="Between which hosts. Default: the plan's first.")
@click.option("--topology", default="starlink-italy", show_default=True, help="Whose plan is scored without --run.")
@click.option("--no-plan", is_flag=True, help="Score no plan either: no propagation-only rival.")
@click.option("--catalogue", "catalogues", multiple=True, metavar="FILE|NAME", help="As for 'testbed plan'.")
@click.option("--start", metavar="UTC", help="Of the plan. Default: where the part scored on begins.")
@click.option("--duration", default="900", show_default=True, metavar="S", help="Of the plan.")
@click.option("--seed", default=0, show_default=True, help="For everything drawn by chance.")
@click.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="Topology parameter; repeatable.")
@click.option("--limit-ms", default=LIMIT_W1_MS, show_default=True, help="Largest Wasserstein-1 that passes.")
@click.option(
    "--limit-r", default=LIMIT_AUTOCORRELATION, show_default=True, help="Largest difference of autocorrelation."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for page and data. Default new.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    files: tuple[Path, ...],
    like: str,
    time_column: str | None,
    delay: str | None,
    one_way: bool,
    loss: str | None,
    averaged: float | None,
    held_out: str | None,
    run_name: str | None,
    via: Any,
    pair: str | None,
    no_plan: bool,
    seed: int,
    limit_ms: float,
    limit_r: float,
    out: Path | None,
    form: str,
    **planning: Any,
) -> None:
    """Compare round trips with those measured in FILE (CSV, .csv.gz or Parquet; several files are one series).

    \b
    testbed validate fjordlink_starlink_1hz.csv.gz --like fjordlink
    testbed validate rtt.csv --time t --delay rtt_ms --run latest --pair rome,dc-rome

    A model and a Gaussian are fitted on one part of the measurement and scored on another, beside propagation only and
    the emulated series: a run's, or a plan's that nobody measured. Exit code 1: the fitted model does not pass.
    """
    if not files:
        raise InputError("validate: no FILE: give measured round trips, CSV or Parquet (docs/validation.md names some)")
    known, window_s = LIKE[like]
    columns = Columns(
        time=time_column or known.time,
        delay=delay or known.delay,
        kind="one-way" if one_way else "rtt",
        loss=known.loss if loss is None else loss,
    )
    try:
        measured = from_files(files, columns, window_s if averaged is None else averaged)
    except PlanError as error:  # the reader speaks of a topology's parameters: here they are options
        raise PlanError(re.sub(r"-p (time|delay|loss)=", r"--\1 ", str(error))) from None
    others: list[Observed] = []
    ends = _pair(pair)
    if run_name is not None:
        emulated, plan, used = from_run(rundir.find(run_name), ends, via)
        others = [*_known(propagation_only(plan, used)), emulated]
    elif not no_plan:
        if planning["start"] is None and measured.absolute and not planning["catalogues"]:
            planning["start"] = format_utc(int(split(measured, held_out).held.time_ns[0]))
        plan = make_plan(select=(), step=100, seed=seed, **planning)
        used = choose_pair(plan, ends)
        others = [*_known(propagation_only(plan, used)), from_plan(plan, used)]
    document, series = validate(measured, others, held_out, seed, Limits(limit_ms, limit_r))
    folder = (out or _fresh()).absolute()
    try:
        write_validation(folder, document, series)
    except OSError as error:
        raise MachineError(f"{folder}: cannot be written ({error.strerror}): choose another --out") from None
    if form == "json":
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        print_validation(document, sys.stdout)
        click.echo(f"Page: {folder / 'validation.html'}")
    judged = next(row for row in document["series"] if row["name"] == "fitted model")
    sys.exit(0 if judged["passed"] else 1)


def _known(one: Observed | None) -> list[Observed]:
    return [] if one is None else [one]


def _pair(text: str | None) -> Pair | None:
    if text is None:
        return None
    a, comma, b = text.partition(",")
    if not comma or not a or not b:
        raise InputError(f"--pair {text} is not A,B: write two hosts, like rome,dc-rome")
    return a, b


def _fresh() -> Path:
    stamp = format_utc(time.time_ns()).replace(":", "").replace("-", "")
    return rundir.DEFAULT_PARENT / f"validate-{stamp}"
