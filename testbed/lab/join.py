"""Talking with a live run, from outside: the client's end of testbed.emulation.join. The standard library alone."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from testbed.emulation.join import frames
from testbed.emulation.join.door import knock
from testbed.emulation.join.frames import Conversation, HungUp
from testbed.ground.errors import InputError, RunError
from testbed.lab.runs import another_users

_CHUNK: Final = 16_384
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Output = Callable[[int, bytes], None]
"""Called with frames.OUTPUT or frames.ERROR, and the bytes."""


def ask(folder: Path, request: dict[str, Any]) -> Conversation:
    """Begin a conversation with the run of a folder; raises InputError where one may not, or nobody is there."""
    try:
        stream = knock(folder)
    except PermissionError:
        raise another_users(folder) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise InputError(
            f"{folder}: nobody answers: the run has just ended, or its folder can hold no sockets"
        ) from None
    talk = Conversation(stream)
    talk.tell_json(frames.REQUEST, request)
    return talk


def follow(folder: Path, talk: Conversation, output: Output) -> int:
    """Pass on what the run says until it says its exit code; returns that. Raises InputError, RunError."""
    while True:
        try:
            kind, payload = talk.hear()
        except HungUp:
            raise RunError(f"{folder}: the run has ended, and what was asked of it with it") from None
        if kind in (frames.OUTPUT, frames.ERROR):
            output(kind, payload)
        elif kind == frames.EXIT:
            return int(frames.NUMBER.unpack(payload)[0])
        elif kind == frames.REFUSED:
            raise InputError(f"{folder}: {payload.decode()}")


def execute(folder: Path, node: str, command: list[str]) -> int:
    """Run a command in a node, at our own terminal if we have one; returns its exit code."""
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    request: dict[str, Any] = {"do": "exec", "node": node, "command": command, "folder": os.getcwd()}  # noqa: PTH109
    if at_terminal:
        request |= {"terminal": _size(), "term": os.environ.get("TERM", "dumb")}
    talk = ask(folder, request)
    with ExitStack() as stack:
        stack.callback(talk.close)
        stack.enter_context(_forwarding(talk))
        if at_terminal:
            stack.enter_context(raw_keys())
        threading.Thread(target=_pass_input, args=(talk,), daemon=True).start()
        return follow(folder, talk, _print)


def collect(folder: Path, node: str, command: list[str]) -> dict[str, Any]:
    """Run a command in a node with nothing to read; returns {"code", "stdout", "stderr"}."""
    talk = ask(folder, {"do": "exec", "node": node, "command": command})
    said = {frames.OUTPUT: b"", frames.ERROR: b""}

    def keep(kind: int, data: bytes) -> None:
        said[kind] += data

    with ExitStack() as stack:
        stack.callback(talk.close)
        stack.enter_context(_forwarding(talk))
        talk.tell(frames.INPUT_ENDS)
        code = follow(folder, talk, keep)
    stdout, stderr = (said[kind].decode(errors="replace") for kind in (frames.OUTPUT, frames.ERROR))
    return {"code": code, "stdout": stdout, "stderr": stderr}


def inspect(folder: Path, node: str | None) -> dict[str, Any]:
    """Nodes, addresses and links of a live run, or of one node of it, as docs/live.md says."""
    talk = ask(folder, {"do": "inspect", "node": node})
    parts: list[bytes] = []
    try:
        follow(folder, talk, lambda _, data: parts.append(data))
    finally:
        talk.close()
    document: dict[str, Any] = json.loads(b"".join(parts))
    return document


def _print(kind: int, data: bytes) -> None:
    descriptor = 1 if kind == frames.OUTPUT else 2
    while data:
        data = data[os.write(descriptor, data) :]


def _pass_input(talk: Conversation) -> None:
    with suppress(HungUp):
        with suppress(OSError):  # it was closed, or its terminal is gone
            while data := os.read(0, _CHUNK):
                talk.tell(frames.INPUT, data)
        talk.tell(frames.INPUT_ENDS)


@contextmanager
def _forwarding(talk: Conversation) -> Iterator[None]:
    """Signals are for the command; a new size of our terminal too."""

    def pass_on(number: int, _: object) -> None:
        with suppress(HungUp):
            if number == signal.SIGWINCH:
                talk.tell(frames.SIZE, frames.TERMINAL.pack(*_size()))
            else:
                talk.tell(frames.SIGNAL, frames.NUMBER.pack(number))

    before = {number: signal.signal(number, pass_on) for number in (*_FORWARDED, signal.SIGWINCH)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _size() -> list[int]:
    """Rows and columns of our terminal."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return [24, 80]
    return [rows or 24, columns or 80]


@contextmanager
def raw_keys() -> Iterator[None]:
    """Every key goes to the command's terminal, Ctrl-C too; ours is put back afterwards."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
