"""The process beside the player that those who join talk to. It costs nothing while nobody does.

Natively it listens at a Unix socket in the run directory, which only the run's owner may use; in the guest at a console
(`TESTBED_JOIN`) behind which the host has that socket.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.emulation.children import Child, die_with_parent
from testbed.emulation.join import frames
from testbed.emulation.join.door import listen
from testbed.emulation.join.execute import Execution
from testbed.emulation.join.frames import Conversation, HungUp
from testbed.emulation.join.look import Look
from testbed.emulation.join.mux import Mux
from testbed.emulation.join.watch import Watch
from testbed.emulation.player import Player
from testbed.emulation.shared import shared
from testbed.emulation.wiring import Wiring
from testbed.ground.joining import CONSOLE, DOOR, nearest

_CHUNK: Final = 64  # signals at a time


class Joining:
    """Others may join a run for the time of the block."""

    def __init__(self, wiring: Wiring, player: Player, folder: Path) -> None:
        self._folder = folder
        self._started = shared(np.zeros(1, np.int64))
        self._child: Child | None = None
        console, door = os.environ.get(CONSOLE, ""), None
        self._listens = not console
        if console:
            line = os.open(console, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            tty.setraw(line)  # before anybody says anything
        else:
            try:
                door = listen(folder)
            except OSError:  # a shared folder, say: whoever knocks is told
                return
            line = door.fileno()
        agent = _Agent(wiring, player, lambda: int(self._started[0]))
        self._child = Child("joining", lambda: agent.serve(line, door))
        if door is None:
            os.close(line)
        else:
            door.close()

    def started(self, realtime_ns: int) -> None:
        """Schedule time 0 is at `realtime_ns` of CLOCK_REALTIME."""
        self._started[0] = realtime_ns

    def __enter__(self) -> Joining:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.end()
        if self._listens:
            (self._folder / DOOR).unlink(missing_ok=True)


def _woken_by_signals() -> int:
    """A descriptor that any signal makes readable.

    Handlers run in the main thread. The kernel may give a signal to another, and then nothing else would end the system
    call that the main thread waits in.
    """
    here, there = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(there, warn_on_full_buffer=False)
    return here


class _Ended(BaseException):
    """The run has ended, or the runner has died."""


class _Agent:
    """Answers everybody, each in a thread of its own."""

    def __init__(self, wiring: Wiring, player: Player, started_ns: Callable[[], int]) -> None:
        self._wiring, self._player, self._started_ns = wiring, player, started_ns
        self._runner = os.getpid()
        self._lock = threading.Lock()
        self._executions: set[Execution] = set()

    def serve(self, console: int, door: socket.socket | None) -> None:
        """Until the run ends; then no command that was started here is left. `console`: where there is no door."""

        def end(*_: object) -> None:
            raise _Ended

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, lambda *_: None)  # not ignored: the commands would inherit that
        try:
            die_with_parent(self._runner, signal.SIGTERM)  # not at once: it has others to take along
            wake = _woken_by_signals()
            if door is not None:
                while True:
                    readable, _, _ = select.select([door.fileno(), wake], [], [])
                    if wake in readable:
                        os.read(wake, _CHUNK)
                    if door.fileno() in readable:
                        self._meet(door.accept()[0])
            Mux(console, on_open=self._meet).run(wake=wake)
        except _Ended:
            pass
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with self._lock:
                endings = [threading.Thread(target=execution.end) for execution in self._executions]
            for ending in endings:
                ending.start()
            for ending in endings:
                ending.join()

    def _meet(self, client: socket.socket) -> None:
        threading.Thread(target=self._talk, args=(Conversation(client),), daemon=True).start()

    def _talk(self, talk: Conversation) -> None:
        with suppress(HungUp):
            kind, payload = talk.hear()
            request: dict[str, Any] = json.loads(payload) if kind == frames.REQUEST else {}
            node = request.get("node")
            if node is not None and node not in self._wiring.nodes:
                talk.tell(frames.REFUSED, self._unknown(str(node)).encode())
            elif request.get("do") == "exec" and node is not None and request.get("command"):
                self._execute(talk, request)
            elif request.get("do") == "inspect":
                document = Look(self._wiring, self._player).document(node)
                talk.tell_json(frames.OUTPUT, document)
                talk.tell(frames.EXIT, frames.NUMBER.pack(0))
            elif request.get("do") == "watch":
                self._watch(talk)
            else:
                talk.tell(frames.REFUSED, f"'{request.get('do')}' is nothing that this run can do".encode())
        talk.close()

    def _unknown(self, node: str) -> str:
        return f"no node '{node}' in this run{nearest(node, list(self._wiring.nodes))}"

    def _execute(self, talk: Conversation, request: dict[str, Any]) -> None:
        execution = Execution(talk, self._wiring.nodes[request["node"]].namespace, request)
        with self._lock:
            self._executions.add(execution)
        try:
            execution.run()
        finally:
            execution.end()
            with self._lock:
                self._executions.discard(execution)

    def _watch(self, talk: Conversation) -> None:
        """Lines of JSON as it happens, until the client hangs up: an empty line in a quiet second finds that out."""
        with Watch(self._wiring, self._player, self._started_ns) as watch:
            talk.tell(frames.OUTPUT, b"\n")
            told = time.monotonic()
            while True:
                lines = "".join(json.dumps(event) + "\n" for event in watch.events(1.0))
                if lines or time.monotonic() - told > 1.0:
                    told = time.monotonic()
                    talk.tell(frames.OUTPUT, lines.encode() or b"\n")
