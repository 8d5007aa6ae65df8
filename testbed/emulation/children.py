"""Work in a process of its own, which never outlives the runner: a child is killed when its parent dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final

from testbed.ground.errors import RunError
from traffic.errors import TrafficError

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_FAILED: Final = 1
_PATIENCE_S: Final = 3.0
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process `number` when its parent goes; killed at once if it is gone already."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_FAILED)


class Child:
    """A forked child that runs `work` and ends."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid:
            return
        code = _FAILED
        try:
            die_with_parent(parent)
            if os.geteuid() == 0:
                os.setpriority(os.PRIO_PROCESS, 0, 0)  # the player keeps its better place
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            work()
            code = 0
        except TrafficError as error:
            sys.stderr.write(f"{name}: {error}\n")
        except BaseException:  # noqa: BLE001 - reported in full: the parent sees only the exit code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def wait(self) -> None:
        """Until it ends by itself; raises RunError if it failed."""
        if self._pid:
            _, status = os.waitpid(self._pid, 0)
            self._pid = 0
            if status:
                raise RunError(f"the {self._name} process failed (status {status}): see runner.log")

    def end(self) -> None:
        """Ask it to end, and see to it that it does: for one that has others to take along."""
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE_S
            while self._pid and time.monotonic() < deadline:
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    self._pid = 0
                else:
                    time.sleep(0.01)
            self.kill()

    def kill(self) -> None:
        """At once, and quietly if it has ended."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
