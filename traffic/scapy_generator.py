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

from traffic.errors import ConfigurationError
from traffic.esp import AES_256_GCM
from traffic.keys import Association
from traffic.packets import INNER_PORT, IPV6_IN_IP, NAT_T_PORT, RTP_BYTES, InnerFlow
from traffic.sender import SecureSocket, Transmit
from traffic.templates import TemplatePackets

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


class ScapySocket(SecureSocket):
    """As SecureSocket, but flows' packets are Scapy's. Dummies are not: Scapy cannot make them.

    Both count in the same counter, because a number used twice would be an IV used twice. Raises ConfigurationError
    for a suite other than AES-GCM.
    """

    def __init__(self, sock: socket.socket, association: Association) -> None:
        if association.suite != AES_256_GCM:
            raise ConfigurationError(f"generator=scapy: suite '{association.suite}' is refused: use {AES_256_GCM}")
        super().__init__(sock, association)
        self._outer = OuterSocket(sock)
        self._scapy: Any = _security_association(
            ESP,
            spi=association.spi,
            seq_num=0,  # Scapy takes it where the number given is 0
            crypt_algo="AES-GCM",
            crypt_key=association.key + association.salt,
            esn_en=association.esn,
            tunnel_header=IP(src=sock.getsockname()[0], tos=association.dscp << 2),
            nat_t_header=UDP(sport=NAT_T_PORT),
        )

    def encrypt(self, inner: Any, address: tuple[str, int]) -> Any:
        """Scapy's IP/UDP/ESP packet to `address` of an inner IP packet. Raises SequenceExhausted."""
        number = self._sa.advance()
        self._scapy.tunnel_header.dst, self._scapy.nat_t_header.dport = address
        return self._scapy.encrypt(inner, seq_num=number & 0xFFFFFFFF, iv=number.to_bytes(8, "big"), esn=number >> 32)

    def packets_of(self, flow: InnerFlow) -> Transmit:
        """How to send the packets of a flow."""
        if flow.next_header == IPV6_IN_IP:
            header: Any = IPv6(src=flow.source, dst=flow.destination, tc=flow.dscp << 2)
        else:
            header = IP(src=flow.source, dst=flow.destination, tos=flow.dscp << 2, id=0, flags="DF")
        header /= UDP(sport=INNER_PORT, dport=INNER_PORT)
        if flow.templates:
            packets, layer = TemplatePackets(flow), type(header)
            return lambda address, number: self._outer.send(self.encrypt(layer(packets.build(number)), address))

        def transmit(address: tuple[str, int], number: int) -> None:
            if flow.rtp_interval is None:
                payload = flow.payload(number)
            else:
                timestamp = number * flow.rtp_interval & 0xFFFFFFFF
                rtp = RTP(sequence=number & 0xFFFF, timestamp=timestamp, sourcesync=flow.ssrc)
                payload = bytes(rtp / flow.payload(number)[RTP_BYTES:])
            if flow.seal is not None:
                payload = flow.seal(payload)
            self._outer.send(self.encrypt(header / Raw(payload), address))

        return transmit
