"""Playout buffers on delays whose outcome is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.ground.units import format_utc, parse_utc_ns
from traffic.emodel import CODECS, call_over, mean_opinion_score, rating
from traffic.errors import ConfigurationError
from traffic.jitterbuffer import FIXED_60, Buffer, breaks, burst_ratio, judge_call, playout_ns, slots_of

MS = 1_000_000
S = 1_000_000_000
INTERVAL = 20 * MS
PLC = CODECS["g711-plc"]
ADAPTIVE = Buffer()


def call(delay_ms: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sending times and delays of a call; a negative delay is a lost packet."""
    delay = np.asarray(delay_ms, float)
    return np.arange(len(delay), dtype=np.int64) * INTERVAL, np.where(delay < 0, -1, delay * MS).astype(np.int64)


@pytest.mark.parametrize(("buffer", "wait_ms"), [(FIXED_60, 60), (Buffer("fixed", 0), 0), (ADAPTIVE, 20)])
def test_without_variation_every_packet_waits_the_depth(buffer: Buffer, wait_ms: float) -> None:
    _, delay = call(np.full(500, 30.0))
    assert np.all(playout_ns(delay, INTERVAL, buffer) == (30 + wait_ms) * MS)


def test_late_is_lost_and_early_waits() -> None:
    _, delay = call([30, 90, 90.001, 10, -1, 30])
    assert playout_ns(delay, INTERVAL, FIXED_60).tolist() == [90 * MS, 90 * MS, -1, 90 * MS, -1, 90 * MS]


def test_a_sender_that_is_late_is_not_the_network() -> None:
    tx, delay = call(np.full(1000, 30.0))
    late = tx + np.where(np.arange(1000) % 100 == 50, 500 * MS, 0)
    assert (
        judge_call(late, delay, INTERVAL, PLC, ADAPTIVE, 0)["MOS"]
        == judge_call(tx, delay, INTERVAL, PLC, ADAPTIVE, 0)["MOS"]
    )


def test_an_adaptive_buffer_follows_a_step_within_a_talkspurt() -> None:
    _, delay = call(np.r_[np.full(1000, 30.0), np.full(1000, 80.0)])
    lost = playout_ns(delay, INTERVAL, ADAPTIVE) < 0
    assert not lost[:1000].any()
    assert 0 < np.count_nonzero(lost) <= 50  # a talkspurt of 1.004 s is 50 packets
    assert not lost[1060:].any()
    assert np.all(playout_ns(delay, INTERVAL, Buffer("fixed", 20))[1000:] == -1)  # a fixed one never recovers


def test_the_first_depths_are_those_of_the_algorithm() -> None:
    # By hand: 30 ms, then 50 packets whose delay alternates between 30 and 50. The mean rises with weight 1/4 and
    # falls with 1/501; the deviation follows with 1/501. Here in plain steps, as the paper has them.
    delays = [30.0] + [50.0, 30.0] * 25 + [30.0] * 10
    mean, deviation = 30.0, 0.0
    for transit in delays[:50]:
        weight = 0.75 if transit > mean else 0.998002
        mean = weight * mean + (1 - weight) * transit
        deviation = 0.998002 * deviation + 0.001998 * abs(mean - transit)
    _, delay = call(delays)
    played = playout_ns(delay, INTERVAL, ADAPTIVE)
    assert played[0] == 50 * MS
    assert played[52] / MS == pytest.approx(mean + max(4 * deviation, 20), abs=0.001)


def test_the_depth_stays_within_its_limits() -> None:
    rng = np.random.default_rng(1)
    _, delay = call(rng.uniform(20, 900, 2000))
    played = playout_ns(delay, INTERVAL, Buffer("adaptive", 20, 100))
    assert played.max() <= 1000 * MS


