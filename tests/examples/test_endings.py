"""However a run ends, nothing stays behind: no guest, no file outside the run directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import TESTBED, guests, run

pytestmark = pytest.mark.examples


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [TESTBED, "run", "starlink-italy", "--duration", "120", "--format", "json"]
    log = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)


def wait_for_play(folder: Path, parent: subprocess.Popen[bytes]) -> Path:
    while not (found := list(folder.glob("runs/*/live.json"))):
        assert parent.poll() is None, "the run ended before it played"
        time.sleep(0.2)
    time.sleep(1.0)
    return found[0].parent


def gone(folder: Path) -> bool:
    """True once no process of the guest is left; a moment is what the kernel needs to reap it."""
    for _ in range(50):
        if not guests(folder):
            return True
        time.sleep(0.1)
    return False


def traces() -> set[str]:
    """Files where the guest's kernel or a careless program would leave something."""
    places = [Path("/dev/shm"), Path("/tmp"), Path.home()]
    return {str(path) for place in places for path in place.iterdir() if not path.name.startswith("testbed-test-")}


def test_kill_9_of_the_parent_takes_the_guest_along(open_folder: Path) -> None:
    before = traces()
    parent = start(open_folder)
    folder = wait_for_play(open_folder, parent)
    assert guests(open_folder)
    parent.kill()
    parent.communicate()
    assert gone(open_folder)
    assert traces() == before
    assert list(open_folder.iterdir()) == [open_folder / "runs"]
    assert not (folder / "guest" / "uml").exists()
    assert "removing file" in run("clean", cwd=open_folder).stdout  # live.json, which nobody could take back
    assert run("clean", cwd=open_folder).stdout == "nothing to clean\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_a_partial_report(open_folder: Path, number: signal.Signals) -> None:
    before = traces()
    parent = start(open_folder)
    folder = wait_for_play(open_folder, parent)
    parent.send_signal(number)
    stdout, _ = parent.communicate()
    assert parent.returncode == 130
    report = json.loads(stdout)
    assert report["verdict"] == "invalid"
    assert report["run"]["ended"] == "interrupted"
    assert (folder / "report.html").is_file()
    assert not (folder / "live.json").exists()
    assert gone(open_folder)
    assert traces() == before


def test_started_as_root_the_guest_is_an_ordinary_user(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can drop to another user")
    parent = start(open_folder)
    wait_for_play(open_folder, parent)
    pids = [line.split()[0] for line in guests(open_folder)]
    owners = {Path("/proc", pid).stat().st_uid for pid in pids}
    shares = {Path("/proc", pid, "autogroup").read_text().split()[-1] for pid in pids}
    parent.send_signal(signal.SIGINT)
    parent.communicate()
    assert owners
    assert 0 not in owners
    assert shares == {"-15"}  # its session's, without which its own nice value would count for nothing
    assert {path.stat().st_uid for path in open_folder.rglob("*")} == {0}
