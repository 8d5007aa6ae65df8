"""The report of a run: what it holds, which verdict wins, and what is said of files that cannot be read."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from results_lab import assert_invalid, check, report_of
from run_fixture import DURATION_NS, MS, Files, S, make_files

from testbed.ground.errors import PlanError, RunError
from testbed.plan.model import Event
from testbed.report.checks import AUDIT_CHECKS, TRAFFIC_CHECKS
from testbed.report.results import exit_code, make_report, write_report


def test_a_good_run_passes(files: Files, tmp_path: Path) -> None:
    report = report_of(files, tmp_path)
    assert (report["verdict"], report["reasons"], exit_code(report)) == ("pass", [], 0)
    assert [check["name"] for check in report["checks"]] == [*AUDIT_CHECKS, *TRAFFIC_CHECKS]
    assert all(check["passed"] for check in report["checks"])


def test_the_report_has_what_the_design_promises(files: Files, tmp_path: Path) -> None:
    report = report_of(files, tmp_path)
    assert report["schema"] == 1
    assert report["topology"] == "starlink-italy"
    assert (report["where"], report["start"], report["duration_s"]) == ("uml", "2026-06-14T06:00:00Z", 60.0)
    assert report["plan"] == {"satellites": 10_544, "satellites_used": 2, "links": 14, "handovers": 8}
    audit = report["audit"]
    assert (audit["samples"], audit["ticks"], audit["late_ticks"]) == (4080, 600, 0)
    assert (audit["unplanned_losses"], audit["readback_mismatches"]) == (0, 0)
    assert audit["one_way_delay_error_us"].keys() == {"p50", "p90", "p99", "max"}
    assert audit["paths"][0]["path"] == ["rome", "ut-rome", "NORAD44714", "gw-milano", "pop-milan", "dc-rome"]
    assert audit["paths"][0].keys() >= {"netem_hops", "error_us", "planned_p50_ms", "measured_p50_ms"}
    assert report["flows"][0]["integrity"] == {"verdict": "intact", "counts": {"GENUINE": 2988}}
    assert report["events"]["handovers"] == 8
    assert report["events"]["list"][0] == {
        "time_s": 12.0,
        "time_utc": "2026-06-14T06:00:12.000Z",
        "kind": "handover",
        "node": "ut-rome",
        "cause": "slot",
        "window_ms": 60.0,
        "detail": {
            "from": "NORAD44714",
            "to": "NORAD45123",
            "gateway_from": "gw-milano",
            "gateway_to": "gw-milano",
        },
    }
    assert report["manifest"]["seed"] == 1
    assert len(report["assumptions"]) == 2


def test_the_run_directory_is_named_as_given(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert make_report(Path(tmp_path.name))["run_dir"] == tmp_path.name


def test_the_report_is_written_as_standard_json_beside_the_page(files: Files, tmp_path: Path) -> None:
    files.flows["flows"][0]["one_way_delay_ms"]["p99"] = float("inf")
    report = write_report(files.write(tmp_path))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse) == report
    assert report["flows"][0]["one_way_delay_ms"]["p99"] is None
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


# The audit's checks


def test_an_interrupted_run_gives_a_partial_report(files: Files, tmp_path: Path) -> None:
    files.run |= {"ended": "interrupted", "played_ns": 31_240 * MS}
    files.audit = files.flows = files.packets = files.samples = None
    report = write_report(files.write(tmp_path))
    assert_invalid(
        report,
        "run: interrupted after 31.2 s of 60.0 s",
        "run: partial, audit.json is missing",
        "run: partial, flows.json is missing",
        "run: partial, samples.npy is missing",
        "run: partial, flows.npy is missing",
    )
    assert exit_code(report) == 130
    assert (report["audit"], report["flows"]) == (None, [])
    assert check(report, "link-delay")["detail"] == "not judged: the audit left no judgement"
    assert check(report, "flow-loss")["detail"] == "not judged: the flows left no result"


def test_a_failed_run_says_why_and_never_played(files: Files, tmp_path: Path) -> None:
    error = "ut-rome: sch_netem is missing: run `testbed doctor`"
    files.run |= {"ended": "failed", "error": error, "played_ns": 0, "started_utc": None}
    report = write_report(files.write(tmp_path))
    assert_invalid(report, f"run: failed after 0.0 s of 60.0 s: {error}")
    assert exit_code(report) == 4


@pytest.mark.parametrize(
    ("name", "content", "gap"),
    [
        ("audit.json", None, "audit.json is missing"),
        ("ticks.npy", None, "ticks.npy is missing"),
        ("manifest.json", None, "manifest.json is missing"),
        ("flows.json", b"[]", "flows.json is damaged (not a JSON object)"),
        (
            "audit.json",
            b"{",
            "audit.json is damaged (Expecting property name enclosed in double quotes: line 1 column 2",
        ),
        ("samples.npy", b"", "samples.npy is damaged (No data left in file)"),
        ("adversary.jsonl", b'{"action": "replay"}\n{"act', "adversary.jsonl is damaged (line 2: Unterminated string"),
    ],
)
def test_a_file_that_cannot_be_read_makes_the_run_invalid(
    files: Files, tmp_path: Path, name: str, content: bytes | None, gap: str
) -> None:
    files.write(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    report = make_report(tmp_path)
    assert report["verdict"] == "invalid"
    assert report["reasons"][0].startswith(f"run: partial, {gap}")
    assert report["missing"][0].startswith(gap)


def test_an_array_with_other_columns_makes_the_run_invalid(files: Files, tmp_path: Path) -> None:
    files.ticks = np.zeros(3)
    assert_invalid(report_of(files, tmp_path), "run: partial, ticks.npy has the wrong columns")


def test_a_run_that_has_not_ended_has_no_report(files: Files, tmp_path: Path) -> None:
    files.run = None
    with pytest.raises(RunError) as caught:
        report_of(files, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: run.json is missing: the run is still going or was killed; wait for its end, or run it again"
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="not a readable plan"):
        make_report(tmp_path)


def test_invalid_wins_over_fail_and_fail_over_pass(tmp_path: Path) -> None:
    cases = itertools.product(("complete", "interrupted", "failed"), (True, False), (True, False), (True, False))
    for number, (ended, audit_valid, flows_valid, good) in enumerate(cases):
        files = make_files()
        files.run["ended"] = ended
        files.audit["valid"], files.flows["valid"] = audit_valid, flows_valid
        files.audit["late_ticks"] = 0 if good else 9
        folder = tmp_path / str(number)
        folder.mkdir()
        report = report_of(files, folder)
        valid = ended == "complete" and audit_valid and flows_valid
        assert report["verdict"] == ("invalid" if not valid else "pass" if good else "fail")
        assert exit_code(report) == (130 if ended == "interrupted" else 4 if not valid else 0 if good else 1)


# What the report knows of others without importing them


def test_other_events_are_listed_and_not_counted_as_handovers(files: Files, tmp_path: Path) -> None:
    outage = Event(DURATION_NS - S, "outage", "ut-rome", "no satellite in view", S)
    files.change_plan(events=(*files.plan.events, outage))
    events = report_of(files, tmp_path)["events"]
    assert (events["handovers"], len(events["list"]), events["list"][-1]["kind"]) == (8, 9, "outage")


def edges(files: Files, *extra: str) -> str:
    """What a run of three domains tells of the carrier's edge, which learned `extra` too."""
    ways = [
        [{"after_ns": step.time_ns, "by_ns": step.time_ns, "nodes": step.nodes} for step in path]
        for path in files.plan.paths
    ]
    expected = ["198.51.100.0/24", "203.0.113.0/24"]
    edge = {"router": "pe-milan", "domain": "carrier", "as": 64_498, "announces": [], "expected": expected}
    told = {"routers": 3, "daemons": 9, "memory_bytes": 0, "started_s": 1.0, "settled_s": 1.0, "resolution_ns": 20 * MS}
    return json.dumps(told | {"changes": [], "ways": ways, "edges": [edge | {"learned": [*expected, *extra]}]})


def test_what_leaks_between_domains_fails_a_run(files: Files, tmp_path: Path) -> None:
    folder = files.write(tmp_path)
    (folder / "routing.json").write_text(edges(files))
    passed = make_report(folder)
    assert check(passed, "announcements")["passed"]
    assert passed["routing"]["domains"][0]["leaked"] == []
    (folder / "routing.json").write_text(edges(files, "100.64.0.0/24", "10.0.0.4/31"))
    failed = write_report(folder)
    assert (failed["verdict"], exit_code(failed)) == ("fail", 1)
    assert "<td>10.0.0.4/31, 100.64.0.0/24</td>" in (folder / "report.html").read_text()
    assert not check(failed, "announcements")["passed"]
    assert failed["reasons"] == [
        "domains: pe-milan (carrier) learned 10.0.0.4/31, 100.64.0.0/24 by BGP, which no domain was to announce"
    ]
