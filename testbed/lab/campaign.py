"""A campaign: many runs, one after another or a few at once, that goes on where it was when it is started again.

A campaign's folder holds `campaign.json` (what was asked), `runs/<cell>` (run directories), `runs/<cell>.log` and
`cells/<cell>.json` (what came of it, written whole at a cell's end). A cell with such a file is done and is not run
again; what a killed campaign left of an unfinished one is removed and run anew.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from testbed.ground.errors import InputError
from testbed.lab.launch import project
from testbed.report.comparison.summary import summarise

TRIES: Final = 3
"""How often a run is started at most that calls itself invalid: a busy machine is no property of a system."""

_RESULTS: Final = {0, 1, 4}  # exit codes of a run that came to its end
_STOPPED: Final = {130, 143, -signal.SIGINT, -signal.SIGTERM}  # and of one that was told to stop
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One run of a campaign. `name`: of its files, unique. `system`: what it is compared as. `trial`: what is tried,
    'quiet' or a fault's name. `arguments`: of `testbed run`, without --out and --format.
    """

    name: str
    system: str
    trial: str
    seed: int
    arguments: tuple[str, ...]


@contextmanager
def opened(folder: Path, cells: Sequence[Cell], asked: Mapping[str, Any]) -> Iterator[dict[str, Outcome]]:
    """The outcomes so far of the campaign in `folder`, by cell; nobody else works on it meanwhile.

    Raises InputError where the folder belongs to another campaign, to no campaign, or to one that is running.
    """
    document = {"schema": 1, "asked": dict(asked), "cells": [asdict(cell) for cell in cells]}
    wanted = json.loads(json.dumps(document))
    spec = folder / "campaign.json"
    if folder.exists() and not spec.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is no campaign's: choose another --out")
    for sub in ("runs", "cells"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: this campaign is running already; wait, or choose another --out") from None
        if spec.exists() and json.loads(spec.read_text()) != wanted:
            raise InputError(f"{folder} holds a campaign that was asked otherwise: repeat its words, or another --out")
        _write(spec, wanted)
        yield {cell.name: found for cell in cells if (found := _outcome(folder, cell)) is not None}


def carry_out(
    folder: Path,
    cells: Sequence[Cell],
    *,
    at_once: int = 1,
    executor: Executor | None = None,
    on_end: Callable[[Cell, Outcome], None] = lambda _cell, _outcome: None,
) -> None:
    """Run the cells that are not done, `at_once` at a time, or through an executor of other machines.

    An executor runs `elsewhere`; its machines need the testbed installed and not this folder. What a cell ends with is
    kept whatever it is; errors of usage cannot come up here, as the cells were asked for before.
    """
    waiting = [cell for cell in cells if _outcome(folder, cell) is None]
    own = ThreadPoolExecutor(max_workers=at_once)
    started: list[subprocess.Popen[str]] = []
    running: dict[Future[Outcome], Cell] = {}
    try:
        for cell in waiting:
            if executor is not None:
                running[executor.submit(elsewhere, cell)] = cell
            else:
                running[own.submit(_here, folder, cell, started.append)] = cell
        while running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=lambda one: one.exception() is not None):  # keep what there is, then stop
                cell = running.pop(future)
                outcome = future.result()
                _write(folder / "cells" / f"{cell.name}.json", outcome)
                on_end(cell, outcome)
    finally:
        own.shutdown(wait=False, cancel_futures=True)
        for process in started:
            if process.poll() is None:
                process.terminate()  # it takes down what it built
        own.shutdown(wait=True)


def elsewhere(cell: Cell) -> Outcome:
    """Run a cell on whatever machine this is, in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="testbed-cell-") as folder:
        return execute(cell, Path(folder) / "run", Path(folder) / "log")


Started = Callable[["subprocess.Popen[str]"], None]


def _here(folder: Path, cell: Cell, started: Started) -> Outcome:
    return execute(cell, folder / "runs" / cell.name, folder / "runs" / f"{cell.name}.log", started)


def execute(cell: Cell, out: Path, log: Path, started: Started = lambda _process: None) -> Outcome:
    """Run a cell, again if the machine made it invalid; returns its summary, or why there is none.

    {"ended": "complete", "tries": n, "wall_s": …, **summary}, or {"ended": "failed", "error": one line, …}.
    started: is told of each process.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "testbed", "run", *cell.arguments, "--format", "json", "--out", str(out)]
    for tries in range(1, TRIES + 1):
        if out.exists():
            shutil.rmtree(out)  # what an earlier try, or a killed campaign, left
        with log.open("w") as errors:
            process = subprocess.Popen(
                command, cwd=project(), stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=_end_with_parent
            )
            started(process)
            told, _ = process.communicate()
        if process.returncode in _STOPPED:
            raise KeyboardInterrupt
        outcome: Outcome = {"tries": tries, "wall_s": round(time.monotonic() - began, 1)}
        if process.returncode not in _RESULTS:
            lines = log.read_text(errors="replace").strip().splitlines()
            error = lines[-1] if lines else f"exit code {process.returncode}"
            return outcome | {"ended": "failed", "error": error, "verdict": "failed"}
        report = json.loads(told)
        if report["verdict"] != "invalid":
            break
    return outcome | {"ended": "complete"} | summarise(out, report)


def _end_with_parent() -> None:
    """A run ends, and takes down what it built, when the campaign is killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _outcome(folder: Path, cell: Cell) -> Outcome | None:
    """What came of a cell; None if it is not done."""
    try:
        outcome: Outcome = json.loads((folder / "cells" / f"{cell.name}.json").read_text())
    except FileNotFoundError:
        return None
    return outcome


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(document, indent=1) + "\n")
    part.replace(path)
