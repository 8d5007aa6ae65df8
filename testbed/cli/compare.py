"""testbed compare: the same sites and flows over several systems, one table and one page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from testbed.cli import completing
from testbed.cli.campaigning import Options, campaigning
from testbed.ground.errors import InputError
from testbed.ground.units import parse_duration_ns
from testbed.lab import finder
from testbed.lab.campaign import Cell
from testbed.report.comparison.table import QUIET

TRIAL_S: Final = 30
"""A trial lasts this long at most: the attack or the fault that it holds comes in its first ten seconds."""


@click.command("compare")
@click.argument("topologies", nargs=-1, required=True, shell_complete=completing.topology)
@click.option("--workload", default="government", show_default=True, help="What the sites do.")
@click.option("--trials/--no-trials", default=True, help="Also attack each system and let its parts fail, once each.")
@campaigning
def command(topologies: tuple[str, ...], workload: str, trials: bool, **asked: Any) -> None:
    """Run the same sites and flows over each of TOPOLOGIES, several times, and compare what they got.

    \b
    testbed compare starlink-italy iris2 national-leo geo-milsat terrestrial
    testbed compare starlink-italy terrestrial --seeds 5 --duration 120 --out campaigns/two
    """
    options = Options(**asked)
    cells = [cell for name in dict.fromkeys(topologies) for cell in _cells(name, workload, options, trials=trials)]
    options.carry_out("compare", cells)


def _cells(name: str, workload: str, options: Options, *, trials: bool) -> Iterator[Cell]:
    """A topology's quiet runs, one for each seed, and its trials, once each."""
    topology = finder.find(name)
    if workload not in topology.workloads:
        known = ", ".join(topology.workloads) or "none"
        raise InputError(f"topology {name} has no workload '{workload}': it has {known}")
    base = topology.workloads[workload]
    trial_s = min(TRIAL_S, parse_duration_ns(options.duration) // 10**9)
    for trial, more in {QUIET: {}, **(topology.trials if trials else {})}.items():
        parameters = {**base, **more}
        topology.scenario(**parameters)  # what is wrong with it is said now, not after half an hour
        for seed in range(options.seeds if trial == QUIET else 1):
            length = options.duration if trial == QUIET else str(trial_s)
            label = f"{topology.name}-{trial}"
            yield options.cell(label, topology.name, name, trial, seed, parameters, length)
