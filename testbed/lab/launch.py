"""Start the runner on a run directory, natively or in the guest, and follow it to its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from testbed.ground.joining import CONSOLE, forget_progress, write_progress
from testbed.lab import identity, priority
from testbed.lab.guest import JOINING, Guest, Job
from testbed.lab.place import Place
from testbed.lab.relay import Relay
from testbed.lab.wakeful import wakeful

RUNNER: Final = "testbed.emulation.run"
TAG: Final = "TESTBED_RUN"
"""Environment variable that marks every process of a run with its directory; `clean` goes by it."""

INTERRUPTED: Final = 130

Message = dict[str, Any]


def play(folder: Path, place: Place, on_message: Callable[[Message], None]) -> int:
    """Play a run directory to its end; returns the runner's exit code.

    `on_message` gets progress; its newest record is kept in the run directory. Interrupted (Ctrl-C, SIGTERM), the
    runner is asked to stop and to keep what it has.
    """
    log = folder / "runner.log"

    def take(message: Message) -> None:
        if "live" in message:
            write_progress(folder, message["live"])
        on_message(message)

    try:
        return _play(folder, place, log, take)
    finally:
        forget_progress(folder)


def _play(folder: Path, place: Place, log: Path, on_message: Callable[[Message], None]) -> int:
    if place == "native":
        with wakeful():
            return _natively(folder, log, on_message)
    with log.open("wb") as output:
        command = ["env", f"{CONSOLE}={JOINING}", sys.executable, "-m", RUNNER, str(folder)]
        job = Job(command, project(), folder, memory_mb=memory_mb(folder))
        with (
            Guest(job, identity.ordinary_user(folder)) as guest,
            Relay(folder, guest.joining),
            _asking(lambda: guest.send({"do": "stop"})),
        ):
            return guest.serve(on_message, output.write)


def memory_mb(folder: Path) -> int:
    """The guest's memory: 6,144 MiB for a whole constellation of 10,512 nodes, 2,048 for all small plans."""
    nodes = int(json.loads((folder / "job.json").read_text())["nodes"])
    return max(Job.memory_mb, 1_024 + nodes // 2)


def _natively(folder: Path, log: Path, on_message: Callable[[Message], None]) -> int:
    near, far = socket.socketpair()
    environment = os.environ | {"TESTBED_CHANNEL": f"fd:{far.fileno()}", TAG: str(folder)}
    with log.open("wb") as output, near:
        runner = subprocess.Popen(
            [sys.executable, "-m", RUNNER, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[far.fileno()],
            start_new_session=True,
            env=environment,
            cwd=project(),
        )
        far.close()
        priority.first(runner.pid)
        with _asking(lambda: near.sendall(b'{"do": "stop"}\n')), near.makefile() as lines:
            for line in lines:
                on_message(json.loads(line))
            return runner.wait()


@contextmanager
def _asking(stop: Callable[[], None]) -> Iterator[None]:
    """For the time of the block an interrupt asks the runner to stop, instead of ending us; a second one ends us.

    Python hands signals to the main thread alone: played from another one, an interrupt is its caller's matter.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(*_: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def project() -> Path:
    """The folder that holds the package, so that the runner imports the same one."""
    return Path(__file__).parents[2]
