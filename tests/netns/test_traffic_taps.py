"""The ledger of a session over real links: what an attacker's hand or a queue did is all in it, and nothing else."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from traffic_hosts import MILAN, ROME, WORKLOAD, S, flow, hosts, reasons_beyond_pacing, routed
from traffic_lab import Lab

from traffic.flows import parse_flows
from traffic.ledger import Kind, Points, compare, esp_of, keep_ledger, listen_for_esp
from traffic.packets import udp_packet
from traffic.session import WAITING_TIME_NS, SessionOptions, run_session
from traffic.timestamps import open_tap, open_udp, receive
from traffic.verdicts import Verdict

pytestmark = pytest.mark.netns


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def kept(
    lab: Lab,
    folder: Path,
    flows: list[dict],
    seconds: float,
    progress: Callable[[Any], None] | None = None,
) -> tuple[dict[str, Any], NDArray[np.void]]:
    """Play a session with a ledger beside it; its document, and what the ledger says of each packet."""
    taps = {
        "rome→router": lab.within("router", open_tap, "r-eth0"),
        "router→milan": lab.within("milan", open_tap, "h-eth0"),
        "milan→router": lab.within("router", open_tap, "r-eth1"),
        "router→rome": lab.within("rome", open_tap, "h-eth0"),
    }
    for tap in taps.values():
        listen_for_esp(tap)
    points = Points(taps, {"rome→router", "milan→router"}, {"router→milan", "router→rome"})
    opened = hosts(lab)
    start_ns, stop_ns = time.time_ns() + S // 2, round(seconds * S)
    work = threading.Thread(target=keep_ledger, args=(points, start_ns, stop_ns + WAITING_TIME_NS, folder))
    work.start()
    run_session(parse_flows(flows, opened), SessionOptions(), opened, start_ns, stop_ns, folder, progress)
    work.join()
    told = json.loads((folder / "ledger.json").read_text())
    assert told["missed"] == {}
    numbers = [[told["points"].index(name) for name in told[edge]] for edge in ("entrances", "exits")]
    truth = compare(np.load(folder / "ledger.npy"), *numbers)
    return json.loads((folder / "flows.json").read_text()), truth


def kinds(truth: NDArray[np.void]) -> dict[Kind, int]:
    return dict(Counter(Kind(kind) for kind in truth["kind"]))


def test_a_clean_session_is_carried_whole(lab: Lab, tmp_path: Path) -> None:
    chatter = lab.within("rome", open_udp, ROME, 7000)
    document, truth = kept(lab, tmp_path, WORKLOAD, 2, lambda _: chatter.sendto(b"not for the ledger", (MILAN, 7000)))
    assert reasons_beyond_pacing(document) == []
    assert kinds(truth) == {Kind.CARRIED: sum(result["sent"] for result in document["flows"])}
    assert len(np.load(tmp_path / "ledger.npy")) == 2 * len(truth)  # seen where it goes in and where it comes out
    assert np.all((truth["transit_ns"] > 0) & (truth["time_ns"] >= 0))
    assert set(np.load(tmp_path / "alarms.npy")["verdict"]) == {Verdict.PLAINTEXT_IN}  # the chatter


def test_port_4500_at_either_end_and_nothing_else_passes_the_taps_filter(lab: Lab) -> None:
    """A NAT changes the source port on the way out and the destination port on the way back."""
    tap = lab.within("router", open_tap, "r-eth0")
    for name, interface in (("rome", "h-eth0"), ("router", "r-eth0")):
        lab.ip(name, f"address add fd00::{1 + (name == 'rome')}/64 dev {interface} nodad")
    listen_for_esp(tap)
    raw = lab.within("rome", socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    wanted = []
    for ports in ((4500, 4500), (33_000, 4500), (4500, 33_000), (33_000, 33_001), (4501, 4499), (0x86DD, 862)):
        payload = bytes((*ports[0].to_bytes(2, "big"), *ports[1].to_bytes(2, "big"), *range(60)))
        raw.sendto(udp_packet(ROME, "10.0.1.1", *ports, payload), ("10.0.1.1", 0))
        if 4500 in ports:
            wanted.append(payload)
    fragment = bytearray(udp_packet(ROME, "10.0.1.1", 4500, 4500, bytes(60)))
    fragment[6] |= 0x20  # more fragments
    raw.sendto(bytes(fragment), ("10.0.1.1", 0))
    for ports in ((4500, 33_000), (33_000, 4500), (33_000, 33_001)):
        with lab.within("rome", open_udp, "fd00::2", ports[0]) as six:
            six.sendto(payload + bytes(ports[1].to_bytes(2, "big")), ("fd00::1", ports[1]))
    seen = []
    until = time.monotonic() + 10  # IPv6 asks for its neighbour first
    while (frames := receive(tap) or (time.sleep(0.3) or receive(tap))) or (len(seen) < 5 and time.monotonic() < until):
        seen += [esp_of(frame) for frame, _, _ in frames]
    assert seen[:3] == wanted
    assert [esp[-2:] for esp in seen[3:]] == [(33_000).to_bytes(2, "big"), (4500).to_bytes(2, "big")]


def test_what_a_queue_drops_is_missing(lab: Lab, tmp_path: Path) -> None:
    lab.tc("router", "qdisc add dev r-eth1 root tbf rate 400kbit burst 1400 limit 3000")
    document, truth = kept(lab, tmp_path, [flow("upload", "rome", "milan", 100, 1200, 0)], 1)
    (result,) = document["flows"]
    assert result["lost"] > 20
    assert kinds(truth) == {Kind.CARRIED: result["received"], Kind.MISSING: result["lost"]}
    assert set(truth["point"][truth["kind"] == Kind.MISSING]) == {0}  # where it went in


def test_an_attackers_copies_changes_and_inventions(lab: Lab, tmp_path: Path) -> None:
    own = lab.within("router", open_tap, "r-eth0")
    raw = lab.within("router", socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    acts: Counter[Kind] = Counter()

    def attack(_: object) -> None:
        found = [esp for frame, _, _ in receive(own) if frame[34:38] == b"\x11\x94\x11\x94" and (esp := esp_of(frame))]
        for esp in found[:5]:
            for kind, sent in (
                (Kind.DUPLICATED, esp),
                (Kind.TAMPERED, esp[:-1] + bytes((esp[-1] ^ 1,))),
                (Kind.INJECTED, bytes((esp[0] ^ 1,)) + esp[1:]),
            ):
                raw.sendto(udp_packet(ROME, MILAN, 4500, 4500, sent), (MILAN, 0))
                acts[kind] += 1

    document, truth = kept(lab, tmp_path, [flow("upload", "rome", "milan", 100, 200, 0)], 4, attack)
    assert acts[Kind.TAMPERED] >= 10
    assert kinds(truth) == acts | Counter({Kind.CARRIED: document["flows"][0]["sent"] - acts[Kind.DUPLICATED]})
    alarms = np.load(tmp_path / "alarms.npy")
    for kind, verdict in (
        (Kind.TAMPERED, Verdict.FORGED),
        (Kind.DUPLICATED, Verdict.REPLAY_IN_WINDOW),
    ):
        true = truth[truth["kind"] == kind]
        raised = alarms[alarms["verdict"] == verdict]
        assert set(zip(true["spi"], true["sequence"], strict=True)) == set(
            zip(raised["spi"], raised["sequence"], strict=True)
        )
    assert np.count_nonzero(alarms["verdict"] == Verdict.UNKNOWN_SPI) == acts[Kind.INJECTED]
    assert len(alarms) == sum(acts.values())
