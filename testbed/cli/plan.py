"""testbed plan: compute a schedule and keep it as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from testbed.cli.options import make_plan, planning
from testbed.ground.units import format_utc
from testbed.plan.store import write_csv, write_parquet


@click.command("plan")
@click.argument("topology")
@planning
@click.option("--out", type=click.Path(path_type=Path), help="Parquet file that 'testbed run --plan' plays.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="One row per step, serving link, direction.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(topology: str, out: Path | None, csv_file: Path | None, form: str, **asked: Any) -> None:
    """Compute the schedule of TOPOLOGY: positions, access, delays, routes, handovers.

    \b
    testbed plan starlink-italy --catalogue starlink.tle --csv plan.csv --out plan.parquet
    """
    plan = make_plan(topology, **asked)
    if out is not None:
        write_parquet(plan, out)
    if csv_file is not None:
        write_csv(plan, csv_file)
    summary = {
        "topology": plan.topology,
        "start": format_utc(plan.start_ns),
        "duration_s": plan.duration_ns / 1e9,
        "satellites": plan.satellites,
        "satellites_used": plan.satellites_used,
        "links": len(plan.links),
        "steps": len(plan.steps),
        "handovers": plan.handovers,
        "warnings": list(plan.warnings),
        "manifest": plan.manifest,
    }
    if form == "json":
        click.echo(json.dumps(summary, indent=1))
        return
    click.echo(f"{plan.topology} from {summary['start']} for {summary['duration_s']:g} s")
    click.echo(f"{plan.satellites:,} satellites propagated, {plan.satellites_used} used, {plan.handovers} handovers")
    click.echo(f"{len(plan.links)} link directions, {len(plan.steps):,} steps")
    for name, file in (("plan", out), ("table", csv_file)):
        if file is not None:
            click.echo(f"{name}: {file}")
    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)
