"""The verdict of a run: each check passes on a good run, fails on a bad one, and blames nobody without evidence."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_fixture import DURATION_NS, HANDOVERS_NS, MS, WINDOW_NS, Files, S, make_attacked_files, make_files

from testbed.emulation.player import LATE_NS
from testbed.ground.errors import PlanError, RunError
from testbed.plan.model import Event
from testbed.report.checks import AFTERMATH_NS, AUDIT_CHECKS, TRAFFIC_CHECKS
from testbed.report.evidence import GENUINE, PACKET_COLUMNS, lost_tx_ns
from testbed.report.html import verdict_sentence
from testbed.report.results import exit_code, make_report, write_report
from testbed.report.words import CAUGHT_AS, HARMLESS, MEANINGS
from traffic.records import NOT_RECEIVED, PACKET_DTYPE
from traffic.verdicts import Verdict


@pytest.fixture
def files() -> Files:
    return make_files()


def report_of(files: Files, folder: Path) -> dict[str, Any]:
    return make_report(files.write(folder))


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


# The flows' checks


def test_an_attacked_flow_fails(files: Files, tmp_path: Path) -> None:
    files.flows["flows"][0]["integrity"] = {
        "verdict": "attacked",
        "counts": {"GENUINE": 2985, "FORGED": 3, "REPLAY_OLD": 1},
    }
    assert_fails(
        report_of(files, tmp_path),
        "integrity",
        "traffic: flow voice-rome (rome→dc-rome) was attacked: FORGED 3, REPLAY_OLD 1",
    )


def test_alarming_packets_of_no_flow_fail(files: Files, tmp_path: Path) -> None:
    files.flows["unattributed"] = {"dc-rome": {"PLAINTEXT_IN": 4, "LATE_OUTSIDE_WINDOW": 9}}
    assert_fails(
        report_of(files, tmp_path),
        "integrity",
        "traffic: dc-rome received packets that belong to no flow: PLAINTEXT_IN 4",
    )


def test_an_alarm_of_which_nothing_else_tells_fails(files: Files, tmp_path: Path) -> None:
    alarm = {"host": "dc-rome", "verdict": "UNKNOWN_SPI", "time_ns": 5 * S, "detail": ""}
    files.flows["alarms"] = [alarm, alarm]
    assert_fails(report_of(files, tmp_path), "integrity", "traffic: dc-rome raised 2 × UNKNOWN_SPI")


def test_harmless_verdicts_raise_no_alarm(files: Files, tmp_path: Path) -> None:
    files.flows["unattributed"] = {"dc-rome": {"LATE_OUTSIDE_WINDOW": 9}}
    assert report_of(files, tmp_path)["verdict"] == "pass"


def lose(files: Files, flow: int, *tx_ns: int) -> None:
    """Lose packets of `flow`, sent at `tx_ns`."""
    packets = files.packets
    for time_ns in tx_ns:
        row = np.flatnonzero((packets["flow"] == flow) & (packets["tx_ns"] >= time_ns))[0]
        packets["tx_ns"][row], packets["delay_ns"][row], packets["verdict"][row] = time_ns, -1, NOT_RECEIVED


def test_loss_outside_handovers_fails(files: Files, tmp_path: Path) -> None:
    lose(files, 0, 5_000 * MS, 33_000 * MS, HANDOVERS_NS[0] + WINDOW_NS // 2)
    assert_fails(
        report_of(files, tmp_path),
        "flow-loss",
        "traffic: flow voice-rome (rome→dc-rome) lost 2 of 3,000 packets outside planned handover windows, the first "
        "sent at 5.000 s",
    )


@pytest.mark.parametrize(
    ("tx_ns", "planned"),
    [
        (HANDOVERS_NS[0] - 10 * MS, True),  # 11.3 ms on its way
        (HANDOVERS_NS[0] - 12 * MS, False),
        (HANDOVERS_NS[0] + WINDOW_NS + 45 * MS, True),  # a tick may be 50 ms behind before it is late
        (HANDOVERS_NS[0] + WINDOW_NS + 55 * MS, False),
    ],
)
def test_loss_in_flight_and_just_after_a_handover_is_planned(
    files: Files, tmp_path: Path, tx_ns: int, planned: bool
) -> None:
    lose(files, 0, tx_ns)
    assert check(report_of(files, tmp_path), "flow-loss")["passed"] == planned


def test_loss_is_known_by_its_verdict_not_by_a_missing_stamp(files: Files, tmp_path: Path) -> None:
    files.packets["delay_ns"][10] = -1
    assert report_of(files, tmp_path)["verdict"] == "pass"


def test_the_send_time_of_an_unstamped_lost_packet_is_that_of_its_neighbours(files: Files, tmp_path: Path) -> None:
    files.packets["tx_ns"][files.packets["verdict"] == NOT_RECEIVED] = -1
    assert check(report_of(files, tmp_path), "flow-loss")["passed"]
    lose(files, 0, 5_000 * MS)
    files.packets["tx_ns"][files.packets["verdict"] == NOT_RECEIVED] = -1
    assert report_of(files, tmp_path)["reasons"] == [
        "traffic: flow voice-rome (rome→dc-rome) lost 1 of 3,000 packets outside planned handover windows, the first "
        "sent at 5.000 s"
    ]


def test_loss_while_a_link_is_down_is_planned(files: Files, tmp_path: Path) -> None:
    lose(files, 0, 5_000 * MS)
    steps = files.plan.steps.copy()
    fibre = len(files.plan.links) - 2
    steps["up"][(steps["link"] == fibre) & (steps["time_ns"] == 5 * S)] = False
    files.change_plan(steps=steps)
    assert check(report_of(files, tmp_path), "flow-loss")["passed"]


def test_loss_on_links_that_lose_packets_by_plan_is_not_judged(files: Files, tmp_path: Path) -> None:
    lose(files, 0, 5_000 * MS)
    steps = files.plan.steps.copy()
    steps["loss"][steps["link"] == 0] = 0.01
    files.change_plan(steps=steps)
    assert check(report_of(files, tmp_path), "flow-loss") == {
        "name": "flow-loss",
        "passed": True,
        "judged": False,
        "detail": "not judged: 1 links lose packets by plan; "
        "1 of 13 lost packets were sent outside planned handover windows",
    }


def test_a_handover_of_another_terminal_excuses_no_loss(files: Files, tmp_path: Path) -> None:
    files.change_plan(events=tuple(event for event in files.plan.events if event.node == "ut-milano"))
    assert_fails(
        report_of(files, tmp_path),
        "flow-loss",
        "traffic: flow voice-rome (rome→dc-rome) lost 12 of 3,000 packets outside planned handover windows, the first "
        "sent at 12.000 s",
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([int(GENUINE), 2, NOT_RECEIVED])), max_size=60))
def test_every_packet_is_either_delivered_or_lost(rows: list[tuple[int, int]]) -> None:
    packets = np.zeros(len(rows), PACKET_DTYPE)
    if rows:
        packets["sequence"], packets["verdict"] = np.array(rows).T
    packets["tx_ns"] = packets["sequence"] * 1000
    delivered = {sequence for sequence, verdict in rows if verdict == GENUINE}
    lost = {sequence for sequence, _ in rows} - delivered
    assert lost_tx_ns(packets).tolist() == [sequence * 1000 for sequence in sorted(lost)]


def test_a_caught_adversary_still_fails_the_run(tmp_path: Path) -> None:
    report = report_of(make_attacked_files(), tmp_path)
    assert report["verdict"] == "fail"
    assert check(report, "adversary-caught") == {
        "name": "adversary-caught",
        "passed": True,
        "judged": True,
        "detail": "bitflip 12 times, caught as FORGED 12",
    }
    assert "traffic: flow voice-rome (rome→dc-rome) was attacked: FORGED 12" in report["reasons"]


@pytest.mark.parametrize(
    ("adversary", "reason"),
    [
        ("bitflip", "adversary: bitflip was tried and FORGED was never raised"),
        ({"action": "replay"}, "adversary: replay was tried and REPLAY_IN_WINDOW or REPLAY_OLD was never raised"),
        ("plaintext", "adversary: plaintext was tried and PLAINTEXT_IN was never raised"),
        ("hold", "adversary: hold was tried and an alarm was never raised"),
    ],
)
def test_an_adversary_that_nobody_saw_fails(files: Files, tmp_path: Path, adversary: Any, reason: str) -> None:
    files.change_plan(traffic={"adversary": adversary})
    assert_fails(report_of(files, tmp_path), "adversary-caught", reason)


def test_an_adversary_that_never_acted_fails(files: Files, tmp_path: Path) -> None:
    files.change_plan(traffic={"adversary": "bitflip"})
    act = {"time_ns": S, "action": "bitflip", "spi": "0x00001001", "sequence": 1}
    files.acts = [act | {"error": "No buffer space available"}, act | {"action": "forward"}]
    report = report_of(files, tmp_path)
    assert_fails(
        report, "adversary-caught", "adversary: bitflip was asked for and never acted: let the run last longer"
    )
    assert check(report, "adversary-caught")["detail"] == "bitflip never acted"


def test_each_recorded_act_must_be_caught(files: Files, tmp_path: Path) -> None:
    files.change_plan(traffic={"adversary": "replay"})
    files.flows["unattributed"] = {"dc-rome": {"REPLAY_OLD": 2}}
    acts = [{"time_ns": S, "action": action, "spi": 1, "sequence": 1} for action in ("replay", "bitflip", "bitflip")]
    files.acts = acts
    report = report_of(files, tmp_path)
    assert report["reasons"] == [
        "traffic: dc-rome received packets that belong to no flow: REPLAY_OLD 2",
        "adversary: bitflip was tried 2 times and FORGED was never raised",
    ]
    detail = "replay 1 times, caught as REPLAY_OLD 2; bitflip 2 times, not caught"
    assert check(report, "adversary-caught")["detail"] == detail


def test_no_adversary_is_nothing_to_judge(files: Files, tmp_path: Path) -> None:
    files.change_plan(traffic={"adversary": "none"})
    assert not check(report_of(files, tmp_path), "adversary-caught")["judged"]


def test_a_plan_without_flows_has_no_flows_to_judge(files: Files, tmp_path: Path) -> None:
    files.change_plan(flows=())
    files.flows = files.packets = None
    report = report_of(files, tmp_path)
    assert (report["verdict"], report["flows"], report["missing"]) == ("pass", [], [])
    assert [check["judged"] for check in report["checks"]] == [True] * 5 + [False] * 3


# What makes a run invalid


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


def test_an_invalid_flow_measurement_blames_no_flow(files: Files, tmp_path: Path) -> None:
    files.flows |= {"valid": False, "invalid_reasons": ["captures lost 12 frames"]}
    files.flows["flows"][0]["integrity"] = {"verdict": "invalid", "counts": {"FORGED": 3}}
    report = report_of(files, tmp_path)
    assert_invalid(report, "traffic: captures lost 12 frames")
    assert not check(report, "integrity")["judged"]
    assert check(report, "link-delay")["passed"]


def test_an_alarm_stands_even_if_the_flow_measurement_is_invalid(files: Files, tmp_path: Path) -> None:
    files.flows |= {"valid": False, "invalid_reasons": ["captures lost 12 frames"]}
    files.flows["flows"][0]["integrity"] = {"verdict": "attacked", "counts": {"FORGED": 3}}
    report = report_of(files, tmp_path)
    assert (report["verdict"], exit_code(report)) == ("fail", 1)
    assert report["reasons"] == [
        "traffic: flow voice-rome (rome→dc-rome) was attacked: FORGED 3",
        "traffic: captures lost 12 frames",
    ]
    assert check(report, "integrity")["judged"]
    assert not check(report, "flow-loss")["judged"]


def test_alarms_beyond_those_kept_are_counted(files: Files, tmp_path: Path) -> None:
    files.flows["alarms"] = [{"host": "dc-rome", "verdict": "FORGED", "time_ns": -1, "detail": ""}]
    files.flows["alarm_count"] = 340
    report = report_of(files, tmp_path)
    assert report["alarm_count"] == 340
    assert check(report, "integrity")["detail"] == "2 of 2 flows intact, 340 alarms"


def test_a_flow_that_could_not_be_judged_makes_the_run_invalid(files: Files, tmp_path: Path) -> None:
    files.flows["flows"][1]["integrity"] = {"verdict": "invalid", "counts": {}}
    assert_invalid(report_of(files, tmp_path), "traffic: flow web-milano (dc-rome→milano) could not be judged")


def test_an_invalid_measurement_needs_no_reason_of_its_own(files: Files, tmp_path: Path) -> None:
    files.audit["valid"] = files.flows["valid"] = False
    assert_invalid(
        report_of(files, tmp_path), "audit: not valid, no reason given", "traffic: not valid, no reason given"
    )


def test_an_alarm_wins_over_a_busy_machine(files: Files, tmp_path: Path) -> None:
    files.audit |= {"valid": False, "invalid_reasons": ["starved"]}
    files.flows["unattributed"] = {"dc-rome": {"PLAINTEXT_IN": 4}}
    report = report_of(files, tmp_path)
    assert (report["verdict"], exit_code(report)) == ("fail", 1)
    assert report["reasons"] == [
        "traffic: dc-rome received packets that belong to no flow: PLAINTEXT_IN 4",
        "audit: starved",
    ]
    assert verdict_sentence(report) == "1 of 2 checks failed."


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


def test_a_disturbance_may_outlast_its_window_as_long_as_a_tick_may_be_late() -> None:
    assert AFTERMATH_NS == LATE_NS


def test_the_words_are_those_of_the_traffic() -> None:
    for verdict in Verdict:
        assert verdict.name in MEANINGS
        assert verdict.is_alarm == (verdict.name not in HARMLESS)
    assert int(Verdict.GENUINE) == GENUINE
    assert {name for names in CAUGHT_AS.values() for name in names} <= {verdict.name for verdict in Verdict}
    assert set(PACKET_COLUMNS) <= set(PACKET_DTYPE.names)


def test_other_events_are_listed_and_not_counted_as_handovers(files: Files, tmp_path: Path) -> None:
    outage = Event(DURATION_NS - S, "outage", "ut-rome", "no satellite in view", S)
    files.change_plan(events=(*files.plan.events, outage))
    events = report_of(files, tmp_path)["events"]
    assert (events["handovers"], len(events["list"]), events["list"][-1]["kind"]) == (8, 9, "outage")
