"""What a listener at a node can read of the flows that pass there: their payload, their metadata, or nothing.

A tap takes every frame that arrives at any interface of its node, and each is looked at, none is sampled:

    payload    the flow's canary stood there: whoever runs this node reads all that the flow carries
    metadata   its packets passed encrypted: addresses, SPI, traffic class, sizes and times are read, no more
    nothing    none of its packets was seen

Which flow an encrypted packet belongs to is told by its SPI, once it was seen somewhere between the two hosts' own
addresses: a translated address does not hide it. In a tunnel of the operator's, it is told by the tunnel's ends alone.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from traffic.batches import BATCH, FRAME_BYTES, Batch
from traffic.errors import SocketError
from traffic.packets import ESP, INNER_PORT, NAT_T_PORT, UDP
from traffic.timestamps import ETH_P_ALL, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE, SOL_PACKET, tap_statistics

Level = Literal["payload", "metadata", "nothing"]

MOST_KINDS: Final = 10_000
"""Kinds of packets told apart at one tap: a flood of invented SPIs must not fill the memory. Assumption."""
PAIRS_KEPT: Final = 4
"""Pairs of addresses that a cell of the matrix names."""

_BEGINS: Final = tuple(range(0, BATCH * FRAME_BYTES, FRAME_BYTES))
_HEAD_BYTES: Final = 66  # Ethernet, IPv6, ports, UDP, SPI
_BUFFER_BYTES: Final = 8 << 20
_TURN_S: Final = 0.05  # frames wait this long for their turn
_IPV4: Final = b"\x08\x00"
_IPV6: Final = b"\x86\xdd"
_NAT_T: Final = struct.pack(">H", NAT_T_PORT)
_CLEAR: Final = struct.pack(">H", INNER_PORT)
_MARKER: Final = bytes(4)  # no SPI: see `packets.NON_ESP_MARKER`


class Kind(NamedTuple):
    """What frames of one kind have in common, as anybody on the way reads it."""

    source: bytes = b""
    destination: bytes = b""
    protocol: int = 0
    traffic_class: int = 0
    ports: bytes = b""  # both, of UDP and TCP
    spi: bytes = b""


@dataclass(frozen=True)
class Watched:
    """A flow to look for. `legs`: (source, destination) of each association on its way, the hosts' addresses, packed.

    `tunnels`: the ends, packed, of the operator's tunnels that carry it on parts of its way.
    """

    name: str
    canary: bytes
    legs: tuple[tuple[bytes, bytes], ...]
    dscp: int
    tunnels: frozenset[tuple[bytes, bytes]] = frozenset()


@dataclass
class Seen:
    """Frames of one kind at one tap."""

    packets: int = 0
    least_bytes: int = 1 << 31
    most_bytes: int = 0


@dataclass
class Tap:
    """What one node's listener has seen."""

    sock: socket.socket
    frames: int = 0
    lost: int = 0
    kinds: dict[Kind, Seen] = field(default_factory=dict)
    canaries: Counter[int] = field(default_factory=Counter)  # packets by flow
    first_ns: dict[int, int] = field(default_factory=dict)  # when the first of them was read, CLOCK_REALTIME


def open_ears(buffer_bytes: int = _BUFFER_BYTES) -> socket.socket:
    """A non-blocking packet socket for all that arrives at any interface of the calling thread's network namespace.

    Needs CAP_NET_RAW. Raises SocketError.
    """
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.setblocking(False)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
    except OSError as error:
        raise SocketError(f"tap on all interfaces: {error.strerror or error}; it needs CAP_NET_RAW") from error
    return sock


def kind_of(head: bytes) -> Kind:
    """The kind of a frame, from its first bytes. Never raises, whatever the bytes."""
    ethertype = head[12:14]
    if ethertype == _IPV4 and len(head) >= 34:
        begin, protocol, traffic_class = 14 + ((head[14] & 15) << 2), head[23], head[15]
        source, destination = head[26:30], head[30:34]
    elif ethertype == _IPV6 and len(head) >= 54:
        begin, protocol, traffic_class = 54, head[20], (head[14] << 4 | head[15] >> 4) & 0xFF
        source, destination = head[22:38], head[38:54]
    else:
        return Kind(protocol=int.from_bytes(ethertype, "big"))
    if protocol == ESP:
        return Kind(source, destination, protocol, traffic_class, b"", head[begin : begin + 4])
    if protocol != UDP:
        return Kind(source, destination, protocol, traffic_class)
    ports = head[begin : begin + 4]
    spi = head[begin + 8 : begin + 12] if _NAT_T in (ports[:2], ports[2:]) else b""
    return Kind(source, destination, protocol, traffic_class, ports, b"" if spi == _MARKER else spi)


