"""STAMP, the Simple Two-way Active Measurement Protocol (RFC 8762): packets, session-reflector, session-sender.

Unauthenticated packets have 44 bytes both ways, authenticated ones 112, the last 16 of them an HMAC-SHA-256 cut to 128
bits over the 96 before (4.4). The session identifier of RFC 8972 (3) is carried and copied; without one it is 0.

A reflector answers only peers that it was told of, silently ignores all others, and never sends more than it got.
"""

from __future__ import annotations

import ctypes
import hmac
import ipaddress
import os
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from traffic.errors import ConfigurationError
from traffic.private import write_private
from traffic.timestamps import NO_STAMP, SO_TIMESTAMPING, open_udp

PORT: Final = 862
"""UDP (RFC 8762, 4.1)."""
KEY_BYTES: Final = 32
PLAIN_BYTES: Final = 44
SECURED_BYTES: Final = 112
HMAC_BYTES: Final = 16
TTL: Final = 255
"""Of what is sent, so that the far end can count hops (RFC 5357, 4.1.2)."""

_NTP_UNIX_S: Final = 2_208_988_800  # from 1900 to 1970 (RFC 5905, appendix A.4)
_NS_PER_S: Final = 1_000_000_000
_SYNCHRONISED: Final = 0x8000  # error estimate: the clock follows UTC (RFC 4656, 4.1.2)
_TIMEX_BYTES: Final = 256  # struct timex has 208
_UNSYNCHRONISED: Final = (-1, 5)  # what adjtimex(2) returns: an error, or TIME_ERROR
_DGRAM_BYTES: Final = 2048
_ANCILLARY_BYTES: Final = 256
_IP_RECVTTL: Final = 12  # Python 3.11's socket module lacks it
_TTL_KINDS: Final = frozenset({(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)})
_TIMESPEC: Final = struct.Struct("@ll")

_SENDER: Final = struct.Struct(">IQHH28x")
_REFLECTOR: Final = struct.Struct(">IQHHQIQHxxB3x")
_SECURED_SENDER: Final = struct.Struct(">I12xQHH68x")
_SECURED_REFLECTOR: Final = struct.Struct(">I12xQHH4xQ8xI12xQH6xB15x")


class Probe(NamedTuple):
    """A session-sender's packet (RFC 8762, 4.2). `time`: NTP format; `error`: error estimate."""

    sequence: int
    time: int
    error: int
    session: int


class Reply(NamedTuple):
    """A session-reflector's packet (RFC 8762, 4.3). `received`: when the probe came; the rest is the probe's."""

    sequence: int
    time: int
    error: int
    session: int
    received: int
    sender_sequence: int
    sender_time: int
    sender_error: int
    sender_ttl: int


def ntp(time_ns: int) -> int:
    """CLOCK_REALTIME in ns as an NTP timestamp: seconds since 1900 and their fraction, 32 bits each (RFC 5905, 6)."""
    seconds, rest_ns = divmod(time_ns, _NS_PER_S)
    return (seconds + _NTP_UNIX_S & 0xFFFFFFFF) << 32 | (rest_ns << 32) // _NS_PER_S


def unix_ns(timestamp: int) -> int:
    """Back again, rounded to the ns; of the era that began in 1900, until 2036."""
    return ((timestamp >> 32) - _NTP_UNIX_S) * _NS_PER_S + ((timestamp & 0xFFFFFFFF) * _NS_PER_S + (1 << 31) >> 32)


def error_estimate(error_s: float, *, synchronised: bool) -> int:
    """S, Z = 0 (NTP), Scale, Multiplier: the error is Multiplier · 2^(Scale − 32) s, rounded up (RFC 4656, 4.1.2)."""
    units = max(error_s * 2.0**32, 1.0)
    scale = 0
    while units > 255:
        units /= 2
        scale += 1
    return (_SYNCHRONISED if synchronised else 0) | min(scale, 63) << 8 | min(-int(-units // 1), 255)


def clock_error() -> int:
    """The error estimate of this machine's clock: what the kernel says, adjtimex(2); unsynchronised if it cannot."""
    fields = ctypes.create_string_buffer(_TIMEX_BYTES)  # mode 0: only read
    try:
        state = ctypes.CDLL(None).adjtimex(fields)
    except (OSError, AttributeError):
        return error_estimate(1.0, synchronised=False)
    _, _, _, _, esterror_us = struct.unpack_from("@Illll", fields)
    return error_estimate(max(esterror_us, 1) / 1e6, synchronised=state not in _UNSYNCHRONISED)


def pack_probe(probe: Probe, key: bytes | None = None) -> bytes:
    """44 bytes, or 112 under a key."""
    if key is None:
        return _SENDER.pack(*probe)
    return _sealed(_SECURED_SENDER.pack(*probe), key)


def pack_reply(reply: Reply, key: bytes | None = None) -> bytes:
    """44 bytes, or 112 under a key."""
    if key is None:
        return _REFLECTOR.pack(*reply)
    return _sealed(_SECURED_REFLECTOR.pack(*reply), key)


def parse_probe(data: bytes, key: bytes | None = None) -> Probe | None:
    """A probe; None if it is too short or its HMAC is wrong."""
    if not _intact(data, key):
        return None
    return Probe(*(_SENDER if key is None else _SECURED_SENDER).unpack_from(data))


def parse_reply(data: bytes, key: bytes | None = None) -> Reply | None:
    """A reply; None if it is too short or its HMAC is wrong."""
    if not _intact(data, key):
        return None
    return Reply(*(_REFLECTOR if key is None else _SECURED_REFLECTOR).unpack_from(data))


def _sealed(data: bytes, key: bytes) -> bytes:
    return data + hmac.digest(key, data, "sha256")[:HMAC_BYTES]


def _intact(data: bytes, key: bytes | None) -> bool:
    if key is None:
        return len(data) >= PLAIN_BYTES
    if len(data) < SECURED_BYTES:
        return False
    end = SECURED_BYTES - HMAC_BYTES
    return hmac.compare_digest(hmac.digest(key, data[:end], "sha256")[:HMAC_BYTES], data[end:SECURED_BYTES])


def write_key(path: Path) -> None:
    """A fresh HMAC key, mode 0600; raises SessionError if the file exists."""
    write_private(path, os.urandom(KEY_BYTES).hex() + "\n")


def read_key(path: Path) -> bytes:
    """Raises ConfigurationError."""
    try:
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}: make one with `keys --stamp`") from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{path}: no key of {KEY_BYTES} bytes in hexadecimal: make one with `keys --stamp`")
    return key


