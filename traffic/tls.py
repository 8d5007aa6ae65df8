"""TLS 1.3 with a post-quantum key exchange over TCP sockets that the caller opened.

Both ends demand TLS 1.3 (RFC 8446) and the group X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem), and read back from the
connection that they have it. The server's certificate is made for the run and signed with ML-DSA-65 (FIPS 204); the
client takes that one and no other, so that no authority is needed.

Who waits for a socket yields what it waits for: `Loop` runs many connections in one thread. This module imports
pyOpenSSL, which takes seconds on a slow core: import it before anything is timed.
"""

from __future__ import annotations

import datetime
import select
import socket
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from OpenSSL import SSL, crypto
from OpenSSL._util import lib  # the only way to a context's list of groups

from traffic.errors import RecordAltered, ServiceError, TlsError
from traffic.private import write_private

GROUP: Final = "X25519MLKEM768"
GROUP_CODE: Final = 0x11EC
"""Its code point in ClientHello and ServerHello (IANA, TLS Supported Groups): 4588."""
VERSION: Final = "TLSv1.3"
CERTIFICATES: Final = ("ml-dsa-65", "ed25519")
"""Signature algorithms of a server's certificate."""
READ_BYTES: Final = 16_384
"""A TLS record's content at most (RFC 8446, 5.1)."""

_VALID: Final = datetime.timedelta(days=30)  # assumption: longer than any run
_ALTERED: Final = ("bad record mac", "decryption failed", "bad signature", "digest check failed", "decrypt error")
_REHEARSED_TURNS: Final = 6  # both hellos, the client's finish, and as much again to spare
_REHEARSED_BYTES: Final = 1 << 16  # a certificate and all around it

T = TypeVar("T")
Task = Generator[int, None, T]
"""A piece of work that yields POLLIN or POLLOUT where it waits for its socket."""


@dataclass(frozen=True)
class Credentials:
    """A server's certificate and the file with its key, PEM."""

    name: str
    certificate: x509.Certificate
    key_file: Path


def make_credentials(name: str, folder: Path, algorithm: str = CERTIFICATES[0]) -> Credentials:
    """A self-signed certificate for host `name`; its key goes to folder/NAME.key, for the owner's eyes alone.

    Raises TlsError if there is one already.
    """
    key: Any = mldsa.MLDSA65PrivateKey.generate() if algorithm == "ml-dsa-65" else ed25519.Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.key"
    write_private(path, pem)
    return Credentials(name, certificate, path)


def server_context(credentials: Credentials, groups: str = GROUP) -> SSL.Context:
    """What a server demands. Raises TlsError for groups that OpenSSL does not know."""
    context = _context(groups)
    context.use_certificate(credentials.certificate)
    context.use_privatekey_file(str(credentials.key_file))
    return context


def client_context(
    certificate: x509.Certificate, groups: str = GROUP, key_log: list[bytes] | None = None
) -> SSL.Context:
    """What a client demands: this certificate.

    `key_log`: takes the connections' secrets, line by line, as Wireshark reads them (`save_key_log`). Raises TlsError
    for groups that OpenSSL does not know.
    """
    context = _context(groups)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(certificate))
    context.set_verify(SSL.VERIFY_PEER)
    if key_log is not None:
        context.set_keylog_callback(lambda _, line: key_log.append(line))
    return context


def save_key_log(lines: Iterable[bytes], path: Path) -> None:
    """Write the secrets of connections as an NSS key log, for the owner's eyes alone; raises SessionError."""
    write_private(path, b"".join(line + b"\n" for line in lines))


