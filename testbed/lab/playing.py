"""From a plan to a judged run: what `testbed run` and `testbed.run` share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from testbed.emulation.frr.daemons import Installation
from testbed.ground.errors import InputError, RunError
from testbed.lab import launch, rundir
from testbed.lab.place import Place
from testbed.plan.accelerate import accelerated, accelerated_faults
from testbed.plan.faults import parse_fault, read_entries
from testbed.plan.model import Plan
from testbed.report.results import write_report


def prepare(
    plan: Plan,
    out: Path | None = None,
    *,
    events: Path | Sequence[Mapping[str, Any]] = (),
    speed: float = 1.0,
    readback: bool = True,
    pcap: bool | Literal["links"] = False,
) -> tuple[Path, Plan]:
    """A new run directory in which the plan can be played (see `rundir.create`), and the plan as it will be.

    events: faults to happen, a file or its entries (docs/faults.md). speed: schedule seconds per real second.
    Raises InputError, or MachineError where the plan needs daemons that are not here.
    """
    if plan.routing == "frr":
        Installation.find()
    faults = read_entries(events, plan) if isinstance(events, Path) else _checked(events, plan)
    plan, faults = accelerated(plan, speed), accelerated_faults(faults, speed)
    return rundir.create(plan, out, readback=readback, pcap=pcap, faults=faults), plan


def finish(folder: Path, place: Place, on_message: Callable[[launch.Message], None]) -> dict[str, Any]:
    """Play a run directory to its end and judge it; returns the report, which is then in the directory.

    Raises RunError or InputError when the runner broke off: there is nothing to judge then.
    """
    code = launch.play(folder, place, on_message)
    _refuse_broken(folder, code)
    return write_report(folder)


def _checked(entries: Sequence[Mapping[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    for number, entry in enumerate(entries, 1):
        parse_fault(entry, plan, where=f"events: fault {number}")
    return [dict(entry) for entry in entries]


def _refuse_broken(folder: Path, code: int) -> None:
    """A runner that broke off has nothing to judge; raises RunError or InputError, with the reason it left."""
    outcome = folder / "run.json"
    if not outcome.is_file():
        words = (folder / "runner.log").read_text(errors="replace").strip().split("\n")
        raise RunError(f"the runner broke off ({words[-1] or f'exit code {code}'}): see {folder / 'runner.log'}")
    run = json.loads(outcome.read_text())
    if run["ended"] == "failed":
        raise {2: InputError}.get(code, RunError)(f"{run['error']} (run directory {folder})")
