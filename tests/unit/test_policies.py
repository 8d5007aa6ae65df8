"""Policies: what each promises, on any candidates; chances are judged by scipy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS
from plan_data import S, dense, italy
from scipy.stats import chisquare, kstest
from test_access import legs_of

from testbed.orbits.propagate import Ephemeris
from testbed.orbits.visibility import range_elevation
from testbed.plan.access import ephemeris_window, slots
from testbed.plan.policies import (
    MEASURED_E_FOLD_DEG,
    POLICIES,
    STICKY_DEG,
    Candidates,
    at_random,
    draws,
    highest,
    least_delay,
    least_handover,
    longest,
    measured,
    sticky,
)

NUMBERS = np.array([3, 5, 8, 13])


def candidates(elevation_deg, stays=(1, 1, 1, 1), serving=-1, instant=0, seed=1):
    numbers = NUMBERS[: len(elevation_deg)]
    drawn = draws(seed, "ut-rome", instant, numbers)
    delay_ns = np.array([9e6, 8e6, 7e6, 8e6])[: len(numbers)]
    return Candidates(
        numbers, np.array(elevation_deg, float), serving, np.array(stays)[: len(numbers)], drawn, delay_ns
    )


def test_least_delay_takes_the_least():
    assert least_delay(candidates([40, 60, 60, 30])) == 2


@given(st.lists(st.floats(25.0, 90.0), min_size=1, max_size=4), st.integers(-1, 3), st.integers(0, 10**18))
def test_every_policy_chooses_one_of_the_candidates(elevation_deg, serving, instant):
    one = candidates(elevation_deg, serving=min(serving, len(elevation_deg) - 1), instant=instant)
    for policy in POLICIES.values():
        assert 0 <= policy.choose(one) < len(elevation_deg)


def test_highest_and_ties_to_the_lowest_number():
    assert highest(candidates([40, 60, 60, 30])) == 1


def test_longest_takes_the_highest_among_equals():
    assert longest(candidates([40, 60, 50, 70], stays=[9, 9, 9, 2])) == 1
    assert longest(candidates([40, 60, 50, 70], stays=[9, 9, 10, 2])) == 2


def test_least_handover_keeps_what_serves_and_then_takes_the_longest():
    assert least_handover(candidates([26, 80, 60, 30], stays=[1, 2, 3, 4], serving=0)) == 0
    assert least_handover(candidates([26, 80, 60, 30], stays=[1, 2, 3, 4])) == 3


def test_sticky_leaves_for_the_margin_and_no_less():
    assert sticky(candidates([40, 40 + STICKY_DEG - 0.01], serving=0)) == 0
    assert sticky(candidates([40, 40 + STICKY_DEG], serving=0)) == 1
    assert sticky(candidates([40, 41])) == 1


def test_draws_are_uniform_and_depend_on_each_of_their_inputs_alone():
    many = np.concatenate([draws(0, "ut-rome", instant, NUMBERS) for instant in range(2_000)])
    assert kstest(many, "uniform").pvalue > 1e-3
    base = draws(0, "ut-rome", 7, NUMBERS)
    assert np.array_equal(base[1:3], draws(0, "ut-rome", 7, NUMBERS[1:3]))
    for other in (draws(1, "ut-rome", 7, NUMBERS), draws(0, "ut-bari", 7, NUMBERS), draws(0, "ut-rome", 8, NUMBERS)):
        assert not np.isin(base, other).any()


def test_random_takes_each_as_often_says_chi_square():
    chosen = [at_random(candidates([25, 45, 65, 90], instant=instant)) for instant in range(4_000)]
    assert chisquare(np.bincount(chosen, minlength=4)).pvalue > 1e-3


def test_measured_takes_high_ones_more_often_by_e_for_each_fold():
    elevation_deg = 30.0 + MEASURED_E_FOLD_DEG * np.arange(4)
    chosen = [measured(candidates(elevation_deg, instant=instant)) for instant in range(4_000)]
    share = np.exp(np.arange(4)) / np.exp(np.arange(4)).sum()
    assert chisquare(np.bincount(chosen, minlength=4), 4_000 * share).pvalue > 1e-3
    assert chisquare(np.bincount(chosen, minlength=4)).pvalue < 1e-3  # the test can tell


def test_least_handover_changes_only_when_the_satellite_sets():
    scenario = italy(policy="least-handover")
    catalogue = dense()
    ephemeris = Ephemeris(catalogue, *ephemeris_window(START_NS, 600 * S, scenario))
    for terminal, its_legs in zip(scenario.terminals, legs_of(scenario, catalogue, START_NS, 600 * S), strict=True):
        moves = [(old, new) for old, new in pairwise(its_legs) if old.satellite != new.satellite]
        assert 1 <= len(moves) < len(slots(START_NS, 600 * S)) / 3
        for old, new in moves:
            times = START_NS + new.begin_ns + np.array([0, 15 * S])
            sites = [terminal.site, *(scenario.gateways[n].site for n in scenario.open_gateways)]
            elevation = range_elevation(sites, ephemeris, times, np.array([old.satellite]))[1][:, :, 0].min(axis=0)
            assert elevation[0] < 25.0 or (elevation[1:] < 25.0).all()


def test_longest_stays_at_least_as_long_as_highest():
    """The chosen satellites' remaining time above the mask, counted second by second from the ephemeris."""
    catalogue = dense()
    ephemeris = Ephemeris(catalogue, START_NS - 15 * S, 900 * S)

    def remaining_s(scenario):
        leg = legs_of(scenario, catalogue, START_NS, 30 * S)[0][-1]
        times = START_NS + leg.begin_ns + np.arange(0, 800) * S
        above = range_elevation([scenario.terminals[0].site], ephemeris, times, np.array([leg.satellite]))[1][:, 0, 0]
        return int(np.argmax(above < 25.0))

    assert remaining_s(italy(policy="longest")) >= remaining_s(italy()) + 15


@pytest.mark.parametrize("policy", ["random", "measured"])
def test_the_seed_decides_and_neither_duration_nor_other_terminals_do(policy):
    scenario = italy(policy=policy)
    legs = legs_of(scenario, dense(), START_NS, 300 * S)
    assert legs == legs_of(scenario, dense(), START_NS, 300 * S)
    assert [leg.satellite for leg in legs[0][:3]] == [
        leg.satellite for leg in legs_of(scenario, dense(), START_NS, 57 * S)[0][:3]
    ]
    assert legs != legs_of(scenario, dense(), START_NS, 300 * S, seed=1)
