"""The blind checker: flows as links make them raise nothing, flows as attackers make them do, each by its name."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from traffic.checker import Bounds, Finding, check_flow
from traffic.results import packet_rows
from traffic.verdicts import Verdict

MS = 1_000_000
PPS, SENT = 500, 5000
STEPS_MS = ((0, 60), (2_000, 20), (4_000, 60), (6_000, 20), (8_000, 60))
LAG_NS = 5 * MS


class Flow:
    """A flow of 10 s over one hop with handovers, 1 % loss, 0.1 % copies."""

    def __init__(self, seed: int = 1, loss: float = 0.01, duplicates: float = 0.001) -> None:
        self.dice = np.random.default_rng(seed)
        self.tx_ns = np.arange(SENT) * (10**9 // PPS)
        begins, delays = np.array(STEPS_MS).T * MS
        self.explained_ns = delays[np.searchsorted(begins, self.tx_ns, side="right") - 1].astype(float)
        self.delay_ns = self.explained_ns.astype(np.int64) + self.dice.integers(0, 150_000, SENT)
        self.lost = self.dice.random(SENT) < loss
        self.copied = (self.dice.random(SENT) < duplicates) & ~self.lost
        self.copy_verdict, self.copy_lag_ns = Verdict.DUP_LINK, MS
        self.changes_ns = begins[1:]
        self.loss = np.full(SENT, 0.01)

    def rows(self) -> NDArray[np.void]:
        number = np.arange(SENT)
        once = np.c_[number, self.tx_ns + self.delay_ns, np.full(SENT, Verdict.GENUINE)][~self.lost]
        twice = np.c_[number, self.tx_ns + self.delay_ns + self.copy_lag_ns, np.full(SENT, self.copy_verdict)]
        return packet_rows(0, self.tx_ns, np.r_[once, twice[self.copied]])

    def check(self, control_ns: NDArray[np.int64] | None = None, **changed: object) -> dict[Verdict, Finding]:
        told = {
            "loss": self.loss,
            "explained_ns": self.explained_ns,
            "rate_pps": PPS,
            "duplicates": 0.001,
            "longest_lag_ns": LAG_NS,
            "changes_ns": self.changes_ns,
            "step_ns": 41 * MS,
        }
        control = np.full(1000, 200_000) if control_ns is None else control_ns
        found = check_flow(self.rows(), Bounds(**(told | changed)), control)
        assert len(found) == 4
        return {finding.verdict: finding for finding in found}


def alarms(found: dict[Verdict, Finding]) -> set[Verdict]:
    return {verdict for verdict, finding in found.items() if finding.alarm}


def test_what_links_do_raises_nothing() -> None:
    for seed in range(50):
        found = Flow(seed).check()
        assert alarms(found) == set()
        assert all(finding.judged for finding in found.values())
        overtaken, total = found[Verdict.REORDER_ATTACK].detail.split(" packets")[0].split(" of ")
        assert 30 <= int(overtaken) <= 42  # two handovers overtake, which explains it
        assert 4_900 <= int(total.replace(",", "")) <= SENT


def test_the_details_hold_the_figures() -> None:
    flow = Flow()
    found = flow.check()
    detail = found[Verdict.SUSPECT_DROP].detail
    assert detail.startswith(f"{flow.lost.sum()} of 5,000 packets lost, where links lose 1.000%; p = 0.")
    assert detail.endswith("detectable from 2.220%")
    assert found[Verdict.DELAY_ATTACK].detail.startswith("0 of 4,9")
    assert "held for more than 3.0 ms beyond their way" in found[Verdict.DELAY_ATTACK].detail


def test_selective_drop() -> None:
    flow = Flow()
    flow.lost |= np.arange(SENT) % 64 == 63
    found = flow.check()
    assert alarms(found) == {Verdict.SUSPECT_DROP}
    assert found[Verdict.SUSPECT_DROP].count == flow.lost.sum()


def test_planned_loss_is_not_judged() -> None:
    flow = Flow()
    flow.lost[1000:1500] = True
    assert alarms(flow.check()) == {Verdict.SUSPECT_DROP}
    flow.loss[1000:1500] = 1.0
    found = flow.check()
    assert alarms(found) == set()
    assert found[Verdict.SUSPECT_DROP].total == SENT - 500


def test_copies_within_the_lag_are_the_links_unless_too_many() -> None:
    flow = Flow(duplicates=1 / 64)
    found = flow.check()
    assert alarms(found) == {Verdict.REPLAY_IN_WINDOW}
    assert found[Verdict.REPLAY_IN_WINDOW].count == flow.copied.sum()
    assert alarms(flow.check(duplicates=1 / 64)) == set()


def test_one_copy_where_links_make_none_or_later_than_they_can() -> None:
    flow = Flow(duplicates=0.0)
    flow.copied[np.flatnonzero(~flow.lost)[100]] = True
    assert alarms(flow.check()) == set()
    assert alarms(flow.check(duplicates=0.0)) == {Verdict.REPLAY_IN_WINDOW}
    flow.copy_lag_ns, flow.copy_verdict = 50 * MS, Verdict.REPLAY_IN_WINDOW
    assert alarms(flow.check()) == {Verdict.REPLAY_OLD}


def test_copies_without_a_stamp_are_what_the_endpoint_called_them() -> None:
    for verdict in (Verdict.DUP_LINK, Verdict.REPLAY_OLD):
        flow = Flow()
        flow.copy_verdict = verdict
        rows = flow.rows()
        rows["delay_ns"][SENT:] = -1
        bounds = Bounds(flow.loss, flow.explained_ns, PPS, duplicates=0.001, longest_lag_ns=LAG_NS)
        assert check_flow(rows, bounds)[1].verdict is verdict


def test_held_packets() -> None:
    flow = Flow()
    flow.delay_ns[::64] += 4 * MS
    found = flow.check()
    assert alarms(found) == {Verdict.DELAY_ATTACK, Verdict.REORDER_ATTACK}  # held, they are also overtaken
    assert ", the worst for 4." in found[Verdict.DELAY_ATTACK].detail
    assert Verdict.DELAY_ATTACK not in alarms(flow.check(queue_ns=10 * MS))
    busy = flow.check(control_ns=np.where(np.arange(1000) % 64, 0, 5 * MS))[Verdict.DELAY_ATTACK]
    assert (busy.alarm, busy.judged) == (False, True)
    assert not flow.check(control_ns=np.zeros(0, np.int64))[Verdict.DELAY_ATTACK].judged
    flow.explained_ns[::64] = np.nan
    assert Verdict.DELAY_ATTACK not in alarms(flow.check())


def test_order_changed_away_from_handovers() -> None:
    flow = Flow()
    flow.delay_ns[3500] += 10 * MS
    flow.lost[3500:3510] = False
    found = flow.check(queue_ns=20 * MS)
    assert alarms(found) == {Verdict.REORDER_ATTACK}
    assert found[Verdict.REORDER_ATTACK].count == 1


def test_a_flow_of_which_nothing_left() -> None:
    empty = packet_rows(0, np.zeros(0, np.int64), np.zeros((0, 3), np.int64))
    found = check_flow(empty, Bounds(np.zeros(0), np.zeros(0), PPS))
    assert not any(finding.alarm or finding.judged for finding in found)


def test_a_copy_of_what_was_late_to_the_window_counts_as_a_copy() -> None:
    tx_ns = np.arange(3) * MS
    arrivals = np.array([(0, 60 * MS, Verdict.LATE_OUTSIDE_WINDOW), (0, 61 * MS, Verdict.DUP_LINK), (1, 21 * MS, 0)])
    rows = packet_rows(0, tx_ns, arrivals)
    bounds = Bounds(np.zeros(3), np.full(3, 60.0 * MS), 1000, duplicates=0.001, longest_lag_ns=LAG_NS)
    drops, copies, *_ = check_flow(rows, bounds)
    assert (drops.count, drops.total, copies.count, copies.verdict) == (1, 3, 1, Verdict.DUP_LINK)
    assert copies.detail.startswith("1 copies of 2 packets") or pytest.fail(copies.detail)
