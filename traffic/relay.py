"""A hub between hosts that a NAT keeps apart: it decrypts what comes for others and encrypts it again for them.

Two associations in place of one, and the hub reads everything: it must be trusted as the hosts themselves are.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from traffic.sender import SecureSocket

Leg = tuple[str, str, int]
"""(source, destination, DSCP) of one association on a flow's way."""

_MS_PER_S: Final = 1_000
_GRANULE_S: Final = 0.001  # poll's; a shorter wait is slept


class Apart(Protocol):
    """What the relay needs of a sender: `traffic.sender.Sender`."""

    def send_apart(self, src: str, send: Callable[[], object]) -> None: ...


class Relay:
    """The hub's forwarding, at once and in the order of arrival. `onward`: of each relayed flow its leg from the hub.

    Its own sending is no flow's and leaves no time stamp: a flow's delay is measured from the first host to the last.
    """

    def __init__(
        self,
        onward: Mapping[int, Leg],
        secure: Mapping[Leg, SecureSocket],
        peers: Mapping[tuple[str, str], tuple[str, int]],
        sender: Apart,
        tap: socket.socket,
    ) -> None:
        self._onward, self._secure, self._peers, self._sender = onward, secure, peers, sender
        self.relayed = 0
        self.dropped = 0  # the far host had not announced itself, or had no key yet
        self._poll = select.poll()
        self._poll.register(tap, select.POLLIN)

    def forward(self, flow: int, next_header: int, inner: bytes) -> None:
        """Take what the hub received of a flow, decrypted; what is for the hub itself is left alone."""
        leg = self._onward.get(flow)
        if leg is None:
            return
        hub, destination, _ = leg
        sock, address = self._secure[leg], self._peers.get((hub, destination))
        if address is None or not sock.ready():
            self.dropped += 1
            return
        self.relayed += 1
        self._sender.send_apart(hub, lambda: sock.send(inner, next_header, address))

    def wait(self, seconds: float) -> bool:
        """Sleep that long, or until something comes to the hub; says whether it did."""
        if seconds < _GRANULE_S:
            time.sleep(max(seconds, 0))
            return False
        return bool(self._poll.poll(int(seconds * _MS_PER_S)))
