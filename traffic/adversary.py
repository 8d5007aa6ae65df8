"""An attacker on the path, for the emulated network only: it tests that every attack is noticed and rightly named.

It sits at a router, sees what arrives at one interface and sends on another. What it selects is decided by the sequence
number of the ESP packet, so that a kernel filter can divert exactly those packets from forwarding.
"""

from __future__ import annotations

import heapq
import json
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TextIO, get_args

from traffic.enclosure import refuse_way_out
from traffic.errors import AdversaryError
from traffic.esp import HEADER_BYTES, ICV_BYTES
from traffic.packets import ETHERNET_BYTES, INNER_PORT, NAT_T_PORT, UDP_BYTES, checksum, udp_packet
from traffic.timestamps import receive

Action = Literal["bitflip", "replay", "plaintext"]

SOON_S: Final = 0.05
"""Assumption: a copy sent this much after its original still falls into every anti-replay window."""

_TEXT: Final = b"This order was never encrypted."
_HEADERS_BYTES: Final = ETHERNET_BYTES + 20 + UDP_BYTES  # the selection demands IPv4 without options
_IDLE_S: Final = 0.1  # how often `stop` is asked at least
_BATCH: Final = 64


@dataclass(frozen=True)
class Crossing:
    """One direction through a router: from the interface that `read` taps to the one that `write` sends on.

    `read`: `open_tap(ingress)`; `write`: a packet socket bound to the egress interface, such as `open_tap(egress)`;
    the addresses are those of the egress interface and of the next hop's. Crossings may share a `read` if their
    `destinations`, outer addresses of hosts that lie this way, tell them apart; None: all.
    """

    name: str
    read: socket.socket
    write: socket.socket
    source_mac: bytes
    destination_mac: bytes
    destinations: frozenset[str] | None = None


def selection(every: int) -> tuple[tuple[int, int, int], ...]:
    """Which packets are attacked: (offset from the IPv4 header in bytes, mask, value) of 32-bit words, all to match.

    ESP in UDP to port 4500, IPv4 without options, not a fragment, with the lowest bits of the sequence number all set:
    one packet in `every`, a power of two. Written as `tc … u32 match u32 VALUE MASK at OFFSET`, or by a packet filter,
    these words divert the packets that 'bitflip' sends on itself. Raises AdversaryError.
    """
    if every < 1 or every & (every - 1):
        raise AdversaryError(f"the attacker takes one packet in {every}: choose a power of two")
    return (
        (0, 0xFF000000, 0x45000000),
        (4, 0x00003FFF, 0),
        (8, 0x00FF0000, 17 << 16),
        (20, 0x0000FFFF, NAT_T_PORT),
        (32, every - 1, every - 1),
    )


def run_adversary(
    action: Action,
    every: int,
    crossings: Sequence[Crossing],
    stop: Callable[[], bool],
    ledger_path: Path,
    *,
    late_s: float = 10.0,
    network: Iterable[socket.socket] = (),
) -> None:
    """Attack one packet in `every` until `stop()` says so, which is asked ten times a second.

    'bitflip': the selected packet, diverted by the caller's kernel filter (`selection`), goes on with one bit of its
    ciphertext flipped. 'replay': it goes on untouched, and a copy follows after 50 ms; of every other one only after
    `late_s` seconds. 'plaintext': a clear UDP packet follows, with its outer addresses. A packet that crosses several
    routers is attacked once; copies that are not due when it ends are not sent. `ledger_path`: one JSON line per act.
    `network`: a socket of each further namespace that the packets may reach, for `refuse_way_out`. Raises
    AdversaryError.
    """
    if action not in get_args(Action):
        raise AdversaryError(f"attack '{action}' is unknown: use {', '.join(get_args(Action))}")
    keys = selection(every)
    refuse_way_out([*(sock for crossing in crossings for sock in (crossing.read, crossing.write)), *network])
    with ledger_path.open("w", buffering=1) as ledger, selectors.DefaultSelector() as selector:
        attacker = _Attacker(action, keys, ledger, late_s)
        by_socket: dict[socket.socket, list[Crossing]] = {}
        for crossing in crossings:
            by_socket.setdefault(crossing.read, []).append(crossing)
        for sock, ways in by_socket.items():
            selector.register(sock, selectors.EVENT_READ, (sock, ways))
        while not stop():
            for key, _ in selector.select(attacker.send_due()):
                sock, ways = key.data
                for frame, _, _ in receive(sock, most=_BATCH):
                    attacker.see(frame, ways)


