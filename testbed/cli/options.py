"""Options that mean the same everywhere, and the plan they ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from testbed.cli import completing
from testbed.ground.errors import InputError
from testbed.ground.units import parse_duration_ns, parse_utc_ns
from testbed.lab import finder
from testbed.plan.inputs import DEFAULT, Request
from testbed.plan.model import Plan
from testbed.plan.plans import Asked, make

Command = TypeVar("Command", bound=Callable[..., Any])


def planning(command: Command) -> Command:
    """What a plan is made from."""
    decorators = [
        click.option(
            "--catalogue",
            "catalogues",
            multiple=True,
            metavar="FILE|NAME",
            help="Orbital elements: TLE or OMM, also .gz, or a built-in constellation; repeatable. "
            f"Default: the topology's own, else {DEFAULT}. An unknown name lists those there are.",
        ),
        click.option(
            "--select",
            multiple=True,
            metavar="FILTER",
            help="Satellites to use, like 'altitude=500..600,inclination=52..54,name=STARLINK-1*,count=100'; "
            "repeatable: one filter must hold.",
        ),
        click.option("--start", metavar="UTC", help="ISO 8601. Default: the newest epoch of the files, or now."),
        click.option("--duration", default="60", show_default=True, metavar="S", help="Seconds, or like 5min."),
        click.option("--step", default=100, show_default=True, metavar="MS", help="How often delays are renewed."),
        click.option("--seed", default=0, show_default=True, help="For everything drawn by chance."),
        click.option(
            "-p",
            "parameters",
            multiple=True,
            metavar="KEY=VALUE",
            shell_complete=completing.parameter,
            help="Topology parameter; repeatable.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def ask(
    topology: str,
    *,
    catalogues: tuple[str, ...],
    select: tuple[str, ...],
    start: str | None,
    duration: str,
    step: int,
    seed: int,
    parameters: tuple[str, ...],
) -> tuple[Asked, Request]:
    """Find and read: what the topology asks for, and what a plan of it is made from; raises InputError."""
    asked = finder.find(topology).scenario(**_pairs(parameters))
    duration_ns = parse_duration_ns(duration)
    if duration_ns <= 0:
        raise InputError(f"--duration {duration} is not positive: write the seconds to play, like 60")
    if step <= 0:
        raise InputError(f"--step {step} is not positive: write milliseconds, like 100")
    start_ns = None if start is None else parse_utc_ns(start)
    return asked, Request(catalogues, select, start_ns, duration_ns, step * 1_000_000, seed)


def make_plan(topology: str, **options: Any) -> Plan:
    """Find, read, compute; the options are those of `ask`. Raises InputError."""
    return make(*ask(topology, **options))


def _pairs(parameters: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in parameters:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"-p '{text}' is not KEY=VALUE")
        pairs[key] = value
    return pairs