def open_stamp(address: str, port: int = 0, *, dscp: int = 0, tx_stamps: bool = False) -> socket.socket:
    """A UDP socket for either role, IPv4 or IPv6; raises SocketError."""
    sock = open_udp(address, port, dscp=dscp, tx_stamps=tx_stamps, rx_stamps=True)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    return sock


def receive_one(sock: socket.socket) -> tuple[bytes, tuple[Any, ...], int, int] | None:
    """(payload, address, kernel's receive time, TTL) of the next datagram; None if there is none."""
    try:
        payload, ancillary, _, address = sock.recvmsg(_DGRAM_BYTES, _ANCILLARY_BYTES)
    except BlockingIOError:
        return None
    time_ns, ttl = NO_STAMP, TTL
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            time_ns = seconds * _NS_PER_S + nanoseconds
        elif (level, kind) in _TTL_KINDS:
            (ttl,) = struct.unpack_from("=i", data)
    return payload, address, time_ns or time.time_ns(), ttl & 0xFF


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ReflectorRules:
    """Whom a reflector answers, and how. `stateful`: its replies have numbers of their own for each session (4.3).

    `most_sessions`: numbers are kept for that many; further peers are not answered.
    """

    peers: tuple[Network, ...]
    stateful: bool = True
    key: bytes | None = None
    most_sessions: int = 1024


class Reflector:
    """A session-reflector. `counts`: reflected, and why others were not."""

    def __init__(self, rules: ReflectorRules) -> None:
        self.counts: Counter[str] = Counter()
        self._rules = rules
        self._sessions: dict[tuple[str, int, int], int] = {}  # replies sent, by address, port and identifier
        self._error = clock_error()

    def reply(self, data: bytes, source: tuple[Any, ...], received_ns: int, ttl: int) -> bytes | None:
        """The answer to a datagram, as long as it; None for silence."""
        rules = self._rules
        address = ipaddress.ip_address(source[0].split("%")[0])
        if not any(address in network for network in rules.peers):
            self.counts["unknown peer"] += 1
            return None
        probe = parse_probe(data, rules.key)
        if probe is None:
            least = PLAIN_BYTES if rules.key is None else SECURED_BYTES
            self.counts["too short" if len(data) < least else "wrong HMAC"] += 1
            return None
        sequence = probe.sequence
        if rules.stateful:
            session = source[0], source[1], probe.session
            if session not in self._sessions and len(self._sessions) >= rules.most_sessions:
                self.counts["too many sessions"] += 1
                return None
            sequence = self._sessions.get(session, 0)
            self._sessions[session] = sequence + 1 & 0xFFFFFFFF
        self.counts["reflected"] += 1
        own = Reply(
            sequence, ntp(time.time_ns()), self._error, probe.session, ntp(received_ns), probe.sequence, probe.time,
            probe.error, ttl,
        )  # fmt: skip
        answer = pack_reply(own, rules.key)
        return answer + data[len(answer) :]  # what is longer is padding, or extensions that are copied as unknown


def reflect(sock: socket.socket, reflector: Reflector, until_ns: int | None = None) -> None:
    """Answer until CLOCK_MONOTONIC `until_ns`, or for ever. `sock`: from `open_stamp`."""
    while until_ns is None or time.monotonic_ns() < until_ns:
        select.select([sock], [], [], 0.1)
        while (arrived := receive_one(sock)) is not None:
            payload, address, received_ns, ttl = arrived
            answer = reflector.reply(payload, address, received_ns, ttl)
            if answer is not None:
                try:
                    sock.sendto(answer, address)
                except OSError:
                    reflector.counts["could not be sent"] += 1


def networks(words: Sequence[str]) -> tuple[Network, ...]:
    """Peers as addresses or prefixes; raises ConfigurationError."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in words)
    except ValueError as error:
        raise ConfigurationError(f"--peer: {error}") from None
