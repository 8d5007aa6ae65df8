"""One flow from one host to another and nothing else: what `python -m traffic send` does; the other end: reception.

The flow is ESP in UDP to port 4500, under an association of a key file that both ends have. Inside, behind canary, flow
and sequence number (traffic.packets), each packet bears four numbers of 64 bits:

    departure   CLOCK_REALTIME of the sender in ns, taken before the packet is encrypted
    machine     digest of the boot identifier: equal at both ends, both have the same clock
    total       how many packets the flow is declared to have
    interval    from one packet to the next, ns
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from traffic.errors import SessionError, UsageError
from traffic.flows import LARGEST_PAYLOAD_BYTES, Flow
from traffic.keys import Association
from traffic.packets import (
    CANARY_BYTES,
    IP_IN_IP,
    NAT_T_PORT,
    TAG,
    InnerFlow,
    InnerPackets,
)
from traffic.rates import as_declared, packets_due
from traffic.results import UNSTAMPED, percentiles_ms
from traffic.sender import FlowState, SecureSocket, Sender
from traffic.timestamps import deafen, open_udp

HEADER: Final = struct.Struct(">QQQQ")
SMALLEST_BYTES: Final = CANARY_BYTES + TAG.size + HEADER.size
"""UDP payload of the inner packet."""
LARGEST_BYTES: Final = LARGEST_PAYLOAD_BYTES
INNER_ADDRESSES: Final = ("198.18.0.1", "198.18.0.2")
"""Of sender and receiver inside ESP: from the block for benchmarks (RFC 2544, C.2.2), which no network routes."""

_LEAD_NS: Final = 100_000_000  # from the command to the first packet
_STRAGGLERS_S: Final = 0.1  # for the stamps of the last packets
_NS_PER_S: Final = 1_000_000_000
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Header(NamedTuple):
    """What a packet says of itself and of its flow."""

    departure_ns: int
    machine: int
    total: int
    interval_ns: int


def machine() -> int:
    """A number of 64 bits that is the same everywhere on this machine until it boots again."""
    return int.from_bytes(hashlib.sha256(_BOOT_ID.read_bytes()).digest()[:8], "big")


def canary(association: Association) -> bytes:
    """16 bytes that only who has the key can know."""
    return hmac.digest(association.key, b"canary of the flow", "sha256")[:CANARY_BYTES]


def pick(associations: Sequence[Association], dscp: int | None) -> int:
    """Which association of a key file serves a class, its place in the list; raises UsageError."""
    classes = [sa.dscp for sa in associations]
    if dscp is None and len(classes) == 1:
        return 0
    if dscp is None or classes.count(dscp) != 1:
        known = ", ".join(map(str, classes))
        raise UsageError(f"--dscp {'is missing' if dscp is None else dscp}: the key file has one key each for {known}")
    return classes.index(dscp)


def use_up(path: Path, association: Association) -> None:
    """Mark, beside the key file, that an association has sent; raises SessionError if it has before.

    The IVs of a session begin at 1: under the same key a second one would repeat them, which breaks the cipher.
    """
    mark = path.with_name(f"{path.name}.{association.spi:08x}.used")
    try:
        mark.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise SessionError(
            f"{path}: SPI {association.spi:#010x} has sent before and must not again: make new keys for both ends"
        ) from None
    except OSError as error:
        raise SessionError(f"{mark}: {error.strerror}") from error


@dataclass(frozen=True)
class Sending:
    """What to send; `to`: an IPv4 address. Raises UsageError."""

    to: str
    rate_pps: float
    duration_s: float
    payload_bytes: int = 1200
    port: int = NAT_T_PORT
    bind: str = "0.0.0.0"  # noqa: S104 - of a sending socket

    def __post_init__(self) -> None:
        if not SMALLEST_BYTES <= self.payload_bytes <= LARGEST_BYTES:
            raise UsageError(f"--size {self.payload_bytes} is refused: use {SMALLEST_BYTES} to {LARGEST_BYTES}")
        if not self.rate_pps * self.duration_s >= 1:
            raise UsageError(f"--rate {self.rate_pps:g} for --duration {self.duration_s:g} is not one packet")

    def flow(self, association: Association) -> Flow:
        return Flow(
            name="send",
            kind="bulk",
            src=association.src,
            dst=association.dst,
            dscp=association.dscp,
            rate_pps=self.rate_pps,
            payload_bytes=self.payload_bytes,
            start_ns=0,
            stop_ns=round(self.duration_s * _NS_PER_S),
        )


def resolve(host: str) -> str:
    """The IPv4 address of a host; raises UsageError."""
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except OSError as error:
        raise UsageError(f"--to {host}: {error.strerror or error}: give an IPv4 address or a name") from error


def send(sending: Sending, keys: Path, association: Association, index: int) -> dict[str, Any]:
    """Send a flow and say how it left. `index`: the association's place in the key file `keys`, which is used up.

    Raises SocketError, SessionError.
    """
    flow = sending.flow(association)
    total = packets_due(flow, flow.stop_ns)
    interval_ns = round(_NS_PER_S / sending.rate_pps)
    departures = array("q")
    udp = open_udp(sending.bind, tx_stamps=True, no_checksum=True)
    with udp:
        deafen(udp)
        use_up(keys, association)
        start_ns = time.time_ns() + _LEAD_NS
        secure = SecureSocket(udp, association)
        head = Header(0, machine(), total, interval_ns)
        inner = InnerFlow(*INNER_ADDRESSES, flow.dscp, index, canary(association), flow.payload_bytes)
        build = stamped(inner, head, departures)

        def transmit(to: tuple[str, int], number: int) -> None:
            secure.send(build(number), IP_IN_IP, to)

        state = FlowState(flow, flow.stop_ns, transmit)
        peers = {(flow.src, flow.dst): (sending.to, sending.port)}
        sender = Sender([state], [], {flow.src: udp}, peers, 0)
        while (due_ns := sender.next_ns) is not None:
            wait_ns = due_ns - (time.time_ns() - start_ns)
            if wait_ns > 0:
                sender.collect_stamps(start_ns)
                wait_ns = due_ns - (time.time_ns() - start_ns)
                time.sleep(max(wait_ns, 0) / _NS_PER_S)
            sender.send_next()
        time.sleep(_STRAGGLERS_S)
        sender.collect_stamps(start_ns)
    tx_ns, due = np.array(state.tx_ns, np.int64), np.array(state.due_ns, np.int64)
    left = tx_ns != UNSTAMPED
    lag_ns = (tx_ns + start_ns - np.array(departures, np.int64))[left]
    rate = as_declared(flow.rate_pps, total, due, tx_ns)
    problems = list(dict.fromkeys(sender.errors))
    if state.unroutable:
        problems.append(f"{state.unroutable} packets had no route to {sending.to}")
    return {
        "role": "send",
        "to": f"{sending.to}:{sending.port}",
        "spi": f"{association.spi:#010x}",
        "dscp": flow.dscp,
        "payload_bytes": flow.payload_bytes,
        "sent": int(np.count_nonzero(left)),
        **rate,
        "pacing_ms": percentiles_ms((tx_ns - due)[left], (50, 99)),
        "departure_to_kernel_ms": percentiles_ms(lag_ns, (50, 99)),
        "problems": problems,
    }


def stamped(flow: InnerFlow, head: Header, departures: array[int]) -> Callable[[int], bytearray]:
    """Builds packets that bear the header; their times of departure are appended to `departures`."""
    packets = InnerPackets(flow)
    constant = HEADER.pack(0, *head[1:])[8:]
    summed = sum(struct.unpack(f">{len(constant) // 2}H", constant))

    def build(number: int) -> bytearray:
        packet = packets.build(number)
        payload = len(packet) - flow.payload_bytes
        departure_ns = time.time_ns()
        departures.append(departure_ns)
        HEADER.pack_into(packet, payload + CANARY_BYTES + TAG.size, departure_ns, *head[1:])
        (check,) = struct.unpack_from(">H", packet, payload - 2)
        # All of it lies on 16-bit borders and was zero: it adds to the checksum as it is (traffic.packets).
        struct.pack_into(">H", packet, payload - 2, 0xFFFF - (0xFFFF - check + departure_ns + summed) % 0xFFFF)
        return packet

    return build