class _Attacker:
    def __init__(self, action: Action, keys: tuple[tuple[int, int, int], ...], ledger: TextIO, late_s: float) -> None:
        self._action = action
        self._keys = keys
        self._ledger = ledger
        self._late_s = late_s
        self._attacked: set[bytes] = set()  # SPI and sequence number
        self._later: list[tuple[float, int, Crossing, bytes, dict[str, Any]]] = []

    def see(self, frame: bytes, crossings: Iterable[Crossing]) -> None:
        """Act on a frame if it is selected."""
        if not self._selected(frame):
            return
        destination = socket.inet_ntoa(frame[30:34])
        for crossing in crossings:
            if crossing.destinations is None or destination in crossing.destinations:
                self._act(crossing, frame)
                return

    def send_due(self) -> float:
        """Send the copies whose time has come; returns how long one may wait, s."""
        while self._later:
            wait_s = self._later[0][0] - time.monotonic()
            if wait_s > 0:
                return min(wait_s, _IDLE_S)
            _, _, crossing, frame, entry = heapq.heappop(self._later)
            self._send(crossing, frame, entry)
        return _IDLE_S

    def _selected(self, frame: bytes) -> bool:
        if len(frame) < _HEADERS_BYTES + HEADER_BYTES + ICV_BYTES or frame[12:14] != b"\x08\x00":
            return False
        return all(
            int.from_bytes(frame[ETHERNET_BYTES + offset : ETHERNET_BYTES + offset + 4], "big") & mask == value
            for offset, mask, value in self._keys
        )

    def _act(self, crossing: Crossing, frame: bytes) -> None:
        identity = frame[_HEADERS_BYTES : _HEADERS_BYTES + 8]
        known = identity in self._attacked
        self._attacked.add(identity)
        entry = {
            "action": self._action,
            "crossing": crossing.name,
            "spi": f"0x{identity[:4].hex()}",
            "sequence": int.from_bytes(identity[4:], "big"),
        }
        if self._action == "bitflip":
            onward = _onward(frame, crossing)
            if known:  # diverted at a second router: it must go on, and its flipped bit must stay flipped
                self._send(crossing, onward, entry | {"action": "forward"})
            else:
                self._send(crossing, _flip(onward), entry)
        elif known:
            return
        elif self._action == "replay":
            late = len(self._attacked) % 2 == 0
            due_s = time.monotonic() + (self._late_s if late else SOON_S)
            entry["copy"] = "late" if late else "soon"
            heapq.heappush(self._later, (due_s, len(self._attacked), crossing, _onward(frame, crossing), entry))
        else:
            source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
            clear = udp_packet(source, destination, INNER_PORT, INNER_PORT, _TEXT)
            self._send(crossing, crossing.destination_mac + crossing.source_mac + frame[12:14] + clear, entry)

    def _send(self, crossing: Crossing, frame: bytes, entry: dict[str, Any]) -> None:
        entry = {"time_ns": time.time_ns()} | entry
        try:
            crossing.write.send(frame)
        except OSError as error:  # the link is down or its queue full: the act came to nothing, and the ledger says so
            entry["error"] = error.strerror
        self._ledger.write(json.dumps(entry) + "\n")


def _onward(frame: bytes, crossing: Crossing) -> bytes:
    """The frame as the router would send it on: new Ethernet addresses, one hop less, new header checksum."""
    header = bytearray(frame[ETHERNET_BYTES : ETHERNET_BYTES + 20])
    header[8] = max(header[8] - 1, 0)
    header[10:12] = bytes(2)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    addresses = crossing.destination_mac + crossing.source_mac
    return addresses + frame[12:ETHERNET_BYTES] + bytes(header) + frame[ETHERNET_BYTES + 20 :]


def _flip(frame: bytes) -> bytes:
    """One bit of the ciphertext flipped, depending on the packet; UDP checksum 0, so that no one else notices."""
    first, end = _HEADERS_BYTES + HEADER_BYTES, len(frame) - ICV_BYTES
    flipped = bytearray(frame)
    flipped[_HEADERS_BYTES - 2 : _HEADERS_BYTES] = bytes(2)
    number = int.from_bytes(frame[_HEADERS_BYTES + 4 : _HEADERS_BYTES + 8], "big")
    flipped[first + number % (end - first)] ^= 1 << number % 8
    return bytes(flipped)
