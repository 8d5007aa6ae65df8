"""testbed shell: Mininet's command line over a running topology."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from testbed.cli import completing
from testbed.cli.options import make_plan, planning
from testbed.lab import place, rundir, terminal


@click.command("shell")
@click.argument("topology", shell_complete=completing.topology)
@planning
@click.option("--where", type=click.Choice(["auto", "native", "uml"]), default="auto", show_default=True)
def command(topology: str, where: place.Where, **asked: Any) -> None:
    """Mininet's command line over TOPOLOGY, the schedule playing. Leave it with 'exit'.

    \b
    testbed shell starlink-italy --duration 600
    testbed> rome ping -c3 dc-rome
    testbed> sats
    """
    chosen = place.choose(where)
    folder = rundir.create(make_plan(topology, **asked), None)
    try:
        code = terminal.shell(folder, chosen)
    finally:
        shutil.rmtree(folder)  # a conversation leaves no results
    sys.exit(code)
