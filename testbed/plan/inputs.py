"""What a plan is made from: the catalogues that are asked for, the start, and how long and how finely."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import CatalogueError
from testbed.orbits.builtin import built_in, is_built_in, unknown
from testbed.orbits.catalogue import Catalogue, merge, read_catalogue
from testbed.orbits.select import select as select_satellites

DEFAULT = "starlink-2026"
"""The built-in constellation where no catalogue is asked for."""


@dataclass(frozen=True)
class Request:
    """What is asked besides the topology. `start_ns`: UTC since 1970; None for the default of `elements`."""

    catalogues: tuple[str, ...]
    select: tuple[str, ...]
    start_ns: int | None
    duration_ns: int
    step_ns: int
    seed: int


def elements(catalogues: Sequence[str], start_ns: int | None, select: Sequence[str] = ()) -> tuple[Catalogue, int]:
    """The satellites of all `catalogues` that pass `select`, and the start.

    A catalogue is a file, or the name of a built-in constellation, which is made for the start ('./NAME' is a file of
    that name); DEFAULT without any. The start, in whole seconds where none is asked for, is the newest epoch in the
    files, or now where there are only built-in ones. Raises CatalogueError, or InputError for a filter.
    """
    names = tuple(catalogues) or (DEFAULT,)
    files = {name: _read(name) for name in names if not is_built_in(name)}
    if start_ns is None:
        newest_ns = max((file.newest_epoch_ns for file in files.values()), default=time.time_ns())
        start_ns = newest_ns // NS_PER_S * NS_PER_S
    whole = merge([files[name] if name in files else built_in(name, start_ns) for name in names])
    return select_satellites(whole, select), start_ns


def _read(name: str) -> Catalogue:
    """A file; a bare word that is none was meant as a name."""
    path = Path(name)
    if path.name == name and not path.suffix and not path.exists():
        raise CatalogueError(unknown(name))
    return read_catalogue(path)
