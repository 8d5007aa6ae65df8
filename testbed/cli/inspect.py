"""testbed inspect: nodes, links and addresses of a live run, and what its kernel holds beside the plan."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from testbed.cli import completing
from testbed.lab import join, runs


@click.command("inspect")
@click.argument("run", shell_complete=completing.run_directory)
@click.argument("node", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(run: str, node: str | None, form: str) -> None:
    """Show the network of the live RUN (a folder, or 'latest'), or one NODE of it.

    Of each link direction: what netem holds, as the kernel says, and what plan and faults together want of it now.

    \b
    testbed inspect latest
    testbed inspect latest ut-rome
    testbed inspect latest ut-rome --format json
    """
    folder = runs.find_live(run)
    document = join.inspect(folder, node)
    if form == "json":
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    rows = [
        (each["name"], each["role"], port["name"], port["to"], " ".join(port["addresses"]))
        for each in document["nodes"]
        for port in each["interfaces"]
    ]
    sys.stdout.write(_table(("node", "role", "interface", "to", "addresses"), rows))
    sys.stdout.write("\n" + _table(_LINK, [_link(link) for link in document["links"]], numbers_from=4))
    if document["links_left_out"]:
        click.echo(f"and {document['links_left_out']:,} directions more: name a NODE")
    wrong = sum(not link["agrees"] for link in document["links"])
    if wrong:
        click.echo(f"{wrong} of {len(document['links'])} directions hold something else than planned")


_LINK = ("from", "to", "kind", "state", "delay ms", "planned", "loss %", "planned", "Mbit/s", "planned")


def _link(link: dict[str, Any]) -> tuple[str, ...]:
    held, planned = link["held"], link["planned"]
    state = "gone" if held is None else "up" if held["up"] else "down"
    state += "" if link["agrees"] else " !"
    figures = []
    for name, scale, digits in (("delay_ms", 1.0, 3), ("loss", 100.0, 2), ("rate_bps", 1e-6, 1)):
        for side in (held, planned):
            value = None if side is None else side[name]
            figures.append("–" if value is None else f"{value * scale:.{digits}f}")
    return link["from"], link["to"], link["kind"], state, *figures


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int = 99) -> str:
    """Columns as wide as they need; those from number `numbers_from` on to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if number >= numbers_from else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)
