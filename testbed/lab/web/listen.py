"""Where the dashboard listens, and the secret in its address."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass
from typing import Final

from testbed.ground.errors import InputError

DEFAULT: Final = "127.0.0.1:0"
"""Loopback alone, on any free port."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")

_TOKEN_BYTES: Final = 16  # 128 bits: nobody guesses it


@dataclass(frozen=True)
class Listening:
    """An open socket, the token, and what a Host header may say."""

    socket: socket.socket
    token: str
    hosts: frozenset[str]

    @property
    def url(self) -> str:
        """What a person opens."""
        address, port = self.socket.getsockname()[:2]
        shown = "127.0.0.1" if ipaddress.ip_address(address).is_unspecified else address
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/{self.token}/"

    @property
    def loopback(self) -> bool:
        """Is it out of reach of other machines?"""
        return ipaddress.ip_address(self.socket.getsockname()[0]).is_loopback


def listen(where: str) -> Listening:
    """Listen on 'ADDRESS:PORT', with a new token; port 0 is any free one. Raises InputError."""
    address, colon, port = where.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        number = int(port)
    except ValueError:
        raise InputError(f"--listen '{where}' is not ADDRESS:PORT: write it like {DEFAULT}") from None
    if not (colon and 0 <= number < 1 << 16):
        raise InputError(f"--listen '{where}': no port {port}: write 0 for any free one, or 1 to 65535")
    try:
        opened = socket.create_server((address, number), family=family)
    except OSError as error:
        raise InputError(f"--listen {where}: {error.strerror}: choose another address or port") from None
    return Listening(opened, secrets.token_urlsafe(_TOKEN_BYTES), _hosts(address, opened.getsockname()[1]))


def _hosts(address: str, port: int) -> frozenset[str]:
    """What a Host header may say of a page that listens there."""
    written = f"[{address}]" if ":" in address else address
    return frozenset(f"{name}:{port}" for name in (*LOOPBACK, written))
