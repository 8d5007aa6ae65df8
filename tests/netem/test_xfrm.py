"""A foreign judge: the kernel's own XFRM decrypts what our sender made, and refuses what was altered or sent twice.

And a foreign sender: our judge knows every packet that XFRM encrypts. Both in UDP, behind a NAT's port.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from testbed.kernel import links
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305
from traffic.keys import Association, make_associations
from traffic.packets import INNER_PORT, NAT_T_PORT, TAG, InnerFlow, InnerPackets, parse_frame
from traffic.timestamps import open_tap, open_udp, receive
from traffic.verdicts import Content, InboundEndpoint, Verdict

PACKETS = 1_000
ACCEPTED = 5_000  # of each suite and number length: 20,000 in all
UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h
SENDER, RECEIVER = "10.0.0.0", "10.0.0.1"
NATS_PORT = 40_001  # as a NAT rewrites the sender's
CANARY = b"c" * 16
KERNEL_NAMES = {AES_256_GCM: "rfc4106(gcm(aes))", CHACHA20_POLY1305: "rfc7539esp(chacha20,poly1305)"}


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces and a veth between them, without delay."""
    spaces = Namespace(), Namespace()
    macs = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
    with Netlink() as home:
        names, fds = ("a", "b"), (spaces[0].fd, spaces[1].fd)
        home.send([links.veth(names=names, indices=(2, 2), macs=macs, namespaces=fds, mtu=1500)])
    for space, address in zip(spaces, (SENDER, RECEIVER), strict=True):
        with space.entered(), Netlink() as netlink:
            up = [links.set_up(1), links.set_up(2)]
            netlink.send([*up, links.address(2, ipaddress.ip_address(address), 31)])
    yield spaces
    for space in spaces:
        space.close()


def ip(space: Namespace, *arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], preexec_fn=space.enter, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counters(space: Namespace) -> dict[str, int]:
    """What the kernel says of the association's packets: `replay-window`, `replay`, `failed`."""
    words = ip(space, "-s", "xfrm", "state").split("stats:")[1].split()
    return {words[at]: int(words[at + 1]) for at in range(0, 6, 2)}


@pytest.mark.parametrize("esn", [False, True], ids=["32-bit", "esn"])
@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
def test_the_kernel_accepts_every_packet_of_ours(pair: tuple[Namespace, Namespace], suite: str, esn: bool) -> None:
    sender, receiver = pair
    ((_, association),) = make_associations([("a", "b", 46)], esn=esn, suite=suite).items()
    accept(receiver, association)
    packets = InnerPackets(InnerFlow("10.64.0.1", "10.64.1.1", 46, 0, CANARY, 200))
    with receiver.entered():
        encapsulated = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        encapsulated.bind((RECEIVER, NAT_T_PORT))
        encapsulated.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inner.bind(("10.64.1.1", INNER_PORT))
        inner.settimeout(2.0)
    with sender.entered():
        udp = open_udp(SENDER, NATS_PORT, no_checksum=True)
    outbound = association.outbound()
    with encapsulated, inner, udp:
        sent = [outbound.encrypt(packets.build(number)) for number in range(ACCEPTED)]
        received = []
        for packet in sent:  # one by one: the receive buffer holds about 300
            udp.sendto(packet, (RECEIVER, NAT_T_PORT))
            received.append(inner.recv(2048))
        assert len(set(received)) == ACCEPTED
        assert all(payload.startswith(CANARY) for payload in received)
        assert counters(receiver) == {"replay-window": 0, "replay": 0, "failed": 0}

        altered = bytearray(outbound.encrypt(packets.build(ACCEPTED)))
        altered[40] ^= 1
        udp.sendto(altered, (RECEIVER, NAT_T_PORT))
        udp.sendto(sent[-1], (RECEIVER, NAT_T_PORT))
        inner.settimeout(0.5)
        with pytest.raises(TimeoutError):
            inner.recv(2048)
        assert counters(receiver) == {"replay-window": 0, "replay": 1, "failed": 1}


