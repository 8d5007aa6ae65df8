"""The orbital elements that a plan is asked for: a file's, or the built-in shells made for the start."""

from __future__ import annotations

import time
from pathlib import Path

from testbed.ground.constants import NS_PER_S
from testbed.orbits.catalogue import Catalogue, read_catalogue
from testbed.orbits.presets import STARLINK_2026
from testbed.orbits.walker import walker_catalogue

BUILT_IN = "built-in: Starlink shells as observed on 2026-06-14"


def elements(catalogue: Path | None, start_ns: int | None) -> tuple[Catalogue, int]:
    """The catalogue, and the start in whole seconds where none is asked for: its newest epoch, or now.

    Raises CatalogueError.
    """
    if catalogue is None:
        start_ns = _whole_seconds(time.time_ns()) if start_ns is None else start_ns
        return walker_catalogue(STARLINK_2026, start_ns, BUILT_IN), start_ns
    found = read_catalogue(catalogue)
    return found, _whole_seconds(found.newest_epoch_ns) if start_ns is None else start_ns


def _whole_seconds(time_ns: int) -> int:
    return time_ns // NS_PER_S * NS_PER_S
