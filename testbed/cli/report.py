"""testbed report: judge a run directory again and show it."""

from __future__ import annotations

import json
import sys

import click

from testbed.cli import completing
from testbed.lab import rundir
from testbed.report.results import exit_code, write_report
from testbed.report.text import print_report


@click.command("report")
@click.argument("run", default="latest", shell_complete=completing.run_directory)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(run: str, form: str) -> None:
    """Rebuild and show the report of RUN: a run directory, or 'latest'.

    \b
    testbed report
    testbed report runs/starlink-italy-20260614T060000Z --format json
    """
    report = write_report(rundir.find(run))
    if form == "json":
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        print_report(report, sys.stdout)
    sys.exit(exit_code(report))
