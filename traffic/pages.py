"""Pages served and loaded over TLS: HTTP/1.1 (RFC 9112), just enough of it, over TCP sockets that the caller opened.

Every object's SHA-256 is compared with the one known beforehand: what a page load counts arrived whole and unaltered.
Durations are CLOCK_MONOTONIC. Importing this imports pyOpenSSL: do it before anything is timed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from OpenSSL import SSL

from traffic.declared import busy_percent, cpu_ticks
from traffic.errors import ServiceError
from traffic.tls import Channel, Loop, Task
from traffic.web import PATIENCE_NS, PageLoad, Site, WebFlow

Dial = Callable[[], socket.socket]
"""Opens a TCP socket, not connected, in the client's network namespace."""

_HEADER_END: Final = b"\r\n\r\n"
_MOST_HEADER_BYTES: Final = 8_192  # what servers commonly take
_REQUEST: Final = re.compile(rb"GET /(\d{1,9}) HTTP/1\.1\r\n")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d{1,12})\r\n")
_TURN_NS: Final = 50_000_000  # how often a server looks whether it shall stop
_NS_PER_MS: Final = 1e6
_NS_PER_S: Final = 1_000_000_000


class Server:
    """Serves a site on a listening TCP socket. `failures`: why connections ended badly, one line each, the first ones.

    `served`: objects sent.
    """

    def __init__(self, listener: socket.socket, context: SSL.Context, site: Site, name: str) -> None:
        listener.setblocking(False)
        self.failures: list[str] = []
        self.served = 0
        self._listener, self._context, self._site, self._name = listener, context, site, name
        self._bodies = site.bodies  # now, and not at the first request
        self._loop = Loop()

    def run(self, stop: Callable[[], bool]) -> None:
        """Until `stop` says so; then all connections and the listening socket are closed."""
        self._loop.add(self._listener, self._accept())
        while not stop():
            self._loop.turn(time.monotonic_ns() + _TURN_NS)
        self._loop.close()

    def _accept(self) -> Task[None]:
        while True:
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                yield select.POLLIN
                continue
            except OSError as error:  # the peer gave up before it was accepted (accept(2))
                self._fail(f"{self._name}: accept: {error.strerror}")
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._loop.add(sock, self._serve(sock, f"{self._name}: connection from {address[0]}"))

    def _serve(self, sock: socket.socket, what: str) -> Task[None]:
        channel = Channel(self._context, sock, server=True, what=what)
        try:
            yield from channel.handshake()
            waiting = b""
            while True:
                while _HEADER_END not in waiting and len(waiting) < _MOST_HEADER_BYTES:
                    received = yield from channel.receive()
                    if not received:
                        channel.close()
                        return
                    waiting += received
                head, _, waiting = waiting.partition(_HEADER_END)
                asked = _REQUEST.match(head + b"\r\n")
                if asked is None or int(asked[1]) >= len(self._bodies):
                    yield from channel.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                body = self._bodies[int(asked[1])]
                yield from channel.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                self.served += 1
        except (ServiceError, OSError) as error:
            self._fail(str(error))

    def _fail(self, line: str) -> None:
        if len(self.failures) < 100:
            self.failures.append(line)


@dataclass(frozen=True)
class Client:
    """Who loads the page of `flow`: over sockets that `dial` opens, from `address`, which must show `certificate`."""

    flow: WebFlow
    digests: tuple[bytes, ...]
    context: SSL.Context
    certificate: x509.Certificate
    dial: Dial
    address: tuple[str, int]

    def load(self, begun_ns: int, patience_ns: int = PATIENCE_NS) -> PageLoad:
        """Load the page once. `begun_ns`: the schedule's time, for the record."""
        return _Load(self).run(begun_ns, patience_ns)

    def run(self, start_realtime_ns: int) -> list[PageLoad]:
        """Load it from the flow's start to its stop; schedule time 0 is `start_realtime_ns` on CLOCK_REALTIME.

        A load that is due while another one goes on begins when that one has ended.
        """
        flow = self.flow
        loads: list[PageLoad] = []
        due_ns = flow.start_ns
        while True:
            now_ns = time.time_ns() - start_realtime_ns
            if max(due_ns, now_ns) >= flow.stop_ns:
                return loads
            if now_ns < due_ns:
                time.sleep((due_ns - now_ns) / _NS_PER_S)
            loads.append(self.load(time.time_ns() - start_realtime_ns))
            due_ns += round(flow.repeat_s * _NS_PER_S)


