"""testbed.emulation.audit on evidence made up by hand: it blames what is wrong, and nothing else.

The evidence is what a perfect network would show, plus a little noise from a fixed seed, and then one thing is bent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from run_fixture import HANDOVERS_NS, MS, WINDOW_NS, S, make_plan
from scipy import stats

from testbed.emulation import audit
from testbed.emulation.audit import MIN_SAMPLES, Evidence, judge, sample_table, tick_table
from testbed.emulation.player import LATE_NS, Mismatch, TickRecord
from testbed.emulation.probes import CONTROL, LINK, PATH, RAW_DTYPE
from testbed.emulation.targets import CONTROL_DELAY_NS, CONTROL_HOPS
from testbed.plan.expected import held_back, path_delay_ns
from testbed.plan.model import STEP_DTYPE, Plan

PLAN = make_plan()
START_NS = 1_781_416_800 * S  # of the run, CLOCK_REALTIME
SERIALISATION_NS = 46.4  # 58 bytes at 10 Gbit/s
BUSY = next(number for number, link in enumerate(PLAN.links) if (link.a, link.b) == ("gw-milano", "pop-milan"))

Raw = np.ndarray


def perfect(plan: Plan = PLAN, gap_ns: int = 500 * MS) -> Evidence:
    """What probes every `gap_ns` measure where the kernel does what the plan says, some 60 µs late."""
    rng = np.random.default_rng(20260614)
    parts = []

    def add(kind: int, index: int, tx_ns: np.ndarray, delay_ns: np.ndarray) -> None:
        part = np.zeros(len(tx_ns), RAW_DTYPE)
        part["kind"], part["index"] = kind, index
        part["tx_ns"] = START_NS + tx_ns
        part["rx_ns"] = part["tx_ns"] + (delay_ns + SERIALISATION_NS + rng.gamma(4, 15_000, len(tx_ns))).astype(int)
        parts.append(part)

    tx_ns = np.arange(3 * MS, plan.duration_ns, gap_ns)
    for number in range(len(plan.links)):
        steps = plan.link_steps(number)
        add(LINK, number, tx_ns, steps["delay_ns"][np.searchsorted(steps["time_ns"], tx_ns, side="right") - 1])
    for number, path in enumerate(plan.paths):
        hops = sum(
            (a, b) in {(link.a, link.b) for link in plan.links}
            for a, b in zip(path[0].nodes, path[0].nodes[1:], strict=False)
        )
        add(PATH, number, tx_ns, path_delay_ns(plan, path, tx_ns) + (hops - 1) * SERIALISATION_NS)
    for index, hops in enumerate((1, CONTROL_HOPS)):
        add(CONTROL, index, tx_ns, np.full(len(tx_ns), hops * CONTROL_DELAY_NS + (hops - 1) * SERIALISATION_NS))
    ticks = [TickRecord(time_ns, 2 * MS, 12) for time_ns in range(0, plan.duration_ns, 100 * MS)]
    return Evidence(np.concatenate(parts), START_NS, ticks, [], checked=100, clock_steps_ns=[10, -20])


def rows(evidence: Evidence, kind: int, index: int = 0) -> np.ndarray:
    return np.flatnonzero((evidence.raw["kind"] == kind) & (evidence.raw["index"] == index))


def findings(evidence: Evidence, plan: Plan = PLAN) -> dict[str, Any]:
    return judge(plan, evidence, sample_table(plan, evidence))


def failed(audit: dict[str, Any], what: str) -> set[int]:
    key = what.removesuffix("s")
    return {finding[key] for finding in audit[what] if not finding["passed"]}


def test_a_perfect_run_passes_everywhere() -> None:
    audit = findings(perfect())
    assert (audit["valid"], failed(audit, "links"), failed(audit, "paths")) == (True, set(), set())
    assert all(finding["judged"] for finding in audit["links"] + audit["paths"])
    assert 40 < audit["links"][0]["error_us"]["p50"] < 80  # the noise itself, and not less: nothing is subtracted
    assert audit["samples"] == len(perfect().raw) - 2 * 120  # without the control's
    assert (audit["ticks"], audit["late_ticks"]) == (600, 0)
    for control in (audit["control"], audit["control"]["chain"]):
        assert control["samples"] == 120
        assert 40 < control["error_us"]["p50"] < 80


@pytest.mark.parametrize("offset_ns", [5 * MS, -600_000, 400_000])
def test_an_offset_on_one_link_fails_that_link_alone(offset_ns: int) -> None:
    evidence = perfect()
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)] += offset_ns
    audit = findings(evidence)
    assert (audit["valid"], failed(audit, "links"), failed(audit, "paths")) == (True, {BUSY}, set())
    blamed = audit["links"][BUSY]
    assert (blamed["a"], blamed["b"]) == ("gw-milano", "pop-milan")
    assert blamed["error_us"]["p50"] == pytest.approx(abs(offset_ns + 58_000) / 1e3, abs=15)


def test_a_tail_fails_a_link_as_a_shift_does() -> None:
    evidence = perfect()
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)[::4]] += 1 * MS  # a quarter: p50 sees nothing, p90 does
    audit = findings(evidence)
    assert (audit["valid"], failed(audit, "links")) == (True, {BUSY})


def test_an_excess_that_may_be_chance_is_neither_passed_nor_blamed() -> None:
    evidence = perfect()
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)[::7]] += 1 * MS  # 18 of 120 where a tenth may be
    audit = findings(evidence)
    assert (audit["valid"], failed(audit, "links")) == (False, set())
    assert (audit["links"][BUSY]["judged"], audit["links"][BUSY]["untold"]) == (False, True)
    assert audit["invalid_reasons"][0].startswith(
        "delays beyond their budget: 1, by no more than chance or the machine"
    )


def test_what_cannot_be_told_does_not_hide_what_can() -> None:
    evidence = perfect()
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)[::7]] += 1 * MS
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY + 1)] += 5 * MS
    audit = findings(evidence)
    assert (audit["valid"], failed(audit, "links")) == (True, {BUSY + 1})


def test_a_path_is_judged_by_its_hops() -> None:
    evidence = perfect()
    hops = findings(evidence)["paths"][0]["netem_hops"]
    assert hops == 3
    evidence.raw["rx_ns"][rows(evidence, PATH, 0)] += 290_000  # 3 × 120 µs, less the noise
    assert failed(findings(evidence), "paths") == set()
    evidence.raw["rx_ns"][rows(evidence, PATH, 0)] += 60_000
    assert (failed(findings(evidence), "paths"), failed(findings(evidence), "links")) == ({0}, set())


def test_a_lost_probe_is_unplanned_but_for_a_handover() -> None:
    evidence = perfect(gap_ns=10 * MS)
    mine = rows(evidence, LINK, 0)
    sent_ns = evidence.raw["tx_ns"][mine] - START_NS
    during = mine[(sent_ns >= HANDOVERS_NS[0]) & (sent_ns < HANDOVERS_NS[0] + WINDOW_NS)]
    assert len(during) > 4
    evidence.raw["rx_ns"][during] = 0
    audit = findings(evidence)
    assert (failed(audit, "links"), audit["transitions"]["lost"]) == (set(), len(during))
    evidence.raw["rx_ns"][mine[10]] = 0
    audit = findings(evidence)
    assert (audit["valid"], failed(audit, "links"), audit["links"][0]["unplanned_losses"]) == (True, {0}, 1)
    assert audit["transitions"]["lost"] == len(during)


def test_what_was_on_its_way_when_a_handover_began_belongs_to_it_and_other_links_do_not() -> None:
    evidence = perfect(gap_ns=10 * MS)
    table = sample_table(PLAN, evidence)
    first_ns = HANDOVERS_NS[0]
    for number, link in enumerate(PLAN.links):
        mine = table[~table["path"] & (table["index"] == number)]
        expected = np.zeros(len(mine), bool)
        if {"ut-rome", "ut-milano"} & {link.a, link.b}:
            for time_ns in HANDOVERS_NS:
                begins = mine["tx_ns"] + mine["planned_ns"] >= time_ns
                expected |= begins & (mine["tx_ns"] < time_ns + WINDOW_NS + LATE_NS)
            assert expected[np.searchsorted(mine["tx_ns"], first_ns) - 1] == (mine["planned_ns"][0] > 7 * MS)
        assert np.array_equal(mine["transition"], expected)


def test_a_probe_that_never_left_is_no_sample() -> None:
    evidence = perfect()
    evidence.raw["tx_ns"][rows(evidence, LINK, BUSY)[:7]] = 0
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)[:3]] = 0
    audit = findings(evidence)
    assert (audit["links"][BUSY]["samples"], audit["links"][BUSY]["lost"]) == (120 - 7, 0)


def test_a_queue_is_first_in_first_out_when_its_delay_falls() -> None:
    """A packet sent after the fall waits for those sent before it: that is the plan, and no error."""
    steps = np.array(
        [(number, 0, True, 40 * MS, 10**9, 0.0, np.nan, np.nan) for number in range(len(PLAN.links))]
        + [(0, S, True, 10 * MS, 10**9, 0.0, np.nan, np.nan)],
        STEP_DTYPE,
    )
    plan = replace(PLAN, steps=np.sort(steps, order=["link", "time_ns"]), events=())
    evidence = perfect(plan)
    mine = rows(evidence, LINK, 0)[:4]
    evidence.raw["tx_ns"][mine] = START_NS + np.array([S - 5 * MS, S + 5 * MS, S + 20 * MS, S + 40 * MS])
    table = sample_table(plan, evidence)
    table = table[~table["path"] & (table["index"] == 0)][:4]
    # Arrivals: 1,035 ms; not before it; not before it (1,030 alone); 1,050 ms.
    assert (table["tx_ns"] + table["planned_ns"]).tolist() == [S + ms * MS + 46 for ms in (35, 35, 35, 50)]
    # Other packets may have gone in until the fall, and come out at 1,040 ms: how long the two wait is not for sure.
    assert table["transition"].tolist() == [False, True, True, False]
    through = next(path for path in plan.paths if path[0].nodes[1:3] == (plan.links[0].a, plan.links[0].b))
    sent = np.array([S - 5 * MS, S + 5 * MS, S + 29 * MS, S + 31 * MS])
    assert held_back(plan, through, sent).tolist() == [False, True, True, False]


def starve(evidence: Evidence) -> Evidence:
    ticks = [replace(evidence.ticks[0], late_ns=LATE_NS + 1), *evidence.ticks[1:]]
    return replace(evidence, ticks=ticks)


def step_clock(evidence: Evidence) -> Evidence:
    return replace(evidence, clock_steps_ns=[0, -3 * MS, 0])


def make_noise(evidence: Evidence) -> Evidence:
    """A machine that is late everywhere, on the control links as well, the more so the more of them."""
    evidence.raw["rx_ns"] += 350_000
    evidence.raw["rx_ns"][rows(evidence, CONTROL, 1)] += 150_000
    return evidence


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (starve, "1 of 600 ticks ended more than 50 ms late (worst 50.0 ms): the machine was starved"),
        (step_clock, "the clock was stepped by -3.0 ms during the run"),
        (make_noise, "a control link, whose delay never changes, is off by 4"),
    ],
)
def test_the_machines_fault_makes_a_run_invalid(bend: Callable[[Evidence], Evidence], words: str) -> None:
    audit = findings(bend(perfect()))
    assert not audit["valid"]
    (reason,) = audit["invalid_reasons"]
    assert words in reason


def test_noise_does_not_excuse_a_link_that_is_far_off() -> None:
    evidence = make_noise(perfect())
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)] += 5 * MS
    audit = findings(evidence)
    assert audit["valid"]
    assert BUSY in failed(audit, "links")


def test_noise_on_a_chain_excuses_paths_and_no_link() -> None:
    evidence = perfect()
    evidence.raw["rx_ns"][rows(evidence, CONTROL, 1)] += 3 * MS
    evidence.raw["rx_ns"][rows(evidence, PATH, 0)] += 2 * MS
    assert not findings(evidence)["valid"]
    evidence.raw["rx_ns"][rows(evidence, LINK, BUSY)] += 2 * MS
    assert (findings(evidence)["valid"], failed(findings(evidence), "links")) == (True, {BUSY})


def test_the_bounds_of_the_controls_quantiles_are_exact_ones() -> None:
    """Of 40 probes at 1, 2, … 40 µs: as many order statistics up as a binomial's 97.5 % asks for, to one."""
    bounds = audit._bounds(np.arange(1.0, 41.0))
    assert bounds is not None
    for name, share in (("p50", 0.5), ("p90", 0.9)):
        assert bounds[name] == pytest.approx(stats.binom.ppf(0.975, 40, share) + 1, abs=1.5)


