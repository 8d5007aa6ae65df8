"""Taps over real namespaces: what the router between two protected hosts can read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from traffic_hosts import MILAN, ROME, WORKLOAD, S, hosts, routed
from traffic_lab import Lab

from traffic.exposure import Listeners, Watched, open_ears
from traffic.flows import parse_flows
from traffic.packets import ETHERNET_BYTES, udp_packet
from traffic.session import SessionOptions, make_canaries, run_session
from traffic.timestamps import open_udp

pytestmark = pytest.mark.netns


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


class Watch:
    """A session of the usual workload with a listener at the router."""

    def __init__(self, lab: Lab, **ears: int) -> None:
        self.flows = parse_flows(WORKLOAD, ("rome", "milan"))
        self.canaries = make_canaries(self.flows)
        addresses = {"rome": socket.inet_aton(ROME), "milan": socket.inet_aton(MILAN)}
        watched = [
            Watched(flow.name, canary, ((addresses[flow.src], addresses[flow.dst]),), flow.dscp)
            for flow, canary in zip(self.flows, self.canaries, strict=True)
        ]
        self.listeners = Listeners({"router": lab.within("router", open_ears, **ears)}, watched)
        self._lab = lab

    def play(self, folder: Path, seconds: float, options: SessionOptions | None = None) -> list[dict]:
        """Run, and return the router's row of the matrix."""
        opened, start_ns, done = hosts(self._lab), time.time_ns() + S // 2, threading.Event()
        listening = threading.Thread(target=self.listeners.listen, args=(done.is_set,))
        listening.start()
        try:
            work = (self.flows, options or SessionOptions(), opened, start_ns, round(seconds * S), folder)
            run_session(*work, canaries=self.canaries)
        finally:
            done.set()
            listening.join()
        return self.listeners.matrix(start_ns)["router"]


def test_esp_shows_its_metadata_and_never_its_payload(lab: Lab, tmp_path: Path) -> None:
    watch = Watch(lab)
    cells = watch.play(tmp_path, 1)
    assert [cell["level"] for cell in cells] == ["metadata"] * 4
    assert [cell["packets"] for cell in cells] == [50, 50, 125, 125]
    assert cells[0]["addresses"] == [f"{ROME} → {MILAN}"]
    assert cells[3]["bytes"][0] == cells[3]["bytes"][1] > 1200
    assert watch.listeners.taps["router"].lost == 0
    assert watch.listeners.inner_addresses([socket.inet_aton("10.77.0.1")]) == {}


def test_a_nat_does_not_hide_whose_packets_pass(lab: Lab, tmp_path: Path) -> None:
    """One flow is seen between its hosts' own addresses, then between others': the SPI tells."""
    watch = Watch(lab)
    watch.play(tmp_path, 1)
    tap = watch.listeners.taps["router"]
    kind, seen = next((kind, seen) for kind, seen in tap.kinds.items() if kind.spi and kind.source[2] == 1)
    for known in [known for known in tap.kinds if known.spi == kind.spi]:
        del tap.kinds[known]
    behind = type(tap)(tap.sock, kinds={kind: seen})
    beyond = type(tap)(tap.sock, kinds={kind._replace(source=socket.inet_aton("203.0.113.1"), ports=b"\0\1\0\2"): seen})
    watch.listeners.taps = {"behind": behind, "beyond": beyond}
    matrix = watch.listeners.matrix(0)
    levels = [[cell["level"] for cell in cells] for cells in matrix.values()]
    assert levels[0] == levels[1]
    assert levels[0].count("metadata") == 1


def test_one_packet_with_the_canary_in_clear_is_found_among_all(lab: Lab, tmp_path: Path) -> None:
    watch = Watch(lab)
    leak = udp_packet(ROME, MILAN, 1, 2, bytes(700) + watch.canaries[2] + bytes(300))
    sender = lab.within("rome", open_udp, ROME, 9)
    timer = threading.Timer(0.8, sender.sendto, (leak[28:], (MILAN, 9)))
    timer.start()
    cells = watch.play(tmp_path, 1)
    timer.join()
    assert [cell["level"] for cell in cells] == ["metadata", "metadata", "payload", "metadata"]
    assert cells[2]["packets"] == 1
    assert 0 < cells[2]["first_ns"] < 1 * S


def test_an_inner_address_on_the_wire_is_found(lab: Lab, tmp_path: Path) -> None:
    watch = Watch(lab)
    lab.ip("rome", "address add 10.77.0.1/32 dev lo")
    sender = lab.within("rome", open_udp, "10.77.0.1", 9)
    threading.Timer(0.8, sender.sendto, (b"order", (MILAN, 9))).start()
    watch.play(tmp_path, 1)
    assert watch.listeners.inner_addresses([socket.inet_aton("10.77.0.1")]).keys() == {"router"}


def test_frames_that_the_tap_lost_are_counted(lab: Lab, tmp_path: Path) -> None:
    watch = Watch(lab, buffer_bytes=4096)
    watch.play(tmp_path, 1)
    assert watch.listeners.taps["router"].lost > 0


def test_frames_of_any_length_are_looked_at(lab: Lab) -> None:
    """The kernel hands a tap bundles of segments: far longer than the MTU."""
    watch = Watch(lab)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    listeners = Listeners({"router": near}, [Watched("a", watch.canaries[0], (), 0)])
    far.send(bytes(ETHERNET_BYTES + 60_000) + watch.canaries[0])
    far.send(watch.canaries[0][1:])
    listeners.drain()
    assert listeners.taps["router"].canaries == {0: 1}
    assert listeners.taps["router"].frames == 2
    near.close()
    far.close()
