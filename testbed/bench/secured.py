"""Encrypted packets through a veth, counted per second of processor time: ours, and Scapy's in the same process."""

from __future__ import annotations

import ipaddress
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from testbed.ground.errors import RunError
from testbed.kernel import links
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305, OutboundSa
from traffic.keys import Association, make_associations
from traffic.packets import NAT_T_PORT, InnerFlow, InnerPackets, udp_packet
from traffic.sender import SecureSocket
from traffic.timestamps import SO_RCVBUFFORCE, deafen, open_tap, open_udp, receive
from traffic.verdicts import Content, InboundEndpoint, Verdict

INNER_BYTES: Final = 1_200
"""Of an inner IPv4 packet; 1,264 on the wire."""

_REPEATS: Final = 5
_BUFFER_BYTES: Final = 256 << 20  # holds a whole repetition, so that sending and receiving are timed apart
NEAR, FAR = "10.0.0.0", "10.0.0.1"
_PATIENCE_S: Final = 5
_SCAPYS_PART: Final = 40  # it gets one in so many: it is hundreds of times slower
_FLOW: Final = InnerFlow("10.64.0.1", "10.64.1.1", 46, 0, bytes(range(1, 17)), INNER_BYTES - 28)


def rates(folder: Path, *, packets: int) -> dict[str, float]:  # noqa: ARG001 - every measuring function has it
    """Packets per second of this process's time, user and kernel: the median of five repetitions.

    On a veth the kernel's receiving runs in the sender's time.
    """
    few = packets // _SCAPYS_PART
    told = {
        "encrypt": _median(packets, _encrypting(AES_256_GCM)),
        "chacha": _median(packets, _encrypting(CHACHA20_POLY1305)),
        "scapy_encrypt": _median(few, _scapy_encrypting),
    }
    with _wire(tapped=False) as wire:
        told["send"] = _median(packets, wire.send, wire.renew)
        told["verify"] = _median(packets, wire.verify, wire.renew, wire.send)
        told["scapy_send"] = _median(few, wire.scapy_send, wire.renew)
        told["scapy_verify"] = _median(few, wire.scapy_verify, wire.renew, wire.send)
    with _wire(tapped=True) as wire:
        told["session_send"] = _median(packets, wire.session_send, wire.renew)
        told["session_judge"] = _median(packets, wire.session_judge, wire.renew, wire.session_send)
        told["scapy_session_send"] = _median(few, wire.scapy_session_send, wire.renew)
    return told


def _median(packets: int, work: Callable[[int], None], *before: Callable[[int], None]) -> float:
    """Packets per second of processor time of `work`; what comes before it is not timed."""
    spent_s = []
    for _ in range(_REPEATS):
        for prepare in before:
            prepare(packets)
        begin_s = time.process_time()
        work(packets)
        spent_s.append(time.process_time() - begin_s)
    return packets / statistics.median(spent_s)


def _association(suite: str = AES_256_GCM) -> Association:
    (association,) = make_associations([("near", "far", _FLOW.dscp)], suite=suite).values()
    return association


def _encrypting(suite: str) -> Callable[[int], None]:
    encrypt, build = _association(suite).outbound().encrypt, InnerPackets(_FLOW).build

    def work(packets: int) -> None:
        for number in range(packets):
            encrypt(build(number))

    return work


