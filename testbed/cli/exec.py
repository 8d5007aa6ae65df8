"""testbed exec: a command in a node of a live run."""

from __future__ import annotations

import json
import sys

import click

from testbed.cli import completing
from testbed.lab import join, runs


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("run", shell_complete=completing.run_directory)
@click.argument("node")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(run: str, node: str, words: tuple[str, ...], form: str) -> None:
    """Run COMMAND in NODE of the live RUN (a folder, or 'latest'), as root of the kernel it plays in.

    Standard input, output and error, Ctrl-C and the exit code are the command's. It ends with the run at the latest.

    \b
    testbed exec latest rome -- ping -c 3 198.51.100.2
    testbed exec latest ut-rome -- ip route
    testbed exec latest rome -- bash
    testbed exec latest rome --format json -- ip -j address
    """
    folder = runs.find_live(run)
    if form == "text":
        sys.exit(join.execute(folder, node, list(words)))
    told = join.collect(folder, node, list(words))
    click.echo(json.dumps(told))
    sys.exit(told["code"])
