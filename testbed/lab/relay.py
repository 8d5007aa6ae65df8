"""The host's end for those who join a run in the guest: a socket in the run directory, and the guest's console."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from testbed.emulation.join.door import listen
from testbed.emulation.join.mux import Mux
from testbed.ground.joining import DOOR


class Relay:
    """Passes conversations on for the time of the block, in a thread of its own. `console`: the guest's."""

    def __init__(self, folder: Path, console: socket.socket) -> None:
        self._folder = folder
        self._thread: threading.Thread | None = None
        try:
            self._door = listen(folder)
        except OSError:  # a file system without sockets: whoever knocks is told
            return
        self._stop, self._stopped = os.pipe()
        mux = Mux(console.fileno(), listener=self._door)
        self._thread = threading.Thread(target=mux.run, args=(self._stop,), name="relay", daemon=True)

    def __enter__(self) -> Relay:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        self._door.close()
        (self._folder / DOOR).unlink(missing_ok=True)
