"""testbed bench: what this machine does, each figure beside its reference in the same run."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import click

from testbed.bench.context import Context
from testbed.bench.rows import document, print_rows
from testbed.ground.errors import MachineError
from testbed.ground.units import parse_utc_ns
from testbed.lab.place import Place, why_not_uml

BENCHES = ("plan", "build", "update", "fidelity", "throughput", "routing", "traffic", "alarms", "soak", "web")
_ON_NETWORKS = BENCHES[1:]  # planning needs no network and no place
_START = "2026-06-14T06:00:00Z"  # built-in shells are made for any start: one instant, so that runs compare


@click.command("bench")
@click.argument("name", type=click.Choice(BENCHES))
@click.option("--where", type=click.Choice(["both", "native", "uml"]), default="both", show_default=True)
@click.option("--quick", is_flag=True, help="The parts that take seconds.")
@click.option("--record", is_flag=True, help="build: 10,512 satellites in the guest, alone.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="TESTBED_BENCH_CATALOGUE",
    help="plan, web: real satellites instead of the built-in shells (TLE or OMM).",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(name: str, where: str, quick: bool, record: bool, catalogue: Path | None, form: str) -> None:
    """Measure NAME; exit code 1 when a target is missed.

    \b
    testbed bench plan        orbits, links and paths computed, beside sgp4 and scipy
    testbed bench build       whole shells as networks, beside stock Mininet
    testbed bench update      link changes per second, beside tc, pyroute2, Mininet
    testbed bench fidelity    delay errors on the wire for ten minutes, beside ping
    testbed bench throughput  TCP and UDP through satellite hops, and what a full buffer adds
    testbed bench routing     FRR in sixty satellites, one of them lost and found again
    testbed bench traffic     encrypted packets per second of processor time, beside Scapy
    testbed bench alarms      ten million genuine packets over a thousand handovers: false alarms
    testbed bench soak        24 h of schedule at 60 times its speed, watched for leaks
    testbed bench web         the audit of a run whose dashboard is looked at, beside that without one
    """
    places = _places(where) if name in _ON_NETWORKS else []
    run = importlib.import_module(f"testbed.bench.{name}").run
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        Path(folder).chmod(0o755)  # the guest may be an ordinary user's
        rows = run(Context(Path(folder), places, parse_utc_ns(_START), quick, record, catalogue))
    if not rows:
        raise MachineError(f"bench {name} --where {where}: it needs netem, which this kernel has not: use --where uml")
    if form == "json":
        click.echo(json.dumps(document(name, rows), indent=1))
    else:
        print_rows(name, rows, sys.stdout)
    sys.exit(1 if any(row.met is False for row in rows) else 0)


def _places(where: str) -> list[Place]:
    """Where to measure: of `both` what this machine and user can; raises MachineError that says what would mend it."""
    why_not: dict[Place, str | None] = {
        "native": None if os.geteuid() == 0 else "measuring natively needs root: run it with sudo, or use --where uml",
        "uml": why_not_uml(),
    }
    wanted: list[Place] = [place for place in why_not if where in ("both", place)]
    places = [place for place in wanted if why_not[place] is None]
    told = [f"{place} left out: {why_not[place]}" for place in wanted if place not in places]
    if not places:
        raise MachineError("; ".join(str(why_not[place]) for place in wanted))
    for line in told:
        click.echo(line, err=True)
    return places
