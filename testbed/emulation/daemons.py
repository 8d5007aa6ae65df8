"""Daemons of others (FRR, strongSwan) as processes in the nodes: with files of their own, gone with the runner."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from testbed.emulation.children import die_with_parent
from testbed.ground.errors import RunError
from traffic.private import write_private

_LOOK_S: Final = 0.02


class DaemonGroup(ABC):
    """Processes and the folder where their files are while they run, a folder for each node in it.

    A context manager: they end with it, and with this process. Configuration and logs are kept in `kept`, which only
    their owner may read.
    """

    goodbye_s = 0.0
    """How long one may take to end by itself when it is asked to."""

    def __init__(self, kept: Path, prefix: str) -> None:
        """`kept`: a new folder."""
        kept.mkdir(mode=0o700, parents=True)
        self._kept = kept
        # Sockets need a file system of this kernel's: in the guest the run directory is the host's, and another user's.
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/run" if os.environ.get("TESTBED_GUEST") else kept))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End them all; keep configuration and logs. Again: nothing more."""
        if not self.folder.exists():
            return
        for process in self._processes.values():
            process.terminate() if self.goodbye_s else process.kill()
        for process in self._processes.values():
            if self.goodbye_s:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.goodbye_s)
                process.kill()
            process.wait()
        self._processes.clear()
        for path in [*self.folder.glob("*/*.conf"), *self.folder.glob("*/*.log")]:
            kept = self._kept / path.relative_to(self.folder)
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(kept, path.read_text(errors="replace"))
        shutil.rmtree(self.folder)

    def check(self) -> None:
        """Raises RunError if one has died."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RunError(f"{name} ended with code {process.returncode}: {self.last_words(name)}")

    @property
    def count(self) -> int:
        """How many processes."""
        return len(self._processes)

    def launch(
        self, name: str, command: Sequence[str], output: Path, environment: Mapping[str, str], enter: Callable[[], None]
    ) -> None:
        """Start `command` after `enter`, in the child; what it says goes to `output`."""
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent(parent)
            enter()

        with output.open("ab") as said:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=prepare, env=environment
            )

    def wait_for(self, sockets: Sequence[Path], patience_s: float) -> None:
        """Until all are there; raises RunError when none more has come for `patience_s`."""
        since_s = time.monotonic()
        missing = list(sockets)
        while still := [path for path in missing if not path.exists()]:
            self.check()
            if len(still) < len(missing):
                missing, since_s = still, time.monotonic()
            if time.monotonic() - since_s > patience_s:
                raise RunError(f"none of {len(missing)} sockets was opened in {patience_s:g} s, like {missing[0]}")
            time.sleep(_LOOK_S)

    def last_words(self, name: str) -> str:
        """The last line of what a daemon said."""
        for path in self.logs(name):
            lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
            if lines:
                return lines[-1]
        return "it said nothing"

    @abstractmethod
    def logs(self, name: str) -> list[Path]:
        """Where a daemon speaks; the first that holds anything counts."""
