"""What is most urgent is sent over two paths, and the second copy is removed where it arrives.

Packet replication and elimination (RFC 8655, 3.2.2.2), with ESP's sequence number to know copies by. Both copies are
the same packet of one association, to two addresses of the receiver, which the network leads over two paths. How the
receiver tells the second copy from a replay: `traffic.replay.Copies`.
"""

from __future__ import annotations

import socket

from traffic.keys import Association
from traffic.sender import UNROUTABLE, SecureSocket


class TwofoldSocket(SecureSocket):
    """A `SecureSocket` whose packets also leave by `second`, another socket of the host, to `other`."""

    def __init__(
        self, sock: socket.socket, association: Association, second: socket.socket, other: tuple[str, int]
    ) -> None:
        super().__init__(sock, association)
        self._second, self._other = second, other

    def send(self, inner: bytes | bytearray, next_header: int, address: tuple[str, int]) -> None:
        """Encrypt once, send twice; the first copy's errors are the packet's."""
        packet = self._sa.encrypt(inner, next_header)
        try:
            self._sock.sendmsg([packet], self._class, 0, address)
        finally:
            try:
                self._second.sendmsg([packet], self._class, 0, self._other)
            except OSError as error:
                if error.errno not in UNROUTABLE:  # no route: a copy less, which the first one is for
                    raise
