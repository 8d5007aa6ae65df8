"""A series as a plan: it holds from sample to sample, is summarised as stated, and gaps are what was asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from plan_data import steps_between, walk
from test_trace import fjordlink

import topologies.trace
from testbed.emulation.network import PlanTopo
from testbed.ground.errors import PlanError, ScenarioError
from testbed.plan.expected import path_delay_ns, planned_loss
from testbed.plan.inputs import Request
from testbed.plan.model import Plan, load, save
from testbed.plan.plans import make
from testbed.plan.replay import Replay, replay_plan, resample
from testbed.plan.trace import Series

MS = 1_000_000
S = 1_000_000_000
START_NS = 1_781_416_800 * S


def series(
    times_s: list[float], delays_ms: list[float], loss: list[float] | None = None, *, utc: bool = False
) -> Series:
    time_ns = np.array([round(time * S) for time in times_s], np.int64) + (START_NS if utc else 0)
    delay_ns = np.array([round(delay * MS) for delay in delays_ms], np.int64)
    lost = np.zeros(len(time_ns)) if loss is None else np.array(loss)
    return Series(time_ns, delay_ns, delay_ns + MS, lost, lost, None, None, absolute=utc, source="rtt.csv")


def replay(given: Series | None, **changes: object) -> Replay:
    return replace(topologies.trace.scenario(), series=given, **changes)  # type: ignore[arg-type]


def plan_of(given: Series | None, duration_s: float, *, start_ns: int | None = START_NS, **changes: object) -> Plan:
    return replay_plan(replay(given, **changes), start_ns, round(duration_s * S), 100 * MS, 0)


def up(plan: Plan) -> NDArray[np.void]:
    return steps_between(plan, "ut-user", "sat")


def test_samples_hold_until_the_next_and_nothing_lies_between() -> None:
    plan = plan_of(series([0, 1, 2.5, 3], [20, 30, 10, 12]), 4)
    assert up(plan)["time_ns"].tolist() == [0, S, 2_500 * MS, 3 * S]
    assert up(plan)["delay_ns"].tolist() == [20 * MS, 30 * MS, 10 * MS, 12 * MS]
    back = steps_between(plan, "sat", "ut-user")
    assert back["delay_ns"].tolist() == [21 * MS, 31 * MS, 11 * MS, 13 * MS]
    asked = np.array([0, S - 1, S, 2_499 * MS, 3_999 * MS])
    assert path_delay_ns(plan, plan.paths[0], asked).tolist() == [20 * MS, 20 * MS, 30 * MS, 30 * MS, 12 * MS]


def test_the_plan_may_begin_between_two_samples() -> None:
    plan = plan_of(series([0, 1, 2], [20, 30, 10]), 1, skip_ns=500 * MS)
    assert (up(plan)["time_ns"].tolist(), up(plan)["delay_ns"].tolist()) == ([0, 500 * MS], [20 * MS, 30 * MS])


def test_samples_finer_than_a_step_become_their_median_and_mean_loss() -> None:
    fine = series(
        [0.0, 0.02, 0.04, 0.06, 0.1, 0.25, 0.31, 0.33, 0.4],
        [10, 50, 12, 14, 20, 30, 40, 60, 0],
        [0, 1, 0, 0, 0.5, 0, 0, 1, 0],
    )
    plan = plan_of(fine, 0.4)
    assert up(plan)["time_ns"].tolist() == [0, 100 * MS, 250 * MS, 300 * MS]  # one sample alone keeps its instant
    assert up(plan)["delay_ns"].tolist() == [13 * MS, 20 * MS, 30 * MS, 50 * MS]
    assert up(plan)["loss"].tolist() == [0.25, 0.5, 0, 0.5]
    assert plan.manifest["trace"]["summarised"] == 2


@given(
    gaps_ms=st.lists(st.integers(1, 400), min_size=3, max_size=40),
    step_ms=st.sampled_from([1, 50, 100, 1_000]),
    skip_ms=st.integers(0, 100),
)
def test_every_value_comes_from_a_sample_that_is_there(gaps_ms: list[int], step_ms: int, skip_ms: int) -> None:
    """By hand: at any instant the step holds what the samples of its piece of time, or the last before, say."""
    times_ns = np.r_[0, np.cumsum(gaps_ms)] * MS
    delays = np.arange(1, len(times_ns) + 1) * 7 * MS
    zero = np.zeros(len(times_ns))
    given = Series(times_ns, delays, delays, zero, zero, None, None, absolute=False, source="x")
    begin_ns = min(skip_ms * MS, int(times_ns[-2]))
    duration_ns = int(times_ns[-1]) - begin_ns
    found = resample(given, begin_ns, duration_ns, step_ms * MS, 10 * S)
    assert found.time_ns[0] == 0
    assert np.all(np.diff(found.time_ns) > 0)
    assert found.time_ns[-1] < duration_ns
    edges = [*found.time_ns.tolist(), duration_ns]
    for (low, high), value in zip(pairwise(edges), found.columns["up_ns"].tolist(), strict=True):
        own = [d for t, d in zip(times_ns.tolist(), delays.tolist(), strict=True) if low <= t - begin_ns < high]
        before = [d for t, d in zip(times_ns.tolist(), delays.tolist(), strict=True) if t - begin_ns <= low]
        assert value == (np.rint(np.median(own)) if len(own) > 1 else own[0] if own else before[-1])
        if len(own) > 1:
            assert high - low <= step_ms * MS + max(gaps_ms) * MS


def test_a_gap_is_an_error_that_says_where() -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(series([0, 1, 2, 9, 10], [20] * 5), 10)
    assert str(caught.value) == (
        "rtt.csv: no sample for 7.000 s after 2.000 s, the limit is 5 s: choose another part, "
        "or -p gaps=down for an outage"
    )
    assert len(up(plan_of(series([0, 1, 2, 9, 10], [20] * 5), 10, limit_ns=7 * S))) == 4
    assert len(up(plan_of(series([0, 1, 2, 9, 10], [20] * 5), 1, skip_ns=9 * S))) == 1  # elsewhere than the gap


def test_or_an_outage_by_choice() -> None:
    plan = plan_of(series([0, 1, 2, 9, 10], [20, 20, 21, 22, 22]), 10, gaps="down")
    assert up(plan)["time_ns"].tolist() == [0, S, 2 * S, 3 * S, 9 * S]
    assert up(plan)["up"].tolist() == [True, True, True, False, True]
    assert [(event.kind, event.time_ns, event.window_ns) for event in plan.events] == [("outage", 3 * S, 6 * S)]
    assert plan.manifest["trace"]["gaps_s"] == [[3.0, 9.0]]
    assert np.isnan(path_delay_ns(plan, plan.paths[0], np.array([5 * S]))).all()
    ends_dark = plan_of(series([0, 1, 2, 9, 10], [20] * 5), 5, gaps="down")
    assert [(event.time_ns, event.window_ns) for event in ends_dark.events] == [(3 * S, 2 * S)]


def test_planned_losses_are_events() -> None:
    plan = plan_of(series([0, 1, 2, 3, 4], [20] * 5, [0, 0.5, 1, 0, 0]), 5)
    assert [(event.kind, event.time_ns, event.window_ns) for event in plan.events] == [("loss", S, 2 * S)]
    sent = np.array([500 * MS, 1_500 * MS, 2_999 * MS, 3_100 * MS])
    assert planned_loss(plan, "user", "dc", sent).tolist() == [False, True, True, False]


def test_time_outside_the_series_is_refused() -> None:
    for samples, options in (
        (series([0, 1, 2], [20] * 3), {"duration_s": 4.0}),
        (series([0, 1, 2], [20] * 3, utc=True), {"duration_s": 1.0, "start_ns": START_NS - 1}),
    ):
        with pytest.raises(PlanError, match=r"rtt.csv: it has samples from .*: shorten it or begin elsewhere"):
            plan_of(samples, **options)  # type: ignore[arg-type]


def test_a_start_in_utc_chooses_the_part_of_a_series_in_utc() -> None:
    given = series([0, 1, 2], [20, 30, 40], utc=True)
    later = plan_of(given, 1, start_ns=START_NS + S)
    assert (later.start_ns, up(later)["delay_ns"][0]) == (START_NS + S, 30 * MS)
    first = plan_of(given, 1, start_ns=None)
    assert (first.start_ns, up(first)["delay_ns"][0]) == (START_NS, 20 * MS)
    skipped = plan_of(given, 1, start_ns=None, skip_ns=2 * S)
    assert (skipped.start_ns, up(skipped)["delay_ns"][0]) == (START_NS + 2 * S, 40 * MS)
    with pytest.raises(PlanError, match="give --start or -p skip, not both"):
        plan_of(given, 1, skip_ns=S)


def test_packets_walk_through_both_ways_with_the_series_delay_alone() -> None:
    plan = plan_of(series([0, 1], [20, 30]), 2)
    forth = walk(plan.links, plan.steps, plan.routes, [(n * 100 * MS, "ut-user", "dc", "ce-dc") for n in range(20)])
    back = walk(plan.links, plan.steps, plan.routes, [(n * 100 * MS, "ce-dc", "user", "ut-user") for n in range(20)])
    for number, (arrival, returned) in enumerate(zip(forth, back, strict=True)):
        delay_ns = 20 * MS if number < 10 else 30 * MS
        assert arrival == number * 100 * MS + delay_ns
        assert returned == number * 100 * MS + delay_ns + MS


def test_rates_of_the_file_or_the_medians_of_italy() -> None:
    assert set(up(plan_of(series([0, 1], [20, 30]), 1))["rate_bps"].tolist()) == {41_000_000}
    rates = np.array([5_000_000, 9_000_000])
    plan = plan_of(replace(series([0, 1], [20, 30]), rate_up_bps=rates), 2)
    assert up(plan)["rate_bps"].tolist() == [5_000_000, 9_000_000]
    assert plan.links[0].buffer_bytes == 9_000_000 * 80 // 8_000  # 80 ms of the highest


def test_the_network_can_be_built_and_the_plan_saved(tmp_path: Path) -> None:
    plan = plan_of(None, 20)
    names = {
        name for link in PlanTopo(plan).links(withInfo=True) for name in (link[2]["intfName1"], link[2]["intfName2"])
    }
    assert max(map(len, names)) <= 15
    save(plan, tmp_path)
    assert load(tmp_path).steps.tobytes() == plan.steps.tobytes()


def test_the_synthetic_plan_says_so_and_is_the_same_each_time() -> None:
    plan = plan_of(None, 30)
    assert "SYNTHETIC" in plan.manifest["title"]
    assert plan.manifest["trace"]["synthetic"] is True
    assert any("SYNTHETIC" in line for line in plan.assumptions)
    assert plan_of(None, 30).steps.tobytes() == plan.steps.tobytes()
    assert replay_plan(replay(None), START_NS, 30 * S, 100 * MS, 1).steps.tobytes() != plan.steps.tobytes()
    assert all(event.kind == "loss" and event.window_ns <= 30 * MS for event in plan.events)


def test_a_measured_plan_names_its_file() -> None:
    found = topologies.trace.scenario(file=str(fjordlink()), time="t", delay="lat", loss="drop:ratio")
    plan = make(found, Request((), (), None, 120 * S, 100 * MS, 0))
    assert "SYNTHETIC" not in plan.manifest["title"]
    assert not any("SYNTHETIC" in line for line in plan.assumptions)
    assert plan.manifest["trace"]["source"] == fjordlink().name
    assert len(plan.manifest["trace"]["sha256"]) == 64
    both = up(plan)["delay_ns"] + steps_between(plan, "sat", "ut-user")["delay_ns"]
    assert both[:3].tolist() == [26_132_000, 26_398_000, 26_717_000]  # the file's first lines
    with pytest.raises(PlanError, match=r"no sample for 6\.584 s after 2024-12-12T08:11:19\.738Z"):
        make(found, Request((), (), None, 600 * S, 100 * MS, 0))


def test_catalogues_mean_nothing_here() -> None:
    with pytest.raises(PlanError, match="topology trace has no orbits: leave out --catalogue and --select"):
        make(topologies.trace.scenario(), Request(("starlink-2026",), (), START_NS, S, MS, 0))


def test_parameters_are_checked() -> None:
    for name, value in (("skip", "-1s"), ("gap", "soon"), ("up_percent", "100"), ("gaps", "mend"), ("kind", "two")):
        with pytest.raises(ScenarioError, match=f"trace: parameter {name}='{value}'"):
            topologies.trace.scenario(**{name: value})
    with pytest.raises(ScenarioError, match="unknown parameter 'dealy' \\(did you mean 'delay'\\?\\)"):
        topologies.trace.scenario(dealy="lat")
    found = topologies.trace.scenario(skip="1min", gap="2s", gaps="down", up_percent="60")
    assert (found.skip_ns, found.limit_ns, found.gaps, found.up_share) == (60 * S, 2 * S, "down", 0.6)


def test_flows_are_between_the_hosts_and_lie_within_the_plan() -> None:
    for light, rate_pps in ((False, 200), (True, 60)):
        flows = topologies.trace.flows(20 * S, light=light)
        assert sum(flow["rate_pps"] for flow in flows) == rate_pps
        assert all({flow["src"], flow["dst"]} == {"user", "dc"} for flow in flows)
        assert all(0 <= flow["start_ns"] < flow["stop_ns"] <= 20 * S for flow in flows)