class Listeners:
    """Taps by node, and what they are to look for."""

    def __init__(self, socks: Mapping[str, socket.socket], flows: Sequence[Watched]) -> None:
        """`socks`: `open_ears()` in each node's namespace."""
        self.taps = {node: Tap(sock) for node, sock in socks.items()}
        self._flows = flows
        self._canaries = [(number, flow.canary) for number, flow in enumerate(flows)]
        self._batch = Batch()
        self._by_descriptor = {sock.fileno(): self.taps[node] for node, sock in socks.items()}
        self._poll = select.poll()
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.POLLIN)

    def listen(self, stop: Callable[[], bool]) -> None:
        """Look at every frame until `stop()` says so, which is asked twenty times a second."""
        for tap in self.taps.values():
            tap_statistics(tap.sock)
        while not stop():
            if not self.drain():
                time.sleep(_TURN_S)
        while self.drain():
            pass
        for tap in self.taps.values():
            tap.lost = tap_statistics(tap.sock)[1]

    def drain(self) -> bool:
        """Look at one batch of each tap; says whether there may be more."""
        more = False
        for descriptor, _ in self._poll.poll(0):
            more |= self._drain(self._by_descriptor[descriptor])
        return more

    def _drain(self, tap: Tap) -> bool:
        buffer, kinds = self._batch.buffer, tap.kinds
        sizes = self._batch.receive(tap.sock)
        tap.frames += len(sizes)
        for begin, size in zip(_BEGINS, sizes, strict=False):
            end = begin + size
            for number, canary in self._canaries:
                if buffer.find(canary, begin, end) >= 0:
                    tap.canaries[number] += 1
                    tap.first_ns.setdefault(number, time.time_ns())
            kind = kind_of(bytes(buffer[begin : min(end, begin + _HEAD_BYTES)]))
            seen = kinds.get(kind)
            if seen is None:
                seen = kinds.setdefault(kind if len(kinds) < MOST_KINDS else Kind(), Seen())
            seen.packets += 1
            if size < seen.least_bytes:
                seen.least_bytes = size
            if size > seen.most_bytes:
                seen.most_bytes = size
        return len(sizes) == BATCH

    def matrix(self, start_ns: int) -> dict[str, list[dict[str, Any]]]:
        """Per node one cell for each flow, in their order; times are after `start_ns`, CLOCK_REALTIME.

        A cell: {"flow", "level", "packets"} and, of what can be read, "addresses", "bytes" (least and most of a frame)
        and, with a level of payload, "first_ns".
        """
        of_spi = self._by_spi()
        return {node: [self._cell(tap, number, of_spi, start_ns) for number in range(len(self._flows))]
                for node, tap in self.taps.items()}  # fmt: skip

    def inner_addresses(self, inner: Collection[bytes]) -> dict[str, int]:
        """By node, how many packets bore an address that only ESP's inside may."""
        inner = frozenset(inner)
        found = {
            node: sum(seen.packets for kind, seen in tap.kinds.items() if {kind.source, kind.destination} & inner)
            for node, tap in self.taps.items()
        }
        return {node: packets for node, packets in found.items() if packets}

    def _by_spi(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Between which hosts each SPI's packets go, where that was seen."""
        pairs = {leg for flow in self._flows for leg in flow.legs}
        return {
            kind.spi: (kind.source, kind.destination)
            for tap in self.taps.values()
            for kind in tap.kinds
            if kind.spi and (kind.source, kind.destination) in pairs
        }

    def _cell(
        self, tap: Tap, number: int, of_spi: Mapping[bytes, tuple[bytes, bytes]], start_ns: int
    ) -> dict[str, Any]:
        flow = self._flows[number]
        mine = {kind: seen for kind, seen in tap.kinds.items() if _carries(kind, flow, of_spi)}
        read = {"addresses": _pairs(mine), "bytes": _sizes(mine.values())} if mine else {}
        if tap.canaries[number]:
            first = {"first_ns": tap.first_ns[number] - start_ns}
            return {"flow": flow.name, "level": "payload", "packets": tap.canaries[number], **first, **read}
        bare = [kind for kind in mine if (kind.source, kind.destination) not in flow.tunnels]
        packets = sum(mine[kind].packets for kind in bare or mine)  # where a tunnel ends, each is seen twice
        return {"flow": flow.name, "level": "metadata" if mine else "nothing", "packets": packets, **read}


def _carries(kind: Kind, flow: Watched, of_spi: Mapping[bytes, tuple[bytes, bytes]]) -> bool:
    """Whether packets of this kind may be the flow's: all of one association and class look alike."""
    if kind.traffic_class >> 2 != flow.dscp:
        return False
    ends = kind.source, kind.destination
    if not kind.spi:
        return ends in flow.legs and kind.protocol == UDP and kind.ports[2:] == _CLEAR
    return ends in flow.tunnels or of_spi.get(kind.spi) in flow.legs


def _pairs(kinds: Iterable[Kind]) -> list[str]:
    """'source → destination' of the first few."""
    pairs = dict.fromkeys(f"{_written(kind.source)} → {_written(kind.destination)}" for kind in kinds)
    return list(pairs)[:PAIRS_KEPT]


def _written(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def _sizes(seen: Collection[Seen]) -> list[int]:
    return [min(each.least_bytes for each in seen), max(each.most_bytes for each in seen)]
