"""What `compare` and `sweep` share: their options, their cells, and carrying them out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
from rich.console import Console

from testbed.ground.errors import InputError
from testbed.ground.units import format_utc, parse_duration_ns
from testbed.lab import place
from testbed.lab.campaign import Cell, Outcome, carry_out, opened
from testbed.report.comparison.text import print_comparison
from testbed.report.comparison.write import write_comparison

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_PARENT: Final = Path("campaigns")


def campaigning(command: Command) -> Command:
    """Options of every campaign."""
    decorators = [
        click.option("--seeds", default=3, show_default=True, metavar="N", help="Runs of each, with seeds 0 to N-1."),
        click.option("--catalogue", "catalogues", multiple=True, metavar="FILE|NAME", help="As for 'testbed run'."),
        click.option("--start", metavar="UTC", help="As for 'testbed run'; the same for all."),
        click.option("--duration", default="60", show_default=True, metavar="S", help="Of each run."),
        click.option("--where", type=click.Choice(["auto", "native", "uml"]), default="auto", show_default=True),
        click.option("--at-once", default=1, show_default=True, metavar="N", help="Runs at a time on this machine."),
        click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers have the testbed."),
        click.option(
            "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder; name it again to go on. Default new."
        ),
        click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@dataclass(frozen=True)
class Options:
    """What `campaigning` asks for. Raises InputError where it makes no sense, MachineError where nothing can run."""

    seeds: int
    catalogues: tuple[str, ...]
    start: str | None
    duration: str
    where: place.Where
    at_once: int
    scheduler: str | None
    out: Path | None
    form: str

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"--seeds {self.seeds} is not positive: write how often each is run, like 3")
        if self.at_once < 1:
            raise InputError(f"--at-once {self.at_once} is not positive: write how many runs at a time, like 1")
        if parse_duration_ns(self.duration) <= 0:
            raise InputError(f"--duration {self.duration} is not positive: write the seconds to play, like 60")
        if self.scheduler is None:
            place.choose(self.where)

    def cell(
        self, name: str, system: str, topology: str, trial: str, seed: int, parameters: Mapping[str, str], duration: str
    ) -> Cell:
        """A run as `testbed run` would be asked for it. `name`: made fit for a file."""
        arguments = [topology, "--duration", duration, "--seed", str(seed), "--where", self.where]
        arguments += [word for catalogue in self.catalogues for word in ("--catalogue", catalogue)]
        arguments += ["--start", self.start] if self.start is not None else []
        arguments += [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
        fit = "".join(character if character.isalnum() or character in "=,.-" else "_" for character in name)
        return Cell(f"{fit}-s{seed}", system, trial, seed, tuple(arguments))

    def carry_out(self, kind: str, cells: Sequence[Cell]) -> NoReturn:
        """Run what is left of the campaign, write the comparison and show it; ends the program.

        Exit code: 0 all quiet runs passed, 1 one failed, 3 one could not be run, 4 one is not valid, 130 interrupted.
        """
        stamp = format_utc(time.time_ns()).replace(":", "").replace("-", "")
        folder = (self.out or DEFAULT_PARENT / f"{kind}-{stamp}").absolute()
        console = Console(stderr=True, highlight=False)
        with ExitStack() as stack:
            executor = stack.enter_context(_executor(self.scheduler)) if self.scheduler else None
            done = stack.enter_context(opened(folder, cells, {"kind": kind}))
            console.print(f"{len(cells)} runs into {folder}" + (f", {len(done)} of them done before" if done else ""))
            progress = _Progress(console, len(cells), len(done))
            try:
                carry_out(folder, cells, at_once=self.at_once, executor=executor, on_end=progress)
            except KeyboardInterrupt:
                console.print(f"stopped: the same command with --out {folder} goes on")
                sys.exit(130)
            rows = [(asdict(one), _outcome(folder, one)) for one in cells]
            document = write_comparison(folder, rows)
        if self.form == "json":
            click.echo(json.dumps(document, indent=1, ensure_ascii=False))
        else:
            print_comparison(document, sys.stdout)
            click.echo(f"Report: {folder / 'comparison.html'}")
        sys.exit(_exit_code(rows))


class _Progress:
    """A line for each run that ends, and how long the rest will take."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._console, self._total, self._done, self._before = console, total, done, done
        self._began = time.monotonic()

    def __call__(self, one: Cell, outcome: Outcome) -> None:
        self._done += 1
        each_s = (time.monotonic() - self._began) / (self._done - self._before)
        left = each_s * (self._total - self._done) / 60
        tail = f", about {left:.0f} min left" if self._done < self._total else ""
        why = f" ({outcome['error']})" if outcome.get("error") else ""
        self._console.print(
            f"{self._done} of {self._total}: {one.name}: {outcome['verdict']}{why}, {outcome['wall_s']:.0f} s{tail}"
        )


def _outcome(folder: Path, one: Cell) -> Outcome:
    found: Outcome = json.loads((folder / "cells" / f"{one.name}.json").read_text())
    return found


def _exit_code(rows: Sequence[tuple[Mapping[str, Any], Outcome]]) -> int:
    """A trial may fail, that is what it is for; it must have been measured."""
    verdicts = {
        outcome["verdict"] if one["trial"] == "quiet" or outcome["verdict"] != "fail" else "pass"
        for one, outcome in rows
    }
    return next((code for verdict, code in (("failed", 3), ("invalid", 4), ("fail", 1)) if verdict in verdicts), 0)


def _executor(address: str) -> Any:
    """A Dask cluster's executor; raises InputError."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs Dask: run '.venv/bin/pip install distributed'") from None
    try:
        return Client(address, timeout=10).get_executor()  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None
