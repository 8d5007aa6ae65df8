"""Many conversations over one stream: the guest has a console for them where natively there is a socket.

The host's end lets clients in and gives each a number; the guest's end makes a socket for each number it hears of.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
from collections.abc import Callable
from typing import Final

_OPEN, _DATA, _CLOSE = 1, 2, 3
_HEAD: Final = struct.Struct("!IBI")  # conversation, what, length
_CHUNK: Final = 16_384
_ENOUGH: Final = 4 * _CHUNK  # waits for the stream: nothing more is read for it
_TOO_MUCH: Final = 16 << 20  # waits for one who does not read: a hang-up, so that the others are not held up


class Mux:
    """One end. `stream`: a descriptor to read and write. `listener`: where clients come (host).

    `on_open`: called with a new socket for each conversation of the other end (guest).
    """

    def __init__(
        self,
        stream: int,
        *,
        listener: socket.socket | None = None,
        on_open: Callable[[socket.socket], object] | None = None,
    ) -> None:
        self._stream, self._listener, self._on_open = stream, listener, on_open
        os.set_blocking(stream, False)
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[int, bytearray] = {}  # for the sockets
        self._out, self._in = bytearray(), bytearray()
        self._next = 0
        self._writes = False  # is the stream watched for room?
        self._selector = selectors.DefaultSelector()

    def run(self, stop: int = -1, wake: int = -1) -> None:
        """Pass on, until the stream ends or the descriptor `stop` becomes readable. `wake`: one that signals make
        readable, so that their handlers run; emptied here."""
        with self._selector:
            self._selector.register(self._stream, selectors.EVENT_READ)
            for descriptor in (stop, wake):
                if descriptor >= 0:
                    self._selector.register(descriptor, selectors.EVENT_READ)
            if self._listener is not None:
                self._listener.setblocking(False)
                self._selector.register(self._listener, selectors.EVENT_READ)
            try:
                self._serve(stop, wake)
            finally:
                for sock in self._sockets.values():
                    sock.close()

    def _serve(self, stop: int, wake: int) -> None:
        while True:
            for key, events in self._selector.select():
                if key.fd == stop:
                    return
                if key.fd == wake:
                    os.read(wake, _CHUNK)
                elif key.fd == self._stream:
                    if events & selectors.EVENT_WRITE:
                        self._push()
                    if events & selectors.EVENT_READ and not self._hear():
                        return
                elif key.fileobj is self._listener:
                    self._let_in()
                elif key.data in self._sockets:
                    if events & selectors.EVENT_WRITE:
                        self._hand_over(key.data)
                    if events & selectors.EVENT_READ and key.data in self._sockets:
                        self._take(key.data)

    def _let_in(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again
            return
        self._next += 1
        self._add(self._next, client)
        self._say(self._next, _OPEN)

    def _add(self, number: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sockets[number], self._waiting[number] = sock, bytearray()
        self._selector.register(sock, self._wanted(number), number)

    def _say(self, number: int, what: int, data: bytes = b"") -> None:
        before = len(self._out)
        self._out += _HEAD.pack(number, what, len(data)) + data
        self._push()
        if (before > _ENOUGH) != (len(self._out) > _ENOUGH):
            self._look_again()

    def _push(self) -> None:
        """Write to the stream what it takes."""
        full = len(self._out) > _ENOUGH
        try:
            del self._out[: os.write(self._stream, self._out[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:  # it has ended: reading says so
            self._out.clear()
        if bool(self._out) != self._writes:
            self._writes = bool(self._out)
            self._selector.modify(self._stream, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._writes else 0))
        if full and len(self._out) <= _ENOUGH:
            self._look_again()

    def _wanted(self, number: int) -> int:
        reads = selectors.EVENT_READ if len(self._out) <= _ENOUGH else 0
        return reads | (selectors.EVENT_WRITE if self._waiting[number] else 0)

    def _look_again(self) -> None:
        for number in self._sockets:
            self._watch(number)

    def _watch(self, number: int) -> None:
        sock, wanted = self._sockets[number], self._wanted(number)
        registered = sock in self._selector.get_map()
        if wanted and registered:
            self._selector.modify(sock, wanted, number)
        elif wanted:
            self._selector.register(sock, wanted, number)
        elif registered:
            self._selector.unregister(sock)

    def _take(self, number: int) -> None:
        """What a local socket has for the other end."""
        try:
            data = self._sockets[number].recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._say(number, _DATA, data)
        else:
            self._drop(number)
            self._say(number, _CLOSE)

    def _hand_over(self, number: int) -> None:
        """Give a local socket what waits for it."""
        waiting = self._waiting[number]
        try:
            del waiting[: self._sockets[number].send(waiting)]
        except BlockingIOError:
            pass
        except OSError:
            waiting.clear()
        if len(waiting) > _TOO_MUCH:
            self._drop(number)
            self._say(number, _CLOSE)
        else:
            self._watch(number)

    def _drop(self, number: int) -> None:
        sock = self._sockets.pop(number)
        del self._waiting[number]
        if sock in self._selector.get_map():
            self._selector.unregister(sock)
        sock.close()

    def _hear(self) -> bool:
        """What the other end says; False when it has gone."""
        try:
            data = os.read(self._stream, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self._in += data
        while len(self._in) >= _HEAD.size:
            number, what, length = _HEAD.unpack_from(self._in)
            if len(self._in) < _HEAD.size + length:
                break
            payload = bytes(self._in[_HEAD.size : _HEAD.size + length])
            del self._in[: _HEAD.size + length]
            self._obey(number, what, payload)
        return True

    def _obey(self, number: int, what: int, payload: bytes) -> None:
        if what == _OPEN and self._on_open is not None:
            near, far = socket.socketpair()
            self._add(number, near)
            self._on_open(far)
        elif number not in self._sockets:
            return  # dropped meanwhile
        elif what == _DATA:
            self._waiting[number] += payload
            self._hand_over(number)
        elif what == _CLOSE:
            self._close_softly(number)

    def _close_softly(self, number: int) -> None:
        """The other end has hung up: what it said last is handed over first, if that can be done at once."""
        waiting, sock = self._waiting[number], self._sockets[number]
        sock.settimeout(1.0)
        try:
            sock.sendall(waiting)
        except OSError:
            waiting.clear()
        self._drop(number)
