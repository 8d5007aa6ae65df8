"""Slots, and who serves whom in them: judged by skyfield."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, starlink, starlink_lines
from plan_data import S, dense, italy, sparse
from scipy.stats import binomtest
from skyfield.api import EarthSatellite, load, wgs84

from testbed.ground.errors import PlanError
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.visibility import range_elevation
from testbed.plan.access import Leg, assign, ephemeris_window, serving, slots
from testbed.plan.geometry import Geometry
from testbed.plan.landing import BentPipe
from testbed.plan.sightings import Sightings

starts = st.integers(0, 4_000_000_000 * S)


def legs_of(scenario, catalogue, start_ns, duration_ns, seed=0):
    ephemeris = Ephemeris(catalogue, *ephemeris_window(start_ns, duration_ns, scenario))
    return assign(scenario, catalogue, ephemeris, start_ns, duration_ns, seed)


@given(starts, st.integers(1, 300 * S))
def test_slots_cover_the_plan_without_a_gap(start_ns, duration_ns):
    found = slots(start_ns, duration_ns)
    assert found[0][0] == 0
    assert found[-1][1] == duration_ns
    assert all(end == begin for (_, end), (begin, _) in pairwise(found))
    assert all(0 < end - begin <= 15 * S for begin, end in found)


@given(starts, st.integers(1, 300 * S))
def test_slots_begin_at_12_27_42_57(start_ns, duration_ns):
    for begin_ns, _ in slots(start_ns, duration_ns)[1:]:
        seconds, rest_ns = divmod(start_ns + begin_ns, S)
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        assert rest_ns == 0
        assert instant.second in (12, 27, 42, 57)


def test_slots_of_a_minute():
    assert slots(START_NS, 60 * S) == [
        (0, 12 * S),
        (12 * S, 27 * S),
        (27 * S, 42 * S),
        (42 * S, 57 * S),
        (57 * S, 60 * S),
    ]
    assert slots(START_NS + 12 * S, 15 * S) == [(0, 15 * S)]


@pytest.mark.parametrize("scenario", [italy(), italy(mask_deg=15.0, gateway_mask_deg=45.0)])
def test_legs_follow_each_other_and_one_satellite_has_one_gateway(scenario):
    for catalogue in (dense(), sparse()):
        legs = legs_of(scenario, catalogue, START_NS, 300 * S)
        for its_legs in legs:
            assert its_legs[0].begin_ns == 0
            assert its_legs[-1].end_ns == 300 * S
            for old, new in pairwise(its_legs):
                assert old.end_ns == new.begin_ns
                assert (old.satellite, old.gateway) != (new.satellite, new.gateway)
        for begin_ns, _ in slots(START_NS, 300 * S):
            now = [leg for its in legs for leg in its if leg.begin_ns <= begin_ns < leg.end_ns and not leg.outage]
            for one in now:
                assert all(one.gateway == other.gateway for other in now if other.satellite == one.satellite)


def test_who_serves_is_above_both_masks_from_the_first_to_the_last_second_of_the_slot():
    scenario = italy(mask_deg=20.0, gateway_mask_deg=30.0)
    ephemeris = Ephemeris(sparse(), *ephemeris_window(START_NS, 600 * S))
    seconds = np.arange(16) * S
    for terminal, its_legs in zip(
        scenario.terminals, assign(scenario, sparse(), ephemeris, START_NS, 600 * S), strict=True
    ):
        for begin_ns, end_ns in slots(START_NS, 600 * S):
            leg = serving(its_legs, begin_ns)
            if end_ns - begin_ns < 15 * S or leg.end_ns <= begin_ns or leg.begin_ns > begin_ns:
                continue
            sites = [terminal.site, scenario.gateways[leg.gateway].site]
            look = range_elevation(sites, ephemeris, START_NS + begin_ns + seconds, np.array([leg.satellite]))
            assert look[1][:, 0].min() >= 20.0
            assert look[1][:, 1].min() >= 30.0


def test_a_longer_plan_begins_like_a_shorter_one():
    long, short = (legs_of(italy(), dense(), START_NS, duration) for duration in (300 * S, 40 * S))
    for its_long, its_short in zip(long, short, strict=True):
        for leg in its_short:
            same = serving(its_long, leg.begin_ns)
            assert (same.satellite, same.gateway) == (leg.satellite, leg.gateway)


def test_a_satellite_keeps_its_gateway_while_it_sees_it():
    """Each gateway change happens because the old gateway loses the satellite within the new slot."""
    scenario = italy(mask_deg=15.0, gateway_mask_deg=50.0)
    start_ns, duration_ns = START_NS + 293 * S, 600 * S
    ephemeris = Ephemeris(sparse(), *ephemeris_window(start_ns, duration_ns))
    legs = assign(scenario, sparse(), ephemeris, start_ns, duration_ns)
    changes = [
        (old, new) for its in legs for old, new in pairwise(its) if old.satellite == new.satellite and not new.outage
    ]
    assert changes
    for old, new in changes:
        times = start_ns + new.begin_ns + np.array([0, 15 * S])
        site = scenario.gateways[old.gateway].site
        assert range_elevation([site], ephemeris, times, np.array([old.satellite]))[1].min() < 50.0


def test_the_highest_satellite_serves_says_skyfield():
    """Four slots over the real catalogue: chosen satellites are above both masks, no higher one could have served."""
    catalogue, lines = starlink(), starlink_lines()
    scenario = italy()
    duration_ns = 57 * S
    legs = legs_of(scenario, catalogue, START_NS, duration_ns)
    timescale = load.timescale(builtin=True)
    ephemeris = Ephemeris(catalogue, *ephemeris_window(START_NS, duration_ns))
    altitude_m = catalogue.mean_altitude_m

    def elevations(index, site, slot_ns):
        first = 3 * index + 1
        satellite = EarthSatellite(lines[first], lines[first + 1], "", timescale)
        assert satellite.model.satnum == catalogue.numbers[index]
        times = timescale.utc(2026, 6, 14, 6, 0, np.array([0.0, 7.5, 15.0]) + slot_ns / S)
        place = wgs84.latlon(site.latitude_deg, site.longitude_deg)
        return (satellite - place).at(times).altaz()[0].degrees

    judged = 0
    for terminal, its_legs in zip(scenario.terminals, legs, strict=True):
        for begin_ns in (-3 * S, 12 * S, 27 * S, 42 * S):
            leg = serving(its_legs, max(begin_ns, 0))
            own = elevations(leg.satellite, terminal.site, begin_ns)
            assert own.min() > 24.9
            assert elevations(leg.satellite, scenario.gateways[leg.gateway].site, begin_ns).min() > 24.9
            assert altitude_m[leg.satellite] >= 440e3
            middle = np.array([START_NS + begin_ns + 7_500_000_000])
            near = range_elevation([terminal.site], ephemeris, middle)[1][0, 0]
            for rival in np.flatnonzero(near > own[1] - 1.0):
                if rival == leg.satellite or altitude_m[rival] < 440e3:
                    continue
                theirs = elevations(rival, terminal.site, begin_ns)
                lands = any(elevations(rival, g.site, begin_ns).min() > 25.1 for g in scenario.gateways)
                assert theirs[1] < own[1] + 0.1 or theirs.min() < 25.1 or not lands
                judged += 1
    assert judged > 0


def test_a_gateway_has_an_antenna_as_often_as_its_share():
    """Binomial, over landings of one slot: each draw is (gateway, satellite, slot)'s own; the rest go elsewhere."""
    one = italy(antennas="52")
    catalogue = dense()
    ephemeris = Ephemeris(catalogue, *ephemeris_window(START_NS, 3_600 * S))
    sightings = Sightings(one, catalogue, ephemeris)
    free = seen = 0
    for begin_ns in range(START_NS + 12 * S, START_NS + 3_600 * S, 15 * S):
        landing = BentPipe(one, catalogue, seed=0)
        landing.begin(view := sightings.slot(begin_ns), {0: 0})
        seen += int(view.stays(2).sum())
        free += int(landing.reaches().sum())
    assert binomtest(free, seen, 0.52).pvalue > 1e-3
    assert seen > 1_000