def test_noise_on_the_control_links_alone_harms_nobody() -> None:
    evidence = perfect()
    for index in (0, 1):
        evidence.raw["rx_ns"][rows(evidence, CONTROL, index)] += 5 * MS
    audit = findings(evidence)
    assert (audit["valid"], failed(audit, "links")) == (True, set())
    assert audit["control"]["error_us"]["p50"] > 5_000


def test_each_part_of_the_error_budget_tells_of_its_own_cause() -> None:
    evidence = perfect()
    plain = findings(evidence)["error_budget_us"]
    assert 40 < plain["kernel_timer"] < 80
    assert 10 < plain["host_noise"] < 60
    assert plain["clock"] == 0.02
    assert findings(replace(evidence, clock_steps_ns=[-70_000]))["error_budget_us"] == plain | {"clock": 70.0}
    slow = [replace(tick, late_ns=20 * MS) for tick in evidence.ticks]
    assert findings(replace(evidence, ticks=slow))["error_budget_us"] == plain | {
        "tick": pytest.approx(10 * plain["tick"], abs=0.01)
    }
    evidence.raw["rx_ns"][rows(evidence, CONTROL, 0)] += 30_000
    late = findings(evidence)["error_budget_us"]
    assert late == plain | {"kernel_timer": pytest.approx(plain["kernel_timer"] + 30, abs=0.01)}
    rising = PLAN.steps.copy()
    rising["delay_ns"] = MS  # all of them still, but for one
    mine = np.flatnonzero(rising["link"] == BUSY)
    rising = np.insert(rising, mine[-1] + 1, rising[mine[-1]])
    rising["time_ns"][mine[-1] + 1] += S
    rising["delay_ns"][mine[-1] + 1] += 50_000  # 50 µs in a second, and each tick 2 ms late
    assert findings(perfect(), replace(PLAN, steps=rising))["error_budget_us"]["tick"] == pytest.approx(0.1)


