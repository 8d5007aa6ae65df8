"""Sessions over real namespaces, links and queues."""

from __future__ import annotations

import json
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from traffic_hosts import MILAN, WORKLOAD, S, flow, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab

from traffic.errors import SessionError
from traffic.flows import parse_flows
from traffic.packets import INNER_PORT, Kind, parse_frame
from traffic.records import NOT_RECEIVED, PACKET_DTYPE
from traffic.session import SessionOptions, run_session
from traffic.timestamps import open_tap, open_udp, receive
from traffic.verdicts import Verdict

pytestmark = pytest.mark.netns


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def test_350_packets_per_second_through_a_shaper_are_all_genuine(lab: Lab, tmp_path: Path) -> None:
    lab.tc("router", "qdisc add dev r-eth1 root tbf rate 10mbit burst 3000 latency 200ms")
    seen: list[dict] = []
    document, rows = play(WORKLOAD, hosts(lab), tmp_path, 5, progress=seen.append)
    assert reasons_beyond_pacing(document) == []
    assert (document["alarms"], document["unattributed"]) == ([], {})
    assert seen[-1]["arrived"] > 1000
    told = seen[-1]["flows"]
    assert [sent for sent, _, _ in told] == [250, 250, 625, 625]
    assert sum(genuine for _, genuine, _ in told) == seen[-1]["arrived"]
    assert {alarms for _, _, alarms in told} == {0}
    for result, expected in zip(document["flows"], (250, 250, 625, 625), strict=True):
        assert result["sent"] == result["received"] == result["integrity"]["counts"]["GENUINE"] == expected
        assert result["lost"] == result["duplicated"] == result["reordered"] == result["gaps_over_200ms"] == 0
        assert list(result["integrity"]["counts"]) == ["GENUINE"]
    assert rows.dtype == PACKET_DTYPE
    assert len(rows) == 1750
    assert np.all(rows["verdict"] == Verdict.GENUINE)
    # 1,292 bytes on the wire at 10 Mbit/s: the second of two upload packets that meet waits 1 ms; none waits long.
    assert np.all(rows["delay_ns"] > 0)
    assert np.median(rows["delay_ns"]) < 5_000_000
    sent = np.sort(rows[rows["flow"] == 2]["tx_ns"])
    assert np.all(sent >= np.arange(625) * 8_000_000)  # never before it is due
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_measured_delay_holds_the_wait_in_the_senders_own_queue(lab: Lab, tmp_path: Path) -> None:
    # 1,306 bytes (1,292 and Ethernet) every 10 ms ask for 1.04 Mbit/s of 0.8: the queue grows by 3.06 ms a packet.
    lab.tc("rome", "qdisc add dev h-eth0 root tbf rate 800kbit burst 1400 limit 1000000")
    document, rows = play([flow("upload", "rome", "milan", 100, 1200, 0)], hosts(lab), tmp_path, 1)
    assert reasons_beyond_pacing(document) == []
    frame_bytes = 14 + 20 + 8 + 16 + (20 + 8 + 1200 + 2 + 2) + 16
    assert len(rows) == 100
    expected_ns = 99 * (frame_bytes * 8 / 800_000 * 1e9 - 10e6)
    assert rows["delay_ns"][99] == pytest.approx(expected_ns, abs=30e6)


def test_hosts_that_send_in_the_clear_are_heard_and_believed(lab: Lab, tmp_path: Path) -> None:
    """Through a NAT that chooses its own ports, as the others: the announcement opens it."""
    if shutil.which("iptables-legacy") is None:
        pytest.skip("iptables-legacy is not installed")
    lab.command("router", "iptables-legacy -t nat -A POSTROUTING -o r-eth1 -j MASQUERADE --random")
    opened = hosts(lab, rome_inside=True, port=INNER_PORT)
    listener = lab.within("router", open_tap, "r-eth0")
    document, _ = play(WORKLOAD, opened, tmp_path, 1, SessionOptions(encryption="operator"))
    assert reasons_beyond_pacing(document) == []
    assert (document["alarms"], document["unattributed"]) == ([], {})
    for result, expected in zip(document["flows"], (50, 50, 125, 125), strict=True):
        assert result["sent"] == result["received"] == expected
        assert result["integrity"] == {"verdict": "unprotected", "counts": {"UNPROTECTED": expected}}
    frames = [parse_frame(frame) for frame, _, _ in receive(listener)]
    assert {packet.destination_port for packet in frames if packet.kind is Kind.UDP} == {INNER_PORT}
    assert {packet.traffic_class for packet in frames if packet.kind is Kind.UDP} == {0, 46 << 2}
    assert json.loads((tmp_path / "keys.json").read_text()) == []


