"""Stands between a caller and its guest, so that the guest dies with the caller whatever way the caller dies.

Run as a program of its own, with the standard library alone:

    python -I watchdog.py LIFE_FD CONTROL_DIR COMMAND…

LIFE_FD is the reading end of a pipe whose writing end only the caller holds: when the caller is gone, by kill -9 too,
the pipe ends. The guest runs in a process group of its own; when the pipe ends or the guest does, the whole group is
killed and the guest's control folder is removed. Exit code: 0 the guest ended by itself, 1 it was killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys


def main() -> int:
    """See the module's text."""
    life, control = int(sys.argv[1]), sys.argv[2]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    inherited = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - descriptors, not paths
    consoles = [fd for fd in inherited if fd > 2 and fd != life and _open(fd)]
    guest = subprocess.Popen(sys.argv[3:], process_group=0, pass_fds=consoles)
    for fd in consoles:
        os.close(fd)
    ended = os.pidfd_open(guest.pid)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(guest.pid, signal.SIGKILL))
    ready, _, _ = select.select([life, ended], [], [])
    with contextlib.suppress(ProcessLookupError):  # where the guest took all its processes along
        os.killpg(guest.pid, signal.SIGKILL)
    guest.wait()
    shutil.rmtree(control, ignore_errors=True)
    return 0 if ended in ready else 1


def _open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False  # the one that listed the folder
    return True


if __name__ == "__main__":
    sys.exit(main())