@dataclass
class _Load:
    """One page load as it goes."""

    client: Client
    loop: Loop = field(default_factory=Loop)
    pending: deque[int] = field(default_factory=deque)
    left: int = 0
    connect_ms: list[float] = field(default_factory=list)
    handshake_ms: list[float] = field(default_factory=list)
    first_byte_ms: float | None = None
    received_bytes: int = 0
    group: str | None = None
    error: str | None = None
    error_type: str | None = None

    def run(self, begun_ns: int, patience_ns: int) -> PageLoad:
        ticks = cpu_ticks()
        begin_ns = time.monotonic_ns()
        end_ns = begin_ns + patience_ns
        self.left = len(self.client.digests)
        self.pending.append(0)
        self._connect()
        while self.left and self.error is None:
            if time.monotonic_ns() >= end_ns:
                got = len(self.client.digests) - self.left
                done = f"{got} of {len(self.client.digests)} objects"
                self.error_type = ServiceError.__name__
                self.error = f"page {self.client.flow.name}: given up after {patience_ns / _NS_PER_S:g} s with {done}"
                break
            self.loop.turn(end_ns)
        load_ms = (time.monotonic_ns() - begin_ns) / _NS_PER_MS
        self.loop.close()
        return PageLoad(
            begun_ns,
            tuple(self.connect_ms),
            tuple(self.handshake_ms),
            self.first_byte_ms,
            None if self.error else round(load_ms, 3),
            self.received_bytes,
            self.group,
            busy_percent(ticks, cpu_ticks()),
            self.error,
            self.error_type,
        )

    def _connect(self) -> None:
        sock = self.client.dial()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop.add(sock, self._guarded(sock))

    def _guarded(self, sock: socket.socket) -> Task[None]:
        try:
            yield from self._fetch_all(sock)
        except (ServiceError, OSError) as error:
            if self.error is None:
                self.error, self.error_type = str(error), type(error).__name__

    def _fetch_all(self, sock: socket.socket) -> Task[None]:
        """One connection: made, and then objects as long as there are any."""
        address = self.client.address
        what = f"connection to {address[0]} port {address[1]}"
        begin_ns = time.monotonic_ns()
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            yield select.POLLOUT
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise ServiceError(f"{what}: {os.strerror(code)}")
        self.connect_ms.append(_ms_since(begin_ns))
        begin_ns = time.monotonic_ns()
        channel = Channel(self.client.context, sock, server=False, what=what)
        yield from channel.handshake(self.client.certificate)
        self.handshake_ms.append(_ms_since(begin_ns))
        self.group = channel.group
        waiting = b""
        while self.pending:
            number = self.pending.popleft()
            waiting = yield from self._fetch(channel, number, waiting, f"{what}: object {number}")
            self.left -= 1
            if number == 0:
                self.pending.extend(range(1, len(self.client.digests)))
                for _ in range(min(self.client.flow.connections, len(self.pending)) - 1):
                    self._connect()
        channel.close()

    def _fetch(self, channel: Channel, number: int, waiting: bytes, what: str) -> Task[bytes]:
        """Ask for an object and take it in; returns what came behind it."""
        begin_ns = time.monotonic_ns()
        yield from channel.send(b"GET /%d HTTP/1.1\r\nHost: %b\r\n\r\n" % (number, self.client.flow.dst.encode()))
        while _HEADER_END not in waiting:
            if len(waiting) > _MOST_HEADER_BYTES:
                raise ServiceError(f"{what}: the answer's header has more than {_MOST_HEADER_BYTES} bytes")
            waiting += yield from self._more(channel, what)
            if number == 0 and self.first_byte_ms is None:
                self.first_byte_ms = _ms_since(begin_ns)
        head, _, waiting = waiting.partition(_HEADER_END)
        length = _LENGTH.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise ServiceError(f"{what}: answered with '{head.splitlines()[0][:80].decode(errors='replace')}'")
        size, digest = int(length[1]), hashlib.sha256()
        while True:
            part, waiting = waiting[:size], waiting[size:]
            digest.update(part)
            size -= len(part)
            self.received_bytes += len(part)
            if not size:
                break
            waiting = yield from self._more(channel, what)
        if digest.digest() != self.client.digests[number]:
            raise ServiceError(f"{what}: other content than the server holds: its SHA-256 differs")
        return waiting

    def _more(self, channel: Channel, what: str) -> Task[bytes]:
        received = yield from channel.receive()
        if not received:
            raise ServiceError(f"{what}: the server ended the connection before the object's end")
        return received


def _ms_since(begin_ns: int) -> float:
    return round((time.monotonic_ns() - begin_ns) / _NS_PER_MS, 3)


def open_listener(address: str, port: int, dscp: int = 0) -> socket.socket:
    """A listening TCP socket in the calling thread's namespace; raises ServiceError."""
    sock = open_stream(dscp, ipv6=":" in address)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise ServiceError(f"TCP port {port} on {address}: {error.strerror or error}") from error
    return sock


def open_stream(dscp: int = 0, *, ipv6: bool = False) -> socket.socket:
    """A TCP socket, not connected, in the calling thread's namespace; all that it sends has code point `dscp`."""
    sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    return sock
