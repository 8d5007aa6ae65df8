"""testbed fetch: current orbital elements from CelesTrak."""

from __future__ import annotations

import os
from pathlib import Path

import click

from testbed.orbits import celestrak


def cache() -> Path:
    """Where elements are kept: XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "satcom-testbed"


@click.command("fetch")
@click.argument("group", default="starlink")
def command(group: str) -> None:
    """Download CelesTrak's current elements of GROUP into a cache, and say where they are.

    Never the same set twice within two hours, as CelesTrak asks.

    \b
    testbed fetch
    testbed fetch oneweb
    """
    path = celestrak.fetch(group, cache())
    click.echo(celestrak.describe(path))
