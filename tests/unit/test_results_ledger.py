"""The blind checker in a run's report, and its score against the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_lab import assert_fails, check, report_of
from run_fixture import HANDOVERS_NS, MS, Files, S

from testbed.report.blind import findings
from testbed.report.evidence import read_evidence
from testbed.report.ledger import score
from testbed.report.words import CAUGHT_AS
from traffic.ledger import LEDGER_DTYPE
from traffic.records import ALARM_DTYPE, NOT_RECEIVED
from traffic.verdicts import Verdict

SPI, START_NS = 0x9000_1001, 1_700_000_000 * S
POINTS = ["rome→ut-rome", "ut-rome→NORAD44714", "NORAD44714→gw-milano", "pop-milan→dc-rome"]
IN, SATELLITE, GATEWAY, OUT = range(4)


def found(files: Files, folder: Path) -> dict[tuple[str, str], Any]:
    return {(name, finding.verdict.name): finding for name, finding in findings(read_evidence(files.write(folder)))}


def test_a_good_run_raises_no_statistical_alarm(files: Files, tmp_path: Path) -> None:
    told = check(report_of(files, tmp_path), "statistics")
    assert (told["passed"], told["judged"], told["detail"]) == (True, True, "6 tests of whole flows, 0 alarms")
    told = report_of(files, tmp_path)["statistics"]
    assert [entry["alarm"] for entry in told] == [False] * 8
    assert told[0]["detail"].startswith("0 of 2,9")
    judged = found(files, tmp_path)
    assert judged["voice-rome", "DELAY_ATTACK"].total > 2_900
    assert judged["voice-rome", "SUSPECT_DROP"].total > 2_900


def hold(files: Files) -> None:
    """Of voice-rome one packet in 64 is held for 900 ms."""
    files.packets["delay_ns"][np.flatnonzero((files.packets["flow"] == 0) & (files.packets["delay_ns"] > 0))[::64]] += (
        900 * MS
    )


def test_held_packets_fail(files: Files, tmp_path: Path) -> None:
    hold(files)
    reasons = report_of(files, tmp_path)["reasons"]
    assert len(reasons) == 2
    assert reasons[0].startswith("traffic: flow voice-rome: DELAY_ATTACK: 47 of 2,9")
    assert reasons[1].startswith("traffic: flow voice-rome: REORDER_ATTACK: ")


@pytest.mark.parametrize(("held_ms", "alarm"), [(0, False), (900, True)])
def test_who_waits_behind_others_where_a_delay_falls_is_not_held(
    files: Files, tmp_path: Path, held_ms: int, alarm: bool
) -> None:
    """Ten times the first hop takes 40 ms more for 100 ms, as with jitter; what goes in then keeps the next ones back.
    One that is held where nothing falls is still held."""
    steps = files.plan.steps
    own = steps[steps["link"] == 0]
    times_ns = np.sort(np.concatenate([np.arange(1, 11) * S + edge * MS for edge in (337, 437)]))
    more = own[np.searchsorted(own["time_ns"], times_ns, side="right") - 1].copy()
    assert not np.any((own["time_ns"] % S > 330 * MS) & (own["time_ns"] % S < 600 * MS) & (own["time_ns"] < 11 * S))
    more["time_ns"] = times_ns
    more["delay_ns"] += np.tile([40 * MS, 0], 10)
    files.change_plan(steps=np.sort(np.concatenate([steps, more]), order=["link", "time_ns"]))
    rows = files.packets
    mine = (rows["flow"] == 0) & (rows["delay_ns"] > 0) & (rows["tx_ns"] > S) & (rows["tx_ns"] < 11 * S)
    since_ns = (rows["tx_ns"] - 337 * MS) % S  # since the rise
    rows["delay_ns"][mine & (since_ns < 100 * MS)] += 40 * MS
    waits = mine & (since_ns >= 100 * MS) & (since_ns < 140 * MS)
    assert np.count_nonzero(waits) >= 18
    rows["delay_ns"][waits] += 140 * MS - since_ns[waits]
    rows["delay_ns"][mine & (since_ns > 500 * MS) & (since_ns < 600 * MS)] += held_ms * MS
    assert found(files, tmp_path)["voice-rome", "DELAY_ATTACK"].alarm == alarm


def test_a_busy_machine_is_not_blamed_on_anybody(files: Files, tmp_path: Path) -> None:
    hold(files)
    files.audit |= {"valid": False, "invalid_reasons": ["starved"]}
    assert report_of(files, tmp_path)["reasons"] == ["audit: starved"]


def test_probes_held_as_often_speak_for_the_packets(files: Files, tmp_path: Path) -> None:
    hold(files)
    files.samples["delay_ns"][~files.samples["transition"] & (np.arange(len(files.samples)) % 60 == 0)] += 900 * MS
    assert not found(files, tmp_path)["voice-rome", "DELAY_ATTACK"].alarm


def test_a_late_tick_moves_the_windows(files: Files, tmp_path: Path) -> None:
    voice = files.packets["flow"] == 0
    row = np.flatnonzero(voice & (files.packets["tx_ns"] >= HANDOVERS_NS[0] + 400 * MS))[0]
    files.packets["delay_ns"][row] += 45 * MS
    for late_ms, alarms in ((0, True), (600, False)):
        files.ticks["late_ns"][100] = late_ms * MS
        (tmp_path / str(late_ms)).mkdir()
        assert found(files, tmp_path / str(late_ms))["voice-rome", "REORDER_ATTACK"].alarm == alarms


def test_order_is_judged_away_from_handovers(files: Files, tmp_path: Path) -> None:
    voice = files.packets["flow"] == 0
    for time_ns, alarms in ((HANDOVERS_NS[0] - 20 * MS, False), (20 * S, True)):
        row = np.flatnonzero(voice & (files.packets["tx_ns"] >= time_ns) & (files.packets["delay_ns"] > 0))[0]
        files.packets["delay_ns"][row] += 45 * MS
        (tmp_path / str(alarms)).mkdir()
        assert found(files, tmp_path / str(alarms))["voice-rome", "REORDER_ATTACK"].alarm == alarms


def lossy(files: Files, share: float) -> None:
    """Links of NORAD44714 lose 1 % by plan; of voice-rome `share` of the packets never came."""
    steps = files.plan.steps.copy()
    steps["loss"][steps["link"] == 0] = 0.01
    files.change_plan(steps=steps)
    lost = (np.random.default_rng(1).random(len(files.packets)) < share) & (files.packets["flow"] == 0)
    files.packets["verdict"][lost], files.packets["delay_ns"][lost] = NOT_RECEIVED, -1


def test_loss_by_plan_is_judged_by_its_binomial(files: Files, tmp_path: Path) -> None:
    lossy(files, 0.004)
    report = report_of(files, tmp_path)
    assert report["verdict"] == "pass"
    assert check(report, "statistics")["detail"] == "8 tests of whole flows, 0 alarms"
    drop = found(files, tmp_path)["voice-rome", "SUSPECT_DROP"]
    assert 5 <= drop.count <= 25
    assert "where links lose 0.5" in drop.detail or "where links lose 0.6" in drop.detail  # half of the time


def test_loss_beyond_the_plan_is_suspect(files: Files, tmp_path: Path) -> None:
    lossy(files, 0.05)
    reasons = report_of(files, tmp_path)["reasons"]
    assert reasons[0].startswith("traffic: flow voice-rome: SUSPECT_DROP: 1")


class Record:
    """A ledger of 1,000 packets that all came through, and no alarms."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder, self.files = folder, files
        self.rows = [
            (point, number * 20 * MS + point * 5 * MS, SPI, number, number)
            for number in range(1, 1001)
            for point in range(4)
        ]
        self.alarms: list[tuple[int, int, int, int]] = []
        self.acts: list[dict[str, Any]] = []
        self.drops: dict[str, int] = {}
        self.missed: dict[str, int] = {}
        self.extent = "hops"

    def act(self, action: str, number: int, **other: Any) -> None:
        entry = {"time_ns": START_NS + number * 20 * MS, "action": action, "spi": f"0x{SPI:08x}", "sequence": number}
        self.acts.append(entry | other)

    def see(self, point: int, number: int, digest: int, later_ms: int = 0) -> None:
        self.rows.append((point, number * 20 * MS + (5 * point + later_ms) * MS, SPI, number, digest))

    def lose(self, number: int, first: int) -> None:
        self.rows = [row for row in self.rows if row[3] != number or row[0] < first]

    def alarm(self, number: int, verdict: Verdict, spi: int = SPI) -> None:
        self.alarms.append((abs(number) * 20 * MS + 15 * MS, spi, number, verdict))

    def flip(self, number: int) -> None:
        """A bit of that packet is flipped at the satellite, and the host notices."""
        self.act("bitflip", number)
        self.lose(number, GATEWAY)
        for point in (GATEWAY, OUT):
            self.see(point, number, 5000 + number)
        self.alarm(number, Verdict.FORGED)

    def write(self) -> None:
        self.files.acts = self.acts or None
        self.files.change_plan(traffic={"adversary": "bitflip"} if self.acts else {})
        self.files.write(self.folder)
        np.save(self.folder / "ledger.npy", np.array(self.rows, LEDGER_DTYPE))
        np.save(self.folder / "alarms.npy", np.array(self.alarms, ALARM_DTYPE))
        told = {
            "start_realtime_ns": START_NS,
            "points": POINTS,
            "entrances": [POINTS[IN]],
            "exits": [POINTS[OUT]],
            "missed": self.missed,
            "extent": self.extent,
            "queue_drops": self.drops,
        }
        (self.folder / "ledger.json").write_text(json.dumps(told))

    def scores(self) -> Any:
        self.write()
        evidence = read_evidence(self.folder)
        return score(evidence, findings(evidence))

    def check(self) -> dict[str, Any]:
        self.write()
        return check(report_of(self.files, self.folder), "ledger")


