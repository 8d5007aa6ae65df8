"""testbed run: plan, build, play, audit, report."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import click

from testbed.cli import completing
from testbed.cli.options import make_plan, planning
from testbed.cli.progress import Follow
from testbed.cli.web import dashboard
from testbed.lab import launch, place, playing
from testbed.lab.web.listen import DEFAULT
from testbed.lab.web.listen import listen as listen_on
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
@click.option("--web", is_flag=True, help="A dashboard in the browser, on loopback, while the run plays.")
@click.option("--listen", default=None, metavar="ADDRESS:PORT", help="Where the dashboard listens.  [127.0.0.1:0]")
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
    web: bool,
    listen: str | None,
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
    testbed run starlink-italy --duration 10min --web
    """
    if (topology is None) == (plan_file is None):
        raise click.UsageError("name a TOPOLOGY or give --plan FILE, one of the two")
    if listen is not None and not web:
        raise click.UsageError("--listen is where the dashboard listens: give --web too")
    chosen = place.choose(where)
    listening = listen_on(listen or DEFAULT) if web else None
    plan = read_parquet(plan_file) if plan_file is not None else make_plan(str(topology), **asked)
    captured: bool | Literal["links"] = "links" if pcap_links else pcap
    folder, plan = playing.prepare(plan, out, events=events or (), speed=speed, readback=readback, pcap=captured)
    shown = nullcontext(_nobody) if listening is None else dashboard(folder, plan, asked["catalogues"], listening)
    with shown as tell:
        with Follow(chosen, plain=form == "json") as follow:
            report = playing.finish(folder, chosen, _both(follow, tell))
        tell({"ended": report["verdict"]})
    if form == "json":
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        print_report(report, sys.stdout)
    sys.exit(exit_code(report))


def _nobody(_: launch.Message) -> None:
    """Without a dashboard nobody else is told."""


def _both(one: Callable[[launch.Message], None], other: Callable[[launch.Message], None]) -> Callable[..., None]:
    def tell(message: launch.Message) -> None:
        one(message)
        other(message)

    return tell
