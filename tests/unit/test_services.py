"""What the report says of services: right figures from known packets, and checks that can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_lab import assert_fails, assert_invalid, check, report_of
from run_fixture import HANDOVERS_NS, MS, Files, S

from testbed.report.results import write_report
from testbed.report.services import Packets, broadcast_latency_ns, deadlines, message_latency_ns, packets_of
from traffic.records import NOT_RECEIVED, PACKET_DTYPE


def declare(files: Files, flow: int, **fields: Any) -> None:
    """Add fields to the declaration of a flow, and its kind to the result."""
    flows = [dict(declared) for declared in files.plan.flows]
    flows[flow] |= fields
    files.change_plan(flows=tuple(flows))
    files.flows["flows"][flow]["kind"] = fields.get("kind", files.flows["flows"][flow]["kind"])


def sent(tx_ms: list[float], delay_ms: list[float]) -> Packets:
    """Packets; a negative delay is a lost one."""
    delay = np.array(delay_ms)
    return Packets((np.array(tx_ms) * MS).astype(np.int64), np.where(delay < 0, -1, delay * MS).astype(np.int64))


def test_a_call_is_rated_in_all_and_in_each_slot(files: Files, tmp_path: Path) -> None:
    (call,) = [flow["call"] for flow in report_of(files, tmp_path)["flows"] if "call" in flow]
    assert call["label"] == "estimate, narrowband, ITU-T G.107"
    assert [slot["packets"] for slot in call["per_slot"]] == [600, 750, 750, 750, 150]
    assert [slot["start"][11:19] for slot in call["per_slot"]] == [
        "05:59:57",
        "06:00:12",
        "06:00:27",
        "06:00:42",
        "06:00:57",
    ]
    # 3 packets of 20 ms are lost at each handover of 60 ms; the first slot, before :12, has none.
    assert [round(slot["loss_effective"] * slot["packets"]) for slot in call["per_slot"]] == [0, 3, 3, 3, 3]
    assert call["loss_effective"] == pytest.approx(12 / 3000)
    assert call["burst_r"] == pytest.approx(3 * (1 - 12 / 3000), abs=1e-3)
    assert call["per_slot"][4]["MOS"] < call["per_slot"][1]["MOS"] < call["per_slot"][0]["MOS"]
    assert call["fixed_60ms"]["m2e_ms"] > call["m2e_ms"]
    assert call["gaps"] == 0


def test_an_accepted_service_passes_and_says_by_how_much(files: Files, tmp_path: Path) -> None:
    declare(files, 0, acceptance={"mos_min": 3.6, "loss_max": 0.01, "delay_p99_ms": 400, "gaps_max": 0})
    report = report_of(files, tmp_path)
    assert report["verdict"] == "pass"
    found = check(report, "service:voice-rome")
    assert (found["passed"], found["judged"]) == (True, True)
    assert found["detail"] == (
        "delay p99 in ms 16.97, at most 400; gaps over 200 ms 0, at most 0; share lost 0.004, at most 0.01; "
        "MOS 4.342, at least 3.6"
    )


@pytest.mark.parametrize(
    ("acceptance", "reason"),
    [
        ({"mos_min": 4.4}, "MOS 4.342, accepted is at least 4.4"),
        ({"loss_max": 0.003}, "share lost 0.004, accepted is at most 0.003"),
        ({"delay_p95_ms": 15}, "delay p95 in ms 15.81, accepted is at most 15"),
        ({"delay_p99_ms": 16}, "delay p99 in ms 16.97, accepted is at most 16"),
    ],
)
def test_a_service_that_is_not_accepted_fails_the_run(
    files: Files, tmp_path: Path, acceptance: dict[str, float], reason: str
) -> None:
    declare(files, 0, acceptance=acceptance)
    report = report_of(files, tmp_path)
    assert_fails(report, "service:voice-rome", f"service: flow voice-rome (rome→dc-rome): {reason}")


def test_a_break_in_speech_fails_a_call_that_may_have_none(files: Files, tmp_path: Path) -> None:
    packets = files.packets
    within = (
        (packets["flow"] == 0) & (packets["tx_ns"] >= HANDOVERS_NS[0]) & (packets["tx_ns"] < HANDOVERS_NS[0] + S // 4)
    )
    packets["delay_ns"][within], packets["verdict"][within] = -1, NOT_RECEIVED
    declare(files, 0, acceptance={"gaps_max": 0})
    report = report_of(files, tmp_path)
    assert "service: flow voice-rome (rome→dc-rome): gaps over 200 ms 1, accepted is at most 0" in report["reasons"]


def test_commands_have_a_deadline(files: Files, tmp_path: Path) -> None:
    limits = {"delivered_within_deadline_min": 0.99}
    declare(files, 1, kind="message", deadline_ms=15.0, acceptance=limits)
    own = files.packets[files.packets["flow"] == 1]
    late = int(np.count_nonzero(own["delay_ns"] > 15 * MS))
    report = report_of(files, tmp_path)
    found = report["flows"][1]["deadlines"]
    assert 0 < late < 720
    assert (found["messages"], found["delivered"], found["within_deadline"]) == (720, 720, 720 - late)
    share = (720 - late) / 720
    assert found["share"] == pytest.approx(share, abs=1e-6)
    assert_fails(
        report,
        "service:web-milano",
        f"service: flow web-milano (dc-rome→milano): share within deadline {share:.4g}, accepted is at least 0.99",
    )
    declare(files, 1, kind="message", deadline_ms=30.0, acceptance=limits)
    (tmp_path / "again").mkdir()
    assert report_of(files, tmp_path / "again")["verdict"] == "pass"


def test_an_invalid_measurement_judges_no_service(files: Files, tmp_path: Path) -> None:
    declare(files, 0, acceptance={"mos_min": 4.5})
    files.flows |= {"valid": False, "invalid_reasons": ["captures lost 12 frames"]}
    report = report_of(files, tmp_path)
    assert_invalid(report, "traffic: captures lost 12 frames")
    assert check(report, "service:voice-rome") == {
        "name": "service:voice-rome",
        "passed": False,
        "judged": False,
        "detail": "not judged: the flow measurement is not valid",
    }


def test_services_of_a_run_without_flow_results_are_not_judged(files: Files, tmp_path: Path) -> None:
    declare(files, 0, acceptance={"mos_min": 1.0})
    files.flows = files.packets = None
    assert "the flows left no result" in check(report_of(files, tmp_path), "service:voice-rome")["detail"]


def test_a_flow_that_sent_nothing_is_not_accepted(files: Files, tmp_path: Path) -> None:
    declare(files, 0, acceptance={"loss_max": 1})
    files.flows["flows"][0]["sent"] = 0
    report = report_of(files, tmp_path)
    assert_fails(report, "service:voice-rome", "service: flow voice-rome: nothing was sent")


def test_an_alert_is_delivered_when_its_last_page_is(files: Files, tmp_path: Path) -> None:
    declare(files, 1, kind="alert", content="x" * 250, deadline_ms=1000.0)  # 3 pages, at 12 a second
    delivery = report_of(files, tmp_path)["flows"][1]["delivery"]
    assert (delivery["pages"], delivery["messages"], delivery["delivered"]) == (3, 240, 240)
    assert 2 / 12 * 1e3 < delivery["time_ms"]["p50"] < 2 / 12 * 1e3 + 20


def test_a_message_of_parts_is_whole_with_its_last_part() -> None:
    packets = sent([0, 10, 100, 110, 200, 210, 300], [30, 50, 60, 20, 5, -1, 5])
    latency = message_latency_ns(packets, 2)
    assert (latency / MS).tolist() == [60, 60, np.inf]  # the seventh packet begins a message that was never sent whole
    assert deadlines(latency, 60)["within_deadline"] == 2
    assert deadlines(latency, 59.9)["share"] == 0
    assert deadlines(latency, 0) == {
        "messages": 3,
        "delivered": 2,
        "deadline_ms": None,
        "within_deadline": None,
        "share": None,
        "time_ms": {"p50": 60, "p95": 60, "p99": 60, "max": 60},
    }


def test_a_missed_page_comes_again_with_the_next_broadcast() -> None:
    packets = sent([0, 100, 200, 300, 400, 500], [10, -1, 10, 10, 10, -1])
    # A phone that listens from 0 has page 2 at 310 ms; from 200 also at 310; from 400 page 2 never comes again.
    assert (broadcast_latency_ns(packets, 2) / MS).tolist() == [310, 110, np.inf]


def test_copies_and_missing_stamps_are_put_right() -> None:
    rows = np.zeros(5, PACKET_DTYPE)
    rows["sequence"] = [0, 1, 2, 3, 1]
    rows["tx_ns"] = [0, -1, 40 * MS, 60 * MS, -1]
    rows["delay_ns"] = [10 * MS, -1, -1, 12 * MS, 9 * MS]
    rows["verdict"] = [0, 0, NOT_RECEIVED, 0, 2]
    packets = packets_of(rows)
    assert packets.tx_ns.tolist() == [0, 20 * MS, 40 * MS, 60 * MS]
    assert packets.delay_ns.tolist() == [10 * MS, 11 * MS, -1, 12 * MS]  # 11: the median, for it came unstamped
    assert len(packets_of(rows[:0]).tx_ns) == 0
    assert deadlines(message_latency_ns(packets_of(rows[:0]), 1), 10)["share"] is None


def test_the_pages_show_calls_and_messages(files: Files, tmp_path: Path) -> None:
    declare(files, 1, kind="message", deadline_ms=15.0)
    write_report(files.write(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "Calls: estimate, narrowband, ITU-T G.107" in page
    assert "Messages: from the first packet sent" in page
    assert "voice-rome in slots of 15 s, estimate, narrowband, ITU-T G.107" in page
    assert "2026-06-14T06:00:12Z" in page


def test_flows_that_the_session_did_not_run_shift_no_others(files: Files, tmp_path: Path) -> None:
    declare(files, 0, acceptance={"mos_min": 3.6})
    declare(files, 1, kind="message", deadline_ms=30.0)
    files.change_plan(flows=({"name": "pages", "acceptance": {"loss_max": 0}}, *files.plan.flows))
    report = report_of(files, tmp_path)
    assert check(report, "service:voice-rome")["passed"]
    assert check(report, "service:pages")["detail"] == "nothing was sent"
    assert report["flows"][1]["deadlines"]["deadline_ms"] == 30
