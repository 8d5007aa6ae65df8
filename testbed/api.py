"""The testbed for programmers: plan, play, read what came of it. Numbers in, data out; docs/api.md has examples.

    from testbed import make_plan, run

    results = run(make_plan("starlink-italy", duration_s=30, adversary="bitflip"))
    results.verdict, results.flows["voice-rome"]["integrity"]

The errors are those of `testbed.ground.errors`, the same that the command line turns into exit codes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import InputError, TestbedError
from testbed.ground.units import parse_utc_ns
from testbed.lab import finder, place, playing, rundir
from testbed.lab.finder import Topology
from testbed.lab.network import network as live
from testbed.lab.place import Where
from testbed.plan import model
from testbed.plan.inputs import Request
from testbed.plan.model import Plan
from testbed.plan.plans import Asked, make
from testbed.plan.store import read_parquet, write_parquet
from testbed.report import results as judged

if TYPE_CHECKING:
    from mininet.net import Mininet

__all__ = [
    "Plan",
    "Results",
    "TestbedError",
    "Topology",
    "load",
    "load_plan",
    "make_plan",
    "network",
    "run",
    "save_plan",
    "topologies",
]

_NS_PER_MS = 1_000_000


def topologies() -> list[Topology]:
    """What can be run: name, title, parameters and the function that makes its scenario."""
    return [finder.find(name) for name in finder.names()]


def make_plan(
    topology: str | Path | Asked,
    *,
    catalogue: str | Path | Sequence[str | Path] = (),
    select: str | Sequence[str] = (),
    start: str | datetime | None = None,
    duration_s: float = 60,
    step_ms: int = 100,
    seed: int = 0,
    **parameters: object,
) -> Plan:
    """The frozen schedule of a topology: a name, a file `path/topology.py`, or a scenario made by hand.

    start: ISO 8601, or a datetime with its zone; None for the newest epoch of the catalogue, or now.
    parameters: the topology's, as `-p` takes them; True is 'on' and False 'off'. Raises InputError.
    """
    if isinstance(topology, str | Path):
        asked = finder.find(str(topology)).scenario(**{name: _text(value) for name, value in parameters.items()})
    elif parameters:
        raise InputError(f"parameters {', '.join(parameters)}: a scenario made by hand has taken its own already")
    else:
        asked = topology
    if duration_s <= 0:
        raise InputError(f"duration_s={duration_s:g} is not positive: give the seconds to play, like 60")
    if step_ms <= 0:
        raise InputError(f"step_ms={step_ms} is not positive: give milliseconds, like 100")
    request = Request(
        tuple(str(one) for one in ([catalogue] if isinstance(catalogue, str | Path) else catalogue)),
        (select,) if isinstance(select, str) else tuple(select),
        _start_ns(start),
        round(duration_s * NS_PER_S),
        step_ms * _NS_PER_MS,
        seed,
    )
    return make(asked, request)


def load_plan(file: str | Path) -> Plan:
    """A plan from the Parquet file that `save_plan` or `testbed plan --out` wrote; raises PlanError."""
    return read_parquet(Path(file))


def save_plan(plan: Plan, file: str | Path) -> None:
    """Write a plan as a Parquet file; the same plan gives the same bytes. Raises PlanError."""
    write_parquet(plan, Path(file))


def run(
    plan: Plan | str | Path | Asked,
    *,
    where: Where = "auto",
    out: str | Path | None = None,
    events: str | Path | Sequence[Mapping[str, Any]] = (),
    speed: float = 1.0,
    readback: bool = True,
    pcap: bool | Literal["links"] = False,
    on_message: Callable[[dict[str, Any]], None] = lambda _message: None,
    **planning: Any,
) -> Results:
    """Play a plan, or a topology planned with `planning` as `make_plan` takes it, and judge what was measured.

    The verdict is a result, no error. events: faults, a file or its entries (docs/faults.md). on_message: gets the
    runner's progress. Raises InputError, MachineError where it cannot run, RunError where the runner broke off, and
    KeyboardInterrupt when it was interrupted: the partial report is kept in the run directory.
    """
    chosen = place.choose(where)
    if not isinstance(plan, Plan):
        plan = make_plan(plan, **planning)
    elif planning:
        raise InputError(f"{', '.join(planning)}: a plan that is made has taken its own already: give a topology")
    folder, _ = playing.prepare(
        plan,
        None if out is None else Path(out),
        events=Path(events) if isinstance(events, str | Path) else events,
        speed=speed,
        readback=readback,
        pcap=pcap,
    )
    results = Results(folder, playing.finish(folder, chosen, on_message))
    if results.exit_code == judged.INTERRUPTED_EXIT_CODE:
        raise KeyboardInterrupt
    return results


def load(run_dir: str | Path = "latest") -> Results:
    """The results of a run directory, or of the newest in ./runs; raises InputError where there are none."""
    folder = rundir.find(str(run_dir))
    try:
        report = json.loads((folder / "report.json").read_text())
    except FileNotFoundError:
        raise InputError(f"{folder}: no report yet: make it with 'testbed report {folder}'") from None
    return Results(folder, report)


@contextmanager
def network(plan: Plan | str | Path | Asked, **planning: Any) -> Iterator[Mininet]:
    """Mininet's network of a plan for the time of the block, the schedule playing: `net["rome"].cmd("ping -c3 …")`.

    Only in a process that can emulate itself: root, and a kernel with netem. Raises MachineError elsewhere; tests
    reach such a place by the pytest plug-in.
    """
    if not isinstance(plan, Plan):
        plan = make_plan(plan, **planning)
    with live(plan) as net:
        yield net


@dataclass(frozen=True)
class Results:
    """What came of a run. `report`: report.json as it is (docs/schemas.md); the properties are its parts.

    `passed` is every check passed; a run that is not valid has measured nothing to go by, so it has not passed.
    """

    run_dir: Path
    report: dict[str, Any] = field(repr=False)

    @property
    def verdict(self) -> Literal["pass", "fail", "invalid"]:
        verdict: Literal["pass", "fail", "invalid"] = self.report["verdict"]
        return verdict

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def exit_code(self) -> int:
        """What `testbed run` would return."""
        return judged.exit_code(self.report)

    @property
    def reasons(self) -> list[str]:
        """Why it did not pass, one line each."""
        return list(self.report["reasons"])

    @property
    def warnings(self) -> list[str]:
        return list(self.report["warnings"])

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """By name."""
        return {check["name"]: check for check in self.report["checks"]}

    @property
    def flows(self) -> dict[str, dict[str, Any]]:
        """By name."""
        return {flow["name"]: flow for flow in self.report["flows"]}

    @property
    def audit(self) -> dict[str, Any] | None:
        """The delays measured against planned ones; None where the run broke off before."""
        audit: dict[str, Any] | None = self.report["audit"]
        return audit

    @cached_property
    def plan(self) -> Plan:
        """The plan that was played."""
        return model.load(self.run_dir / "plan")

    @cached_property
    def samples(self) -> NDArray[np.void]:
        """Every probe, shape (n_probes,), columns of `testbed.ground.records.SAMPLE_DTYPE`."""
        samples: NDArray[np.void] = np.load(self.run_dir / "samples.npy")
        return samples


def _text(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _start_ns(start: str | datetime | None) -> int | None:
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise InputError(f"start {start.isoformat()}: which zone? give a datetime with tzinfo, like timezone.utc")
        return round(start.timestamp() * 1e6) * 1_000
    return None if start is None else parse_utc_ns(start)