@pytest.mark.parametrize("esn", [False, True], ids=["32-bit", "esn"])
@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
def test_we_accept_every_packet_of_the_kernels(pair: tuple[Namespace, Namespace], suite: str, esn: bool) -> None:
    """Its IVs are no counters in the clear: a secret is mixed in (crypto/seqiv.c). None may pass for another's."""
    sender, receiver = pair
    ((_, association),) = make_associations([("a", "b", 46)], esn=esn, suite=suite).items()
    give_out(sender, association)
    with sender.entered():
        inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inner.bind(("10.64.0.1", INNER_PORT))
    with receiver.entered():
        tap, quiet = open_tap("b"), open_udp(RECEIVER, NAT_T_PORT)
    endpoint = InboundEndpoint({association.spi: association.inbound()}, [Content(3, association.spi, CANARY, False)])
    with inner, tap, quiet:
        frames = []
        for number in range(PACKETS):
            inner.sendto(CANARY + TAG.pack(3, number) + bytes(number % 7), ("10.64.1.1", INNER_PORT))
            frames += [frame for frame, _, _ in receive(tap)]
        judged = [judgement for judgement in map(endpoint.judge, frames) if judgement is not None]
    assert [(each.verdict, each.flow, each.sequence) for each in judged] == [
        (Verdict.GENUINE, 3, number) for number in range(PACKETS)
    ]
    assert [each.esp_sequence for each in judged] == list(range(1, PACKETS + 1))
    assert {each.source for each in judged} == {(socket.inet_aton(SENDER), NATS_PORT)}
    esp = [frame for frame in frames if parse_frame(frame).destination_port == NAT_T_PORT]
    verdicts = Counter(judgement.verdict for judgement in map(endpoint.judge, esp) if judgement is not None)
    assert verdicts == {Verdict.REPLAY_IN_WINDOW: PACKETS}
    altered = [frame[:-20] + bytes([frame[-20] ^ 1]) + frame[-19:] for frame in esp]
    verdicts = Counter(judgement.verdict for judgement in map(endpoint.judge, altered) if judgement is not None)
    assert verdicts == {Verdict.FORGED: PACKETS}


def give_out(space: Namespace, association: Association) -> None:
    """Give the kernel the sending end of an association, to UDP port 4500, for a tunnel from 10.64.0.1 to 10.64.1.1."""
    ip(space, "address", "add", "10.64.0.1/32", "dev", "lo")
    ip(space, "route", "add", "10.64.1.1/32", "dev", "a", "src", "10.64.0.1")
    add_state(space, association, str(NATS_PORT), "4500")
    inner = ["src", "10.64.0.1", "dst", "10.64.1.1", "dir", "out"]
    template = ["tmpl", "src", SENDER, "dst", RECEIVER, "proto", "esp", "reqid", "1", "mode", "tunnel"]
    ip(space, "xfrm", "policy", "add", *inner, *template)


def accept(space: Namespace, association: Association) -> None:
    """Give the kernel the receiving end of an association, from UDP port 4500, as a tunnel to 10.64.1.1."""
    ip(space, "address", "add", "10.64.1.1/32", "dev", "lo")
    ip(space, "route", "add", "10.64.0.1/32", "dev", "b")
    add_state(space, association, "4500", "4500")
    inner = ["src", "10.64.0.1", "dst", "10.64.1.1", "dir", "in"]
    template = ["tmpl", "src", SENDER, "dst", RECEIVER, "proto", "esp", "reqid", "1", "mode", "tunnel"]
    ip(space, "xfrm", "policy", "add", *inner, *template)


def add_state(space: Namespace, association: Association, source_port: str, destination_port: str) -> None:
    """The association itself, in UDP."""
    outer = ["src", SENDER, "dst", RECEIVER, "proto", "esp", "spi", hex(association.spi)]
    key = f"0x{(association.key + association.salt).hex()}"
    state = ["mode", "tunnel", "reqid", "1", "replay-window", str(association.window)]
    state += ["flag", "esn"] if association.esn else []
    state += ["aead", KERNEL_NAMES[association.suite], key, "128"]
    state += ["encap", "espinudp", source_port, destination_port, "0.0.0.0"]
    ip(space, "xfrm", "state", "add", *outer, *state)
