"""testbed sweep: one topology with its parameters varied, one table and one page."""

from __future__ import annotations

from itertools import product
from typing import Any

import click

from testbed.cli import completing
from testbed.cli.campaigning import Options, campaigning
from testbed.ground.errors import InputError
from testbed.lab import finder
from testbed.report.comparison.table import QUIET


@click.command("sweep")
@click.argument("topology", shell_complete=completing.topology)
@click.option("-p", "varied", multiple=True, metavar="KEY=A,B,…", help="Values to try; repeatable: every combination.")
@campaigning
def command(topology: str, varied: tuple[str, ...], **asked: Any) -> None:
    """Run TOPOLOGY with every combination of the values given, and compare.

    \b
    testbed sweep starlink-italy -p policy=highest,measured -p window=64,1024 --seeds 2
    """
    options, found = Options(**asked), finder.find(topology)
    cells = []
    for parameters in combinations(varied):
        found.scenario(**parameters)  # what is wrong with it is said now
        label = " ".join(f"{key}={value}" for key, value in parameters.items()) or "default"
        for seed in range(options.seeds):
            name = f"{found.name}-{label}"
            cells.append(options.cell(name, label, topology, QUIET, seed, parameters, options.duration))
    options.carry_out("sweep", cells)


def combinations(varied: tuple[str, ...]) -> list[dict[str, str]]:
    """Every combination of 'KEY=A,B' words; raises InputError."""
    values: dict[str, list[str]] = {}
    for text in varied:
        key, equals, words = text.partition("=")
        if not equals or not all(words.split(",")):
            raise InputError(f"-p '{text}' is not KEY=A,B,…")
        values[key] = words.split(",")
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
