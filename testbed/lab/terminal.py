"""A person at a program in a run's place: natively as a child, in the guest over its second console."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from testbed.lab import identity
from testbed.lab.guest import Guest, Job
from testbed.lab.join import raw_keys
from testbed.lab.launch import project
from testbed.lab.place import Place

_SHELL: Final = "testbed.emulation.shell"


def shell(folder: Path, place: Place) -> int:
    """Mininet's command line over a run directory; returns its exit code.

    Where standard input is no terminal, it is read to its end first and run as Mininet's scripts are.
    """
    command = [sys.executable, "-m", _SHELL, str(folder)]
    if not sys.stdin.isatty():
        script = folder / "commands"
        script.write_text(sys.stdin.read())
        command.append(str(script))
    if place == "native":
        return subprocess.run(command, cwd=project(), check=False).returncode
    rows, columns = _size()
    sized = ["sh", "-c", f'stty rows {rows} cols {columns}; exec "$@"', "sh", *command]
    job = Job(sized, project(), folder)
    with ExitStack() as stack:
        guest = stack.enter_context(Guest(job, identity.ordinary_user(folder), terminal=True))
        if sys.stdin.isatty():
            stack.enter_context(raw_keys())
        source = 0 if sys.stdin.isatty() else None
        return guest.serve(lambda _: None, lambda data: os.write(1, data), source)


def _size() -> tuple[int, int]:
    """Rows and columns of the caller's terminal."""
    if not sys.stdout.isatty():
        return 24, 80
    packed = fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8))
    rows, columns, _, _ = struct.unpack("HHHH", packed)
    return rows or 24, columns or 80