def test_hosts_behind_a_nat_are_reached_after_their_announcement(lab: Lab, tmp_path: Path) -> None:
    if shutil.which("iptables-legacy") is None:
        pytest.skip("iptables-legacy is not installed")
    lab.command("router", "iptables-legacy -t nat -A POSTROUTING -o r-eth1 -j MASQUERADE --random")
    lab.ip("milan", "route del default")  # rome's own address cannot be reached from outside
    document, _ = play(WORKLOAD, hosts(lab, rome_inside=True), tmp_path, 2)
    assert reasons_beyond_pacing(document) == []
    assert document["alarms"] == []
    for result in document["flows"]:
        assert result["not_sent"] == 0
        assert result["sent"] == result["received"] > 0


def test_a_host_whose_nat_changes_is_found_again(lab: Lab, tmp_path: Path) -> None:
    """A link that goes down makes the kernel forget its masquerades; the next packet gets another port."""
    lab.command("router", "iptables-legacy -t nat -A POSTROUTING -o r-eth1 -j MASQUERADE --random")
    lab.ip("milan", "route del default")
    opened = hosts(lab, rome_inside=True)
    for after_s, state in ((2.0, "down"), (2.3, "up")):
        threading.Timer(after_s, lab.ip, ("router", f"link set r-eth1 {state}")).start()
    document, rows = play(WORKLOAD, opened, tmp_path, 5)
    assert document["alarms"] == []
    down = next(n for n, result in enumerate(document["flows"]) if result["src"] == "milan")
    its = rows[rows["flow"] == down]
    lost = its["verdict"] == NOT_RECEIVED
    assert lost.any()
    assert not lost[its["tx_ns"] > 4 * S].any()


def test_without_an_announcement_nothing_is_sent_inwards(lab: Lab, tmp_path: Path) -> None:
    lab.ip("rome", "route del default")  # rome cannot announce itself
    document, rows = play([flow("download", "milan", "rome", 50, 200, 0)], hosts(lab, rome_inside=True), tmp_path, 0.5)
    assert "flow 'download' sent nothing: rome, behind a NAT, was never heard of" in document["invalid_reasons"]
    assert document["flows"][0]["not_sent"] == 25
    assert document["flows"][0]["integrity"]["verdict"] == "invalid"
    assert len(rows) == 0


@pytest.mark.parametrize("esn", [True, False])
def test_scapy_generates_the_same_traffic(lab: Lab, tmp_path: Path, esn: bool) -> None:
    flows = [
        flow("call", "rome", "milan", 20, 172, 46, "voice"),
        flow("upload", "rome", "milan", 20, 1200, 0),
        flow("answer", "milan", "rome", 20, 300, 10),
    ]
    options = SessionOptions(esn=esn, generator="scapy")
    document, _ = play(flows, hosts(lab, rome_inside=True), tmp_path, 1, options)
    assert reasons_beyond_pacing(document) == []
    assert document["alarms"] == []
    assert [result["received"] for result in document["flows"]] == [20, 20, 20]


def test_inner_ipv6_chacha20_and_no_esn(lab: Lab, tmp_path: Path) -> None:
    options = SessionOptions(esn=False, window=64, suite="CHACHA20-POLY1305")
    document, _ = play(WORKLOAD, hosts(lab, ipv6=True), tmp_path, 0.5, options)
    assert reasons_beyond_pacing(document) == []
    assert document["alarms"] == []
    assert all(result["sent"] == result["received"] for result in document["flows"])


