"""Every attack on the path is noticed by the attacked host and rightly named, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traffic_diverter import divert_selected, diverter, working
from traffic_hosts import MILAN, ROME, S, flow, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab, run

from traffic.adversary import Crossing, open_router, run_adversary
from traffic.enclosure import refuse_way_out
from traffic.errors import AdversaryError
from traffic.packets import CANARY_BYTES
from traffic.records import NOT_RECEIVED
from traffic.selection import Selection, one_in, percent
from traffic.session import SessionOptions
from traffic.threat import Threat
from traffic.timestamps import open_tap, open_udp, receive

pytestmark = pytest.mark.netns

EVERY = 8


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def crossing(lab: Lab) -> Crossing:
    """Into the router, from rome."""
    return Crossing("rome", lab.within("router", open_tap, "r-eth0"), lab.within("router", open_router))


@contextlib.contextmanager
def attacker(lab: Lab, ledger: Path, action: str, **settings: Any) -> Iterator[None]:
    """Run the attacker beside the session; its errors fail the test."""
    threat = Threat(action, **({"every": EVERY} | settings))
    with working(lambda stop: run_adversary(threat, [crossing(lab)], stop, ledger, divert=diverter(lab, threat))):
        yield


FLOWS = [flow("upload", "rome", "milan", 200, 400, 0), flow("download", "milan", "rome", 50, 400, 0)]


def acts(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()]


def test_flipped_bits_are_forgeries(lab: Lab, tmp_path: Path) -> None:
    with attacker(lab, tmp_path / "ledger.jsonl", "bitflip"):
        document, _ = play(FLOWS, hosts(lab), tmp_path, 1.5)
    upload, download = document["flows"]
    done = acts(tmp_path / "ledger.jsonl")
    assert reasons_beyond_pacing(document) == []
    assert len(done) == upload["sent"] // EVERY == 37
    assert upload["integrity"] == {"verdict": "attacked", "counts": {"GENUINE": 300 - 37, "FORGED": 37}}
    assert upload["lost"] == 37  # the true packets never arrived
    assert download["integrity"]["verdict"] != "attacked"
    assert download["integrity"]["counts"] == {"GENUINE": 75}
    assert {alarm["verdict"] for alarm in document["alarms"]} == {"FORGED"}
    assert all(act["sequence"] % EVERY == EVERY - 1 for act in done)


def test_forged_announcements_belong_to_no_flow_and_teach_no_address(lab: Lab, tmp_path: Path) -> None:
    """The host behind the NAT only receives, so its announcements have an association of their own."""
    with attacker(lab, tmp_path / "ledger.jsonl", "bitflip", every=1):
        document, _ = play(FLOWS[1:], hosts(lab, rome_inside=True), tmp_path, 0.5)
    forged = len(acts(tmp_path / "ledger.jsonl"))
    assert document["unattributed"] == {"milan": {"FORGED": forged}}
    assert forged >= 5
    (download,) = document["flows"]
    assert (download["sent"], download["not_sent"]) == (0, 25)
    assert download["integrity"]["verdict"] == "invalid"


def test_replays_are_named_by_their_place(lab: Lab, tmp_path: Path) -> None:
    options = SessionOptions(window=64)  # at 200 packets/s it has passed by in 320 ms
    with attacker(lab, tmp_path / "ledger.jsonl", "replay", late_s=0.6):
        document, rows = play(FLOWS, hosts(lab), tmp_path, 1.5, options)
    upload, download = document["flows"]
    copies = Counter("soon" if act["after_s"] < 0.1 else "late" for act in acts(tmp_path / "ledger.jsonl"))
    assert reasons_beyond_pacing(document) == []
    assert sum(copies.values()) == 37
    assert upload["integrity"]["verdict"] == "attacked"
    counts = upload["integrity"]["counts"]
    assert counts["GENUINE"] == upload["received"] == upload["sent"] == 300
    # Of 18 late copies some are inside the window after all: near the end no packets followed them.
    assert counts["REPLAY_IN_WINDOW"] + counts["REPLAY_OLD"] == upload["duplicated"] == 37
    assert (copies["soon"], copies["late"]) == (19, 18)
    assert counts["REPLAY_IN_WINDOW"] >= 10
    assert counts["REPLAY_OLD"] >= 10
    assert len(rows) == 375 + 37
    assert download["integrity"]["verdict"] != "attacked"


def test_injected_plaintext_is_noticed(lab: Lab, tmp_path: Path) -> None:
    with attacker(lab, tmp_path / "ledger.jsonl", "plaintext"):
        document, _ = play(FLOWS, hosts(lab), tmp_path, 1.5)
    assert reasons_beyond_pacing(document) == []
    assert document["unattributed"] == {"milan": {"PLAINTEXT_IN": len(acts(tmp_path / "ledger.jsonl"))}}
    assert document["unattributed"]["milan"]["PLAINTEXT_IN"] == 37
    assert [result["lost"] for result in document["flows"]] == [0, 0]


def test_leaked_canary_is_noticed(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that forgets to encrypt: what only its inner packets hold is on the wire in the clear."""
    canaries: list[bytes] = []
    token_bytes = secrets.token_bytes

    def remember(count: int) -> bytes:
        token = token_bytes(count)
        if count == CANARY_BYTES:
            canaries.append(token)
        return token

    monkeypatch.setattr(secrets, "token_bytes", remember)
    leak = lab.within("rome", open_udp, "10.0.1.2", 7000)
    document, _ = play(
        FLOWS, hosts(lab), tmp_path, 1, progress=lambda _: leak.sendto(b"order " + canaries[0], (MILAN, 9))
    )
    upload, download = document["flows"]
    assert upload["integrity"]["verdict"] == "attacked"
    assert upload["integrity"]["counts"]["PLAINTEXT_LEAK"] == len(document["alarms"]) >= 1
    assert download["integrity"]["verdict"] != "attacked"


