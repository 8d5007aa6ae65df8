"""testbed web: the dashboard of a run; and the one beside a run, for `testbed run --web`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from testbed.cli import completing
from testbed.lab import runs
from testbed.lab.web.beside import Beside
from testbed.lab.web.listen import DEFAULT, Listening, listen
from testbed.plan.model import Plan, load


@click.command("web")
@click.argument("run", default="latest", shell_complete=completing.run_directory)
@click.option(
    "--catalogue",
    "catalogues",
    multiple=True,
    metavar="FILE|NAME",
    help="The plan's, for the other satellites, where the run has none and it is not here under its name.",
)
@click.option("--listen", "where", default=DEFAULT, show_default=True, metavar="ADDRESS:PORT")
def command(run: str, catalogues: tuple[str, ...], where: str) -> None:
    """Show RUN (a run directory, or 'latest') in the browser until Ctrl-C: live while it plays, afterwards again.

    \b
    testbed web latest
    testbed web runs/starlink-italy-20260614T060000Z --catalogue starlink.tle.gz
    """
    from testbed.lab.web.serve import foreground  # slow to import: only where it is asked for

    folder = runs.find(run)
    listening = listen(where)
    plan = load(folder / "plan")
    _sample(folder, plan, catalogues)
    _tell(listening)
    click.echo("Ctrl-C ends it", err=True)
    foreground(plan, folder, listening)


@contextmanager
def dashboard(
    folder: Path, plan: Plan, catalogues: Sequence[str], listening: Listening
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """The dashboard beside a run for the time of the block; what it gives is told the runner's messages."""
    _sample(folder, plan, catalogues)
    with Beside(folder, listening) as beside:
        _tell(listening)
        yield beside.tell


def _sample(folder: Path, plan: Plan, catalogues: Sequence[str]) -> None:
    """Every satellite's positions, if they are not there already."""
    from testbed.lab.web.sky import catalogue_of, read_sky, write_sky  # slow to import

    if read_sky(folder) is not None or not any(node.role == "satellite" for node in plan.nodes):
        return
    catalogue = catalogue_of(plan, catalogues)
    if catalogue is None:
        told = plan.manifest.get("catalogue", {}).get("source", "its catalogue")
        click.echo(f"the dashboard has no satellites: {told} is not here: give --catalogue FILE", err=True)
    else:
        write_sky(plan, catalogue, folder)


def _tell(listening: Listening) -> None:
    click.echo(f"dashboard: {listening.url}", err=True)
    if not listening.loopback:
        click.echo("warning: other machines can reach it, unencrypted: its address is the only secret", err=True)
