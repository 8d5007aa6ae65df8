"""Keys by exchange over real namespaces: rekeys under load, behind a NAT, blocked, and altered on the path."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from traffic_hosts import MILAN, ROME, WORKLOAD, flow, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab

from traffic.enclosure import refuse_way_out
from traffic.packets import NAT_T_PORT, Kind, checksum, parse_frame
from traffic.session import SessionOptions
from traffic.timestamps import open_tap, open_udp, receive, tap_statistics

pytestmark = pytest.mark.netns

LOAD = [flow("upload", "rome", "milan", 1000, 200, 0), flow("download", "milan", "rome", 1000, 200, 46)]
SHORT = {"rekey_s": 0.6, "expire_s": 3.8, "longest_delay_s": 0.2}
NON_ESP = "28=0"
"""For iptables' u32: behind headers of IPv4 without options and of UDP stands the non-ESP marker (RFC 3948)."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    if shutil.which("iptables-legacy") is None:
        pytest.skip("iptables-legacy is not installed")
    with Lab() as lab:
        routed(lab)
        yield lab


class Listener:
    """Sees what passes the router, both ways, and does something at most with it."""

    def __init__(self, lab: Lab, see: Callable[[str, bytes], None], *interfaces: str) -> None:
        names = interfaces or ("r-eth0", "r-eth1")
        self._taps = {name: lab.within("router", open_tap, name, 32 << 20) for name in names}
        self._see, self._ended = see, threading.Event()
        self.drops = 0

    def __enter__(self) -> Listener:
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _listen(self) -> None:
        over = False
        while not over:
            over = self._ended.wait(0.002)
            for name, tap in self._taps.items():
                for frame, _, _ in receive(tap):
                    self._see(name, frame)
        self.drops = sum(tap_statistics(tap)[1] for tap in self._taps.values())


class Wire:
    """What is on the wire, by its headers alone."""

    def __init__(self) -> None:
        self.identities: Counter[bytes] = Counter()  # SPI and IV
        self.exchanges = 0
        self.largest = 0
        self.in_clear = 0

    def see(self, _: str, frame: bytes) -> None:
        packet = parse_frame(frame)
        if packet.kind in (Kind.ARP, Kind.ICMP):
            return
        if packet.kind is not Kind.UDP or packet.destination_port != NAT_T_PORT:
            self.in_clear += packet.kind is not Kind.OTHER or frame[12:14] == b"\x08\x00"
        elif packet.payload[:4] == bytes(4):
            self.exchanges += 1
            self.largest = max(self.largest, len(frame) - 14)
        else:
            self.identities[packet.payload[:4] + packet.payload[8:16]] += 1


def two_ways(lab: Lab) -> None:
    """rome - router = core - milan, with two links from router to core; the slow one has a queue at 8 Mbit/s."""
    for name in ("rome", "milan", "router", "core"):
        lab.add(name, forward=name in ("router", "core"))
    lab.link("rome", "h-eth0", f"{ROME}/24", "router", "r-eth0", "10.0.1.1/24")
    lab.link("milan", "h-eth0", f"{MILAN}/24", "core", "c-eth0", "10.0.2.1/24")
    lab.link("router", "slow", "10.0.3.1/24", "core", "c-slow", "10.0.3.2/24")
    lab.link("router", "fast", "10.0.4.1/24", "core", "c-fast", "10.0.4.2/24")
    lab.tc("router", "qdisc add dev slow root tbf rate 8mbit burst 3000 limit 1000000")
    lab.ip("rome", "route add default via 10.0.1.1")
    lab.ip("milan", "route add default via 10.0.2.1")
    lab.ip("router", "route add 10.0.2.0/24 via 10.0.3.2")
    lab.ip("core", "route add 10.0.1.0/24 via 10.0.4.1")


