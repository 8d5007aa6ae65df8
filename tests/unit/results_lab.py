"""What the tests of a run's results share: a report of a run directory, and what may be said of it."""

from pathlib import Path
from typing import Any

from run_fixture import Files
from schema_check import faults

from testbed.report.results import exit_code, make_report


def report_of(files: Files, folder: Path) -> dict[str, Any]:
    report = make_report(files.write(folder))
    assert faults("report", report) == []
    return report


def check(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(check for check in report["checks"] if check["name"] == name)


def assert_fails(report: dict[str, Any], name: str, *reasons: str) -> None:
    """The run fails by this check alone, for these reasons and no other."""
    assert report["reasons"] == list(reasons)
    assert report["verdict"] == "fail"
    assert [check["name"] for check in report["checks"] if not check["passed"]] == [name]
    assert exit_code(report) == 1


def assert_invalid(report: dict[str, Any], *reasons: str) -> None:
    assert report["reasons"] == list(reasons)
    assert report["verdict"] == "invalid"
