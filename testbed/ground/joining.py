"""Where a live run can be met: the files of a run directory that are there only while it plays.

The standard library alone: `testbed exec` answers within 300 ms.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

LIVE: Final = "live.json"
"""The runner's process and its namespaces, in the kernel it runs in."""

PROGRESS: Final = "progress.json"
"""The newest record of what the run tells of itself (docs/live.md), replaced once a second; for its owner."""

DOOR: Final = "join"
"""Unix socket by which `testbed exec` and the like come in; for its owner."""

CONSOLE: Final = "TESTBED_JOIN"
"""Environment variable of the guest's runner: the console behind which the host has that socket."""

PRESENT_ONLY_LIVE: Final = (LIVE, PROGRESS, DOOR)


def nearest(word: str, known: Sequence[str]) -> str:
    """Behind a name that is not known: which may have been meant; else which there are."""
    matches = difflib.get_close_matches(word, known, n=3)
    if matches:
        return ": did you mean " + " or ".join(f"'{match}'" for match in matches) + "?"
    return f": there is {', '.join(known[:8])}{', …' if len(known) > 8 else ''}"


def write_progress(folder: Path, record: dict[str, Any]) -> None:
    """Replace the record at once: whoever reads it reads a whole one."""
    new = folder / f"{PROGRESS}.new"
    new.unlink(missing_ok=True)
    # The folder may be another user's while the guest runs: no link that lies there is followed.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(record, file)
    new.rename(folder / PROGRESS)


def read_progress(folder: Path) -> dict[str, Any] | None:
    """The newest record; None before the first and once the run has ended."""
    with suppress(FileNotFoundError):
        record: dict[str, Any] = json.loads((folder / PROGRESS).read_text())
        return record
    return None


def forget_progress(folder: Path) -> None:
    """The run has ended."""
    for name in (PROGRESS, f"{PROGRESS}.new"):
        (folder / name).unlink(missing_ok=True)
