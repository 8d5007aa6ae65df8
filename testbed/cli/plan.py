"""testbed plan: compute a schedule and keep it as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from testbed.cli import completing
from testbed.cli.options import ask, planning
from testbed.ground.errors import InputError, PlanError
from testbed.ground.units import format_utc, parse_duration_ns
from testbed.plan.inputs import Request, elements
from testbed.plan.model import Plan
from testbed.plan.plans import Asked, catalogues, make
from testbed.plan.replay import Replay
from testbed.plan.scenario import Scenario
from testbed.plan.store import write_csv, write_parquet


@click.command("plan")
@click.argument("topology", shell_complete=completing.topology)
@planning
@click.option("--out", type=click.Path(path_type=Path), help="Parquet file that 'testbed run --plan' plays.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="One row per step, serving link, direction.")
@click.option("--czml", type=click.Path(path_type=Path), help="Satellites, sites and serving links, for Cesium.")
@click.option("--plot", type=click.Path(path_type=Path), help="Delays, satellites in view and a map, .svg or .png.")
@click.option("--at", metavar="S", help="The map's instant, since the start. Default: the middle.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    topology: str,
    out: Path | None,
    csv_file: Path | None,
    czml: Path | None,
    plot: Path | None,
    at: str | None,
    form: str,
    **options: Any,
) -> None:
    """Compute the schedule of TOPOLOGY: positions, access, delays, routes, handovers.

    \b
    testbed plan starlink-italy --catalogue starlink.tle --csv plan.csv --out plan.parquet
    testbed plan starlink-italy --plot plan.svg --czml plan.czml
    testbed plan trace -p file=rtt.csv -p time=t -p delay=rtt_ms --plot trace.png
    """
    if at is not None and plot is None:
        raise InputError("--at is the instant of the map: give --plot FILE too")
    asked, request = ask(topology, **options)
    plan = make(asked, request)
    if out is not None:
        write_parquet(plan, out)
    if csv_file is not None:
        write_csv(plan, csv_file)
    if czml is not None or plot is not None:
        _show(plan, asked, request, czml, plot, None if at is None else parse_duration_ns(at))
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
    if isinstance(asked, Replay):
        click.echo(f"series: {plan.manifest['trace']['source']}, {plan.manifest['trace']['steps']:,} steps each way")
    elif isinstance(asked, Scenario):
        used = f"{plan.satellites_used} used, {plan.handovers} handovers"
        click.echo(f"{plan.satellites:,} satellites propagated, {used}")
    click.echo(f"{len(plan.links)} link directions, {len(plan.steps):,} steps")
    for name, file in (("plan", out), ("table", csv_file), ("scene", czml), ("picture", plot)):
        if file is not None:
            click.echo(f"{name}: {file}")
    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)


def _show(plan: Plan, asked: Asked, request: Request, czml: Path | None, plot: Path | None, at_ns: int | None) -> None:
    """Write what shows positions, from the same elements as the plan; raises InputError."""
    from testbed.plan.export import write_czml  # these import slowly: only where they are asked for
    from testbed.report.sky import write_picture
    from testbed.report.sky_view import sky_of

    sky = None
    if isinstance(asked, Scenario):
        catalogue, _ = elements(catalogues(asked, request), plan.start_ns, request.select)
        sky = sky_of(plan, asked, catalogue)
    if czml is not None:
        if sky is None:
            raise PlanError(f"topology {asked.name} has no orbits: leave out --czml")
        write_czml(plan, sky.catalogue, czml, {watch.name: watch.place for watch in sky.watches})
    if plot is not None:
        write_picture(plan, sky, plot, at_ns)