def test_a_ledger_of_a_clean_run(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    assert record.check() == {
        "name": "ledger",
        "passed": True,
        "judged": True,
        "detail": "1,000 packets carried; 0 false alarms (≤ 3.0e-03 of packets)",
    }


def test_without_a_ledger_there_is_no_such_check(files: Files, tmp_path: Path) -> None:
    assert "ledger" not in [check["name"] for check in report_of(files, tmp_path)["checks"]]


def test_every_act_noticed(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    for number in range(64, 1000, 64):
        record.flip(number)
    told = record.check()
    assert told["passed"]
    assert "15 packets tampered" in told["detail"]
    assert "bitflip: 15 of 15 noticed (≥ 81.9%); 0 false alarms" in told["detail"]  # 0.05 to the power of 1/15


def test_a_missed_act_fails(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    for number in (64, 128):
        record.flip(number)
    record.alarms.pop()
    told = record.check()
    assert not told["passed"]
    assert "bitflip: 1 of 2 noticed" in told["detail"]
    assert "ledger: 1 of 2 acts of bitflip were not noticed" in report_of(files, tmp_path)["reasons"]


def test_what_the_links_lost_nobody_could_notice(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    for number in (64, 128):
        record.flip(number)
    record.alarms.pop()
    record.lose(128, OUT)
    (one,) = record.scores().acts
    assert (one.noticed, one.missed, one.lost) == (1, 0, 1)


def test_replays_and_their_lost_copies(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    for number in (64, 128, 192):
        record.act("replay", number)
    for number in (64, 128):
        record.see(OUT, number, number, later_ms=50)
    record.alarm(64, Verdict.REPLAY_IN_WINDOW)
    (one,) = record.scores().acts
    assert (one.acts, one.noticed, one.missed, one.lost) == (3, 1, 1, 1)


def test_alarms_without_a_number_answer_to_acts_in_their_order(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    for number in (64, 128):
        record.act("plaintext", number)
        record.alarm(-1, Verdict.PLAINTEXT_IN, spi=-1)
        record.alarms[-1] = (number * 20 * MS + 15 * MS, *record.alarms[-1][1:])
    scores = record.scores()
    assert (scores.acts[0].noticed, scores.untrue) == (2, {})
    record.alarm(-1, Verdict.PLAINTEXT_IN, spi=-1)
    assert record.scores().untrue == {"PLAINTEXT_IN": 1}


def test_a_false_alarm_fails(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    record.alarm(500, Verdict.FORGED)
    assert record.check()["detail"] == "1,000 packets carried; 1 false alarms (≤ 5.6e-03 of packets)"
    assert_fails(files_again(record), "ledger", "ledger: FORGED 1 answer to nothing that was done")


def files_again(record: Record) -> dict[str, Any]:
    return report_of(record.files, record.folder)


def test_missing_packets_are_explained_by_the_plan_or_by_queues(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    in_handover = HANDOVERS_NS[0] // (20 * MS) + 1
    for number in (500, 510, 520, in_handover):
        record.lose(number, GATEWAY)
    assert record.scores().explained == 1
    record.drops = {"NORAD44714→gw-milano": 2, "gw-milano→pop-milan": 9}
    scores = record.scores()
    assert (scores.truth["MISSING"], scores.explained) == (4, 3)
    record.extent = "edges"
    assert record.scores().explained == 4  # nobody saw where


def test_an_altered_packet_that_never_came_out_is_lost_for_who_sees_the_edges_alone(
    files: Files, tmp_path: Path
) -> None:
    record = Record(tmp_path, files)
    record.act("bitflip", 64)
    record.lose(64, GATEWAY)
    (one,) = record.scores().acts
    assert (one.noticed, one.missed, one.lost) == (0, 0, 1)


def test_taps_that_could_not_keep_up_judge_nothing(files: Files, tmp_path: Path) -> None:
    record = Record(tmp_path, files)
    record.missed = {POINTS[OUT]: 7}
    told = record.check()
    assert (told["judged"], told["detail"]) == (False, "not judged: its taps lost 7 frames")


def test_dropped_packets_are_noticed_by_their_flow(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CAUGHT_AS, "drop", ("SUSPECT_DROP",))
    lossy(files, 0.05)
    record = Record(tmp_path, files)
    for number in (64, 128):
        record.act("drop", number)
        record.lose(number, GATEWAY)
    (one,) = record.scores().acts
    assert (one.noticed, one.by_flow) == (2, True)
