"""Running the command as a person would, from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from schema_check import faults

PROJECT = Path(__file__).parents[2]
TESTBED = str(Path(sys.executable).with_name("testbed"))
DATA = PROJECT.parent / "shared" / "data"
STARLINK = DATA / "tle" / "starlink_20260614T0413.tle.gz"
NOBODY = 65534
SCHEMAS = {"run": "report", "sweep": "compare"} | {
    name: name for name in ("bench", "compare", "doctor", "plan", "report", "topologies")
}
"""What a command prints with --format json: each document is held against its schema."""


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


def run(*arguments: str | Path, cwd: Path, user: int | None = None, env: dict[str, str] | None = None) -> Outcome:
    """`testbed …` in the folder `cwd`, as root where the tests are root, or as `user`."""
    done = subprocess.run(
        [TESTBED, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env=(os.environ | {"HOME": str(cwd)} if user is not None else dict(os.environ)) | (env or {}),
        check=False,
    )
    if "json" in arguments and str(arguments[0]) in SCHEMAS and done.stdout.startswith(("{", "[")):
        assert faults(SCHEMAS[str(arguments[0])], json.loads(done.stdout)) == []
    return Outcome(done.returncode, done.stdout, done.stderr)


def guests(folder: Path) -> list[str]:
    """Processes of guests whose run directory is under `folder`."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "linux.uml" in line and str(folder) in line]