def test_what_has_landed_keeps_its_antenna():
    scenario = italy(policy="least-handover", antennas="52")
    for its_legs in legs_of(scenario, dense(), START_NS, 300 * S):
        for old, new in pairwise(its_legs):
            assert (old.satellite, old.gateway) != (new.satellite, new.gateway)
            if old.satellite == new.satellite and not new.outage:
                site = scenario.gateways[old.gateway].site
                times = START_NS + new.begin_ns + np.array([0, 15 * S])
                ephemeris = Ephemeris(dense(), START_NS, 400 * S)
                assert range_elevation([site], ephemeris, times, np.array([old.satellite]))[1].min() < 25.0


def test_beams_are_shared_out_in_the_order_of_terminals():
    """Two terminals in one place want one satellite; with one beam each the second gets another."""
    base = italy(policy="least-delay")
    twins = (base.terminals[0], replace(base.terminals[0], host="rome2"))
    for beams, shared in ((None, True), (1, False)):
        scenario = replace(base, terminals=twins, pairs=(("rome", "dc-rome"), ("rome2", "dc-rome")))
        scenario = replace(scenario, access=replace(scenario.access, beams=beams))
        first, second = legs_of(scenario, dense(), START_NS, 120 * S)
        for begin_ns, _ in slots(START_NS, 120 * S):
            same = serving(first, begin_ns).satellite == serving(second, begin_ns).satellite
            assert same == shared


