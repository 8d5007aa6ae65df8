"""Routing netlink: messages as bytes, sent in batches, each batch acknowledged.

A message is built once (`message`, `attribute`) and may be kept and sent again. One socket serves one network
namespace: the one its creating thread is in. The kernel carries a batch out in order and answers every message that it
refuses; only the last of a batch asks for an answer in any case, which then speaks for all before it. Layouts:
linux/netlink.h, linux/rtnetlink.h; integers in host order.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.errors import KernelError

REQUEST: Final = 0x01
ACK: Final = 0x04
ECHO: Final = 0x08
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400

_NLMSG_ERROR: Final = 2
_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10  # acknowledge without copying the request
_NETLINK_EXT_ACK: Final = 11  # the kernel's own words in an error
_NLMSGERR_ATTR_MSG: Final = 1
_NLM_F_CAPPED: Final = 0x100
_HEADER: Final = struct.Struct("=IHHII")
_NESTED: Final = 0x8000
_BATCH: Final = 64  # messages per send: their refusals or echoes, all at once, fit any receive buffer
_RECEIVE_BYTES: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Message:
    """A request without its sequence number. `what` names its object in an error."""

    data: bytes
    what: str


def align(length: int) -> int:
    """Netlink pads to four bytes."""
    return (length + 3) & ~3


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (align(length) - length)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A string attribute, with its final zero."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """An unsigned 32-bit attribute."""
    return attribute(kind, struct.pack("=I", value))


def message(kind: int, flags: int, payload: bytes, what: str) -> Message:
    """A whole request; `payload` is the family's header with its attributes."""
    return Message(_HEADER.pack(_HEADER.size + len(payload), kind, flags | REQUEST, 0, 0) + payload, what)


def parse_attributes(data: bytes | memoryview) -> dict[int, bytes]:
    """Attributes by kind (the nested flag removed); of repeated kinds the last."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & ~_NESTED] = bytes(data[at + 4 : at + length])
        at += align(length)
    return found


class Netlink:
    """A routing socket in the current thread's network namespace, for any thread to use."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._sequence = 0
        self._lock = threading.Lock()  # a batch and its acknowledgements belong together

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def send(self, messages: Sequence[Message]) -> list[bytes]:
        """Send all, read every answer; returns the payloads of echoed messages.

        Raises KernelError with the object and the kernel's words if one is refused; the others were still carried out.
        """
        echoes: list[bytes] = []
        failures: list[KernelError] = []
        with self._lock:
            for start in range(0, len(messages), _BATCH):
                batch = messages[start : start + _BATCH]
                self._socket.send(self._joined(batch))
                self._settle(start, len(batch), lambda number: messages[number].what, echoes, failures)
        if failures:
            raise failures[0]
        return echoes

    def send_rows(self, rows: NDArray[np.uint8], what: Callable[[int], str]) -> list[bytes]:
        """`send` for messages of equal length, the rows of a contiguous array of bytes, shape (n, length).

        Their acknowledgement flags and sequence numbers are written here. `what` names row number k in an error.
        """
        echoes: list[bytes] = []
        failures: list[KernelError] = []
        with self._lock:
            flags, sequence = rows[:, 6:8].view(np.uint16)[:, 0], rows[:, 8:12].view(np.uint32)[:, 0]
            sequence[:] = np.arange(self._sequence + 1, self._sequence + 1 + len(rows))
            flags &= 0xFFFF ^ ACK
            flags[_BATCH - 1 :: _BATCH] |= ACK
            flags[-1:] |= ACK
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                self._sequence += len(batch)
                self._socket.send(batch.tobytes())
                self._settle(start, len(batch), what, echoes, failures)
        if failures:
            raise failures[0]
        return echoes

    def _joined(self, batch: Sequence[Message]) -> bytes:
        parts: list[bytes] = []
        last = len(batch) - 1
        for place, item in enumerate(batch):
            self._sequence += 1
            length, kind, own, _, _ = _HEADER.unpack_from(item.data)
            flags = own | ACK if place == last else own
            parts += (_HEADER.pack(length, kind, flags, self._sequence, 0), item.data[_HEADER.size :])
            parts.append(b"\0" * (align(length) - length))
        return b"".join(parts)

    def _settle(
        self, begin: int, count: int, what: Callable[[int], str], echoes: list[bytes], failures: list[KernelError]
    ) -> None:
        """Read the answers to the `count` messages sent last, numbers `begin` on, up to that to the last of them."""
        first, settled = self._sequence - count + 1, False
        while not settled:
            for kind, flags, sequence, payload in self._receive():
                if sequence < first:  # left over from a batch that an interrupt cut short
                    continue
                if kind != _NLMSG_ERROR:
                    echoes.append(payload)
                    continue
                settled |= sequence == self._sequence
                code = -struct.unpack_from("=i", payload)[0]
                if code:
                    failures.append(_refused(what(begin + sequence - first), code, flags, payload))

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_RECEIVE_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
            yield kind, flags, sequence, data[at + _HEADER.size : at + length]
            at += align(length)


def _refused(what: str, code: int, flags: int, payload: bytes) -> KernelError:
    words = os.strerror(code)
    request = _HEADER.size if flags & _NLM_F_CAPPED else struct.unpack_from("=I", payload, 4)[0]
    extra = parse_attributes(payload[4 + align(request) :]).get(_NLMSGERR_ATTR_MSG)
    if extra:
        words += f": {extra.rstrip(bytes(1)).decode(errors='replace')}"
    return KernelError(f"the kernel refused {what}: {words} ({errno.errorcode.get(code, code)})")
