"""What a report says of services over TCP."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from results_lab import assert_fails, check, report_of
from run_fixture import Files, make_files

from testbed.report.internet import KINDS, limits, queues_behind, rows
from testbed.report.results import write_report
from testbed.report.text import print_report
from traffic import bulk, web
from traffic.bulk import TcpFlow, Transfer, summarise_tcp
from traffic.web import PageLoad, WebFlow, summarise_web

S = 1_000_000_000
WEB = WebFlow("web-rome", "web", "rome", "dc-rome", 0, 71, 18_432, 38_531, 6, 5.0, S, 50 * S)
TCP = TcpFlow("cubic-rome-up", "tcp", "rome", "dc-rome", 0, "cubic", "none", 8, S, 50 * S)
TRANSFER = Transfer(37.1e6, 40_000_000, 37_000_000, 96, {"min": 33.0, "mean": 90.0, "max": 121.0}, "cubic", 4.0)


def page(load_ms: float | None, error: str | None = None) -> PageLoad:
    return PageLoad(S, (34.0,), (40.0,), 35.0, load_ms, 2_715_000, "X25519MLKEM768", 30.0, error)


@pytest.fixture
def files() -> Files:
    files = make_files()
    services = [{"name": flow.name, "kind": flow.kind, "src": flow.src, "dst": flow.dst} for flow in (WEB, TCP)]
    files.change_plan(flows=(*files.plan.flows, *services))
    return files


def judged(files: Files, folder: Path, *told: dict[str, Any]) -> dict[str, Any]:
    """The report of a run whose services came to this; without any, of one that left no result."""
    files.write(folder)
    if told:
        (folder / "internet.json").write_text(json.dumps({"services": told}))
    return write_report(folder)


def good() -> list[dict[str, Any]]:
    return [summarise_web(WEB, [page(800.0), page(900.0)]), summarise_tcp(TCP, TRANSFER, None, 50.0)]


def test_the_kinds_are_those_of_the_traffic() -> None:
    assert KINDS == (web.KIND, bulk.KIND)


def test_services_that_all_went_well_pass_and_are_shown(files: Files, tmp_path: Path) -> None:
    report = judged(files, tmp_path, *good())
    assert report["verdict"] == "pass"
    assert check(report, "internet")["detail"] == "web-rome 2 of 2 page loads, cubic-rome-up 1 of 1 transfers"
    assert [service["limited_by"] for service in report["internet"]["services"]] == ["network", "network"]
    text = io.StringIO()
    print_report(report, text)
    assert "pages 2/2, load p50/p95 850/895 ms, handshake p50 40 ms" in text.getvalue().replace("\n", " ")
    assert "goodput 37.1 Mbit/s, retransmits 96, RTT min/mean/max 33/90/121 ms" in text.getvalue().replace("\n", " ")
    page_text = (tmp_path / "report.html").read_text()
    for word in ("Services over TCP", "X25519MLKEM768", "850/895 ms", "37.1 Mbit/s"):
        assert word in page_text


def test_failed_page_loads_fail_the_check_and_say_why(files: Files, tmp_path: Path) -> None:
    told = [summarise_web(WEB, [page(800.0), page(None, "given up"), page(None, "given up")]), good()[1]]
    report = judged(files, tmp_path, *told)
    assert_fails(report, "internet", "web: 2 of 3 page loads failed: web-rome: given up")


def test_a_failed_transfer_fails_the_check(files: Files, tmp_path: Path) -> None:
    report = judged(files, tmp_path, good()[0], summarise_tcp(TCP, None, "iperf3: no route to host", None))
    assert_fails(report, "internet", "tcp: 1 of 1 transfers failed: cubic-rome-up: iperf3: no route to host")
    print_report(report, io.StringIO())


def test_no_page_load_at_all_is_no_success(files: Files, tmp_path: Path) -> None:
    report = judged(files, tmp_path, summarise_web(WEB, []), good()[1])
    reason = "web: web-rome (rome→dc-rome): no page load was begun: let the run last longer"
    assert_fails(report, "internet", reason)


def test_a_missing_result_is_no_success(files: Files, tmp_path: Path) -> None:
    report = judged(files, tmp_path)
    assert report["verdict"] == "invalid"
    assert "run: partial, internet.json is missing" in report["reasons"]
    assert not check(report, "internet")["judged"]


def test_what_the_generator_or_the_machine_limits_is_a_warning(files: Files, tmp_path: Path) -> None:
    pages, transfer = good()
    report = judged(files, tmp_path, pages | {"limited_by": "machine"}, transfer | {"limited_by": "generator"})
    assert report["verdict"] == "pass"
    assert any("web-rome: limited by the machine" in line for line in report["warnings"])
    assert any("cubic-rome-up: limited by its generator" in line for line in report["warnings"])
    assert limits({"services": good()}) == []


def test_a_player_that_is_late_too_often_blames_the_machine(files: Files, tmp_path: Path) -> None:
    """A guest does not see in its own idle time that its host gave it none."""
    files.ticks["late_ns"][::10] = 60_000_000
    (tmp_path / "late").mkdir()
    report = judged(files, tmp_path / "late" / "run", *good())
    assert [service["limited_by"] for service in report["internet"]["services"]] == ["machine", "machine"]
    assert any("cubic-rome-up: limited by the machine" in line for line in report["warnings"])
    files.ticks["late_ns"][:] = 0
    files.ticks["late_ns"][::50] = 60_000_000
    report = judged(files, tmp_path / "late" / "again", *good())
    assert [service["limited_by"] for service in report["internet"]["services"]] == ["network", "network"]


def test_a_plan_with_services_alone_has_no_encrypted_flows_to_judge(files: Files, tmp_path: Path) -> None:
    files.change_plan(flows=files.plan.flows[-2:])
    files.flows = files.packets = None
    report = judged(files, tmp_path, *good())
    assert (report["verdict"], report["missing"]) == ("pass", [])
    assert not check(report, "integrity")["judged"]


def test_a_plan_without_services_has_no_such_check(tmp_path: Path) -> None:
    report = report_of(make_files(), tmp_path)
    assert report["internet"] is None
    assert "internet" not in [check["name"] for check in report["checks"]]


@pytest.mark.parametrize(
    ("kind", "service", "flow", "shared"),
    [
        ("tcp", ("rome", "dc"), ("rome", "dc", 0), True),  # up the same access link
        ("tcp", ("rome", "dc"), ("dc", "rome", 0), False),
        ("tcp", ("rome", "dc"), ("rome", "dc", 46), False),  # expedited forwarding has a band of its own
        ("tcp", ("rome", "dc"), ("taranto", "milan", 0), False),
        ("web", ("rome", "dc"), ("dc", "rome", 0), True),  # pages come down
        ("web", ("rome", "dc"), ("rome", "dc", 0), False),
        ("tcp", ("dc", "rome"), ("milan", "rome", 0), True),  # down the same access link
    ],
)
def test_which_flows_may_lose_packets_to_tcp(
    kind: str, service: tuple[str, str], flow: tuple[str, str, int], shared: bool
) -> None:
    other = {"kind": kind, "src": service[0], "dst": service[1], "dscp": 0}
    declared = {"kind": "bulk", "src": flow[0], "dst": flow[1], "dscp": flow[2]}
    assert queues_behind(declared, [declared, other]) == shared
    assert not queues_behind(declared, [declared])


def test_a_row_for_each_service() -> None:
    web_row, tcp_row = rows({"services": good()})
    assert (web_row["name"], web_row["failed"], web_row["limited_by"]) == ("web-rome", 0, "network")
    assert dict(tcp_row["told"])["algorithm"] == "cubic"
