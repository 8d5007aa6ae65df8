"""The dashboard beside a run: its server is a process of its own, at the lowest priority, that ends with the run."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from testbed.lab.launch import project
from testbed.lab.web.listen import Listening

SERVER: Final = "testbed.lab.web.serve"
LOG: Final = "web.log"
"""In the run directory: what the server complained of."""

_MOST_PENDING: Final = 1 << 20  # bytes that the server has not taken; what comes beyond is not told
_LOOK_S: Final = 0.2
_END_S: Final = 30.0  # until it has told the pages what was measured; a tenth of a second on an idle machine


class Beside:
    """The server of a run directory, which must hold its plan. Use as a context manager.

    What is told never holds the run up: a server that does not listen, or has died, is left alone.
    """

    def __init__(self, folder: Path, listening: Listening) -> None:
        descriptor = listening.socket.fileno()
        with (folder / LOG).open("wb") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", SERVER, str(folder), str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[descriptor],
                start_new_session=True,  # Ctrl-C is for the run
                cwd=project(),
            )
        listening.socket.close()
        assert self._server.stdin is not None
        self._pipe = self._server.stdin.fileno()
        os.set_blocking(self._pipe, False)
        self._pending = b""
        self.tell({"address": listening.address, "port": listening.port, "token": listening.token})

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, message: dict[str, Any]) -> None:
        """Pass a message of the runner on to the pages."""
        if len(self._pending) < _MOST_PENDING:
            self._pending += json.dumps(message).encode() + b"\n"
        self._write()

    def _write(self) -> None:
        """As much as the pipe takes."""
        try:
            self._pending = self._pending[os.write(self._pipe, self._pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._pending = b""

    def close(self) -> None:
        """End the server: pages take what waits first."""
        assert self._server.stdin is not None
        deadline = time.monotonic() + _END_S
        while self._pending and self._server.poll() is None and time.monotonic() < deadline:
            select.select([], [self._pipe], [], _LOOK_S)
            self._write()
        self._server.stdin.close()
        try:
            self._server.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
