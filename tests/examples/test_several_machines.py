"""A campaign over a Dask scheduler, as on several machines: here it and its only worker are on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import run

_WAIT_S = 60.0


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Its address."""
    told = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(told), "--no-dashboard", "--host", "127.0.0.1"]
    programs = [
        ["scheduler", *common, "--port", "0"],
        ["worker", *common, "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path / "worker")],
    ]
    with ExitStack() as stack:
        for name, *arguments in programs:
            log = stack.enter_context((tmp_path / f"{name}.log").open("w"))
            command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments]
            process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))
            stack.callback(process.terminate)
            deadline = time.monotonic() + _WAIT_S
            while not told.exists():
                assert process.poll() is None, Path(log.name).read_text()
                assert time.monotonic() < deadline, "no scheduler"
                time.sleep(0.1)
        yield json.loads(told.read_text())["address"]


def test_a_sweep_is_run_by_another_machines_worker(scheduler: str, tmp_path: Path) -> None:
    asked = ["sweep", "terrestrial", "-p", "sites=two", "--seeds", "1", "--duration", "5", "--out", "campaign"]
    done = run(*asked, "--scheduler", scheduler, "--format", "json", cwd=tmp_path)
    assert done.code in (0, 4), done.stderr  # 4: the machine was too busy for a valid run
    document = json.loads(done.stdout)
    folder = tmp_path / "campaign"
    assert not list((folder / "runs").iterdir())  # it was made elsewhere, and what came of it alone came here
    (cell,) = (folder / "cells").glob("*.json")
    outcome = json.loads(cell.read_text())
    assert outcome["ended"] == "complete"
    assert outcome["verdict"] in ("pass", "invalid")
    assert document["systems"]
    again = run(*asked, "--scheduler", scheduler, "--format", "json", cwd=tmp_path)
    assert "1 of them done before" in " ".join(again.stderr.split())


def test_a_scheduler_that_does_not_answer_is_told_in_a_line(tmp_path: Path) -> None:
    asked = ["sweep", "terrestrial", "-p", "sites=two", "--seeds", "1", "--duration", "5", "--out", "campaign"]
    done = run(*asked, "--scheduler", "tcp://127.0.0.1:9", cwd=tmp_path)
    assert done.code == 2
    assert "no Dask scheduler answers there" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