def test_nothing_arrived_is_nothing_played() -> None:
    tx, delay = call([-1, -1])
    for buffer in (FIXED_60, ADAPTIVE):
        assert playout_ns(delay, INTERVAL, buffer).tolist() == [-1, -1]
    found = judge_call(tx, delay, INTERVAL, PLC, ADAPTIVE, 0)
    assert (found["R"], found["MOS"], found["loss_effective"]) == (None, None, 1.0)


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.98), (0.01, 0.4), (0.02, 0.2)])
def test_the_burst_ratio_of_a_markov_chain_is_what_g107_says(p: float, q: float) -> None:
    # G.107 (06/2015), 3.2: with p from found to lost and q back, BurstR = 1/(p + q).
    rng = np.random.default_rng(7)
    draws = rng.random(400_000)
    lost = np.zeros(len(draws), bool)
    state = False
    for number, draw in enumerate(draws):
        state = draw < p if not state else draw >= q
        lost[number] = state
    assert np.mean(lost) == pytest.approx(p / (p + q), rel=0.05)
    assert burst_ratio(lost) == pytest.approx(1 / (p + q), rel=0.03)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_burst_ratio_is_at_least_one(pattern: list[bool]) -> None:
    assert 1 <= burst_ratio(np.array(pattern)) <= len(pattern)


@pytest.mark.parametrize(("missing", "found"), [(10, 0), (11, 1)])
def test_a_break_is_longer_than_200_ms(missing: int, found: int) -> None:
    lost = np.zeros(100, bool)
    lost[20 : 20 + missing] = True
    lost[100 - missing :] = True
    assert breaks(lost, INTERVAL) == 2 * found


@pytest.mark.parametrize(
    ("time", "slot"),
    [
        ("06:00:11.999", "05:59:57"),
        ("06:00:12", "06:00:12"),
        ("06:00:26.999", "06:00:12"),
        ("06:00:27", "06:00:27"),
        ("06:00:42", "06:00:42"),
        ("06:00:57", "06:00:57"),
        ("06:01:11", "06:00:57"),
    ],
)
def test_slots_begin_as_starlinks_do(time: str, slot: str) -> None:
    start_ns = parse_utc_ns("2026-06-14T05:59:50Z")
    sent = np.array([parse_utc_ns(f"2026-06-14T{time}Z") - start_ns])
    assert format_utc(int(slots_of(sent, start_ns)[0])) == f"2026-06-14T{slot}Z"
    assert format_utc(int(slots_of(sent // 2, start_ns, speed=2.0)[0])) == f"2026-06-14T{slot}Z"


def test_a_call_is_judged_in_all_and_per_slot() -> None:
    start_ns = parse_utc_ns("2026-06-14T06:00:00Z")
    delay_ms = np.full(1500, 30.0)  # 30 s from :00
    delay_ms[700:720] = -1  # 14.0 to 14.4 s: in the slot that began at :12
    tx, delay = call(delay_ms)
    found = judge_call(tx, delay, INTERVAL, PLC, FIXED_60, start_ns)
    assert [format_utc(slot["start_ns"])[11:19] for slot in found["per_slot"]] == ["05:59:57", "06:00:12", "06:00:27"]
    assert [slot["packets"] for slot in found["per_slot"]] == [600, 750, 150]
    assert [slot["gaps"] for slot in found["per_slot"]] == [0, 1, 0]
    clean, broken = found["per_slot"][0], found["per_slot"][1]
    assert (clean["loss_effective"], clean["burst_r"], clean["m2e_ms"]) == (0, 1, 110)
    assert clean["R"] == round(rating(call_over(PLC, 110, 0)), 2)
    assert broken["loss_effective"] == pytest.approx(20 / 750, abs=1e-6)
    assert broken["burst_r"] == pytest.approx(20 * (1 - 20 / 750), abs=1e-3)
    assert broken["MOS"] < found["MOS"] < clean["MOS"]
    assert found["MOS"] == pytest.approx(mean_opinion_score(found["R"]), abs=0.001)
    assert found["label"] == "estimate, narrowband, ITU-T G.107"


def test_an_opus_call_says_whose_values_it_has_and_counts_its_look_ahead() -> None:
    tx, delay = call(np.full(100, 30.0))
    found = judge_call(tx, delay, INTERVAL, CODECS["opus-24"], FIXED_60, 0)
    assert found["label"].endswith("; opus-24 judged as g711-plc")
    assert found["m2e_ms"] == 30 + 60 + 20 + 6.5


def test_impossible_buffers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="depth_ms 300 and most_ms 200"):
        Buffer(depth_ms=300)
    with pytest.raises(ConfigurationError, match="playout buffer 'elastic' is unknown"):
        Buffer("elastic")
