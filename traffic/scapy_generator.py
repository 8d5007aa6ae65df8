"""`generator=scapy`: Scapy builds, encrypts and sends every packet. For low rates; the verdicts are the same.

Traps of Scapy 2.8 that are met here: its IV is random unless given, its ESN is whatever one passes, it does not copy
the inner DSCP, and one `import scapy.all` costs seconds, so only the layers needed are imported.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.rtp import RTP
from scapy.packet import Raw
from scapy.supersocket import SimpleSocket

from traffic.errors import ConfigurationError, SequenceExhausted
from traffic.esp import AES_256_GCM
from traffic.keys import Association
from traffic.packets import INNER_PORT, NAT_T_PORT, TAG
from traffic.sender import Transmit

_security_association: Any = SecurityAssociation  # it publishes no types


class OuterSocket(SimpleSocket):
    """A Scapy socket over the session's UDP socket: the kernel writes the outer headers that the packet describes."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock

    def send(self, packet: Any) -> int:
        """Send IP/UDP/ESP: its payload, to its address and port, in its traffic class."""
        tos = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", packet[IP].tos))]
        address = (packet[IP].dst, packet[UDP].dport)
        return self._sock.sendmsg([bytes(packet[UDP].payload)], tos, 0, address)

    def close(self) -> None:
        """The session's socket stays open: it is not Scapy's."""
        self.closed = True


class ScapySa:
    """The sending end of an association, all in Scapy. Raises ConfigurationError for a suite other than AES-GCM."""

    def __init__(self, association: Association) -> None:
        if association.suite != AES_256_GCM:
            raise ConfigurationError(f"generator=scapy: suite '{association.suite}' is refused: use {AES_256_GCM}")
        self.sequence = 0
        self._last = (1 << 64) - 1 if association.esn else (1 << 32) - 1
        self._association = association
        self._sa: Any = _security_association(
            ESP,
            spi=association.spi,
            seq_num=0,  # Scapy takes it where the number given is 0
            crypt_algo="AES-GCM",
            crypt_key=association.key + association.salt,
            esn_en=association.esn,
            tunnel_header=IP(tos=association.dscp << 2),
            nat_t_header=UDP(sport=NAT_T_PORT),
        )

    def encrypt(self, inner: Any, address: tuple[str, int]) -> Any:
        """Scapy's IP/UDP/ESP packet to `address` of an inner IP packet. Raises SequenceExhausted."""
        if self.sequence == self._last:
            raise SequenceExhausted(f"SPI {self._association.spi:#x} has sent its last sequence number")
        self.sequence += 1
        self._sa.tunnel_header.dst, self._sa.nat_t_header.dport = address
        number, iv = self.sequence & 0xFFFFFFFF, self.sequence.to_bytes(8, "big")
        return self._sa.encrypt(inner, seq_num=number, iv=iv, esn=self.sequence >> 32)


def transmitter(
    outer: OuterSocket,
    sa: ScapySa,
    source: str,
    destination: str,
    *,
    dscp: int,
    flow: int,
    canary: bytes,
    payload_bytes: int,
    rtp_interval: int | None,
    ssrc: int,
) -> Transmit:
    """How to send the packets of one flow; arguments as those of `traffic.packets.InnerPackets`."""
    if ":" in source:
        header: Any = IPv6(src=source, dst=destination, tc=dscp << 2)
    else:
        header = IP(src=source, dst=destination, tos=dscp << 2, id=0, flags="DF")
    header /= UDP(sport=INNER_PORT, dport=INNER_PORT)

    def transmit(address: tuple[str, int], number: int) -> None:
        rtp = b""
        if rtp_interval is not None:
            timestamp = number * rtp_interval & 0xFFFFFFFF
            rtp = bytes(RTP(sequence=number & 0xFFFF, timestamp=timestamp, sourcesync=ssrc))
        payload = rtp + canary + TAG.pack(flow, number)
        outer.send(sa.encrypt(header / Raw(payload.ljust(payload_bytes, bytes(1))), address))

    return transmit
