"""The sending half of a session: packets leave at absolute times, and the kernel says when they really left."""

from __future__ import annotations

import errno
import heapq
import socket
import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from traffic.errors import SequenceExhausted
from traffic.flows import Flow
from traffic.keys import Association
from traffic.packets import NO_NEXT_HEADER, InnerFlow, InnerPackets
from traffic.results import UNSTAMPED
from traffic.templates import TemplatePackets
from traffic.timestamps import tx_stamps

Transmit = Callable[[tuple[str, int], int], object]
"""Builds a packet of a flow and sends it: (outer address and port, the packet's number in its flow)."""

OPENING_NS: Final = tuple(200_000_000 * number for number in range(10))
"""Assumption: after the session's begin, hosts behind a NAT announce themselves at these times, so that lost
announcements do not matter."""
KEEPALIVE_NS: Final = 20_000_000_000
"""How often they do so later (RFC 3948, 4: the NAT keepalive interval)."""

UNROUTABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
_DUMMY: Final = -1  # in place of a flow's index


class SecureSocket:
    """A host's UDP socket with one of its outbound associations."""

    def __init__(self, sock: socket.socket, association: Association) -> None:
        self._sock = sock
        self._sa = association.outbound()
        level, option = socket.IPPROTO_IP, socket.IP_TOS
        if sock.family == socket.AF_INET6:
            level, option = socket.IPPROTO_IPV6, socket.IPV6_TCLASS
        self._class = [(level, option, struct.pack("=i", association.dscp << 2))]

    def send(self, inner: bytes | bytearray, next_header: int, address: tuple[str, int]) -> None:
        """Encrypt and send. The traffic class travels with the packet: one system call, whatever the class."""
        self._sock.sendmsg([self._sa.encrypt(inner, next_header)], self._class, 0, address)

    def ready(self) -> bool:
        """Whether there is an association to send under."""
        return True

    def packets_of(self, flow: InnerFlow) -> Transmit:
        """How to send the packets of a flow."""
        packets = TemplatePackets(flow) if flow.templates else InnerPackets(flow)
        next_header = flow.next_header
        return lambda address, number: self.send(packets.build(number), next_header, address)

    def dummies(self) -> Transmit:
        """How to send dummy packets: next header 59, discarded by the receiver (RFC 4303, 2.6)."""
        return lambda address, _number: self.send(bytes(16), NO_NEXT_HEADER, address)


@dataclass
class FlowState:
    """What the sender knows of a flow; times are schedule times in ns, index is the packet's number."""

    flow: Flow
    stop_ns: int
    transmit: Transmit
    ready: Callable[[], bool] = lambda: True  # whether there is a key to send under
    due_ns: array[int] = field(default_factory=lambda: array("q"))
    tx_ns: array[int] = field(default_factory=lambda: array("q"))
    slots: int = 0  # times at which a packet was due
    not_sent: int = 0  # of them without a packet: the peer behind the NAT had not announced itself
    unkeyed: int = 0  # slots without a packet because there was no key, or none that still lives
    unroutable: int = 0  # sent by us, but the kernel had no route


@dataclass
class Announcement:
    """A dummy packet by which a host behind a NAT opens the way back from `dst`."""

    src: str
    dst: str
    transmit: Transmit
    ready: Callable[[], bool] = lambda: True
    count: int = 0


class Sender:
    """Merges all flows into one schedule. `peers`: outer address per (source, destination), filled as learned."""

    def __init__(
        self,
        flows: Sequence[FlowState],
        announcements: Sequence[Announcement],
        sockets: Mapping[str, socket.socket],
        peers: Mapping[tuple[str, str], tuple[str, int]],
        begin_ns: int,
    ) -> None:
        self.flows = flows
        self.errors: list[str] = []
        self.surplus_stamps = 0
        self._announcements = announcements
        self._sockets = sockets
        self._peers = peers
        self._begin_ns = begin_ns
        self._stamped: dict[str, list[tuple[int, int]]] = {name: [] for name in sockets}  # by the kernel's counter
        due = [(begin_ns, _DUMMY, index) for index in range(len(announcements))]
        due += [(state.flow.due_ns(0), index, 0) for index, state in enumerate(flows)]
        self._due = [entry for entry in due if entry[1] == _DUMMY or entry[0] < flows[entry[1]].stop_ns]
        heapq.heapify(self._due)

    @property
    def next_ns(self) -> int | None:
        """Schedule time of the next packet; None after the last."""
        return self._due[0][0] if self._due else None

    def send_next(self) -> None:
        """Send the packet that is due first and put its successor on the schedule."""
        due_ns, index, item = self._due[0]
        if index == _DUMMY:
            announcement = self._announcements[item]
            if announcement.ready():
                self._transmit(announcement.transmit, announcement.src, announcement.dst, (_DUMMY, 0))
            announcement.count += 1
            later = announcement.count - len(OPENING_NS) + 1
            after = OPENING_NS[announcement.count] if later <= 0 else OPENING_NS[-1] + later * KEEPALIVE_NS
            heapq.heapreplace(self._due, (self._begin_ns + after, _DUMMY, item))
            return
        state = self.flows[index]
        self._send_flow(state, index, due_ns)
        state.slots += 1
        after = state.flow.due_ns(state.slots)
        if after < state.stop_ns:
            heapq.heapreplace(self._due, (after, index, 0))
        else:
            heapq.heappop(self._due)

    def _send_flow(self, state: FlowState, index: int, due_ns: int) -> None:
        flow, number = state.flow, len(state.due_ns)
        if not state.ready():
            state.unkeyed += 1
            return
        if (flow.src, flow.dst) not in self._peers:
            state.not_sent += 1
            return
        state.due_ns.append(due_ns)
        state.tx_ns.append(UNSTAMPED)
        if not self._transmit(state.transmit, flow.src, flow.dst, (index, number)):
            state.unroutable += 1

    def send_apart(self, src: str, send: Callable[[], object]) -> None:
        """Send a packet of a host that belongs to no flow, such as one of a key exchange; its stamp is passed over."""
        self._attempt(src, send, "apart from the flows", (_DUMMY, 0))

    def _transmit(self, transmit: Transmit, src: str, dst: str, identity: tuple[int, int]) -> bool:
        """Send; False if there was no route."""
        address = self._peers[src, dst]
        return self._attempt(src, lambda: transmit(address, identity[1]), f"to {dst}", identity)

    def _attempt(self, src: str, send: Callable[[], object], what: str, identity: tuple[int, int]) -> bool:
        """Send; False if there was no route.

        Without a route the kernel does not count the packet. After another refusal it may or may not, and the stamps
        could be matched to the wrong packets: that makes the run invalid.
        """
        try:
            send()
        except SequenceExhausted as error:
            self.errors.append(str(error))
            return True
        except OSError as error:
            if error.errno in UNROUTABLE:
                return False
            self.errors.append(f"{src}: the kernel refused a packet {what}: {error.strerror}")
            return True
        self._stamped[src].append(identity)
        return True

    def collect_stamps(self, start_realtime_ns: int) -> None:
        """Take the kernel's TX_SCHED times so far. In a session its counter of 32 bits does not wrap."""
        for name, sock in self._sockets.items():
            sent = self._stamped[name]
            for counter, time_ns in tx_stamps(sock):
                if counter >= len(sent):
                    self.surplus_stamps += 1
                    continue
                index, number = sent[counter]
                if index != _DUMMY:
                    self.flows[index].tx_ns[number] = time_ns - start_realtime_ns
