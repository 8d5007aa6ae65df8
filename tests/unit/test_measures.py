"""Measures per slot and around handovers, on the made-up run: its handovers lose what is sent within 60 ms of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_fixture import HANDOVERS_NS, MS, Files, S, make_files, make_plan
from scipy.stats import binomtest

from testbed.report.evidence import read_evidence
from testbed.report.measures import handovers_of, measured_flows, sent_times_ns, slots
from testbed.report.results import write_report


def measures(files: Files, folder: Path) -> list[dict]:
    return [flow["measures"] for flow in measured_flows(read_evidence(files.write(folder)))]


def test_slots_begin_at_12_27_42_and_57(tmp_path: Path) -> None:
    voice, _ = measures(make_files(), tmp_path)
    assert [slot["begin_utc"][11:] for slot in voice["slots"]] == [
        "05:59:57Z", "06:00:12Z", "06:00:27Z", "06:00:42Z", "06:00:57Z"
    ]  # fmt: skip
    assert [slot["sent"] for slot in voice["slots"]] == [600, 750, 750, 750, 150]  # 50 packets/s
    assert [slot["lost"] for slot in voice["slots"]] == [0, 3, 3, 3, 3]
    assert [slot["begin_s"] for slot in voice["slots"]] == [0, 12, 27, 42, 57]
    assert sum(slot["sent"] for slot in voice["slots"]) == voice["loss"]["sent"] == 3000


def test_slots_of_an_accelerated_schedule_are_shorter() -> None:
    plan = replace(make_plan(), speed=5.0)
    found = slots(plan)
    assert [(begin, end) for _, begin, end in found[:3]] == [
        (-600_000_000, 2_400_000_000), (2_400_000_000, 5_400_000_000), (5_400_000_000, 8_400_000_000)
    ]  # fmt: skip
    assert found[-1][1] < plan.duration_ns <= found[-1][2]


def test_figures_of_a_slot_are_those_of_its_packets(tmp_path: Path) -> None:
    files = make_files()
    voice, _ = measures(files, tmp_path)
    assert files.packets is not None
    own = files.packets[files.packets["flow"] == 0]
    inside = own[(own["tx_ns"] >= 12 * S) & (own["tx_ns"] < 27 * S) & (own["verdict"] == 0)]
    slot = voice["slots"][1]
    assert slot["one_way_delay_ms"]["p99"] == pytest.approx(
        np.quantile(inside["delay_ns"], 0.99, method="inverted_cdf") / 1e6, abs=1e-6
    )
    low, high = slot["one_way_delay_ci95_ms"]["p50"]
    assert low < slot["one_way_delay_ms"]["p50"] < high
    exact = binomtest(3, 750).proportion_ci(0.95, "exact")
    assert slot["loss_ci95"] == pytest.approx((exact.low, exact.high))


def test_around_a_handover_the_second_before_and_the_second_after(tmp_path: Path) -> None:
    voice, web = measures(make_files(), tmp_path)
    assert [around["time_s"] for around in voice["handovers"]] == [time_ns / S for time_ns in HANDOVERS_NS]
    assert {around["node"] for around in voice["handovers"]} == {"ut-rome"}
    assert {around["node"] for around in web["handovers"]} == {"ut-milano"}
    first = voice["handovers"][0]
    assert (first["before"]["sent"], first["before"]["lost"]) == (50, 0)
    assert (first["after"]["sent"], first["after"]["lost"]) == (50, 3)
    assert (first["from"], first["to"]) == ("NORAD44714", "NORAD45123")
    assert 60 < first["silence_ms"] < 90  # three packets in a row are missing, of one every 20 ms
    assert first["step_ms"] == pytest.approx(
        first["after"]["one_way_delay_ms"]["p50"] - first["before"]["one_way_delay_ms"]["p50"]
    )


def test_pairs_without_a_path_see_every_handover() -> None:
    plan = make_plan()
    assert len(handovers_of(plan, "rome", "dc-rome")) == 4
    assert len(handovers_of(plan, "rome", "milano")) == 8


def test_a_packet_without_a_stamp_belongs_between_its_neighbours() -> None:
    files = make_files()
    assert files.packets is not None
    rows = files.packets[files.packets["flow"] == 0].copy()
    rows["tx_ns"][700] = -1
    assert sent_times_ns(rows)[700] == 14 * S
    rows["tx_ns"] = -1
    assert set(sent_times_ns(rows)) == {-1}


def test_what_comes_after_the_waiting_time_is_lost_and_late(tmp_path: Path) -> None:
    files = make_files()
    assert files.packets is not None
    files.packets["delay_ns"][100] = 1_501 * MS
    voice, _ = measures(files, tmp_path)
    assert voice["waiting_time_s"] == 1.5
    assert (voice["loss"]["lost"], voice["loss"]["late"]) == (13, 1)


def test_the_page_holds_them_and_flows_without_packets_are_left_as_they_are(tmp_path: Path) -> None:
    files = make_files()
    assert files.flows is not None
    files.flows["flows"].append(files.flows["flows"][0] | {"name": "silent"})
    report = write_report(files.write(tmp_path))
    assert ["measures" in flow for flow in report["flows"]] == [True, True, False]
    page = (tmp_path / "report.html").read_text()
    assert "0.40 % lost in 4 periods of 3 at most" in page
    assert "after ut-rome: silent for 81 ms" in page