def test_attacker_goes_through_a_second_router_without_attacking_twice(lab: Lab, tmp_path: Path) -> None:
    # Both crossings read the same interface, as two routers would see the same packet one after the other.
    ways = [crossing(lab), crossing(lab)]
    ledger = tmp_path / "ledger.jsonl"
    with working(lambda stop: run_adversary(Threat("replay", every=EVERY), ways, stop, ledger)):
        document, _ = play(FLOWS, hosts(lab), tmp_path, 0.5)
    sequences = [act["sequence"] for act in acts(ledger)]
    assert len(sequences) == len(set(sequences))
    assert document["flows"][0]["duplicated"] == len(sequences) > 0


def test_what_is_sent_follows_a_route_that_changes(lab: Lab, tmp_path: Path) -> None:
    """In the middle of the session the router gets another way to milan: the attacker need not know."""
    lab.link("router", "r-eth2", "10.0.3.1/24", "milan", "h-eth1", "10.0.3.2/24")
    other = lab.within("milan", open_tap, "h-eth1")

    def change(progress: Any) -> None:
        if progress["time_ns"] > 0 and not changed:
            changed.append(lab.ip("router", f"route add {MILAN}/32 via 10.0.3.2"))

    changed: list[None] = []
    with attacker(lab, tmp_path / "ledger.jsonl", "bitflip"):
        play(FLOWS[:1], hosts(lab), tmp_path, 2.5, progress=change)
    sent = [act for act in acts(tmp_path / "ledger.jsonl") if act["action"] == "bitflip" and "error" not in act]
    over = {int.from_bytes(frame[46:50], "big") for frame, _, _ in receive(other) if frame[36:38] == b"\x11\x94"}
    went = [act["sequence"] in over for act in sent]
    assert changed
    assert went == sorted(went)  # first all the old way, then all the new
    assert 10 < sum(went) < len(went) - 10


