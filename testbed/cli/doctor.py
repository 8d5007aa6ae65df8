"""testbed doctor: what this machine can do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.lab import doctor


@click.command("doctor")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(form: str) -> None:
    """Say what this machine can do, what is missing, and the line that mends it. Exit code 3 if nothing can run.

    \b
    testbed doctor
    testbed doctor --format json
    """
    findings = doctor.examine()
    able = doctor.can_run(findings)
    if form == "json":
        click.echo(json.dumps({"can_run": able, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in findings:
            mark = Text("ok", "green") if finding.ok else Text("no", "red" if finding.needed else "yellow")
            detail = finding.detail + (f"\n→ {finding.mend}" if finding.mend else "")
            table.add_row(mark, finding.name, detail)
        console = Console(highlight=False)
        console.print(table)
        console.print(
            "\nReady: testbed run starlink-italy" if able else "\nNothing can run here yet: mend the lines above"
        )
    sys.exit(0 if able else 3)
