"""testbed shell: Mininet's command line, here fed from standard input as scripts do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from commands import TESTBED, guests

pytestmark = pytest.mark.examples


def test_the_shell_runs_mininets_commands_and_our_own(open_folder: Path) -> None:
    script = "sats\ntime\nrome ping -c2 dc-rome\npy net.linksBetween(net['rome'], net['ut-rome'])\n"
    script += "links ce-rome\nroute ut-rome\nspeed 60\npause\nsh sleep 1.2\ntime\nstep 2.5\npause\n"
    script += "step back\nspeed fast\nroute nobody\ncapture rome rome-eth9 a.pcap\nexit\n"
    command = [TESTBED, "shell", "starlink-italy", "--duration", "30"]
    done = subprocess.run(command, cwd=open_folder, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ut-rome → " in done.stdout
    assert " s of 30 s" in done.stdout
    assert "2 packets transmitted, 2 received, 0% packet loss" in done.stdout
    assert "EmulatedLink" in done.stdout
    assert "pop-milan → ce-rome: up " in done.stdout
    assert "default → " in done.stdout
    said = done.stdout + done.stderr
    assert "speed 'fast' is not a number from 0.01 to 1000" in said
    assert "step 'back' is not a number from 0.001 to 86400" in said
    assert "route 'nobody': no such node" in said
    assert "write node, interface and file" in said
    told = re.findall(r"([0-9.]+) s of 30 s, speed ([0-9]+)", done.stdout)
    assert [speed for _, speed in told] == ["1", "60", "0", "0", "0", "60"]
    paused, after, stepped = (float(seconds) for seconds, _ in told[2:5])
    assert after == paused  # a second later
    assert stepped == pytest.approx(after + 2.5)
    assert list(open_folder.glob("runs/*")) == []  # a conversation leaves no results
    assert guests(open_folder) == []