def test_landing_by_delay_takes_the_gateway_with_the_least_delay_and_the_country_that_is_asked_for():
    for landing in ("italy", "europe", "any"):
        scenario = italy(landing=landing)
        legs = legs_of(scenario, dense(), START_NS, 120 * S)
        countries = {scenario.gateways[leg.gateway].country for its in legs for leg in its}
        assert countries == {"IT"} if landing == "italy" else countries <= {"IT", "ES", "FR", "DE", "PL", "TR"}
    geometry = Geometry(italy(), ephemeris := Ephemeris(dense(), START_NS - 60 * S, 240 * S), START_NS)
    for leg in (leg for its in legs_of(italy(), dense(), START_NS, 120 * S) for leg in its[1:2]):
        middle_ns = leg.begin_ns + 7_500_000_000
        times = START_NS + leg.begin_ns + np.array([0, 15 * S])
        for number in italy().open_gateways:
            site = italy().gateways[number].site
            if range_elevation([site], ephemeris, times, np.array([leg.satellite]))[1].min() >= 25.0:
                mine_ns = geometry.beyond_ns(leg.satellite, leg.gateway, middle_ns)
                assert mine_ns <= geometry.beyond_ns(leg.satellite, number, middle_ns)


def test_ties_go_to_the_lowest_number():
    """Two copies of a shell: of each pair of twins the lower number serves, wherever it stands in the file."""
    one = dense()
    count = len(one)
    twins = replace(
        one,
        names=one.names + tuple(f"T{name}" for name in one.names),
        numbers=np.concatenate([one.numbers + count, one.numbers]),
        satrecs=one.satrecs * 2,
        epochs_ns=np.tile(one.epochs_ns, 2),
    )
    for its_legs in legs_of(italy(), twins, START_NS, 60 * S):
        assert all(twins.numbers[leg.satellite] <= one.numbers.max() for leg in its_legs)


def test_a_mask_that_nothing_clears_is_one_line():
    with pytest.raises(PlanError) as caught:
        legs_of(italy(mask_deg=89.9), dense(), START_NS, 60 * S)
    assert str(caught.value) == (
        "rome: no satellite stays above 89.9° for a whole slot from 2026-06-14T06:00:00Z for 60 s: "
        "lower the mask, add gateways, or choose another start or catalogue"
    )


def test_a_gateway_that_sees_nothing_is_named_as_the_cause():
    with pytest.raises(PlanError, match="rome: no satellite has a gateway in view for a whole slot"):
        legs_of(italy(gateway_mask_deg=89.9), dense(), START_NS, 60 * S)


def test_low_satellites_do_not_serve():
    with pytest.raises(PlanError, match="no satellite"):
        legs_of(replace(italy(), minimum_altitude_m=600e3), dense(), START_NS, 60 * S)


def test_serving_keeps_the_last_leg_in_an_outage_and_the_first_before_any():
    first, none, last = Leg(0, 5, 1, 0), Leg(5, 9, -1, -1, "x"), Leg(9, 12, 2, 0)
    assert serving([first, none, last], 6) is first
    assert serving([first, none, last], 9) is last
    assert serving([replace(none, begin_ns=0), last], 0) is last
