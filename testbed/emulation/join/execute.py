"""A command in a node of a live run: with pipes, or at a terminal of its own. It ends with whoever asked for it."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from testbed.emulation.join import frames
from testbed.emulation.join.frames import Conversation, HungUp
from testbed.kernel.namespaces import Namespace

NOT_FOUND: Final = 127  # POSIX, 2.8.2: what a shell says
_CHUNK: Final = 16_384
_PATIENCE_S: Final = 1.0  # after a hang-up, before it is killed


class Execution:
    """One command at work for one conversation."""

    def __init__(self, talk: Conversation, namespace: Namespace, request: dict[str, Any]) -> None:
        self._talk = talk
        self._namespace = namespace
        self._request = request
        self._process: subprocess.Popen[bytes] | None = None
        self._input = -1  # a pipe, or the terminal
        self._lock = threading.Lock()  # of the input, which one thread writes and another closes
        self._over = False
        self._ended = False

    def run(self) -> None:
        """Start it, pass on what it says, tell its exit code."""
        command = [str(word) for word in self._request["command"]]
        program = shutil.which(command[0], path=os.environ.get("PATH", os.defpath))
        if program is None:
            self._talk.tell(frames.ERROR, f"testbed: no program '{command[0]}' here\n".encode())
            self._talk.tell(frames.EXIT, frames.NUMBER.pack(NOT_FOUND))
            return
        terminal = self._request.get("terminal")
        with ExitStack() as stack:
            try:
                copiers = self._at_terminal(stack, command, terminal) if terminal else self._with_pipes(stack, command)
            except OSError as error:  # a script without its interpreter, a folder
                self._talk.tell(frames.ERROR, f"testbed: {command[0]}: {error.strerror}\n".encode())
                self._talk.tell(frames.EXIT, frames.NUMBER.pack(NOT_FOUND - 1))
                return
            threading.Thread(target=self._listen, daemon=True).start()
            assert self._process is not None
            code = self._process.wait()
            for copier in copiers:  # what it has started may still hold its output
                copier.join()
            self._over = True
            if self._ended:  # not by itself: the conversation just ends
                return
            with suppress(HungUp):
                self._talk.tell(frames.EXIT, frames.NUMBER.pack(code if code >= 0 else 128 - code))

    def end(self) -> None:
        """Kill it, with all that it has started in its session."""
        process = self._process
        if process is None or self._over:
            return
        self._ended = True
        for number in (signal.SIGHUP, signal.SIGTERM):
            _signal_session(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
        _signal_session(process.pid, signal.SIGKILL)

    def _start(self, command: list[str], **streams: Any) -> None:
        """In the node's namespace; the kernel gives a child that of the thread that starts it."""
        term = self._request.get("term")
        environment = os.environ | ({"TERM": str(term)} if term else {})
        folder = str(self._request.get("folder", "/"))
        with self._namespace.entered():
            self._process = subprocess.Popen(
                command, env=environment, cwd=folder if Path(folder).is_dir() else "/", **streams
            )

    def _with_pipes(self, stack: ExitStack, command: list[str]) -> list[threading.Thread]:
        pipe = subprocess.PIPE
        self._start(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        assert self._process is not None
        stack.enter_context(self._process)
        assert self._process.stdin is not None
        self._input = os.dup(self._process.stdin.fileno())
        self._process.stdin.close()
        stack.callback(self._close_input)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        return [
            self._copy(self._process.stdout.fileno(), frames.OUTPUT),
            self._copy(self._process.stderr.fileno(), frames.ERROR),
        ]

    def _at_terminal(self, stack: ExitStack, command: list[str], size: list[int]) -> list[threading.Thread]:
        master, slave = pty.openpty()
        self._input = os.dup(master)
        stack.callback(self._close_input)
        stack.callback(os.close, master)
        self._resize(size[0], size[1])
        try:
            # Its controlling terminal: what Ctrl-C is typed at goes to the command.
            self._start(["setsid", "--ctty", *command], stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
        return [self._copy(master, frames.OUTPUT)]

    def _copy(self, source: int, kind: int) -> threading.Thread:
        def copy() -> None:
            with suppress(OSError, HungUp):  # a terminal that nobody holds any more gives EIO
                while data := os.read(source, _CHUNK):
                    self._talk.tell(kind, data)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        return thread

    def _listen(self) -> None:
        """What the client says, until it hangs up; then the command has no one any more."""
        try:
            while True:
                kind, payload = self._talk.hear()
                if kind == frames.INPUT:
                    with suppress(OSError), self._lock:  # it reads no more
                        _write_all(self._input, payload)
                elif kind == frames.INPUT_ENDS:
                    self._close_input()
                elif kind == frames.SIGNAL and self._process is not None:
                    with suppress(ProcessLookupError):
                        os.killpg(self._process.pid, frames.NUMBER.unpack(payload)[0])
                elif kind == frames.SIZE:
                    self._resize(*frames.TERMINAL.unpack(payload))
        except HungUp:
            self.end()

    def _resize(self, rows: int, columns: int) -> None:
        with suppress(OSError), self._lock:
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _close_input(self) -> None:
        with self._lock:
            if self._input >= 0:
                os.close(self._input)
                self._input = -1


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _signal_session(leader: int, number: signal.Signals) -> None:
    """To every process of the session that the leader has begun, its jobs in groups of their own too."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):  # gone meanwhile
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(entry.name), number)
