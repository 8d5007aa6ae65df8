"""The checks of the audit: each passes on a good run, fails on a bad one, and blames no link without evidence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from results_lab import assert_fails, assert_invalid, check, report_of
from run_fixture import MS, Files

from testbed.emulation.player import LATE_NS
from testbed.report.checks import AFTERMATH_NS
from testbed.report.results import exit_code


def test_the_error_over_all_links_leaves_out_paths_transitions_and_losses(files: Files, tmp_path: Path) -> None:
    samples = np.zeros(6, files.samples.dtype)
    samples["path"] = [False, False, False, False, False, True]
    samples["delay_ns"] = [1_100, 1_200, 1_700, -1, 9_000, 9_000]
    samples["planned_ns"] = [1_000, 1_300, 1_400, 1_000, 1_000, 1_000]
    samples["transition"] = [False, False, False, False, True, False]
    files.samples = samples
    report = report_of(files, tmp_path)
    assert report["audit"]["one_way_delay_error_us"] == pytest.approx(
        {"p50": 0.1, "p90": 0.26, "p99": 0.296, "max": 0.3}
    )


def test_a_link_off_its_plan_fails(files: Files, tmp_path: Path) -> None:
    row = files.audit["links"][0]
    row["passed"], row["error_us"] = False, {"p50": 5012.0, "p90": 5100.0, "p99": 5200.0, "max": 5300.0}
    report = report_of(files, tmp_path)
    assert_fails(
        report, "link-delay", "audit: link ut-rome→NORAD44714 is off its plan: error p50 5.012 ms, budget 0.150 ms"
    )
    assert check(report, "link-delay")["detail"] == (
        "13 of 14 link directions within p50 150 µs and p90 300 µs; worst ut-rome→NORAD44714, p50 5,012 µs"
    )


def test_a_link_off_at_its_90th_percentile_alone_fails(files: Files, tmp_path: Path) -> None:
    row = files.audit["links"][3]
    row["passed"], row["error_us"] = False, {"p50": 90.0, "p90": 512.0, "p99": 900.0, "max": 901.0}
    assert_fails(
        report_of(files, tmp_path),
        "link-delay",
        "audit: link NORAD44714→ut-milano is off its plan: error p90 0.512 ms, budget 0.300 ms",
    )


def test_the_audit_has_the_last_word_on_a_link(files: Files, tmp_path: Path) -> None:
    files.audit["links"][0]["passed"] = False
    assert_fails(
        report_of(files, tmp_path),
        "link-delay",
        "audit: link ut-rome→NORAD44714 is off its plan by the audit's judgement, though its error p50 and p90 are "
        "within budget",
    )


def test_a_link_with_too_few_probes_is_not_judged(files: Files, tmp_path: Path) -> None:
    files.audit["links"][0] |= {"samples": 0, "judged": False, "error_us": None}
    report = report_of(files, tmp_path)
    assert report["verdict"] == "pass"
    assert report["warnings"] == ["1 of 14 link directions had too few probes to judge"]
    assert check(report, "link-delay")["detail"].endswith("; 1 that could not be judged")


def test_a_run_in_which_no_link_was_judged_is_invalid(files: Files, tmp_path: Path) -> None:
    for row in files.audit["links"]:
        row |= {"judged": False, "error_us": None}
    for row in files.audit["paths"]:
        row |= {"judged": False, "error_us": None}
    assert_invalid(
        report_of(files, tmp_path),
        "audit: too few probes on each of 14 links: let the run last longer",
        "audit: too few probes on each of 4 paths: let the run last longer",
    )


def test_a_path_off_its_plan_fails(files: Files, tmp_path: Path) -> None:
    row = files.audit["paths"][1]
    row["passed"], row["error_us"] = False, {"p50": 1200.0, "p90": 1300.0, "p99": 1400.0, "max": 1500.0}
    assert_fails(
        report_of(files, tmp_path),
        "path-delay",
        "audit: path dc-rome→rome is off its plan: error p50 1.200 ms, budget 0.360 ms for 3 netem hops",
    )


def test_unplanned_losses_fail(files: Files, tmp_path: Path) -> None:
    files.audit["links"][0] |= {"unplanned_losses": 3, "passed": False}
    files.audit["paths"][0] |= {"unplanned_losses": 1, "passed": False}
    assert_fails(
        report_of(files, tmp_path),
        "unplanned-losses",
        "audit: link ut-rome→NORAD44714 lost 3 of 120 probes that the plan keeps",
        "audit: path rome→dc-rome lost 1 of 596 probes that the plan keeps",
    )


def test_settings_that_the_kernel_did_not_hold_fail(files: Files, tmp_path: Path) -> None:
    mismatch = {"a": "ut-rome", "b": "NORAD44714", "field": "delay_ns", "planned": 4_000_000, "held": 5_000_000}
    other = mismatch | {"a": "gw-milano", "b": "pop-milan", "field": "qdisc", "planned": "netem", "held": "another"}
    files.audit["readback"]["mismatches"] = [
        mismatch | {"time_ns": 12_345 * MS},
        mismatch | {"time_ns": 13_000 * MS},
        other | {"time_ns": 14_000 * MS},
    ]
    report = report_of(files, tmp_path)
    assert_fails(
        report,
        "read-back",
        "read-back: at 12.345 s the kernel held delay_ns 5000000 on link ut-rome→NORAD44714, the plan says 4000000 "
        "(2 times in all)",
        "read-back: at 14.000 s the kernel held qdisc another on link gw-milano→pop-milan, the plan says netem",
    )
    assert report["audit"]["readback_mismatches"] == 3


def test_late_ticks_fail(files: Files, tmp_path: Path) -> None:
    files.audit |= {"late_ticks": 7, "tick_late_ms": {"p50": 1.0, "p99": 60.0, "max": 72.25}}
    assert_fails(report_of(files, tmp_path), "ticks", "player: 7 of 600 ticks were late, the worst by 72.2 ms")


def test_a_run_without_ticks_fails(files: Files, tmp_path: Path) -> None:
    files.audit |= {"ticks": 0, "tick_late_ms": None}
    assert_fails(report_of(files, tmp_path), "ticks", "player: no tick was played")


def test_a_plan_that_changes_nothing_has_no_ticks_to_play(files: Files, tmp_path: Path) -> None:
    """A carrier's fibre that is not cut."""
    files.audit |= {"ticks": 0, "tick_late_ms": None}
    plan = files.plan
    still = plan.steps[plan.steps["time_ns"] == 0]
    files.plan = replace(plan, steps=still, routes=tuple(route for route in plan.routes if not route.time_ns))
    found = check(report_of(files, tmp_path), "ticks")
    assert (found["passed"], found["judged"], found["detail"]) == (True, False, "the plan changes nothing")


# The flows' checks


def test_a_starved_run_blames_no_link(files: Files, tmp_path: Path) -> None:
    why = "12 of 600 ticks ended more than 50 ms late (worst 80.0 ms): the machine was starved of CPU"
    files.audit |= {"valid": False, "invalid_reasons": [why], "late_ticks": 12}
    for row in files.audit["links"]:
        row["error_us"], row["passed"] = {"p50": 9e3, "p90": 9e3, "p99": 9e3, "max": 9e3}, False
    report = report_of(files, tmp_path)
    assert_invalid(report, f"audit: {why}")
    assert exit_code(report) == 4
    assert check(report, "link-delay") == {
        "name": "link-delay",
        "passed": False,
        "judged": False,
        "detail": "not judged: the audit is not valid",
    }
    assert check(report, "integrity")["judged"]


def test_a_disturbance_may_outlast_its_window_as_long_as_a_tick_may_be_late() -> None:
    assert AFTERMATH_NS == LATE_NS
