"""The guest: Debian's user-mode-linux kernel as an ordinary process, with the host's files and one writable folder.

It needs neither root nor KVM. Its root user reads what the caller may read and, in the mounted folder alone, writes as
the caller: it is no sandbox. It dies with its caller (see `watchdog`).
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from testbed.ground.errors import InputError, MachineError, RunError
from testbed.lab import priority
from testbed.lab.identity import User, give
from testbed.lab.wakeful import wakeful

KERNEL: Final = "linux.uml"
MODULES: Final = Path("/usr/lib/uml/modules")
APT_LINE: Final = "sudo apt-get install user-mode-linux"

_INIT: Final = Path(__file__).with_name("init.sh")
_WATCHDOG: Final = Path(__file__).with_name("watchdog.py")
_BOOT_TIMEOUT_S: Final = 120.0  # to the first line of the guest's own; 2 to 11 s are usual
_CHUNK: Final = 65536
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where the kernel puts its memory, unless TMPDIR says otherwise

JOINING: Final = "/dev/tty3"
"""Inside: the console behind which `Guest.joining` is."""

Message = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What a guest is to do: run `command` in `work_dir` as its root, with `folder` writable.

    `memory_mb`: taken from the host only as it is used.
    """

    command: Sequence[str]
    work_dir: Path
    folder: Path
    memory_mb: int = 2048


class Guest:
    """A running guest. Use as a context manager: leaving the block ends it."""

    def __init__(self, job: Job, user: User | None = None, *, terminal: bool = False) -> None:
        """Boot. `user`: whom to run as, else the caller. `terminal`: the command gets a terminal's manners.

        Raises MachineError where user-mode-linux is missing, InputError for a folder it cannot be given.
        """
        if shutil.which(KERNEL) is None or not MODULES.is_dir():
            raise MachineError(f"no user-mode Linux kernel on this machine ({KERNEL}): run '{APT_LINE}'")
        if any(character in str(job.folder) for character in " \t\n,'"):
            raise InputError(f"folder '{job.folder}': the guest cannot mount a path with spaces, commas or quotes")
        self._control = job.folder / "guest"
        self._control.mkdir(parents=True, exist_ok=True)
        self._write_init(job, terminal=terminal)
        self._user, self._folder = user, job.folder
        if user is not None:
            give(job.folder, user)
        self._pending = b""
        self._awake = ExitStack()
        self._awake.enter_context(wakeful())
        self._life, *far_ends = self._start(job, user)
        for far in far_ends:
            far.close()

    def _write_init(self, job: Job, *, terminal: bool) -> None:
        settings = {
            "RUN_DIR": str(job.folder),
            "WORK_DIR": str(job.work_dir),
            "COMMAND": shlex.join(job.command),
            "TERMINAL_SETUP": "stty sane" if terminal else "stty raw -echo",
        }
        lines = ["#!/bin/sh", *(f"{name}={shlex.quote(value)}" for name, value in settings.items()), f". {_INIT}", ""]
        init = self._control / "init"
        init.write_text("\n".join(lines))
        init.chmod(0o755)

    def _start(self, job: Job, user: User | None) -> tuple[int, socket.socket, socket.socket, socket.socket]:
        self.channel, channel_far = socket.socketpair()
        self.output, output_far = socket.socketpair()
        self.joining, joining_far = socket.socketpair()
        life_far, life = os.pipe()
        consoles = [channel_far.fileno(), output_far.fileno(), joining_far.fileno()]
        kernel = [
            KERNEL,
            f"mem={job.memory_mb}M",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"init={self._control / 'init'}",
            "con=null",
            "con0=null,fd:1",
            *(f"con{number}=fd:{fd},fd:{fd}" for number, fd in enumerate(consoles, 1)),
            "quiet",
            f"uml_dir={self._control}/uml/",
            "umid=guest",
        ]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._control)}
        if not _fit_for_memory(_SHARED_MEMORY, job.memory_mb):
            environment["TMPDIR"] = str(self._control)
        with (self._control / "console.log").open("wb") as console:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", str(_WATCHDOG), str(life_far), str(self._control / "uml"), *kernel],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[life_far, *consoles],
                start_new_session=True,
                env=environment,
                user=None if user is None else user.uid,
                group=None if user is None else user.gid,
                extra_groups=None if user is None else [],
                cwd="/",
            )
        os.close(life_far)
        priority.first(self._watchdog.pid)  # inherited by the guest it is to start
        return life, channel_far, output_far, joining_far

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the guest, at once if it still runs, and take its files back."""
        if self._life < 0:
            return
        os.close(self._life)
        self._life = -1
        self._watchdog.wait()
        self._awake.close()
        for console in (self.channel, self.output, self.joining):
            console.close()
        if self._user is not None:
            give(self._folder, User(os.geteuid(), os.getegid()))

    def send(self, message: Message) -> None:
        """Tell the command something over its control channel."""
        self.channel.sendall(json.dumps(message).encode() + b"\n")

    def serve(
        self,
        on_message: Callable[[Message], None],
        on_output: Callable[[bytes], object],
        source: int | None = None,
    ) -> int:
        """Pass on messages and output until the command ends; returns its exit code.

        `source`: a file descriptor that the command reads as its standard input, once it has said that it is ready.
        Raises RunError when the guest does not boot or dies on its way.
        """
        booted = False
        deadline = time.monotonic() + _BOOT_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ)
            selector.register(self.output, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(1.0):
                    if key.fd == source:
                        self.output.sendall(os.read(source, _CHUNK))
                        continue
                    if key.fileobj is self.output:
                        data = self.output.recv(_CHUNK)
                        if data:
                            on_output(data)
                        else:
                            selector.unregister(self.output)
                        continue
                    for message in self._read_messages():
                        booted = True
                        if "exit" in message:
                            self._drain(on_output)
                            return int(message["exit"])
                        if source is not None and message.get("stage") == "ready":
                            selector.register(source, selectors.EVENT_READ)
                        on_message(message)
                if self._watchdog.poll() is not None:
                    raise RunError(f"the guest ended before its command did; its console: {self._last_words()}")
                if not booted and time.monotonic() > deadline:
                    raise RunError(f"the guest did not boot in {_BOOT_TIMEOUT_S:.0f} s; {self._last_words()}")

    def _drain(self, on_output: Callable[[bytes], object]) -> None:
        """What the command wrote last may still be on its way."""
        self.output.settimeout(0.2)
        try:
            while data := self.output.recv(_CHUNK):
                on_output(data)
        except TimeoutError:
            return

    def _read_messages(self) -> list[Message]:
        data = self.channel.recv(_CHUNK)
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def _last_words(self) -> str:
        lines = (self._control / "console.log").read_text(errors="replace").split("\n")
        return " / ".join([line for line in lines if line.strip()][-3:]) or "(empty)"


def _fit_for_memory(folder: Path, memory_mb: int) -> bool:
    """Has `folder` room for a guest's memory, and may what lies there be executed? Container engines deny either."""
    return shutil.disk_usage(folder).free >= memory_mb << 20 and not os.statvfs(folder).f_flag & os.ST_NOEXEC
