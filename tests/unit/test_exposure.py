"""What a run's listeners left, judged: who reads what, and who should not."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from results_lab import assert_fails, assert_invalid, check
from run_fixture import make_files

from testbed.emulation.exposure import may_read, operated_by, tapped
from testbed.ground.records import EXPOSURE
from testbed.plan.model import Node
from testbed.report.results import make_report, write_report
from testbed.report.text import print_report
from traffic.exposure import Kind, kind_of
from traffic.packets import ESP, NAT_T_PORT, UDP, ip_header, udp_packet


def row(node: str, by: str, levels: tuple[str, str], *, allowed: bool = False, lost: int = 0) -> dict[str, Any]:
    cells = [
        {"flow": flow, "level": level, "packets": 0 if level == "nothing" else 10}
        for flow, level in zip(("voice-rome", "web-milano"), levels, strict=True)
    ]
    role = "pop" if node.startswith("pop") else "satellite"
    named = {"node": node, "role": role, "operated_by": by, "may_read": allowed}
    return {**named, "frames": 1_000, "lost": lost, "flows": cells}


OVERLAY: dict[str, Any] = {
    "encryption": "overlay",
    "nodes": [
        row("NORAD44714", "space", ("metadata", "nothing")),
        row("pop-milan", "operator", ("metadata", "metadata")),
    ],
    "inner_addresses": {},
    "tunnels_refused": {},
    "untapped": 0,
}


def folder_with(exposure: dict[str, Any], folder: Path) -> Path:
    make_files().write(folder)
    (folder / EXPOSURE).write_text(json.dumps(exposure))
    return folder


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(OVERLAY) | changes


def test_where_nobody_on_the_way_reads_payload_the_run_passes(tmp_path: Path) -> None:
    report = make_report(folder_with(OVERLAY, tmp_path))
    assert report["verdict"] == "pass", report["reasons"]
    assert check(report, "exposure")["detail"] == (
        "encryption=overlay: nobody on the way reads payload; 2,000 frames looked at, at 2 nodes"
    )
    assert report["exposure"] == OVERLAY


def test_one_readable_packet_fails_the_run_and_names_the_node(tmp_path: Path) -> None:
    leaking = changed()
    leaking["nodes"][1]["flows"][0] = {"flow": "voice-rome", "level": "payload", "packets": 1, "first_ns": 5}
    report = make_report(folder_with(leaking, tmp_path))
    why = "exposure: PLAINTEXT_LEAK at pop-milan (operator): 1 packets of voice-rome in the clear"
    assert_fails(report, "exposure", why)


def test_a_leak_stands_even_in_a_run_that_cannot_be_judged_otherwise(tmp_path: Path) -> None:
    files = make_files()
    assert files.audit is not None
    files.audit |= {"valid": False, "invalid_reasons": ["the machine was busy"]}
    files.write(tmp_path)
    (tmp_path / EXPOSURE).write_text(json.dumps(changed(inner_addresses={"pop-milan": 2})))
    report = make_report(tmp_path)
    assert report["verdict"] == "fail"
    assert report["reasons"][0] == ("exposure: PLAINTEXT_LEAK at pop-milan: 2 packets bore an address from inside ESP")


def test_with_the_operators_encryption_its_pop_reads_payload_and_that_is_no_failure(tmp_path: Path) -> None:
    rows = [OVERLAY["nodes"][0], row("pop-milan", "operator", ("payload", "payload"), allowed=True)]
    report = make_report(folder_with(changed(encryption="operator", nodes=rows), tmp_path))
    assert report["verdict"] == "pass", report["reasons"]
    assert "operator reads payload at pop-milan" in check(report, "exposure")["detail"]


def test_frames_that_a_tap_lost_leave_no_judgement(tmp_path: Path) -> None:
    rows = [row("NORAD44714", "space", ("metadata", "nothing"), lost=7), OVERLAY["nodes"][1]]
    report = make_report(folder_with(changed(nodes=rows), tmp_path))
    assert_invalid(report, "exposure: taps lost 7 frames unread, most at NORAD44714")
    assert not check(report, "exposure")["judged"]


def test_beside_transfers_as_fast_as_they_go_lost_frames_only_leave_it_unjudged(tmp_path: Path) -> None:
    """Taps are read more slowly than such a transfer fills them; a leak that was seen still fails the run."""
    transfer = {"name": "cubic", "kind": "tcp"}
    files = make_files()
    files.change_plan(flows=(*files.plan.flows, transfer))
    files.write(tmp_path)
    rows = [row("NORAD44714", "space", ("metadata", "nothing"), lost=7), OVERLAY["nodes"][1]]
    (tmp_path / EXPOSURE).write_text(json.dumps(changed(nodes=rows)))
    report = make_report(tmp_path)
    assert (check(report, "exposure")["passed"], check(report, "exposure")["judged"]) == (True, False)
    assert not any("exposure" in reason for reason in report["reasons"])
    (tmp_path / EXPOSURE).write_text(json.dumps(changed(nodes=rows, inner_addresses={"pop-milan": 1})))
    assert any("PLAINTEXT_LEAK at pop-milan" in reason for reason in make_report(tmp_path)["reasons"])


def test_what_the_tunnel_refused_is_told(tmp_path: Path) -> None:
    refused = {"pop-milan": {"XfrmInStateProtoError": 12}}
    report = make_report(folder_with(changed(encryption="both", tunnels_refused=refused), tmp_path))
    told = "the operator's tunnel at pop-milan refused 12 × XfrmInStateProtoError"
    assert told in check(report, "exposure")["detail"]


def test_the_report_shows_the_matrix(tmp_path: Path) -> None:
    folder = folder_with(OVERLAY, tmp_path)
    report = write_report(folder)
    page = (folder / "report.html").read_text()
    assert "Exposure: who could read what" in page
    assert page.count("Metadata</span>") == 3
    out = io.StringIO()
    print_report(report, out)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["pop-milan", "operator", "20", "2", "of", "2", "metadata"] in lines
    assert ["NORAD44714", "space", "10", "1", "of", "2", "metadata"] in lines


def test_who_runs_a_node_and_who_may_read() -> None:
    nodes = [Node("s", "satellite", domain="operator"), Node("p", "pop"), Node("pe", "router", domain="carrier")]
    assert [operated_by(node) for node in nodes] == ["space", "operator", "carrier"]
    assert [operated_by(Node("n", role)) for role in ("terminal", "gateway", "router")] == [
        "operator", "operator", "government"
    ]  # fmt: skip
    assert [may_read(node, "operator") for node in nodes] == [False, True, True]
    assert not any(may_read(node, encryption) for node in nodes for encryption in ("overlay", "both"))


def test_every_node_is_tapped_but_hosts() -> None:
    names, left_out = tapped(make_files().plan)
    assert names == ["ut-rome", "ut-milano", "NORAD44714", "NORAD45123", "gw-milano", "pop-milan"]
    assert left_out == 0


ETHERNET = bytes(12) + b"\x08\x00"


def test_a_frame_shows_addresses_ports_class_and_spi() -> None:
    esp_in_udp = ETHERNET + udp_packet("10.0.0.1", "10.0.0.2", 1025, NAT_T_PORT, b"\1\2\3\4" + bytes(40), 46)
    kind = kind_of(esp_in_udp[:66])
    assert kind == Kind(b"\x0a\0\0\1", b"\x0a\0\0\2", UDP, 46 << 2, b"\x04\x01\x11\x94", b"\1\2\3\4")
    esp = ETHERNET + ip_header("10.0.0.1", "10.0.0.2", ESP, 40, 46) + b"\1\2\3\4" + bytes(36)
    assert kind_of(esp) == Kind(b"\x0a\0\0\1", b"\x0a\0\0\2", ESP, 46 << 2, b"", b"\1\2\3\4")
    six = bytes(12) + b"\x86\xdd" + udp_packet("fd00::1", "fd00::2", 1025, NAT_T_PORT, b"\1\2\3\4" + bytes(40), 46)
    kind = kind_of(six[:66])
    assert (kind.spi, kind.traffic_class, kind.source[-1], kind.destination[-1]) == (b"\1\2\3\4", 46 << 2, 1, 2)


def test_a_key_exchange_has_no_spi_and_other_udp_none_either() -> None:
    exchange = ETHERNET + udp_packet("10.0.0.1", "10.0.0.2", NAT_T_PORT, NAT_T_PORT, bytes(4) + b"exchange")
    assert kind_of(exchange).spi == b""
    assert kind_of(ETHERNET + udp_packet("10.0.0.1", "10.0.0.2", 862, 862, b"\1\2\3\4" * 5)).spi == b""


@pytest.mark.parametrize("size", range(70))
def test_no_length_raises(size: int) -> None:
    for ethertype in (b"\x08\x00", b"\x86\xdd", b"\xff\xff"):
        for filling in (0, 17, 50, 255):
            assert isinstance(kind_of((bytes([filling] * 12) + ethertype + bytes([filling] * 60))[:size]), Kind)
