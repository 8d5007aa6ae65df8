"""What the Vagrantfile runs in its box, on a real kernel with netem: the packages, the doctor, a native run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.netem

CONTAINED = "unshare --net --pid --mount --ipc --uts --fork --kill-child --mount-proc".split()


def test_a_machine_is_provisioned_and_runs_natively() -> None:
    """In namespaces of its own: what a privileged container is to the kernel. The verdict is no matter of this test."""
    environment = {key: value for key, value in os.environ.items() if key != "SUDO_USER"} | {"COLUMNS": "120"}
    command = [*CONTAINED, str(PROJECT / "scripts" / "provision"), "--unjudged"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok  run natively" in done.stdout
    assert "10.0 of 10.0 s played" in done.stdout