def test_a_control_probe_without_both_stamps_says_nothing() -> None:
    evidence = perfect()
    for index in (0, 1):
        mine = rows(evidence, CONTROL, index)
        evidence.raw["tx_ns"][mine[:80]] = 0
        evidence.raw["rx_ns"][mine[80:90]] = 0
    found = findings(evidence)["control"]
    for control in (found, found["chain"]):
        assert control["samples"] == 30
        assert control["error_us"]["max"] < 1_000


def test_a_few_samples_are_reported_and_not_judged() -> None:
    evidence = perfect()
    mine = rows(evidence, LINK, BUSY)
    evidence.raw["rx_ns"][mine] += 5 * MS
    for kept, judged in ((MIN_SAMPLES - 1, False), (MIN_SAMPLES, True)):
        few = replace(evidence, raw=np.delete(evidence.raw, mine[kept:]))
        finding = findings(few)["links"][BUSY]
        assert (finding["samples"], finding["judged"], finding["passed"]) == (kept, judged, not judged)
        assert finding["error_us"]["p50"] > 5_000
    nothing = replace(evidence, raw=np.delete(evidence.raw, mine))
    finding = findings(nothing)["links"][BUSY]
    assert (finding["samples"], finding["judged"], finding["error_us"], finding["passed"]) == (0, False, None, True)


