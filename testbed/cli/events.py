"""testbed events: what has happened in a run, and what happens while it plays."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from testbed.cli import completing
from testbed.ground.joining import LIVE
from testbed.lab import happenings, runs


@click.command("events")
@click.argument("run", shell_complete=completing.run_directory)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends, with what its kernel says.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(run: str, *, follow: bool, form: str) -> None:
    """List what has happened in RUN (a folder, or 'latest'): handovers, faults; one line each, or JSON lines.

    With --follow also what the kernel says as it happens: handovers, routes, links that get dark or lit.

    \b
    testbed events latest
    testbed events latest --follow
    testbed events latest --follow --format json
    """
    folder = runs.find_live(run) if follow and not _ended(run) else runs.find(run)
    for happening in happenings.past(folder):
        _tell(happening, form)
    if follow and (folder / LIVE).exists():
        try:
            for happening in happenings.follow(folder):
                _tell(happening, form)
        except KeyboardInterrupt:
            sys.exit(130)


def _ended(run: str) -> bool:
    return (runs.find(run) / "run.json").exists()


def _tell(happening: dict[str, Any], form: str) -> None:
    line = json.dumps(happening, ensure_ascii=False) if form == "json" else _sentence(happening)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _sentence(happening: dict[str, Any]) -> str:
    kind, node = happening["kind"], happening["node"]
    if kind in ("handover", "route"):
        before = f"{happening['from']} → " if "from" in happening else "→ "
        what = f"{node}: {before}{happening.get('to', '?')}"
    elif kind in ("link", "interface"):
        what = f"{node} → {happening['to']} {'up' if happening['up'] else 'down'}"
    elif happening["by"] == "fault":
        what = f"{node}: {happening['fault']}" if happening["fault"] else ""
    else:
        what = f"{node}: {happening['detail']}" if "detail" in happening else str(node)
    cause = f"({happening['cause']})" if happening.get("cause") else ""
    words = " ".join(word for word in (what, cause) if word)
    return f"{happening['time_s']:10.3f} s  {kind:13} {words}  [{happening['by']}]"
