"""The kernel's own IPsec as a foreign judge: the same packets, the same verdicts.

Many host kernels are built without ESP; in the user-mode kernel, with its modules loaded, this runs.
"""

from __future__ import annotations

import random
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from traffic_lab import Lab

from traffic.esp import AES_256_GCM, CHACHA20_POLY1305
from traffic.keys import Association, make_associations
from traffic.packets import InnerFlow, InnerPackets, udp_packet
from traffic.timestamps import open_udp, receive
from traffic.verdicts import Content, InboundEndpoint, Verdict

pytestmark = pytest.mark.netns

EPOCH = 1 << 32
UDP_ENCAP, ESP_IN_UDP = 100, 2  # linux/udp.h
CANARY = bytes(range(16))
KERNEL_NAMES = {AES_256_GCM: "rfc4106(gcm(aes))", CHACHA20_POLY1305: "rfc7539esp(chacha20,poly1305)"}


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.add("a")
        lab.add("b")
        lab.link("a", "a-eth0", "10.0.0.1/24", "b", "b-eth0", "10.0.0.2/24")
        lab.ip("b", "address add 10.77.0.2/32 dev lo")
        lab.command("b", "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.b-eth0.rp_filter=0")
        yield lab


def install(lab: Lab, sa: Association, sequence: int) -> None:
    """Give the kernel the receiving end of the association; skips the test where it has no ESP."""
    extended = f"flag esn replay-seq-hi {sequence >> 32:#x} replay-seq {sequence % EPOCH:#x}" if sa.esn else ""
    try:
        lab.ip(
            "b",
            f"xfrm state add src 10.0.0.1 dst 10.0.0.2 proto esp spi {sa.spi:#x} reqid 1 mode tunnel "
            f"replay-window {sa.window} {extended} aead {KERNEL_NAMES[sa.suite]} 0x{(sa.key + sa.salt).hex()} 128 "
            "encap espinudp 4500 4500 0.0.0.0",
        )
    except AssertionError as error:
        if "not supported" in str(error) or "not found" in str(error) or "unable to initialize" in str(error):
            pytest.skip("this kernel lacks esp4, gcm, ctr, ghash-generic, seqiv, drbg or chacha20poly1305")
        raise
    lab.ip(
        "b",
        "xfrm policy add src 10.77.0.1/32 dst 10.77.0.2/32 dir in "
        "tmpl src 10.0.0.1 dst 10.0.0.2 proto esp reqid 1 mode tunnel",
    )


def kernels_counts(lab: Lab) -> dict[str, int]:
    told = subprocess.run(
        ["ip", "-n", lab.name("b"), "-s", "xfrm", "state"], capture_output=True, text=True, check=True
    ).stdout
    names = re.search(r"replay-window (\d+) replay (\d+) failed (\d+)", told.split("stats:")[1])
    assert names is not None
    return dict(zip(("replay-window", "replay", "failed"), map(int, names.groups()), strict=True))


@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
@pytest.mark.parametrize(("esn", "window", "start"), [(False, 32, 0), (True, 64, 0), (True, 64, EPOCH - 1000)])
def test_the_kernel_says_the_same(lab: Lab, suite: str, esn: bool, window: int, start: int) -> None:
    """2,000 packets: genuine, forged, replayed soon, replayed late, and genuine but too late."""
    (sa,) = make_associations([("a", "b", 0)], esn=esn, window=window, suite=suite).values()
    install(lab, sa, start)
    sender = lab.within("a", open_udp, "10.0.0.1", 4500, no_checksum=True)
    decapsulate = lab.within("b", open_udp, "10.0.0.2", 4500)
    decapsulate.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, ESP_IN_UDP)
    inside = lab.within("b", open_udp, "10.77.0.2", 5004, rx_stamps=True)
    outbound, inbound = sa.outbound(), sa.inbound()
    outbound.sequence = inbound.window.highest = start
    endpoint = InboundEndpoint({sa.spi: inbound}, [Content(0, sa.spi, CANARY, False)])
    packets = InnerPackets(InnerFlow("10.77.0.1", "10.77.0.2", 0, 0, CANARY, 400))
    dice, ours, delivered = random.Random(esn), Counter[Verdict](), 0
    sent: list[bytes] = []
    held: list[bytes] = []

    def send(esp: bytes) -> None:
        judgement = endpoint.judge(bytes(12) + b"\x08\x00" + udp_packet("10.0.0.1", "10.0.0.2", 4500, 4500, esp))
        assert judgement is not None
        ours[judgement.verdict] += 1
        sender.sendto(esp, ("10.0.0.2", 4500))

    for number in range(2000):
        esp = outbound.encrypt(packets.build(number))
        if number % 20 == 1:  # forged first, then as it was
            send(esp[:30] + bytes([esp[30] ^ 1]) + esp[31:])
        if number % 20 == 2:
            held.append(esp)
            continue
        send(esp)
        sent.append(esp)
        if number % 20 == 3:
            send(dice.choice(sent[-20:]))
        if number % 20 == 4 and len(sent) > 3 * window:
            send(dice.choice(sent[-3 * window : -window]))
        if number % 20 == 5 and len(held) * 20 > 2 * window:
            send(held.pop(0))
        delivered += len(receive(inside))
    deadline = time.monotonic() + 10
    while delivered < ours[Verdict.GENUINE] and time.monotonic() < deadline:
        time.sleep(0.01)
        delivered += len(receive(inside))
    kernel = kernels_counts(lab)
    too_old = ours[Verdict.REPLAY_OLD] + ours[Verdict.LATE_OUTSIDE_WINDOW]
    assert min(ours.values()) > 50
    assert set(ours) == {
        Verdict.GENUINE,
        Verdict.FORGED,
        Verdict.REPLAY_IN_WINDOW,
        Verdict.REPLAY_OLD,
        Verdict.LATE_OUTSIDE_WINDOW,
    }
    assert delivered == ours[Verdict.GENUINE]
    assert kernel["replay"] == ours[Verdict.REPLAY_IN_WINDOW]
    if esn:  # the kernel has no second pass: what is too old fails its integrity check
        assert (kernel["failed"], kernel["replay-window"]) == (ours[Verdict.FORGED] + too_old, 0)
    else:
        assert (kernel["failed"], kernel["replay-window"]) == (ours[Verdict.FORGED], too_old)
