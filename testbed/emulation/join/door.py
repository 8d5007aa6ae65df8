"""The Unix socket in a run directory by which others come in: for its owner alone, whatever the directory's mode."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.ground.joining import DOOR


def listen(folder: Path) -> socket.socket:
    """Open it; raises OSError where the file system has no sockets."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    (folder / DOOR).unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        with _short(folder) as name:
            door.bind(name)
    finally:
        os.umask(before)
    door.listen()
    return door


def knock(folder: Path) -> socket.socket:
    """A connection to the run; raises OSError: nobody listens, or another user's."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short(folder) as name:
            client.connect(name)
    except OSError:
        client.close()
        raise
    return client


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A name for the socket that is short enough, wherever the folder is: 107 bytes are all there is (unix(7))."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{DOOR}"
    finally:
        os.close(descriptor)
