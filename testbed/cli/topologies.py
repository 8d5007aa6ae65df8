"""testbed topologies: what can be run."""

from __future__ import annotations

import json

import click
from rich.console import Console

from testbed.lab import finder


@click.command("topologies")
@click.option("-v", "--verbose", is_flag=True, help="Show each topology's parameters.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(verbose: bool, form: str) -> None:
    """List what can be run, one line each.

    \b
    testbed topologies
    testbed topologies -v
    """
    found = [finder.find(name) for name in finder.names()]
    if form == "json":
        rows = [
            {
                "name": topology.name,
                "title": topology.title,
                "parameters": [
                    {"name": one.name, "default": one.default, "choices": list(one.choices), "meaning": one.meaning}
                    for one in topology.parameters
                ],
            }
            for topology in found
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    for topology in found:
        console.print(f"{topology.name:<16}  {topology.title}", markup=False)
        for one in topology.parameters if verbose else ():
            console.print(f"    -p {one.name}={'|'.join(one.choices)}  [{one.default}]  {one.meaning}", markup=False)