def _scapy_encrypting(packets: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        work = _Scapy(unsent, _association())
        for number in range(packets):
            work.encrypt(number)


class _Scapy:
    """The same packets by Scapy: its own ESP, UDP encapsulation and AES-GCM."""

    def __init__(self, sock: socket.socket, association: Association) -> None:
        from scapy.layers.inet import IP, UDP
        from scapy.packet import Raw

        from traffic.scapy_generator import ScapySocket

        self._secure = ScapySocket(sock, association)
        self._header = IP(src=_FLOW.source, dst=_FLOW.destination, tos=_FLOW.dscp << 2) / UDP(sport=5004, dport=5004)
        self._raw = Raw
        self.transmit = self._secure.packets_of(_FLOW)

    def encrypt(self, number: int) -> bytes:
        """The ESP packet as bytes."""
        payload = _FLOW.canary + number.to_bytes(12, "big")
        inner = self._header / self._raw(payload.ljust(_FLOW.payload_bytes, b"\0"))
        return bytes(self._secure.encrypt(inner, (FAR, NAT_T_PORT))["UDP"].payload)


@contextmanager
def joined_spaces() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces and a veth between them: its ends `near`, NEAR, and `far`, FAR, who know each other's address."""
    spaces = Namespace(), Namespace()
    macs = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
    try:
        with Netlink() as home:
            fds = spaces[0].fd, spaces[1].fd
            home.send([links.veth(names=("near", "far"), indices=(2, 2), macs=macs, namespaces=fds, mtu=1500)])
        for space, address, peer, mac in zip(spaces, (NEAR, FAR), (FAR, NEAR), macs[::-1], strict=True):
            with space.entered(), Netlink() as netlink:
                up = [links.set_up(1), links.set_up(2)]
                own, other = ipaddress.ip_address(address), ipaddress.ip_address(peer)
                netlink.send([*up, links.address(2, own, 31), links.neighbour(2, other, mac)])
        yield spaces
    finally:
        for space in spaces:
            space.close()


@contextmanager
def _wire(*, tapped: bool) -> Iterator[_Wire]:
    sockets: list[socket.socket] = []
    with joined_spaces() as spaces:
        try:
            with spaces[0].entered():
                sockets.append(open_udp(NEAR, NAT_T_PORT, no_checksum=True))
            with spaces[1].entered():
                sockets.append(open_udp(FAR, NAT_T_PORT))
                if tapped:
                    deafen(sockets[-1])  # as in a session
                    sockets.append(open_tap("far", _BUFFER_BYTES))
            yield _Wire(sockets[0], sockets[-1])
        finally:
            for sock in sockets:
                sock.close()


@contextmanager
def _patient(receiver: socket.socket) -> Iterator[None]:
    """Let a receiver wait for what a busy kernel has not handed over yet, for the time of the block.

    By the kernel's own time-out: one of Python's would cost a system call for each packet.
    """
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _PATIENCE_S, 0))
    receiver.setblocking(True)
    try:
        yield
    finally:
        receiver.setblocking(False)


class _Wire:
    """A sender's socket, and a receiver's socket or tap."""

    def __init__(self, sender: socket.socket, receiver: socket.socket) -> None:
        self._sender, self._receiver = sender, receiver
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._association = _association()

    def renew(self, _packets: int) -> None:
        """Forget what has arrived; a new association."""
        while receive(self._receiver, most=64):
            pass
        self._association = _association()

    def send(self, packets: int) -> None:
        """One system call for each packet, nothing beside it."""
        self._sender.connect((FAR, NAT_T_PORT))
        sa: OutboundSa = self._association.outbound()
        encrypt, build, send = sa.encrypt, InnerPackets(_FLOW).build, self._sender.send
        for number in range(packets):
            send(encrypt(build(number)))

    def verify(self, packets: int) -> None:
        """All of them, or it fails."""
        deliver, receive_one = self._association.inbound().deliver, self._receiver.recv
        with _patient(self._receiver):
            for _ in range(packets):
                if deliver(receive_one(2048)) is None:
                    raise RunError("a genuine packet was refused: this measures nothing")

    def scapy_send(self, packets: int) -> None:
        """Encrypted by Scapy, sent by the same socket."""
        self._sender.connect((FAR, NAT_T_PORT))
        work, send = _Scapy(self._sender, self._association), self._sender.send
        for number in range(packets):
            send(work.encrypt(number))

    def scapy_verify(self, packets: int) -> None:
        """Less is asked of Scapy: it has no window, infers no ESN and does not look at the padding."""
        from scapy.layers.inet import IP
        from scapy.layers.ipsec import ESP, SecurityAssociation

        sa = self._association
        make: Any = SecurityAssociation  # it publishes no types
        theirs = make(
            ESP, spi=sa.spi, crypt_algo="AES-GCM", crypt_key=sa.key + sa.salt, esn_en=sa.esn, tunnel_header=IP()
        )
        for _ in range(packets):
            outer = IP(udp_packet(NEAR, FAR, NAT_T_PORT, NAT_T_PORT, self._receiver.recv(2048)))
            if theirs.decrypt(outer)[IP].src != _FLOW.source:
                raise RunError("Scapy decrypted something else: this measures nothing")

    def session_send(self, packets: int) -> None:
        """The class travels with each packet, and so does the address."""
        transmit = SecureSocket(self._sender, self._association).packets_of(_FLOW)
        for number in range(packets):
            transmit((FAR, NAT_T_PORT), number)

    def session_judge(self, packets: int) -> None:
        """All of them genuine, or it fails."""
        content = Content(_FLOW.index, self._association.spi, _FLOW.canary, False)
        judge = InboundEndpoint({self._association.spi: self._association.inbound()}, [content]).judge
        genuine = 0
        while frames := receive(self._receiver, most=64):
            for frame, _, time_ns in frames:
                judgement = judge(frame, time_ns)
                genuine += judgement is not None and judgement.verdict is Verdict.GENUINE
        if genuine != packets:
            raise RunError(f"{genuine} of {packets} packets were judged genuine: this measures nothing")

    def scapy_session_send(self, packets: int) -> None:
        """A session with generator=scapy."""
        transmit = _Scapy(self._sender, self._association).transmit
        for number in range(packets):
            transmit((FAR, NAT_T_PORT), number)
