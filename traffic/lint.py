"""Refuses, before any data flows, what protects too little: associations, offers of a peer, and sockets.

The same rules make the verdict DOWNGRADE when a peer offers less than the policy demands.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from traffic.errors import ConfigurationError, SocketError
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305, ICV_BYTES
from traffic.replay import LARGEST_WINDOW, SMALLEST_WINDOW

MIXED_CLASSES_WINDOW: Final = 1024
"""Packets. A priority queue reorders between classes: at twice the rate of a shaper of 4 Mbit/s, one association for
both refused 424 of 2,336 best-effort packets with 64, none with 1,024 (docs/traffic.md)."""

_SUITES: Final = (AES_256_GCM, CHACHA20_POLY1305)
_SOL_PACKET: Final = 263  # linux/socket.h
_PACKET_QDISC_BYPASS: Final = 20  # linux/if_packet.h


@dataclass(frozen=True)
class Protection:
    """How an association is to protect, or how a peer offers to.

    `random_ivs`: IVs drawn by chance instead of the sequence counter. `first_sequence`: the first number to be sent.
    `key_used_to`: the last number that this key has protected before, as persisted; None: the key is new.
    """

    suite: str = AES_256_GCM
    icv_bytes: int = ICV_BYTES
    window: int = 1024
    esn: bool = True
    dscps: frozenset[int] = frozenset({0})
    random_ivs: bool = False
    first_sequence: int = 1
    key_used_to: int | None = None


def refusals(protection: Protection, *, demand_esn: bool = False) -> list[str]:
    """One line for each rule that it breaks; none if it may carry data.

    Sources: suites and ICV RFC 8221 (5) with our own stricter choice; window RFC 4303 (3.4.3) and what Linux allows;
    IVs RFC 4106 (3.1) and RFC 7634 (2).
    """
    lines = []
    if protection.suite not in _SUITES:
        lines.append(f"cipher suite '{protection.suite}' is refused: use {' or '.join(_SUITES)}")
    if protection.icv_bytes != ICV_BYTES:
        lines.append(f"an ICV of {protection.icv_bytes} bytes is refused: use {ICV_BYTES}")
    if not SMALLEST_WINDOW <= protection.window <= LARGEST_WINDOW:
        lines.append(
            f"anti-replay window {protection.window} is refused: choose {SMALLEST_WINDOW} to {LARGEST_WINDOW} packets"
        )
    if demand_esn and not protection.esn:
        lines.append("32-bit sequence numbers are refused: use ESN")
    if protection.random_ivs:
        lines.append("random IVs are refused, because they may repeat: use the sequence counter")
    if protection.key_used_to is not None and protection.first_sequence <= protection.key_used_to:
        lines.append(
            f"first number {protection.first_sequence} is refused, because this key has protected up to "
            f"{protection.key_used_to}: go on from there or make a new key"
        )
    if len(protection.dscps) > 1 and protection.window < MIXED_CLASSES_WINDOW:
        classes = ", ".join(map(str, sorted(protection.dscps)))
        lines.append(
            f"window {protection.window} for DSCP {classes} in one association is refused: make one for each class, "
            f"or a window of {MIXED_CLASSES_WINDOW}"
        )
    return lines


def check(protection: Protection, *, demand_esn: bool = False) -> None:
    """Raise ConfigurationError, in one line, unless it may carry data."""
    lines = refusals(protection, demand_esn=demand_esn)
    if lines:
        raise ConfigurationError("; ".join(lines))


def check_socket(sock: socket.socket) -> None:
    """Raise ConfigurationError if a packet socket sends past the queueing discipline, where the link's delay is.

    Other sockets cannot. Raises SocketError.
    """
    if sock.family != socket.AF_PACKET:
        return
    try:
        bypass = sock.getsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS)
    except OSError as error:
        raise SocketError(f"packet socket: PACKET_QDISC_BYPASS cannot be read ({error.strerror})") from error
    if bypass:
        raise ConfigurationError("packet socket with PACKET_QDISC_BYPASS is refused: it would skip netem; leave it out")