def test_a_mismatch_is_told_with_its_place() -> None:
    mismatch = Mismatch(7 * S, BUSY, "delay_ns", 10 * MS, 15 * MS)
    told = findings(replace(perfect(), mismatches=[mismatch]))["readback"]
    assert told["checked"] == 100
    (found,) = told["mismatches"]
    assert found == {
        "time_ns": 7 * S,
        "a": "gw-milano",
        "b": "pop-milan",
        "field": "delay_ns",
        "planned": 10 * MS,
        "held": 15 * MS,
    }


def test_ticks_are_kept_as_they_were() -> None:
    table = tick_table([TickRecord(5, 6, 7), TickRecord(8, 9, 10)])
    assert table.tolist() == [(5, 6, 7), (8, 9, 10)]
    assert len(tick_table([])) == 0


def test_a_run_that_measured_nothing_can_be_told() -> None:
    empty = Evidence(np.zeros(0, RAW_DTYPE), START_NS, [], [], checked=0)
    audit = findings(empty)
    assert (audit["samples"], audit["ticks"], audit["tick_late_ms"]) == (0, 0, None)
    nothing = {"samples": 0, "error_us": None, "bound_us": None}
    assert audit["control"] == nothing | {"chain": nothing | {"hops": CONTROL_HOPS}}
