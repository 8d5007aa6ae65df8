"""How a conversation is written: frames of a kind, a length and a payload over a stream. The standard library alone.

The client begins with REQUEST. The run answers with OUTPUT and ERROR as they come, and ends with EXIT or REFUSED; both
ends may hang up at any time.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import suppress
from typing import Any, Final

REQUEST, INPUT, INPUT_ENDS, SIGNAL, SIZE = 1, 2, 3, 4, 5
"""From the client: JSON; bytes for standard input; its end; a signal's number; rows and columns of its terminal."""

OUTPUT, ERROR, EXIT, REFUSED = 11, 12, 13, 14
"""From the run: bytes of standard output and error; the exit code; why not, in words."""

LONGEST: Final = 1 << 24
"""Bytes of a payload; a length beyond is not one of ours."""

NUMBER: Final = struct.Struct("!i")
TERMINAL: Final = struct.Struct("!HH")
_HEAD: Final = struct.Struct("!BI")


class HungUp(Exception):  # noqa: N818 - the ordinary end of a conversation
    """The other end has gone."""


class Conversation:
    """One end of a conversation, over a connected stream socket. Any thread may tell, one may listen."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def tell(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame; raises HungUp."""
        try:
            with self._lock:
                self._stream.sendall(_HEAD.pack(kind, len(payload)) + payload)
        except OSError:
            raise HungUp from None

    def tell_json(self, kind: int, document: dict[str, Any]) -> None:
        """Send a frame of JSON; raises HungUp."""
        self.tell(kind, json.dumps(document).encode())

    def hear(self) -> tuple[int, bytes]:
        """The next frame, kind and payload; raises HungUp."""
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        if length > LONGEST:
            raise HungUp
        return kind, self._exactly(length)

    @property
    def descriptor(self) -> int:
        """For a selector."""
        return self._stream.fileno()

    def close(self) -> None:
        """Hang up, also on whoever listens in another thread."""
        with suppress(OSError):  # hung up already
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                data = self._stream.recv(min(count, 1 << 16))
            except OSError:
                data = b""
            if not data:
                raise HungUp
            parts.append(data)
            count -= len(data)
        return b"".join(parts)
