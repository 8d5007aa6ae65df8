"""testbed event: make a fault happen in a live run."""

from __future__ import annotations

import json

import click

from testbed.cli import completing
from testbed.ground.errors import InputError
from testbed.lab import runs
from testbed.lab.inject import inject


@click.command("event")
@click.argument("run", shell_complete=completing.run_directory)
@click.argument("kind")
@click.argument("target", nargs=-1)
@click.option("--for", "lasting", type=float, metavar="S", help="Seconds; without it until the run ends.")
@click.option("--loss", type=float, help="Share of packets lost, 0..1.")
@click.option("--rate", type=float, help="Share of the planned rate that is left.")
@click.option("--delay", type=float, metavar="MS", help="Added one way.")
@click.option("--cause", help="Why: kept in the log.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    run: str,
    kind: str,
    target: tuple[str, ...],
    lasting: float | None,
    loss: float | None,
    rate: float | None,
    delay: float | None,
    cause: str | None,
    form: str,
) -> None:
    """Begin a fault of KIND at TARGET in the live RUN (a folder, or 'latest').

    \b
    testbed event latest gateway gw-milano --for 20
    testbed event latest link pop-milan ce-rome --for 5
    testbed event latest jam 40.5 17.2 300 --loss 0.3
    testbed event latest denial --for 10
    testbed event latest rain ut-rome --loss 0.05 --rate 0.5
    """
    folder = runs.find_live(run)
    entry = {"kind": kind} | _target(kind, target)
    options = {"for": lasting, "loss": loss, "rate": rate, "delay": delay, "cause": cause}
    entry |= {name: value for name, value in options.items() if value is not None}
    told = inject(folder, entry)
    if form == "json":
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(f"{told['kind']} at {told['time_ns'] / 1e9:.3f} s on {told['links']} link directions: {told['cause']}")


def _target(kind: str, target: tuple[str, ...]) -> dict[str, object]:
    if kind == "denial" and not target:  # of the whole account
        return {}
    if kind in ("jam", "denial"):
        try:
            return {"area": [float(word) for word in target]}
        except ValueError:
            raise InputError(f"{kind} {' '.join(target)}: write latitude, longitude and radius in km") from None
    if kind in ("link", "congestion"):
        if len(target) != 2:
            raise InputError(f"{kind} {' '.join(target)}: write the two nodes that it joins")
        return {"a": target[0], "b": target[1]}
    if len(target) != 1:
        raise InputError(f"{kind} {' '.join(target)}: write one node")
    return {"node": target[0]}
