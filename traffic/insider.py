"""A faulty or treacherous endpoint: what nobody on the path can do, because it takes the keys.

It stands in for the sender of a session. One packet in `every` of an association is sent wrongly:

    def misuse(sa: OutboundSa, association: Association, inner: bytes, next_header: int, chosen: bool) -> bytes | None

returns the UDP payload to send instead, None to behave. `chosen`: whether it is this packet's turn.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from traffic.enclosure import refuse_way_out
from traffic.errors import AdversaryError
from traffic.esp import OutboundSa
from traffic.keys import Association
from traffic.sender import SecureSocket

Misuse = Callable[[OutboundSa, Association, bytes, int, bool], bytes | None]

LEFT: Final = 64
"""Assumption: numbers that an exhausted association has left when the session begins."""


@dataclass(frozen=True)
class InsiderAction:
    """A misdeed. `needs_esn`: it makes sense only with extended sequence numbers (True), or without (False)."""

    name: str
    misuse: Misuse
    meaning: str
    verdicts: tuple[str, ...]
    needs_esn: bool | None = None


def nonce_reuse(sa: OutboundSa, _: Association, inner: bytes, next_header: int, chosen: bool) -> bytes | None:
    """Encrypts two packets under the same number, so under the same IV: as after a restart with an old counter."""
    if not chosen or sa.sequence == 0:
        return None
    sa.sequence -= 1
    return sa.encrypt(inner, next_header)


def plaintext_leak(_sa: OutboundSa, _: Association, inner: bytes, _next_header: int, chosen: bool) -> bytes | None:
    """Forgets to encrypt."""
    return bytes(inner) if chosen else None


def no_esn(sa: OutboundSa, association: Association, inner: bytes, next_header: int, chosen: bool) -> bytes | None:
    """Leaves extended sequence numbers out of the integrity check."""
    if not chosen:
        return None
    weak = OutboundSa(
        sa.spi, association.key, association.salt, esn=False, suite=association.suite, sequence=sa.sequence
    )
    packet = weak.encrypt(inner, next_header)
    sa.sequence = weak.sequence
    return packet


def sequence_wrap(sa: OutboundSa, _: Association, inner: bytes, next_header: int, _chosen: bool) -> bytes | None:
    """Begins shortly before its last number, and after it goes on from 1."""
    last = (1 << 64 if sa.esn else 1 << 32) - 1
    if sa.sequence == 0:
        sa.sequence = last - LEFT
        return None
    if sa.sequence == last:
        sa.sequence = 0
        return sa.encrypt(inner, next_header)
    return sa.encrypt(inner, next_header) if sa.sequence < last >> 1 else None


INSIDERS: Final = {
    action.name: action
    for action in (
        InsiderAction("nonce-reuse", nonce_reuse, "uses a number and an IV twice", ("NONCE_REUSE",)),
        InsiderAction("plaintext-leak", plaintext_leak, "sends in the clear", ("PLAINTEXT_LEAK",)),
        InsiderAction("no-esn", no_esn, "protects without extended numbers", ("DOWNGRADE",), needs_esn=True),
        InsiderAction("sequence-wrap", sequence_wrap, "goes on after its last number", ("SEQ_EXHAUSTED",), False),
    )
}
"""By name. `sequence-wrap` begins near the end of 32 bits: nobody comes to the end of 64."""


class Insider:
    """Makes the faulty senders of a session, and keeps the ledger of what they did: one JSON line per act.

    `sockets`: of every namespace the packets may reach, for `refuse_way_out`. Raises AdversaryError.
    """

    def __init__(self, name: str, every: int, ledger_path: Path, sockets: Iterable[socket.socket]) -> None:
        if name not in INSIDERS:
            raise AdversaryError(f"insider '{name}' is unknown: use {', '.join(INSIDERS)}")
        if every < 1:
            raise AdversaryError(f"an insider that misbehaves once in {every} packets is refused: use 1 or more")
        refuse_way_out(sockets)
        self._action = INSIDERS[name]
        self._every = every
        self._ledger_path = ledger_path
        ledger_path.write_text("")

    def socket(self, sock: socket.socket, association: Association) -> SecureSocket:
        """A sender that misbehaves; raises AdversaryError if it cannot with this association."""
        if self._action.needs_esn not in (None, association.esn):
            wanted = "on" if self._action.needs_esn else "off"
            raise AdversaryError(f"insider {self._action.name} needs esn={wanted}")
        return _InsiderSocket(sock, association, self._action.misuse, self._every, self.note)

    def note(self, association: Association, sequence: int, sent: int) -> None:
        """Write a line of the ledger."""
        entry: dict[str, Any] = {"time_ns": time.time_ns(), "action": self._action.name, "crossing": association.src}
        entry |= {"spi": f"0x{association.spi:08x}", "sequence": sequence, "sent": [sent]}
        with self._ledger_path.open("a") as ledger:
            ledger.write(json.dumps(entry) + "\n")


class _InsiderSocket(SecureSocket):
    def __init__(
        self,
        sock: socket.socket,
        association: Association,
        misuse: Misuse,
        every: int,
        note: Callable[[Association, int, int], None],
    ) -> None:
        super().__init__(sock, association)
        self._association, self._misuse, self._every, self._note = association, misuse, every, note
        self._packets = 0
        self._tos = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", association.dscp << 2))]

    def send(self, inner: bytes | bytearray, next_header: int, address: tuple[str, int]) -> None:
        """Encrypt and send, rightly or not; one packet in any case, so that the kernel's stamps stay in step."""
        self._packets += 1
        chosen = self._packets % self._every == 0
        payload = self._misuse(self._sa, self._association, bytes(inner), next_header, chosen)
        if payload is None:
            super().send(inner, next_header, address)
            return
        self._sock.sendmsg([payload], self._tos, 0, address)
        self._note(self._association, self._sa.sequence, len(payload))