@contextlib.contextmanager
def handovers(lab: Lab) -> Iterator[None]:
    """Every 0.1 s from the slow way to the fast, and back. Before leaving the slow one 30 large packets fill its queue
    for 40 ms, so that what goes the fast way overtakes."""
    ended = threading.Event()
    crowd = lab.within("router", open_udp, "10.0.3.1")

    def change() -> None:
        while not ended.wait(0.1):
            for _ in range(30):
                crowd.sendto(bytes(1400), ("10.0.3.2", 9))
            time.sleep(0.02)
            lab.ip("router", "route replace 10.0.2.0/24 via 10.0.4.2")
            time.sleep(0.1)
            lab.ip("router", "route replace 10.0.2.0/24 via 10.0.3.2")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_twenty_rekeys_at_handovers_under_2000_packets_a_second_lose_nothing(tmp_path: Path) -> None:
    options = SessionOptions(profile="cnsa2", rekey_s=0.25, expire_s=3.45, longest_delay_s=0.2)
    wire = Wire()
    with Lab() as lab:
        two_ways(lab)
        opened = hosts(lab)
        with handovers(lab), Listener(lab, wire.see, "r-eth0", "slow", "fast") as listener:
            document, _ = play(LOAD, opened, tmp_path, 7.5, options)
    exchanged = document["key_exchange"]
    assert reasons_beyond_pacing(document) == []
    assert (document["alarms"], document["unattributed"], listener.drops) == ([], {}, 0)
    assert document["flows"][0]["reordered"] > 20  # the handovers were some
    assert exchanged["rekeys"] >= 20
    assert exchanged["failed"] == exchanged["pairs"][0]["refused_messages"] == 0
    for result in document["flows"]:
        assert result["sent"] == result["received"] == result["integrity"]["counts"]["GENUINE"] == 7500
        assert list(result["integrity"]["counts"]) == ["GENUINE"]
    assert exchanged["not_sent_without_keys"] == {}
    assert set(wire.identities.values()) == {1}  # no SPI and IV twice, as the wire has it
    assert wire.in_clear == 0
    used = [association for association in exchanged["associations"] if association["switched_ns"] is not None]
    assert sum(association["sent"] for association in used) == len(wire.identities)
    assert all(association["sent"] == association["accepted"] for association in used)
    graces_ns = [sa["retired_ns"] - sa["switched_ns"] for sa in used if sa["retired_ns"] is not None]
    assert min(graces_ns) >= 1_200_000_000
    assert wire.largest <= 1280
    assert wire.exchanges >= 21 * 13  # an OFFER of 2 datagrams, ANSWER 6, CONFIRM 4, DONE 1


def test_a_host_behind_a_nat_exchanges_keys_first(lab: Lab, tmp_path: Path) -> None:
    lab.command("router", "iptables-legacy -t nat -A POSTROUTING -o r-eth1 -j MASQUERADE --random")
    lab.ip("milan", "route del default")  # rome's own address cannot be reached from outside
    options = SessionOptions(profile="classic", **SHORT)
    document, _ = play(WORKLOAD[1:], hosts(lab, rome_inside=True), tmp_path, 1.2, options)
    exchanged = document["key_exchange"]
    assert reasons_beyond_pacing(document) == []
    assert document["alarms"] == []
    assert (exchanged["pairs"][0]["initiator"], exchanged["pairs"][0]["responder"]) == ("rome", "milan")
    assert exchanged["rekeys"] >= 1
    for result in document["flows"]:
        assert result["sent"] == result["received"] > 0


def test_a_blocked_rekey_ends_in_silence_and_never_in_clear(lab: Lab, tmp_path: Path) -> None:
    wire = Wire()
    blocked = threading.Event()

    def block(_: object) -> None:  # after the first second, with the first keys
        if not blocked.is_set():
            lab.command("router", f"iptables-legacy -A FORWARD -p udp -m u32 --u32 {NON_ESP} -j DROP")
            blocked.set()

    options = SessionOptions(profile="eu-hybrid", **(SHORT | {"rekey_s": 1.5, "expire_s": 4.7}))
    with Listener(lab, wire.see):
        document, rows = play([flow("upload", "rome", "milan", 200, 200, 0)], hosts(lab), tmp_path, 6, options, block)
    exchanged = document["key_exchange"]
    (upload,) = document["flows"]
    assert blocked.is_set()
    assert exchanged["rekeys"] == 0
    assert exchanged["failed"] >= 2
    assert {alarm["verdict"] for alarm in document["alarms"]} == {"KEX_FAIL", "EXPIRED_SA"}
    assert document["alarms"][0]["detail"] == "with rome: no good ANSWER within 1.5 s"
    # The keys were made 0.5 s before the schedule began and die 4.7 s later: some 840 of 1,200 packets.
    assert 780 <= upload["sent"] == upload["received"] <= 860
    assert upload["sent"] + exchanged["not_sent_without_keys"]["upload"] == 1200
    assert rows["tx_ns"].max() < 4_400_000_000
    assert wire.in_clear == 0
    assert set(wire.identities.values()) == {1}


