"""Copies over two addresses of real hosts: removed and counted; an attacker who sends one again is caught."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from traffic_hosts import flow, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab

from traffic.packets import NAT_T_PORT
from traffic.session import HostSockets, SessionOptions
from traffic.timestamps import open_udp

pytestmark = pytest.mark.netns

OTHERS = {"rome": "10.0.1.6", "milan": "10.0.2.6"}
URGENT = 18
FLOWS = [flow("commands", "rome", "milan", 50, 64, URGENT), flow("call", "rome", "milan", 50, 172, 46, "voice")]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def twofold(lab: Lab) -> dict[str, HostSockets]:
    """Both hosts with a second address."""
    opened = hosts(lab)
    for name, other in OTHERS.items():
        lab.ip(name, f"address add {other}/32 dev h-eth0")
        second = lab.within(name, open_udp, other, NAT_T_PORT, no_checksum=True)
        opened[name] = replace(opened[name], second=second, other=other)
    return opened


def test_the_urgent_class_is_sent_twice_and_delivered_once(lab: Lab, tmp_path: Path) -> None:
    document, _ = play(FLOWS, twofold(lab), tmp_path, 1, SessionOptions(duplicated=(URGENT,)))
    assert reasons_beyond_pacing(document) == []
    assert (document["alarm_count"], document["unattributed"]) == (0, {})
    commands, call = document["flows"]
    assert commands["integrity"]["counts"] == {"GENUINE": 50, "SECOND_COPY": 50}
    assert (commands["received"], commands["lost"], commands["duplicated"]) == (50, 0, 50)
    assert call["integrity"]["counts"] == {"GENUINE": 50}


@pytest.mark.parametrize("dead", ["10.0.2.2", "10.0.2.6"])
def test_one_path_may_fail_and_nothing_is_lost(dead: str, lab: Lab, tmp_path: Path) -> None:
    lab.ip("router", f"route add blackhole {dead}")
    document, _ = play(FLOWS[:1], twofold(lab), tmp_path, 0.5, SessionOptions(duplicated=(URGENT,)))
    assert document["flows"][0]["integrity"]["counts"] == {"GENUINE": 25}
    assert document["alarm_count"] == 0


def test_an_attacker_who_sends_a_copy_again_is_caught(lab: Lab, tmp_path: Path) -> None:
    """It stands at the last link, and sends what goes to the second address a second time."""

    def raw() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL: outgoing frames too
        sock.bind(("r-eth1", 3))
        sock.settimeout(5)
        return sock

    wire, done = lab.within("router", raw), []

    def attack() -> None:
        while not done:
            frame = wire.recv(2000)
            if frame[30:34] == socket.inet_aton(OTHERS["milan"]):
                wire.send(frame)
                done.append(frame)

    attacker = threading.Thread(target=attack)
    attacker.start()
    document, _ = play(FLOWS[:1], twofold(lab), tmp_path, 0.5, SessionOptions(duplicated=(URGENT,)))
    attacker.join()
    assert document["flows"][0]["integrity"]["counts"] == {"GENUINE": 25, "REPLAY_IN_WINDOW": 1, "SECOND_COPY": 25}
    assert document["flows"][0]["integrity"]["verdict"] == "attacked"
    assert document["alarm_count"] == 1
