"""Verdicts over many packets, against scipy's binomial; each can alarm, and stays silent where nothing happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from traffic.statistics import (
    ALPHA,
    bounds,
    critical_count,
    detectable,
    judge_count,
    judge_delays,
    judge_order,
    tail,
    threshold_ns,
)

MS = 1_000_000
NONE = np.zeros(0, np.int64)


@settings(max_examples=300, deadline=None)
@given(total=st.integers(1, 100_000), share=st.floats(0, 1), probability=st.floats(1e-6, 1 - 1e-6))
def test_tail_is_scipys(total: int, share: float, probability: float) -> None:
    count = round(share * total)
    expected = float(stats.binom.sf(count - 1, total, probability))
    assert tail(count, total, probability) == pytest.approx(expected, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize(("count", "total", "probability"), [(101_500, 10**7, 0.01), (10_150, 10**7, 0.001)])
def test_tail_of_ten_million(count: int, total: int, probability: float) -> None:
    assert tail(count, total, probability) == pytest.approx(stats.binom.sf(count - 1, total, probability), rel=1e-6)


def test_tail_at_its_ends() -> None:
    assert tail(0, 10, 0.0) == 1.0
    assert tail(1, 10, 0.0) == 0.0
    assert tail(10, 10, 1.0) == 1.0
    assert tail(11, 10, 0.5) == 0.0
    with pytest.raises(ValueError, match=r"1\.1 is outside 0 to 1"):
        tail(1, 10, 1.1)


@pytest.mark.parametrize(("total", "probability"), [(1900, 0.01), (50, 0.0), (100_000, 0.001), (20, 0.5), (3, 0.5)])
def test_critical_count_is_scipys(total: int, probability: float) -> None:
    assert critical_count(total, probability) == stats.binom.isf(ALPHA, total, probability) + 1


@pytest.mark.parametrize(("count", "total"), [(0, 500), (500, 500), (3, 500), (250, 500), (1, 10**6)])
def test_bounds_are_scipys(count: int, total: int) -> None:
    """Clopper-Pearson, two-sided inside, one-sided at the ends (scipy: alternative)."""
    alternative = {0: "less", total: "greater"}.get(count, "two-sided")
    theirs = stats.binomtest(count, total, alternative=alternative).proportion_ci(0.95, "exact")
    assert bounds(count, total) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_rule_of_three() -> None:
    assert bounds(0, 10**7)[1] == pytest.approx(3e-7, rel=2e-3)
    assert bounds(500, 500)[0] == pytest.approx(0.994, abs=1e-4)
    assert bounds(0, 0) == (0.0, 1.0)


def test_one_to_three_percent_needs_2200_packets() -> None:
    """Exactly; 1,900, the figure of the normal approximation, have a power of 97 %. The power by scipy."""
    power = [stats.binom.sf(critical_count(total, 0.01) - 1, total, 0.03) for total in (1900, 2216)]
    assert power == pytest.approx([0.969, 0.990], abs=1e-3)
    found = detectable(1900, 0.01)
    assert found is not None
    assert stats.binom.sf(critical_count(1900, 0.01) - 1, 1900, found) == pytest.approx(0.99, abs=1e-9)
    assert (detectable(2216, 0.01) or 1.0) <= 0.03 < found < 0.032


def test_drops_are_suspected_at_three_percent_and_not_at_one() -> None:
    dice = np.random.default_rng(1)
    modelled = [judge_count(int(dice.binomial(1900, 0.01)), 1900, 0.01) for _ in range(1000)]
    attacked = [judge_count(int(dice.binomial(2216, 0.03)), 2216, 0.01) for _ in range(1000)]
    assert not any(test.alarm for test in modelled)
    assert sum(test.alarm for test in attacked) >= 980


def test_a_single_loss_where_links_lose_nothing() -> None:
    assert judge_count(1, 1000, 0.0).alarm
    silent = judge_count(0, 1000, 0.0)
    assert (silent.alarm, silent.p_value) == (False, 1.0)
    assert judge_count(0, 0, 0.01).detectable is None


def test_mean_of_differing_probabilities_is_conservative() -> None:
    """A hundred packets in a storm, the rest clear: alarms stay rarer than alpha although packets differ."""
    dice = np.random.default_rng(2)
    probabilities = np.r_[np.full(100, 0.5), np.full(1900, 0.001)]
    counts = (dice.random((4000, 2000)) < probabilities).sum(axis=1)
    alarms = [judge_count(int(count), 2000, float(probabilities.mean()), alpha=0.01).alarm for count in counts]
    assert sum(alarms) <= 40


def test_held_packets_alarm_and_a_busy_machine_does_not() -> None:
    dice = np.random.default_rng(3)
    clean = dice.integers(0, 200_000, 1000)
    assert threshold_ns(clean) == 3 * MS
    assert threshold_ns(clean * 10) == pytest.approx(12 * MS, rel=0.02)
    assert threshold_ns(NONE) == 3 * MS
    assert not judge_delays(clean, clean).alarm
    held = clean.copy()
    held[::64] += 3 * MS  # one in 64
    test = judge_delays(held, clean)
    assert (test.alarm, test.held.tolist(), test.count.total) == (True, list(range(0, 1000, 64)), 1000)
    assert test.worst_ns == held[::64].max()
    assert test.count.p_value == pytest.approx(stats.binom.sf(15, 1000, 1 / 1001))
    assert not judge_delays(held, held).alarm  # probes were held as often
    once = clean.copy()
    once[700] += 4 * MS
    assert not judge_delays(once, clean).alarm  # of which nobody can say that the machine did not do it
    assert not judge_delays(held, NONE).judged
    assert not judge_delays(NONE, clean).judged


def stream(steps: list[tuple[int, int]], seconds: int = 4, pps: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and send times in order of arrival, of a path whose delay changes: [(time in ms, delay in ms)]."""
    tx_ns = np.arange(seconds * pps) * (10**9 // pps)
    times, delays = np.array(steps).T * MS
    rx_ns = tx_ns + delays[np.searchsorted(times, tx_ns, side="right") - 1]
    order = np.argsort(rx_ns, kind="stable")
    return order, tx_ns[order]


def test_order_in_a_handover_is_no_attack_and_elsewhere_it_is() -> None:
    numbers, tx_ns = stream([(0, 60), (2000, 20)])
    changes_ns = np.array([2000 * MS])
    explained = judge_order(numbers, tx_ns, changes_ns, 40 * MS, 500)
    assert explained.reordered == 19
    assert 19 <= explained.largest <= explained.bound == 21
    assert not explained.alarm
    assert judge_order(numbers, tx_ns, NONE, 40 * MS, 500).outside == 19
    assert judge_order(numbers, tx_ns, changes_ns + 100 * MS, 40 * MS, 500).alarm
    beyond = judge_order(numbers, tx_ns, changes_ns, 40 * MS, 100)  # of a flow of 100/s, nothing overtakes by 20
    assert (beyond.outside, beyond.alarm, beyond.bound) == (0, True, 5)
    assert not judge_order(*stream([(0, 20), (2000, 60)]), changes_ns, 40 * MS, 500).reordered
