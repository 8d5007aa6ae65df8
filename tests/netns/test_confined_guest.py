"""The guest with what a container engine gives: root without CAP_SYS_NICE, and a /dev/shm where nothing is executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.lab.place import why_not_uml

pytestmark = pytest.mark.netns

PROJECT = Path(__file__).parents[2]

CONFINED = """
mount -t tmpfs -o noexec,size=1g tmpfs /dev/shm
exec setpriv --bounding-set=-sys_nice "$@"
"""

BOOT = """
import sys
from pathlib import Path
from testbed.lab.guest import Guest, Job
folder = Path(sys.argv[1])
with Guest(Job(["echo", "here I am"], folder, folder, memory_mb=256)) as guest:
    sys.exit(guest.serve(lambda message: None, sys.stdout.buffer.write))
"""


def test_it_boots(open_folder: Path) -> None:
    """Either of the two stopped it once: found by scripts/container."""
    missing = why_not_uml()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the guest skipped in CI: {missing}", pytrace=False)
        pytest.skip(missing)
    command = ["unshare", "--mount", "sh", "-c", CONFINED, "sh", sys.executable, "-c", BOOT, str(open_folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "here I am\n"
