"""The control channel of a run: JSON lines, progress out, commands in. The same natively and from the guest."""

from __future__ import annotations

import json
import os
import threading
import tty
from typing import Any


class Channel:
    """One end of a control channel, read in a thread of its own.

    `TESTBED_CHANNEL` says where it is: a terminal of the guest, or 'fd:N', or nothing: then nobody listens.
    """

    def __init__(self) -> None:
        place = os.environ.get("TESTBED_CHANNEL", "")
        self.interrupted = threading.Event()
        self._descriptor = -1
        if place.startswith("fd:"):
            self._descriptor = int(place.removeprefix("fd:"))
        elif place:
            self._descriptor = os.open(place, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            tty.setraw(self._descriptor)
        if self._descriptor >= 0:
            threading.Thread(target=self._listen, name="channel", daemon=True).start()

    def tell(self, **message: Any) -> None:
        """Send one message; a listener that has gone away is no error, `interrupted` says so soon enough."""
        if self._descriptor >= 0:
            line = json.dumps(message) + "\n"
            try:
                os.write(self._descriptor, line.encode())
            except BrokenPipeError:
                self.interrupted.set()

    def _listen(self) -> None:
        """{"do": "stop"} ends the run early; so does the other end's going away."""
        pending = b""
        while True:
            try:
                data = os.read(self._descriptor, 4096)
            except OSError:  # a hung-up terminal
                data = b""
            if not data:
                self.interrupted.set()
                return
            *lines, pending = (pending + data).split(b"\n")
            if any(json.loads(line).get("do") == "stop" for line in lines if line.strip()):
                self.interrupted.set()