def test_lost_packets_are_rows_without_delay(lab: Lab, tmp_path: Path) -> None:
    # A queue of 3,000 bytes at 0.4 Mbit/s: of 100 packets of 1.3 kB in a second, about 40 pass.
    lab.tc("router", "qdisc add dev r-eth1 root tbf rate 400kbit burst 1400 limit 3000")
    document, rows = play([flow("upload", "rome", "milan", 100, 1200, 0)], hosts(lab), tmp_path, 1)
    assert reasons_beyond_pacing(document) == []
    (result,) = document["flows"]
    assert 20 < result["received"] < 60
    assert result["lost"] == 100 - result["received"]
    lost = rows[rows["verdict"] == NOT_RECEIVED]
    assert len(lost) == result["lost"]
    assert np.all(lost["delay_ns"] == -1)
    assert np.all(lost["tx_ns"] > 0)  # what left is known, also of what was lost
    assert result["integrity"]["counts"] == {"GENUINE": result["received"]}


def test_a_tap_that_drops_makes_the_session_invalid(lab: Lab, tmp_path: Path) -> None:
    document, _ = play([flow("upload", "rome", "milan", 500, 1200, 0)], hosts(lab, buffer_bytes=4096), tmp_path, 0.5)
    assert not document["valid"]
    assert any("the tap of milan lost" in reason for reason in document["invalid_reasons"])
    assert document["flows"][0]["integrity"]["verdict"] == "invalid"


def test_missing_stamps_make_the_session_invalid(lab: Lab, tmp_path: Path) -> None:
    opened = hosts(lab)
    opened["rome"].udp.close()
    unstamped = lab.within("rome", open_udp, "10.0.1.2", 4500, no_checksum=True)
    opened["rome"] = replace(opened["rome"], udp=unstamped)
    document, rows = play([flow("upload", "rome", "milan", 50, 200, 0)], opened, tmp_path, 0.5)
    assert "25 of 25 packets lack a kernel time stamp" in document["invalid_reasons"]
    assert np.all(rows["delay_ns"] == -1)
    assert document["flows"][0]["received"] == 25


def test_a_starved_sender_makes_the_session_invalid(lab: Lab, tmp_path: Path) -> None:
    document, _ = play(WORKLOAD, hosts(lab), tmp_path, 1.5, progress=lambda _: time.sleep(0.3))
    assert any("the sender was starved of CPU" in reason for reason in document["invalid_reasons"])
    assert document["pacing_ms"]["p99"] > 100
    assert "generator" in [flow["rate"]["limited_by"] for flow in document["flows"]]


def test_no_route_is_loss_and_not_an_error(lab: Lab, tmp_path: Path) -> None:
    lab.ip("rome", "route del default")
    document, _ = play([flow("upload", "rome", "milan", 50, 200, 0)], hosts(lab), tmp_path, 0.5)
    assert reasons_beyond_pacing(document) == []
    assert (document["flows"][0]["sent"], document["flows"][0]["lost"]) == (25, 25)


def test_probes_may_pass_in_the_clear_and_others_may_not(lab: Lab, tmp_path: Path) -> None:
    opened = hosts(lab)
    probe = lab.within("rome", open_udp, "10.0.1.2", 7000)

    def send_probes(_: object) -> None:
        for port in (862, 863):
            probe.sendto(b"probe", (MILAN, port))

    options = SessionOptions(clear_udp_ports=(862,))
    document, _ = play([flow("call", "rome", "milan", 50, 172, 46)], opened, tmp_path, 1, options, send_probes)
    assert {alarm["detail"] for alarm in document["alarms"]} == {"UDP to port 863"}
    assert document["unattributed"] == {"milan": {"PLAINTEXT_IN": len(document["alarms"])}}
    assert document["flows"][0]["integrity"]["verdict"] != "attacked"  # no flow's association was touched


def test_a_folder_with_keys_is_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "keys.json").touch()
    with pytest.raises(SessionError, match=r"keys\.json: File exists; keys are never written over others"):
        play(WORKLOAD, hosts(lab), tmp_path, 1)


def test_hosts_without_sockets_and_mixed_families_are_refused(lab: Lab, tmp_path: Path) -> None:
    opened, flows = hosts(lab), parse_flows(WORKLOAD)
    mixed = opened | {"milan": replace(opened["milan"], inner="fd77::2")}
    with pytest.raises(SessionError, match="inner addresses of its hosts are IPv4 and IPv6"):
        run_session(flows, SessionOptions(), mixed, time.time_ns(), S, tmp_path)
    del opened["milan"]
    with pytest.raises(SessionError, match="no sockets were handed over for host 'milan'"):
        run_session(flows, SessionOptions(), opened, time.time_ns(), S, tmp_path)