def test_it_works_only_in_its_window_and_filters_only_there(lab: Lab, tmp_path: Path) -> None:
    ledger, start_ns = tmp_path / "ledger.jsonl", time.time_ns() + S // 2
    threat = Threat("drop", every=2, from_s=0.5, to_s=1.0)
    divert = diverter(lab, threat)
    with working(
        lambda stop: run_adversary(threat, [crossing(lab)], stop, ledger, divert=divert, start_realtime_ns=start_ns)
    ):
        document, rows = play(FLOWS[:1], hosts(lab), tmp_path, 2.5)
    (upload,) = document["flows"]
    lost = rows["sequence"][rows["verdict"] == NOT_RECEIVED] + 1  # ESP counts from 1, the flow from 0
    taken = [act["sequence"] for act in acts(ledger)]
    assert upload["sent"] == 500
    assert all(act["sent"] == [] and act["time_ns"] >= start_ns + S // 2 for act in acts(ledger))
    assert set(lost % 2) == {1}
    assert set(taken) <= set(lost)
    assert len(taken) > 25  # of 50, if the machine is not busy
    assert len(lost) - len(taken) <= 15  # lost in the instants in which the filter was set and taken away
    assert lost.max() < 450  # it was taken away


def test_reordering_lets_exactly_so_many_pass(lab: Lab, tmp_path: Path) -> None:
    with attacker(lab, tmp_path / "ledger.jsonl", "reorder", every=64, followers=20):
        document, _ = play(FLOWS[:1], hosts(lab), tmp_path, 1.5)
    (upload,) = document["flows"]
    assert (upload["sent"], upload["lost"]) == (300, 0)
    assert upload["reordered"] == 4  # numbers 64, 128, 192 and 256
    assert len(acts(tmp_path / "ledger.jsonl")) == 4


def test_holding_adds_its_delay_to_what_it_takes_and_to_nothing_else(lab: Lab, tmp_path: Path) -> None:
    with attacker(lab, tmp_path / "ledger.jsonl", "hold", every=8, hold_ms=150):
        _, rows = play(FLOWS[:1], hosts(lab), tmp_path, 1.5)
    held = rows["sequence"] % 8 == 6  # ESP's number 7, 15, … : the flow counts from 0
    assert (rows["delay_ns"][held] > 150_000_000).all()
    assert np.median(rows["delay_ns"][~held]) < 50_000_000
    assert held.sum() == 37


def test_combined_actions_take_turns(lab: Lab, tmp_path: Path) -> None:
    with attacker(lab, tmp_path / "ledger.jsonl", "flip-spi+plaintext+drop"):
        document, _ = play(FLOWS[:1], hosts(lab), tmp_path, 1.5)
    counts = Counter(act["action"] for act in acts(tmp_path / "ledger.jsonl"))
    assert counts == {"flip-spi": 13, "plaintext": 12, "drop": 12}
    assert document["unattributed"] == {"milan": {"UNKNOWN_SPI": 13, "PLAINTEXT_IN": 12}}
    assert document["flows"][0]["lost"] == 13 + 12


def test_a_listener_writes_down_what_it_saw_and_sends_nothing(lab: Lab, tmp_path: Path) -> None:
    with attacker(lab, tmp_path / "ledger.jsonl", "eavesdrop"):
        document, _ = play(FLOWS[:1], hosts(lab), tmp_path, 1.5)
    assert document["flows"][0]["integrity"]["counts"] == {"GENUINE": 300}
    seen = acts(tmp_path / "ledger.jsonl")
    assert {(act["bytes"], act["dscp"], tuple(act["sent"])) for act in seen} == {(492, 0, ())}
    assert [act["sequence"] for act in seen] == list(range(7, 300, 8))


def test_actions_and_shares_that_make_no_sense_are_refused() -> None:
    for settings, reason in (
        ({"action": "erase"}, "attack 'erase' is unknown"),
        ({"action": "replay+erase"}, "attack 'erase' is unknown"),
        ({"action": "replay", "every": 12}, "one packet in 12: choose a power of two"),
        ({"action": "replay", "percent": 120}, "takes 120 % of the packets"),
        ({"action": "replay", "position": "moon"}, "position 'moon' is unknown: use satellite, gateway, fibre"),
        ({"action": "replay", "from_s": 9, "to_s": 3}, "begin at 9 s and end at 3 s"),
    ):
        with pytest.raises(AdversaryError, match=reason):
            Threat(**settings)  # type: ignore[arg-type]


class TestLeash:
    def test_closed_network_is_accepted(self, lab: Lab) -> None:
        refuse_way_out([lab.within(name, open_udp, "127.0.0.1") for name in ("rome", "router", "milan")])

    def test_the_machines_own_namespace_is_refused(self) -> None:
        with (
            open_udp("127.0.0.1") as sock,
            pytest.raises(AdversaryError, match="machine's own network namespace"),
        ):
            refuse_way_out([sock])

    def test_an_interface_other_than_veth_is_refused(self, lab: Lab) -> None:
        sock = lab.within("router", open_udp, "127.0.0.1")
        lab.ip("router", "tuntap add mode tun name way-out")
        refuse_way_out([sock])  # down, so nothing can leave
        lab.ip("router", "link set way-out up")
        with pytest.raises(AdversaryError, match=r"interface way-out \(tun\) is no veth"):
            refuse_way_out([sock])

    def test_a_veth_into_the_machines_own_namespace_is_refused(self, lab: Lab) -> None:
        name = f"trf{os.getpid()}"
        sock = lab.within("router", open_udp, "127.0.0.1")
        run(f"ip link add {name} type veth peer name uplink netns {lab.name('router')}")
        try:
            lab.ip("router", "link set uplink up")
            with pytest.raises(AdversaryError, match="uplink ends in the machine's own namespace"):
                refuse_way_out([sock])
        finally:
            run(f"ip link del {name}")

    def test_run_adversary_asks_it(self, lab: Lab, tmp_path: Path) -> None:
        with open_udp("127.0.0.1") as sock, pytest.raises(AdversaryError, match="the attacker refuses"):
            run_adversary(Threat("replay"), [crossing(lab)], lambda: True, tmp_path / "x", network=[sock])
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("chosen", [one_in(8), percent(30, 7)], ids=["one in 8", "30 %"])
def test_the_kernel_agrees_with_the_attacker_on_the_selection(lab: Lab, chosen: Selection) -> None:
    divert_selected(lab, chosen, on=True)
    sender = lab.within("rome", open_udp, ROME, 4500)
    tap = lab.within("milan", open_tap, "h-eth0")
    with contextlib.suppress(AssertionError):
        lab.command("rome", f"ping -c 1 {MILAN}")
    for port in (4500, 4501):
        for sequence in range(512):
            sender.sendto(b"SPI!" + sequence.to_bytes(4, "big") + bytes(40), (MILAN, port))
    sender.sendto(b"end", (MILAN, 4501))
    arrived: dict[int, list[int]] = {4500: [], 4501: []}
    tap.settimeout(5)
    while not (frame := tap.recv(2048)).endswith(b"end"):
        if b"SPI!" in frame and frame[23] == socket.IPPROTO_UDP:
            arrived[int.from_bytes(frame[36:38], "big")].append(int.from_bytes(frame[46:50], "big"))
            if frame[36:38] == b"\x11\x94":
                assert not chosen.matches(frame[14:])
    taken = 512 - len(arrived[4500])
    assert arrived[4501] == list(range(512))
    assert taken == 64 if chosen.share is None else 512 * 0.3 - 40 < taken < 512 * 0.3 + 40  # 4 standard deviations
