"""An ESP tunnel of the kernel's own (XFRM) between two hosts, in UDP, for bulk transfers: what Python could not carry.

AES-256-GCM with extended sequence numbers, keys made for the run and written nowhere. The client may be behind a NAT:
the server learns its address from a first datagram, as NAT traversal does (RFC 3948), and only then gets its keys.
"""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Final

from testbed.ground.errors import RunError
from testbed.kernel.namespaces import Namespace

TUNNEL_PORT: Final = 4501
"""UDP port of the first tunnel, the next ones follow. Assumption: 4500 is the encrypted session's."""
WINDOW: Final = 1_024
"""Anti-replay window, packets: as the session's."""

_INNER: Final = "10.65"  # 10.65.k.1 is tunnel k's client, 10.65.k.2 its server
_UDP_ENCAP, _UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h
_HELLO: Final = bytes(4) + b"hello"  # begins with the non-ESP marker (RFC 3948, 2.2): the kernel hands it up
_HELLO_S: Final = 0.2
_ANSWER_S: Final = 5.0  # assumption: the longest way takes less than a second
_MODULES: Final = ("esp4", "xfrm_user")
_CURRENT: Final = re.compile(r"lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)")
_STATS: Final = re.compile(r"replay-window (\d+) replay (\d+) failed (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class End:
    """One host of a tunnel: its namespace, its address, the interface to its router, and the router's address."""

    name: str
    namespace: Namespace
    address: str
    interface: str
    router: str


class Tunnel:
    """Tunnel number `number` of a run."""

    def __init__(self, number: int, client: End, server: End) -> None:
        self._client, self._server = client, server
        self.port = TUNNEL_PORT + number
        self.client_inner, self.server_inner = f"{_INNER}.{number}.1", f"{_INNER}.{number}.2"
        self._spis = secrets.randbits(31) | 1 << 31, secrets.randbits(31) | 1 << 31  # to the server, to the client
        self._keys = secrets.token_hex(36), secrets.token_hex(36)  # 32 bytes of key, 4 of salt (RFC 4106, 8.1)
        self._sockets: list[socket.socket] = []

    def prepare(self) -> None:
        """Addresses, routes and the sockets that decapsulate; raises RunError."""
        subprocess.run(["modprobe", "-qa", *_MODULES], check=False)
        for end, inner, other in (
            (self._client, self.client_inner, self.server_inner),
            (self._server, self.server_inner, self.client_inner),
        ):
            way = f"via {end.router} dev {end.interface} src {inner}"
            _ip(end, f"address add {inner}/32 dev lo", f"route add {other}/32 {way}")
            with end.namespace.entered():
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._sockets.append(udp)
                udp.bind((end.address, self.port))
                udp.setsockopt(socket.IPPROTO_UDP, _UDP_ENCAP, _UDP_ENCAP_ESPINUDP)

    def connect(self) -> None:
        """Let the server learn where the client is, and give both the keys; raises RunError."""
        public, port = self._learn()
        client, server = self._client, self._server
        theirs = self.client_inner, self.server_inner
        there = client.address, server.address, self.port, self.port
        back = server.address, client.address, self.port, self.port
        _ip(client, *self._way(0, "out", there, theirs), *self._way(1, "in", back, theirs[::-1]))
        there = public, server.address, port, self.port
        back = server.address, public, self.port, port
        _ip(server, *self._way(0, "in", there, theirs), *self._way(1, "out", back, theirs[::-1]))

    def counters(self) -> dict[str, Any]:
        """What the kernel decrypted and refused, at both ends."""
        told: dict[str, Any] = {"cipher": "AES-256-GCM", "port": self.port}
        for key, end, spi in (("to_server", self._server, self._spis[0]), ("to_client", self._client, self._spis[1])):
            shown = _run(end, ["ip", "-s", "xfrm", "state", "get", "dst", self._target(spi), *_spi(spi)])
            current, stats = _CURRENT.search(shown), _STATS.search(shown)
            if current is None or stats is None:
                raise RunError(f"tunnel at {end.name}: 'ip -s xfrm state' shows no counters")
            names = ("replay_window", "replay", "failed")
            told[key] = {"bytes": int(current[1]), "packets": int(current[2])}
            told[key] |= dict(zip(names, map(int, stats.groups()), strict=True))
        return told

    @staticmethod
    def complaint(counters: dict[str, Any], received_bytes: int) -> str | None:
        """Why the counters do not fit a transfer of so many bytes that went through the tunnel; None if they do."""
        ways = [counters["to_server"], counters["to_client"]]
        carried = max(way["bytes"] for way in ways)
        if carried < received_bytes:
            return f"tunnel: {carried:,} bytes were decrypted, {received_bytes:,} received: some went another way"
        failed = sum(way["failed"] for way in ways)
        return f"tunnel: {failed} packets failed their integrity check" if failed else None

    def close(self) -> None:
        """Close the sockets; the rest goes with the namespaces."""
        for udp in self._sockets:
            udp.close()

    def _learn(self) -> tuple[str, int]:
        """Address and port under which the server sees the client."""
        client, server = self._sockets
        server.settimeout(_HELLO_S)
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            client.sendto(_HELLO, (self._server.address, self.port))
            try:
                said, source = server.recvfrom(64)
            except TimeoutError:
                continue
            if said == _HELLO:
                return str(source[0]), int(source[1])
        raise RunError(
            f"tunnel from {self._client.name} to {self._server.name}: no datagram arrived within {_ANSWER_S:g} s"
        )

    def _target(self, spi: int) -> str:
        return self._server.address if spi == self._spis[0] else self._client.address

    def _way(
        self, number: int, direction: str, outer: tuple[str, str, int, int], inner: tuple[str, str]
    ) -> tuple[str, str]:
        """State and policy of one direction, as `ip` commands: outer source, destination and ports; inner addresses."""
        source, destination, source_port, destination_port = outer
        ends = f"src {source} dst {destination} proto esp"
        return (
            f"xfrm state add {ends} spi {self._spis[number]:#x} reqid 1 mode tunnel replay-window {WINDOW} flag esn "
            f"aead rfc4106(gcm(aes)) 0x{self._keys[number]} 128 "
            f"encap espinudp {source_port} {destination_port} 0.0.0.0",
            f"xfrm policy add src {inner[0]} dst {inner[1]} dir {direction} tmpl {ends} reqid 1 mode tunnel",
        )


def _spi(spi: int) -> list[str]:
    return ["proto", "esp", "spi", hex(spi)]


def _ip(end: End, *commands: str) -> None:
    """Several `ip` commands at once; raises RunError with what it said."""
    _run(end, ["ip", "-batch", "-"], "".join(command + "\n" for command in commands))


def _run(end: End, command: list[str], text: str = "") -> str:
    done = subprocess.run(
        command, input=text, text=True, capture_output=True, preexec_fn=end.namespace.enter, check=False
    )
    if done.returncode:
        raise RunError(f"tunnel at {end.name}: {' '.join(command[:4])}: {done.stderr.strip()}")
    return done.stdout
