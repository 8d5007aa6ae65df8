"""A foreign judge: the kernel's own XFRM decrypts what our sender made, and refuses what was altered or sent twice."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from collections.abc import Iterator

import pytest

from testbed.kernel import links
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305
from traffic.keys import Association, make_associations
from traffic.packets import INNER_PORT, NAT_T_PORT, InnerFlow, InnerPackets
from traffic.timestamps import open_udp

PACKETS = 1_000
UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h
SENDER, RECEIVER = "10.0.0.0", "10.0.0.1"
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
    packets = InnerPackets(InnerFlow("10.64.0.1", "10.64.1.1", 46, 0, b"c" * 16, 200))
    with receiver.entered():
        encapsulated = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        encapsulated.bind((RECEIVER, NAT_T_PORT))
        encapsulated.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inner.bind(("10.64.1.1", INNER_PORT))
        inner.settimeout(2.0)
    with sender.entered():
        udp = open_udp(SENDER, NAT_T_PORT, no_checksum=True)
    outbound = association.outbound()
    with encapsulated, inner, udp:
        sent = [outbound.encrypt(packets.build(number)) for number in range(PACKETS)]
        received = []
        for packet in sent:  # one by one: the receive buffer holds about 300
            udp.sendto(packet, (RECEIVER, NAT_T_PORT))
            received.append(inner.recv(2048))
        assert len(set(received)) == PACKETS
        assert all(payload.startswith(b"c" * 16) for payload in received)
        assert counters(receiver) == {"replay-window": 0, "replay": 0, "failed": 0}

        altered = bytearray(outbound.encrypt(packets.build(PACKETS)))
        altered[40] ^= 1
        udp.sendto(altered, (RECEIVER, NAT_T_PORT))
        udp.sendto(sent[-1], (RECEIVER, NAT_T_PORT))
        inner.settimeout(0.5)
        with pytest.raises(TimeoutError):
            inner.recv(2048)
        assert counters(receiver) == {"replay-window": 0, "replay": 1, "failed": 1}


def accept(space: Namespace, association: Association) -> None:
    """Give the kernel the receiving end of an association, from UDP port 4500, as a tunnel to 10.64.1.1."""
    ip(space, "address", "add", "10.64.1.1/32", "dev", "lo")
    ip(space, "route", "add", "10.64.0.1/32", "dev", "b")
    outer = ["src", SENDER, "dst", RECEIVER, "proto", "esp", "spi", hex(association.spi)]
    key = f"0x{(association.key + association.salt).hex()}"
    state = ["mode", "tunnel", "reqid", "1", "replay-window", str(association.window)]
    state += ["flag", "esn"] if association.esn else []
    state += ["aead", KERNEL_NAMES[association.suite], key, "128", "encap", "espinudp", "4500", "4500", "0.0.0.0"]
    ip(space, "xfrm", "state", "add", *outer, *state)
    inner = ["src", "10.64.0.1", "dst", "10.64.1.1", "dir", "in"]
    template = ["tmpl", "src", SENDER, "dst", RECEIVER, "proto", "esp", "reqid", "1", "mode", "tunnel"]
    ip(space, "xfrm", "policy", "add", *inner, *template)
