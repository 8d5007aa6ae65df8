"""testbed clean: remove what killed runs left behind, and nothing else."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.lab import clean, rundir


@click.command("clean")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--runs", type=click.Path(path_type=Path), default=rundir.DEFAULT_PARENT, show_default=True)
def command(dry_run: bool, runs: Path) -> None:
    """Remove processes and control files of runs that were killed. Results are kept.

    \b
    testbed clean --dry-run
    testbed clean --runs experiments
    """
    leftovers = clean.find(runs)
    for leftover in leftovers:
        click.echo(f"{'would remove' if dry_run else 'removing'} {leftover.what}")
    if not dry_run:
        clean.remove(leftovers)
    if not leftovers:
        click.echo("nothing to clean")
