"""Which run a person means. The standard library alone: `testbed exec` answers within 300 ms."""

from __future__ import annotations

from pathlib import Path

from testbed.ground.errors import InputError
from testbed.ground.joining import LIVE

DEFAULT_PARENT = Path("runs")


def find(name: str) -> Path:
    """The run that a person names: a path, or 'latest' of ./runs; raises InputError."""
    if name == "latest":
        runs = sorted(DEFAULT_PARENT.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
        if not runs:
            raise InputError(f"no runs in {DEFAULT_PARENT.absolute()}: start one with 'testbed run TOPOLOGY'")
        return runs[-1].parent.absolute()
    folder = Path(name).absolute()
    try:
        if not (folder / "manifest.json").is_file():
            raise InputError(f"{folder} is not a run directory: it has no manifest.json")
    except PermissionError:
        raise InputError(f"{folder}: you may not look into this folder: another user's run?") from None
    return folder


def another_users(folder: Path) -> InputError:
    """The refusal where somebody may not join."""
    return InputError(f"{folder}: another user's run (uid {folder.stat().st_uid}): only its owner may join it")


def find_live(name: str) -> Path:
    """The same, of a run that plays now; raises InputError that says what it does instead."""
    folder = find(name)
    must_play(folder)
    return folder


def must_play(folder: Path) -> None:
    """Raises InputError for a run that does not play now, and says what it does instead."""
    if (folder / LIVE).exists():
        return
    if (folder / "run.json").exists():
        raise InputError(f"{folder}: this run has ended: 'testbed report {folder}' has what it found")
    raise InputError(f"{folder}: this run does not play: it is still being built, or it broke off (see runner.log)")
