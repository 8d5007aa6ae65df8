"""The delay model against published medians: fitted on Italy, asked about other countries."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from orbit_data import START_NS, S, starlink
from plan_data import italy

from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.visibility import range_elevation
from testbed.plan.access import assign, ephemeris_window
from testbed.plan.calibration import (
    MASK_DEG,
    Calibration,
    Rule,
    Sights,
    constant_error_ms,
    judge_all,
    look,
    round_trips_ms,
    weighted_quantile,
)
from testbed.plan.calibration_sites import ASSUMED_GATEWAYS, COUNTRIES, GATEWAYS, ITALY, POPS
from testbed.plan.delays import Overheads, gateway_fibre, propagation_ns, total_ns
from testbed.plan.geometry import Geometry

MS = 1_000_000
BEGIN_NS = START_NS + 12 * S
ITALIAN = ("milano", "foggia", "marsala")
ROME = Site("rome", 41.90, 12.49)


@cache
def day() -> Calibration:
    """A day of slots, one every 15 minutes."""
    return Calibration(starlink(), BEGIN_NS, 86_400 * S, 900 * S)


@cache
def one_slot() -> Sights:
    return look(starlink(), [ROME], [BEGIN_NS])[0]


def test_italy_is_met():
    residuals_ms = day().judge(italy=True).residuals_ms
    assert set(residuals_ms) == {0.2, 0.5, 0.8}
    assert max(map(abs, residuals_ms.values())) < 1.5


def test_other_countries_are_predicted_better_than_by_italy_s_median():
    """Nothing was fitted on them. The goal is 2 ms; 28.0 ms everywhere is 3.5 ms off."""
    assert constant_error_ms() == pytest.approx(3.4875)
    assert day().judge().error_ms < 2.0


def test_the_highest_satellite_and_gateway_do_not_explain_italy():
    """What plans did before: the calibration can fail."""
    residuals_ms = day().judge(Rule(e_fold_deg=None, share=1.0, by_delay=False), italy=True).residuals_ms
    assert max(map(abs, residuals_ms.values())) > 2.0


def test_without_the_assumed_gateways_the_balkans_are_wrong():
    listed = tuple(site.name for site in GATEWAYS if site.name not in ASSUMED_GATEWAYS)
    result = day().judge(Rule(gateways=listed))
    assert result.predicted_ms["Bulgaria"] > 28.0
    assert result.error_ms > 3.0


def test_another_overhead_moves_every_median_by_as_much():
    more = replace(Overheads(), scheduling_down_ns=Overheads().scheduling_down_ns + 3 * MS)
    before, after = (day().medians_ms("Italy", Rule(), overheads) for overheads in (Overheads(), more))
    assert after - before == pytest.approx(3.0)


def test_sites_are_enough_and_where_they_should_be():
    assert len(ITALY.towns) >= 30
    assert all(len(country.towns) >= 3 for country in COUNTRIES)
    names = [town.name for town in ITALY.towns]
    assert len(set(names)) == len(names)
    assert all(35.0 < town.latitude_deg < 47.5 and 6.5 < town.longitude_deg < 18.6 for town in ITALY.towns)


def test_sights_are_those_of_all_satellites():
    """Looking only at satellites near the middle loses none that is above the mask anywhere."""
    towns = [Site("rhodes", 36.44, 28.22), Site("rennes", 48.11, -1.68), Site("rostock", 54.09, 12.14)]
    sight = look(starlink(), towns, [BEGIN_NS])[0]
    ephemeris = Ephemeris(starlink(), BEGIN_NS, 15 * S)
    eligible = np.flatnonzero(starlink().mean_altitude_m >= 440e3)
    times = BEGIN_NS + np.array([0, 15 * S])
    elevation_deg = range_elevation([*towns, *GATEWAYS], ephemeris, times, eligible)[1]
    expected = (elevation_deg >= MASK_DEG).all(axis=0).sum(axis=1)
    assert sight.stays.sum(axis=1).tolist() == expected.tolist()
    assert expected.min() > 20


def test_the_same_satellite_and_gateway_as_plans_use():
    """With draws switched off, slot by slot: the round trip of the leg that `access.assign` gives."""
    base = italy()
    scenario = replace(base, access=replace(base.access, policy="highest", landing_by="highest"))
    rule = Rule(e_fold_deg=None, share=1.0, by_delay=False, gateways=ITALIAN)
    towns = [terminal.site for terminal in scenario.terminals]
    for slot in range(0, 240, 60):
        begin_ns = BEGIN_NS + slot * 15 * S
        ephemeris = Ephemeris(starlink(), *ephemeris_window(begin_ns, 15 * S))
        legs = assign(scenario, starlink(), ephemeris, begin_ns, 15 * S)
        geometry = Geometry(scenario, ephemeris, begin_ns)
        sights = look(starlink(), towns, [begin_ns])
        for number, (leg, *_) in enumerate(legs):
            middle_ns = 7_500_000_000
            beyond_ns = geometry.beyond_ns(leg.satellite, leg.gateway, middle_ns)
            users_ns = [geometry.user_ns(number, leg.satellite, upward, middle_ns) for upward in (True, False)]
            values, weights = round_trips_ms(sights, number, len(towns), POPS["milan"], rule, Overheads())
            assert weighted_quantile(values, weights, 0.5) == pytest.approx(
                (2 * beyond_ns + sum(users_ns)) / MS, abs=1e-5
            )


@pytest.mark.parametrize("rule", [Rule(), Rule(share=0.3), Rule(e_fold_deg=float("inf")), Rule(e_fold_deg=None)])
def test_chances_agree_with_draws(rule):
    """One slot over Rome played 4,000 times: gateways' antennas drawn, then the satellite, then the nearest way."""
    sight, rng = one_slot(), np.random.default_rng(1)
    columns = np.flatnonzero(sight.stays[0] & sight.stays[1:].any(axis=0))
    flight_ns = 2 * propagation_ns(sight.range_m[0, columns] + sight.range_m[1:, columns])
    fibre_ns = np.array([2 * int(total_ns(gateway_fibre(site, POPS["milan"], Overheads()))) for site in GATEWAYS])
    fixed_ns = Overheads().access_up_ns + Overheads().access_down_ns
    delay_ms = (flight_ns + fibre_ns[:, None] + fixed_ns) / MS
    drawn = []
    for _ in range(4_000):
        free = sight.stays[1:, columns] & (rng.random(delay_ms.shape) < rule.share)
        can = free.any(axis=0)
        score = sight.elevation_deg[0, columns]
        if rule.e_fold_deg is not None:
            score = score / rule.e_fold_deg + rng.gumbel(size=len(columns))
        chosen = int(np.argmax(np.where(can, score, -np.inf)))
        drawn.append(delay_ms[free[:, chosen], chosen].min())
    values, weights = round_trips_ms([sight], 0, 1, POPS["milan"], rule, Overheads())
    assert float(np.sum(values * weights)) == pytest.approx(np.mean(drawn), abs=0.3)
    assert np.mean(np.array(drawn) < 28.0) == pytest.approx(weights[values < 28.0].sum(), abs=0.03)


def test_blocks_make_no_difference():
    """A half hour and a minute more, judged in two blocks and in one; float32 rounds to 4 ns in 30 ms."""
    duration_ns = 1_860 * S
    blocks = judge_all(starlink(), BEGIN_NS, duration_ns)
    whole = Calibration(starlink(), BEGIN_NS, duration_ns, 15 * S).judge()
    assert blocks.predicted_ms == pytest.approx(whole.predicted_ms, abs=1e-5)
    assert blocks.quantiles_ms == pytest.approx(whole.quantiles_ms, abs=1e-5)


def test_a_weighted_quantile_counts_weights():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 6.0])
    assert [weighted_quantile(values, weights, at) for at in (0.1, 0.5, 0.9)] == [1.0, 2.0, 3.0]
    assert weighted_quantile(np.array([5.0, 4.0]), np.array([1.0, 3.0]), 0.5) == 4.0


def test_an_unknown_country_is_refused():
    with pytest.raises(KeyError, match="Atlantis"):
        day().medians_ms("Atlantis", Rule(), Overheads())
