"""testbed shell: Mininet's command line, here fed from standard input as scripts do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commands import TESTBED, guests

pytestmark = pytest.mark.examples


def test_the_shell_runs_mininets_commands_and_our_own(open_folder: Path) -> None:
    script = "sats\ntime\nrome ping -c2 dc-rome\npy net.linksBetween(net['rome'], net['ut-rome'])\nexit\n"
    command = [TESTBED, "shell", "starlink-italy", "--duration", "30"]
    done = subprocess.run(command, cwd=open_folder, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ut-rome → " in done.stdout
    assert " s of 30 s" in done.stdout
    assert "2 packets transmitted, 2 received, 0% packet loss" in done.stdout
    assert "EmulatedLink" in done.stdout
    assert list(open_folder.glob("runs/*")) == []  # a conversation leaves no results
    assert guests(open_folder) == []
