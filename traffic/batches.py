"""Many frames with one system call (recvmmsg): in a user-mode kernel the call costs more than all that follows it."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from typing import Final

BATCH: Final = 32  # frames for each call
FRAME_BYTES: Final = (64 << 10) + 256
"""The largest bundle of segments that the kernel hands a tap is 64 KiB and its headers."""

_AGAIN: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENETDOWN})
_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.POINTER(_Vector)),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr (recvmmsg(2))."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Batch:
    """Room for BATCH frames; frame k of the last call is `buffer[k * FRAME_BYTES :][: sizes[k]]`."""

    def __init__(self) -> None:
        self.buffer = bytearray(BATCH * FRAME_BYTES)
        begin = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self._vectors = (_Vector * BATCH)(*(_Vector(begin + k * FRAME_BYTES, FRAME_BYTES) for k in range(BATCH)))
        self._messages = (_Message * BATCH)()
        for vector, message in zip(self._vectors, self._messages, strict=True):
            message.header.vector = ctypes.pointer(vector)
            message.header.vectors = 1

    def receive(self, sock: socket.socket) -> list[int]:
        """The sizes of the frames that waited at a non-blocking socket, at most BATCH; raises OSError."""
        count = _libc.recvmmsg(sock.fileno(), self._messages, BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            code = ctypes.get_errno()
            if code in _AGAIN:  # nothing there, or it says once that an interface went down
                return []
            raise OSError(code, os.strerror(code))
        return [message.length for message in self._messages[:count]]
