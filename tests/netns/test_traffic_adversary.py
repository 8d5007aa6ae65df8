"""Every attack on the path is noticed by the attacked host and rightly named, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from traffic_hosts import MILAN, flow, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab, run

from traffic.adversary import Action, Crossing, run_adversary, selection
from traffic.enclosure import refuse_way_out
from traffic.errors import AdversaryError
from traffic.packets import CANARY_BYTES
from traffic.session import SessionOptions
from traffic.timestamps import open_tap, open_udp

pytestmark = pytest.mark.netns

EVERY = 8


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def crossing(lab: Lab) -> Crossing:
    """Through the router, from rome to milan."""
    read, write = (lab.within("router", open_tap, interface) for interface in ("r-eth0", "r-eth1"))
    own, neighbour = write.getsockname()[4], lab.within("milan", open_tap, "h-eth0").getsockname()[4]
    return Crossing("rome-milan", read, write, own, neighbour, frozenset({MILAN}))


def divert(lab: Lab, every: int = EVERY) -> None:
    """Drop the selected packets on their way through the router: u32 and gact, or their words as a packet filter."""
    lab.tc("router", "qdisc add dev r-eth0 clsact")
    head = "filter add dev r-eth0 ingress protocol ip"
    words = " ".join(f"match u32 {value:#x} {mask:#x} at {offset}" for offset, mask, value in selection(every))
    try:
        lab.tc("router", f"{head} u32 {words} action drop")
    except AssertionError as error:
        if "action module" not in str(error):
            raise
        code = []
        for number, (offset, mask, value) in enumerate(selection(every)):
            left = 3 * (len(selection(every)) - number) - 2
            code += [f"32 0 0 {14 + offset}", f"84 0 0 {mask}", f"21 0 {left} {value}"]  # load, and, jump unless equal
        code += ["6 0 0 2", "6 0 0 4294967295"]  # drop; leave it to others
        run(f"tc -n {lab.name('router')} {head} bpf da bytecode", f"{len(code)},{','.join(code)}")


@contextlib.contextmanager
def attacker(action: Action, way: Crossing, ledger: Path, every: int = EVERY, **options: Any) -> Iterator[None]:
    """Run the attacker beside the session; its errors fail the test."""
    ended = threading.Event()
    errors: list[BaseException] = []

    def attack() -> None:
        try:
            run_adversary(action, every, [way], ended.is_set, ledger, **options)
        except BaseException as error:  # noqa: BLE001 - handed on to the test
            errors.append(error)

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert errors == []


FLOWS = [flow("upload", "rome", "milan", 200, 400, 0), flow("download", "milan", "rome", 50, 400, 0)]


def acts(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()]


def test_flipped_bits_are_forgeries(lab: Lab, tmp_path: Path) -> None:
    divert(lab)
    with attacker("bitflip", crossing(lab), tmp_path / "ledger.jsonl"):
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
    divert(lab, every=1)
    with attacker("bitflip", crossing(lab), tmp_path / "ledger.jsonl", every=1):
        document, _ = play(FLOWS[1:], hosts(lab, rome_inside=True), tmp_path, 0.5)
    forged = len(acts(tmp_path / "ledger.jsonl"))
    assert document["unattributed"] == {"milan": {"FORGED": forged}}
    assert forged >= 5
    (download,) = document["flows"]
    assert (download["sent"], download["not_sent"]) == (0, 25)
    assert download["integrity"]["verdict"] == "invalid"


def test_replays_are_named_by_their_place(lab: Lab, tmp_path: Path) -> None:
    options = SessionOptions(window=64)  # at 200 packets/s it has passed by in 320 ms
    with attacker("replay", crossing(lab), tmp_path / "ledger.jsonl", late_s=0.6):
        document, rows = play(FLOWS, hosts(lab), tmp_path, 1.5, options)
    upload, download = document["flows"]
    copies = Counter(act["copy"] for act in acts(tmp_path / "ledger.jsonl"))
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
    with attacker("plaintext", crossing(lab), tmp_path / "ledger.jsonl"):
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
    lab.tc("router", "qdisc add dev r-eth0 clsact")
    way = crossing(lab)
    # Both crossings read the same interface, as two routers would see the same packet one after the other.
    again = Crossing("second", lab.within("router", open_tap, "r-eth0"), way.write, way.source_mac, way.destination_mac)
    ended = threading.Event()
    ledger = tmp_path / "ledger.jsonl"
    thread = threading.Thread(target=run_adversary, args=("replay", EVERY, [way, again], ended.is_set, ledger))
    thread.start()
    try:
        document, _ = play(FLOWS, hosts(lab), tmp_path, 0.5)
    finally:
        ended.set()
        thread.join()
    sequences = [act["sequence"] for act in acts(ledger)]
    assert len(sequences) == len(set(sequences))
    assert document["flows"][0]["duplicated"] == len(sequences) > 0


def test_actions_and_shares_that_make_no_sense_are_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(AdversaryError, match="attack 'erase' is unknown"):
        run_adversary("erase", 8, [crossing(lab)], lambda: True, tmp_path / "x")  # type: ignore[arg-type]
    with pytest.raises(AdversaryError, match="one packet in 12: choose a power of two"):
        run_adversary("replay", 12, [crossing(lab)], lambda: True, tmp_path / "x")
    assert not (tmp_path / "x").exists()


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
            run_adversary("replay", 8, [crossing(lab)], lambda: True, tmp_path / "x", network=[sock])
        assert not (tmp_path / "x").exists()


def test_the_kernel_agrees_with_the_attacker_on_the_selection(lab: Lab) -> None:
    """u32 and gact of the kernel, or its packet filter, drop exactly what `selection` says."""
    divert(lab)
    sender = lab.within("rome", open_udp, "10.0.1.2", 4500)
    tap = lab.within("milan", open_tap, "h-eth0")
    with contextlib.suppress(subprocess.CalledProcessError):
        lab.command("rome", f"ping -c 1 {MILAN}")
    for port in (4500, 4501):
        for sequence in range(64):
            sender.sendto(b"SPI!" + sequence.to_bytes(4, "big") + bytes(40), (MILAN, port))
    sender.sendto(b"end", (MILAN, 4501))
    arrived: Counter[int] = Counter()
    tap.settimeout(5)
    while not (frame := tap.recv(2048)).endswith(b"end"):
        if b"SPI!" in frame and frame[23] == socket.IPPROTO_UDP:
            arrived[int.from_bytes(frame[36:38], "big")] += 1
            if frame[36:38] == (4500).to_bytes(2, "big"):
                assert frame[49] % EVERY != EVERY - 1
    assert arrived == {4500: 56, 4501: 64}
