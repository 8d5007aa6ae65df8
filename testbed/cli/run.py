"""testbed run: plan, build, play, audit, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import click

from testbed.cli import completing
from testbed.cli.options import make_plan, planning
from testbed.cli.progress import Follow
from testbed.lab import place, playing
from testbed.plan.store import read_parquet
from testbed.report.results import exit_code
from testbed.report.text import print_report


@click.command("run")
@click.argument("topology", required=False, shell_complete=completing.topology)
@planning
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="Play this plan instead of a topology.")
@click.option("--where", type=click.Choice(["auto", "native", "uml"]), default="auto", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Run directory; default runs/…")
@click.option("--pcap", is_flag=True, help="Capture at every protected host.")
@click.option("--pcap-links", is_flag=True, help="Capture on every link of the plan as well.")
@click.option("--events", type=click.Path(path_type=Path), help="Faults to happen: a JSON list, see docs/faults.md.")
@click.option("--speed", default=1.0, show_default=True, metavar="X", help="Schedule seconds per real second.")
@click.option("--readback/--no-readback", default=True, help="Compare what the kernel holds with the plan.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    topology: str | None,
    plan_file: Path | None,
    where: place.Where,
    out: Path | None,
    pcap: bool,
    pcap_links: bool,
    events: Path | None,
    speed: float,
    readback: bool,
    form: str,
    **asked: Any,
) -> None:
    """Plan TOPOLOGY (or take --plan FILE), play it, and judge what was measured.

    \b
    testbed run starlink-italy --catalogue starlink.tle --duration 60
    testbed run starlink-italy -p adversary=bitflip --format json
    testbed run --plan plan.parquet
    testbed run starlink-italy --duration 1h --speed 60
    """
    if (topology is None) == (plan_file is None):
        raise click.UsageError("name a TOPOLOGY or give --plan FILE, one of the two")
    chosen = place.choose(where)
    plan = read_parquet(plan_file) if plan_file is not None else make_plan(str(topology), **asked)
    captured: bool | Literal["links"] = "links" if pcap_links else pcap
    folder, _ = playing.prepare(plan, out, events=events or (), speed=speed, readback=readback, pcap=captured)
    with Follow(chosen) as follow:
        report = playing.finish(folder, chosen, follow)
    if form == "json":
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        print_report(report, sys.stdout)
    sys.exit(exit_code(report))
