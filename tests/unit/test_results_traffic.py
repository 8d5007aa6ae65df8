"""The checks of flows and adversary: each fails on a bad run, and blames no flow without evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results_lab import assert_fails, assert_invalid, check, report_of
from run_fixture import HANDOVERS_NS, MS, WINDOW_NS, Files, S, make_attacked_files

from testbed.report.evidence import GENUINE, PACKET_COLUMNS, lost_tx_ns
from testbed.report.html import verdict_sentence
from testbed.report.results import exit_code
from testbed.report.words import CAUGHT_AS, HARMLESS, MEANINGS
from traffic.records import NOT_RECEIVED, PACKET_DTYPE
from traffic.verdicts import Verdict


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


def test_every_one_of_combined_actions_must_be_caught(tmp_path: Path) -> None:
    files = make_attacked_files()
    files.change_plan(traffic={"adversary": "bitflip+plaintext"})
    assert files.acts is not None
    files.acts.append({"time_ns": 40 * S, "action": "plaintext", "spi": 4097, "sequence": 9})
    assert check(report_of(files, tmp_path), "adversary-caught") == {
        "name": "adversary-caught",
        "passed": False,
        "judged": True,
        "detail": "bitflip 12 times, caught as FORGED 12; plaintext 1 times, not caught",
    }


def test_a_listener_is_told_of_and_cannot_be_caught(files: Files, tmp_path: Path) -> None:
    files.change_plan(traffic={"adversary": "eavesdrop"})
    files.acts = [{"time_ns": 30 * S, "action": "eavesdrop", "spi": 4097, "sequence": 9}]
    found = check(report_of(files, tmp_path), "adversary-caught")
    assert (found["passed"], found["detail"]) == (True, "eavesdrop 1 times, which nobody can notice")


@pytest.mark.parametrize(
    ("adversary", "reason"),
    [
        ("bitflip", "adversary: bitflip was tried and FORGED was never raised"),
        ({"action": "replay"}, "adversary: replay was tried and REPLAY_IN_WINDOW or REPLAY_OLD was never raised"),
        ("plaintext", "adversary: plaintext was tried and PLAINTEXT_IN was never raised"),
        ("hold", "adversary: hold was tried and DELAY_ATTACK was never raised"),
        ("mine.py:twice", "adversary: twice was tried and an alarm was never raised"),
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
    assert [check["judged"] for check in report["checks"]] == [True] * 5 + [False] * 4


# What makes a run invalid


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
    assert verdict_sentence(report) == "1 of 3 checks failed."


def test_the_words_are_those_of_the_traffic() -> None:
    for verdict in Verdict:
        assert verdict.name in MEANINGS
        assert verdict.is_alarm == (verdict.name not in HARMLESS)
    assert int(Verdict.GENUINE) == GENUINE
    assert {name for names in CAUGHT_AS.values() for name in names} <= {verdict.name for verdict in Verdict}
    assert set(PACKET_COLUMNS) <= set(PACKET_DTYPE.names)
