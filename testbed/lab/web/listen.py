"""Where the dashboard listens, and the secret in its address."""

from __future__ import annotations

import ipaddress
import os
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
    """An open socket and where it is, the token, and what a Host header may say."""

    socket: socket.socket
    address: str
    port: int
    token: str

    @property
    def hosts(self) -> frozenset[str]:
        """The names under which the page answers."""
        return frozenset(f"{name}:{self.port}" for name in (*LOOPBACK, _written(self.address)))

    @property
    def url(self) -> str:
        """What a person opens."""
        everywhere = ipaddress.ip_address(self.address).is_unspecified
        return f"http://{LOOPBACK[0] if everywhere else _written(self.address)}:{self.port}/{self.token}/"

    @property
    def loopback(self) -> bool:
        """Is it out of reach of other machines?"""
        return ipaddress.ip_address(self.address).is_loopback


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
        raise InputError(f"--listen {where}: {os.strerror(error.errno or 0)}: choose another address or port") from None
    return Listening(opened, address, opened.getsockname()[1], secrets.token_urlsafe(_TOKEN_BYTES))


def _written(address: str) -> str:
    return f"[{address}]" if ":" in address else address