def _context(groups: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # every handshake is a full one
    if lib.SSL_CTX_set1_curves_list(context._context, groups.encode()) != 1:
        raise TlsError(f"TLS group '{groups}' is unknown to {SSL.OpenSSL_version(0).decode()}")
    return context


def rehearse(server: SSL.Context, client: SSL.Context) -> None:
    """One handshake in memory: OpenSSL finds its algorithms when they are first used. Raises TlsError."""
    ends = SSL.Connection(server, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    for turn in range(_REHEARSED_TURNS):
        here, there = ends[::-1] if turn % 2 == 0 else ends  # the client begins
        try:
            here.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            raise _named("rehearsal of a handshake", error) from error
        with suppress(SSL.WantReadError):
            there.bio_write(here.bio_read(_REHEARSED_BYTES))
    if ends[0].get_group_name() != GROUP:
        raise TlsError(f"rehearsal of a handshake: group {ends[0].get_group_name()} instead of {GROUP}")


class Channel:
    """TLS over one connected, non-blocking TCP socket. Its tasks raise TlsError and ServiceError."""

    def __init__(self, context: SSL.Context, sock: socket.socket, *, server: bool, what: str) -> None:
        """`what`: how an error names the connection."""
        self._tls = SSL.Connection(context, sock)
        self._what = what
        if server:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()

    @property
    def group(self) -> str | None:
        """The key exchange that this connection has, None before it has one."""
        return self._tls.get_group_name()

    def handshake(self, certificate: x509.Certificate | None = None) -> Task[None]:
        """Agree on keys, and check what was agreed; the peer must show `certificate` if there is one given."""
        yield from self._do(self._tls.do_handshake)
        version, group = self._tls.get_protocol_version_name(), self.group
        if (version, group) != (VERSION, GROUP):
            raise TlsError(f"{self._what}: {version} with group {group}: {VERSION} with {GROUP} is demanded")
        if certificate is not None:
            shown = self._tls.get_peer_certificate(as_cryptography=True)
            if shown != certificate:
                raise TlsError(f"{self._what}: the server shows another certificate than the one made for this run")

    def send(self, data: bytes) -> Task[None]:
        """All of it."""
        view = memoryview(data)
        while view:
            sent = yield from self._do(self._tls.send, view[:READ_BYTES])
            view = view[sent:]

    def receive(self) -> Task[bytes]:
        """What has come, some bytes at least; none at a clean end."""
        try:
            received: bytes = yield from self._do(self._tls.recv, READ_BYTES)
        except SSL.ZeroReturnError:
            return b""
        return received

    def close(self) -> None:
        """Say so, as far as the socket takes it at once."""
        with suppress(SSL.Error, OSError):  # the peer has gone, or the connection failed: there is nobody to tell
            self._tls.shutdown()

    def _do(self, call: Callable[..., Any], *arguments: Any) -> Task[Any]:
        while True:
            try:
                return call(*arguments)
            except SSL.WantReadError:
                yield select.POLLIN
            except SSL.WantWriteError:
                yield select.POLLOUT
            except SSL.ZeroReturnError:
                raise
            except SSL.SysCallError as error:
                raise ServiceError(f"{self._what}: {error.args[-1]}") from error
            except SSL.Error as error:
                raise _named(self._what, error) from error


def _named(what: str, error: SSL.Error) -> TlsError:
    """The error with OpenSSL's reason; what fails its authentication was altered on the way."""
    told = "; ".join(entry[2] for entry in (error.args[0] if error.args else ()) if entry[2]) or "no reason given"
    kind = RecordAltered if any(words in told for words in _ALTERED) else TlsError
    return kind(f"{what}: TLS: {told}")


class Loop:
    """Runs tasks, each with its socket, in one thread. A task deals with its own errors."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._tasks: dict[int, tuple[socket.socket, Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, sock: socket.socket, task: Task[None]) -> None:
        """Begin a task; its socket is closed when it ends."""
        self._tasks[sock.fileno()] = sock, task
        self._step(sock.fileno())

    def turn(self, until_ns: int) -> None:
        """Wait for sockets, until CLOCK_MONOTONIC `until_ns` at most, and go on with the tasks that waited for them."""
        left_ns = until_ns - time.monotonic_ns()
        for descriptor, _ in self._poll.poll(max(left_ns, 0) / 1e6):
            if descriptor in self._tasks:
                self._step(descriptor)

    def close(self) -> None:
        """Give up all tasks."""
        for descriptor in list(self._tasks):
            self._end(descriptor)

    def _step(self, descriptor: int) -> None:
        try:
            events = next(self._tasks[descriptor][1])
        except StopIteration:
            self._end(descriptor)
        else:
            self._poll.register(descriptor, events)

    def _end(self, descriptor: int) -> None:
        sock, task = self._tasks.pop(descriptor)
        task.close()
        with suppress(KeyError):  # it has never waited
            self._poll.unregister(descriptor)
        sock.close()
