"""Hosts that send in the clear, where the protection is the operator's: its network encrypts, or nobody does.

A packet is a UDP datagram with what else would lie inside ESP: RTP, canary, flow, sequence number. Nothing says whether
it is authentic: whoever alters it on the way, or invents one with the right canary, is believed. The number tells
duplicates apart, and that is all.
"""

from __future__ import annotations

import errno
import hashlib
import socket
from collections.abc import Callable, Collection, Mapping

from traffic.keys import Association
from traffic.packets import CANARY_BYTES, INNER_PORT, RTP_BYTES, TAG, UDP, InnerFlow, InnerPackets, Kind, parse_frame
from traffic.sender import SecureSocket, Transmit
from traffic.verdicts import Content, Judgement, Verdict


class ClearSocket(SecureSocket):
    """A host's UDP socket on port `INNER_PORT`, without encryption. The association serves as a name alone."""

    def __init__(self, sock: socket.socket, association: Association) -> None:
        super().__init__(sock, association)
        self._announcement = announcement(association)

    def packets_of(self, flow: InnerFlow) -> Transmit:
        packets, size = InnerPackets(flow), flow.payload_bytes
        return lambda address, number: self.send(packets.build(number)[-size:], UDP, address)

    def dummies(self) -> Transmit:
        return lambda address, _number: self.send(self._announcement, UDP, address)

    def send(self, inner: bytes | bytearray, next_header: int, address: tuple[str, int]) -> None:  # noqa: ARG002
        """Send as it is. Raises OSError: where a policy of the kernel's IPsec forbids it, as without a route."""
        try:
            self._sock.sendmsg([inner], self._class, 0, address)
        except PermissionError as error:  # refused with the route, so that the kernel has not counted the packet
            raise OSError(errno.EHOSTUNREACH, "a policy of the kernel forbids it") from error


def announcement(association: Association) -> bytes:
    """What a host sends to open its NAT: it names the association, and shows nothing of its key."""
    return hashlib.sha256(b"announcement" + association.key).digest()[:CANARY_BYTES]


class ClearEndpoint:
    """The receiving side of a host that trusts whatever comes; stands where an `InboundEndpoint` does."""

    def __init__(self, associations: Collection[Association], contents: Collection[Content]) -> None:
        self._contents: Mapping[bytes, Content] = {content.canary: content for content in contents}
        self._announced = {announcement(association): association.spi for association in associations}
        self._arrived = 0  # in place of ESP's sequence number, by which a receiver knows the newest packet
        self._seen: set[tuple[int, int]] = set()
        self.delivered: Callable[[int, int, bytes], None] | None = None  # as of an InboundEndpoint; no header before it

    def judge(self, frame: bytes, _time_ns: int = 0) -> Judgement | None:
        """GENUINE for a packet of a flow that is new, DUP_LINK for a copy of it; None for all else. Never raises."""
        packet = parse_frame(frame)
        if packet.kind is not Kind.UDP or packet.destination_port != INNER_PORT:
            return None
        self._arrived += 1
        payload, source = packet.payload, (packet.source, packet.source_port)
        if payload in self._announced:
            return Judgement(Verdict.GENUINE, self._announced[payload], self._arrived, source=source)
        for start in (0, RTP_BYTES):
            content = self._contents.get(payload[start : start + CANARY_BYTES])
            if content is None or content.has_rtp != bool(start) or len(payload) < start + CANARY_BYTES + TAG.size:
                continue
            flow, sequence = TAG.unpack_from(payload, start + CANARY_BYTES)
            if flow != content.flow:
                return None
            copy = (flow, sequence) in self._seen
            self._seen.add((flow, sequence))
            verdict = Verdict.DUP_LINK if copy else Verdict.GENUINE
            if self.delivered is not None and not copy:
                self.delivered(flow, UDP, payload)
            return Judgement(verdict, content.spi, self._arrived, flow, sequence, source)
        return None

    def overdue(self, _time_ns: int | None) -> list[Judgement]:
        """Nothing waits here: senders keep below the MTU."""
        return []
