"""The messages of the teaching exchange as bytes: fragments for an MTU of 1,280, fields, and the way back.

On UDP port 4500, beside ESP. Every datagram begins with the non-ESP marker (RFC 3948, 2.2):

    0, 32 bits | version 1, 8 | kind, 8 | fragment, 8 | fragments, 8 | initiator's id, 64 | responder's id, 64 | part

IPv6 asks every link for an MTU of 1,280 (RFC 8200, 5): a datagram that fits it is never fragmented by IP. Nothing here
protects anything: who alters a fragment makes another message, and that message is then refused.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from traffic.errors import KeyExchangeError
from traffic.packets import NON_ESP_MARKER

MTU_BYTES: Final = 1280
ID_BYTES: Final = 8
NO_ID: Final = bytes(ID_BYTES)
"""The responder's id in the first message: not drawn yet."""
MOST_FRAGMENTS: Final = 16
"""Assumption: more than the longest message needs; what claims to be longer is ignored."""
MOST_WAITING: Final = 64
"""Assumption: messages of which fragments are kept; beyond it the one that waited longest is forgotten."""

_VERSION: Final = 1
_HEADER: Final = struct.Struct(">4sBBBB8s8s")
_PART_BYTES: Final = MTU_BYTES - 40 - 8 - _HEADER.size  # below IPv6 and UDP
_SPI: Final = struct.Struct(">BI")


class Kind(enum.IntEnum):
    """The four messages, in order."""

    OFFER = 1
    ANSWER = 2
    CONFIRM = 3
    DONE = 4


class Message(NamedTuple):
    """A whole message. `initiator`, `responder`: ids of the exchange, 8 bytes each."""

    kind: Kind
    initiator: bytes
    responder: bytes
    payload: bytes

    def datagrams(self) -> list[bytes]:
        """As UDP payloads, each of which fits an MTU of 1,280."""
        parts = [self.payload[at : at + _PART_BYTES] for at in range(0, len(self.payload), _PART_BYTES)]
        head = (NON_ESP_MARKER, _VERSION, self.kind)
        ids = (self.initiator, self.responder)
        return [_HEADER.pack(*head, number, len(parts), *ids) + part for number, part in enumerate(parts)]

    def head(self) -> bytes:
        """What a transcript must hold beside the payload."""
        return bytes((self.kind,)) + self.initiator + self.responder


_Key = tuple[Kind, bytes, bytes, int]


@dataclass
class Assembler:
    """Puts fragments together, in whatever order and however often they come.

    Fragments that contradict each other refuse the whole message, as in IP (RFC 5722); a retransmission begins anew.
    """

    ignored: int = 0  # datagrams that are no fragments of an exchange
    _waiting: dict[_Key, dict[int, bytes]] = field(default_factory=dict)

    def add(self, datagram: bytes) -> Message | None:
        """The message that `datagram` completes, None if it completes none; raises KeyExchangeError."""
        if len(datagram) <= _HEADER.size:
            self.ignored += 1
            return None
        marker, version, kind, number, count, initiator, responder = _HEADER.unpack_from(datagram)
        known = marker == NON_ESP_MARKER and version == _VERSION and kind in tuple(Kind)
        if not known or not number < count <= MOST_FRAGMENTS:
            self.ignored += 1
            return None
        key, part = (Kind(kind), initiator, responder, count), datagram[_HEADER.size :]
        parts = self._waiting.setdefault(key, {})
        if parts.setdefault(number, part) != part:
            del self._waiting[key]
            raise KeyExchangeError(f"{key[0].name}: two different fragments {number} of {count}: all are refused")
        if len(parts) < count:
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            return None
        del self._waiting[key]
        return Message(key[0], initiator, responder, b"".join(parts[index] for index in range(count)))


class Fields:
    """Reads a payload from its beginning; raises KeyExchangeError where it is too short, or too long at the end."""

    def __init__(self, message: Message) -> None:
        self._what = message.kind.name
        self._left = message.payload

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if len(self._left) < count:
            raise KeyExchangeError(f"{self._what}: it ends {count - len(self._left)} bytes early")
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def text(self) -> str:
        """A text with its length before it, as `text` writes it."""
        try:
            return self.take(self.take(1)[0]).decode("ascii")
        except UnicodeDecodeError:
            raise KeyExchangeError(f"{self._what}: a text is not ASCII") from None

    def spis(self) -> dict[int, int]:
        """SPI by DSCP, as `spis` writes it."""
        pairs = [_SPI.unpack(self.take(_SPI.size)) for _ in range(self.take(1)[0])]
        return dict(pairs)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._left))

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise KeyExchangeError(f"{self._what}: {len(self._left)} bytes too many")


def text(value: str) -> bytes:
    """Up to 255 ASCII characters with their number before them; raises KeyExchangeError."""
    if not value.isascii() or len(value) > 255:
        raise KeyExchangeError(f"'{value}' cannot be sent: use up to 255 ASCII characters")
    return bytes((len(value),)) + value.encode()


def spis(by_dscp: Mapping[int, int]) -> bytes:
    """The SPI that the writer wants to receive under, for each traffic class."""
    return bytes((len(by_dscp),)) + b"".join(_SPI.pack(dscp, spi) for dscp, spi in sorted(by_dscp.items()))
