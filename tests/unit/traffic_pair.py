"""A sender and the endpoint that judges what it sent, for the tests of verdicts."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

from traffic.esp import AES_256_GCM, InboundSa, OutboundSa
from traffic.packets import InnerFlow, InnerPackets, udp_packet
from traffic.replay import REMEMBERED_IVS
from traffic.timestamps import NO_STAMP
from traffic.verdicts import Content, InboundEndpoint, Judgement, Verdict

TRIALS = 500
EPOCH = 1 << 32
KEY, SALT, SPI = bytes(range(32)), b"salt", 0x01020304
CANARY = b"sixteen bytes ok"
FLOW = InnerFlow("10.77.0.1", "10.77.0.2", 46, 7, CANARY, 60, 160, 0x12345678)
ETHERNET = bytes(12) + b"\x08\x00"
ESP_AT = 14 + 20 + 8  # in the frame: SPI, sequence 4, IV 8, ciphertext


def frame(esp: bytes) -> bytes:
    return ETHERNET + udp_packet("192.0.2.1", "192.0.2.2", 4500, 4500, esp)


class Pair:
    """A sender and the endpoint that judges it, both right before `sequence`."""

    def __init__(
        self,
        *,
        esn: bool = True,
        window: int = 64,
        sequence: int = 0,
        suite: str = AES_256_GCM,
        remembered_ivs: int = REMEMBERED_IVS,
        **options: Any,
    ) -> None:
        self.packets = InnerPackets(FLOW)
        self.outbound = OutboundSa(SPI, KEY, SALT, esn=esn, suite=suite, sequence=sequence)
        self.inbound = InboundSa(
            SPI, KEY, SALT, esn=esn, suite=suite, window=window, highest=sequence, remembered_ivs=remembered_ivs
        )
        contents = [Content(FLOW.index, SPI, CANARY, True)]
        inner = [socket.inet_aton("10.77.0.1"), socket.inet_aton("10.77.0.2")]
        self.endpoint = InboundEndpoint({SPI: self.inbound}, contents, inner, clear_udp_ports=[862], **options)
        self._number = 0

    def send(self) -> bytes:
        """The frame of the next packet."""
        self._number += 1
        return frame(self.outbound.encrypt(self.packets.build(self._number - 1)))

    def send_many(self, count: int) -> list[bytes]:
        return [self.send() for _ in range(count)]

    def judge(self, data: bytes, time_ns: int = NO_STAMP) -> Judgement:
        judgement = self.endpoint.judge(data, time_ns)
        assert judgement is not None
        return judgement

    def verdicts(self, frames: list[bytes], time_ns: int = NO_STAMP) -> Counter[Verdict]:
        return Counter(self.judge(data, time_ns).verdict for data in frames)


def altered(data: bytes, position: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)