def test_an_altered_rekey_keeps_the_old_keys_until_a_good_one(lab: Lab, tmp_path: Path) -> None:
    """An attacker at the router takes milan's messages out of the path, flips a bit of each, and sends them on."""
    way_out = lab.within("router", open_tap, "r-eth0")
    own, neighbour = way_out.getsockname()[4], lab.within("rome", open_tap, "h-eth0").getsockname()[4]
    refuse_way_out([way_out])
    altered: list[int] = []
    rule = f"FORWARD -i r-eth1 -p udp -m u32 --u32 {NON_ESP} -j DROP"
    seconds: list[int] = []

    def alter(interface: str, frame: bytes) -> None:
        if not seconds or len(seconds) > 3 or interface != "r-eth1" or frame[42:46] != bytes(4) or frame[23] != 17:
            return
        header = bytearray(frame[14:34])
        header[8] -= 1
        header[10:12] = bytes(2)
        header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
        changed = bytearray(neighbour + own + frame[12:14] + bytes(header) + frame[34:])
        at = 66 + (37 * len(altered)) % (len(changed) - 66)  # behind the header of the fragment
        changed[at] ^= 1
        changed[40:42] = bytes(2)  # no UDP checksum, so that no one else notices
        altered.append(at)
        way_out.send(changed)

    def script(_: object) -> None:
        seconds.append(len(seconds))
        if len(seconds) == 1:
            lab.command("router", f"iptables-legacy -A {rule}")
        elif len(seconds) == 4:
            lab.command("router", f"iptables-legacy -D {rule}")

    options = SessionOptions(profile="eu-hybrid", rekey_s=0.9, expire_s=8.9, longest_delay_s=0.2)
    flows = [flow("upload", "rome", "milan", 200, 200, 0), flow("download", "milan", "rome", 200, 200, 0)]
    with Listener(lab, alter):
        document, _ = play(flows, hosts(lab), tmp_path, 5, options, script)
    exchanged = document["key_exchange"]
    refused = [alarm for alarm in document["alarms"] if "within" not in alarm["detail"]]
    assert len(altered) >= 4
    assert {alarm["verdict"] for alarm in document["alarms"]} <= {"KEX_FAIL", "DOWNGRADE"}
    assert any(alarm["verdict"] == "KEX_FAIL" for alarm in refused) or exchanged["failed"]
    for result in document["flows"]:
        assert result["sent"] == result["received"] == 1000
    switched = sorted(sa["switched_ns"] for sa in exchanged["associations"] if sa["switched_ns"] is not None)
    assert not [at_ns for at_ns in switched if 1_200_000_000 < at_ns < 3_000_000_000]
    assert switched[-1] > 3_000_000_000  # when the attacker had gone


def test_without_any_exchange_nothing_is_sent(lab: Lab, tmp_path: Path) -> None:
    lab.command("router", f"iptables-legacy -A FORWARD -p udp -m u32 --u32 {NON_ESP} -j DROP")
    wire = Wire()
    with Listener(lab, wire.see):
        document, rows = play(WORKLOAD[:1], hosts(lab), tmp_path, 0.5, SessionOptions(profile="classic", **SHORT))
    assert len(rows) == sum(wire.identities.values()) == wire.in_clear == 0
    assert document["key_exchange"]["not_sent_without_keys"] == {"call": 25}
    assert {alarm["verdict"] for alarm in document["alarms"]} == {"KEX_FAIL"}
    assert (tmp_path / "esp_sa").read_text() == ""
