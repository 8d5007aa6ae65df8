"""What sites see: the coarse look leaves nothing out, and the geostationary arc is where geometry puts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from orbit_data import START_NS
from plan_data import S, dense, italy, sparse
from skyfield.api import load, wgs84

from testbed.orbits.frames import sites_teme_m, up_teme
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Track, Waypoint
from testbed.orbits.visibility import range_elevation
from testbed.plan.access import BELOW_THE_MASK, assign, ephemeris_window
from testbed.plan.build import build_plan
from testbed.plan.sightings import GEO_RADIUS_M, Sightings, arc_separation_deg
from topologies.sites import ROME

SLOT_NS = START_NS + 12 * S


@pytest.mark.parametrize("catalogue", [dense(), sparse()])
def test_the_coarse_look_leaves_nothing_out(catalogue):
    """Against a look at every satellite, in every slot of some minutes."""
    scenario = italy()
    ephemeris = Ephemeris(catalogue, SLOT_NS, 300 * S)
    sightings = Sightings(scenario, catalogue, ephemeris)
    sites = [*(t.site for t in scenario.terminals), *(g.site for g in scenario.gateways)]
    for begin_ns in range(SLOT_NS, SLOT_NS + 300 * S, 15 * S):
        view = sightings.slot(begin_ns)
        times = begin_ns + np.array(view.offsets_ns)
        _, elevation_deg = range_elevation(sites, ephemeris, times)
        above = elevation_deg >= 25.0
        rest = np.setdiff1d(np.arange(len(catalogue)), view.columns)
        assert np.array_equal(above[:, :, view.columns], view.above)
        assert not above[:, :, rest].any()
        assert len(view.columns) < len(catalogue) / 2


def test_slots_ahead_counts_whole_slots():
    catalogue, scenario = dense(), italy()
    ephemeris = Ephemeris(catalogue, SLOT_NS, 700 * S)
    view = (sightings := Sightings(scenario, catalogue, ephemeris)).slot(SLOT_NS)
    columns = view.columns[view.stays(0)]
    for satellite, count in zip(columns, sightings.slots_ahead(0, SLOT_NS, columns), strict=True):
        times = SLOT_NS + np.arange(0, 601) * S
        below = range_elevation([ROME], ephemeris, times, np.array([satellite]))[1][:, 0, 0] < 25.0
        assert count == np.argmax(below) // 15 - (np.argmax(below) % 15 == 0)


def test_a_geostationary_satellite_is_on_the_arc_wherever_it_stands():
    times = np.array([START_NS])
    site_m, up = sites_teme_m([ROME], times)[0, 0], up_teme([ROME], times)[0, 0]
    around = np.radians(np.arange(0.0, 360.0, 0.7))
    ring_m = GEO_RADIUS_M * np.stack([np.cos(around), np.sin(around), np.zeros_like(around)], axis=-1)
    seen = ring_m[(ring_m - site_m) @ up > 0.0]
    assert len(seen) > 100
    assert arc_separation_deg(site_m, up, seen).max() < 0.35  # half the distance of the points it is made of


def test_the_zenith_of_rome_is_as_far_from_the_arc_as_skyfield_says():
    """The arc culminates due south, where a satellite stands over Rome's meridian."""
    times = np.array([START_NS])
    site_m, up = sites_teme_m([ROME], times)[0, 0], up_teme([ROME], times)[0, 0]
    time = load.timescale(builtin=True).utc(2026, 6, 14, 6)
    place = wgs84.latlon(ROME.latitude_deg, ROME.longitude_deg)
    above = wgs84.latlon(0.0, ROME.longitude_deg, elevation_m=GEO_RADIUS_M - 6_378_137.0)
    elevation_deg = (above - place).at(time).altaz()[0].degrees
    assert 41.0 < elevation_deg < 42.5
    found = arc_separation_deg(site_m, up, (site_m + 550e3 * up)[None])
    assert found[0] == pytest.approx(90.0 - elevation_deg, abs=0.05)


def test_no_arc_in_sight_is_no_bound():
    pole, up = np.array([0.0, 0.0, 6_357e3]), np.array([0.0, 0.0, 1.0])
    assert arc_separation_deg(pole, up, np.array([[1e5, 0.0, 6.9e6]])).tolist() == [180.0]


def test_satellites_near_the_arc_are_not_used():
    scenario = italy(gso_deg="30", mask_deg=25.0)
    catalogue = dense()
    ephemeris = Ephemeris(catalogue, *ephemeris_window(START_NS, 120 * S))
    apart = {}
    for one in (scenario, italy()):
        found = []
        for terminal, legs in zip(one.terminals, assign(one, catalogue, ephemeris, START_NS, 120 * S), strict=True):
            for leg in legs:
                for site in (terminal.site, one.gateways[leg.gateway].site):
                    times = np.array([START_NS + (leg.begin_ns + leg.end_ns) // 2])
                    satellite_m = ephemeris.position_m(times, np.array([leg.satellite]))[0]
                    place = sites_teme_m([site], times)[0, 0], up_teme([site], times)[0, 0]
                    found.append(arc_separation_deg(*place, satellite_m)[0])
        apart[one.access.gso_deg] = min(found)
    assert apart[30] >= 29.9
    assert apart[None] < 29.9


def test_terminals_that_are_not_bound_also_switch_inside_slots():
    """Looked after every 5 s: what serves is above the mask at both ends of each tick, and needs no whole slot."""
    base = italy(mask_deg=60.0)
    scenario = replace(base, terminals=(replace(base.terminals[0], bound=False), base.terminals[1]))
    catalogue = dense()
    ephemeris = Ephemeris(catalogue, *ephemeris_window(START_NS, 600 * S))
    free, bound = assign(scenario, catalogue, ephemeris, START_NS, 600 * S)
    inside = [leg for leg in free if (leg.begin_ns // S - 12) % 15]
    assert [leg for leg in inside if leg.cause == BELOW_THE_MASK]
    assert all((leg.begin_ns // S - 2) % 5 == 0 for leg in free[1:])
    assert all((leg.begin_ns // S - 12) % 15 == 0 for leg in bound[1:])
    for leg in free:
        if not leg.outage:
            times = START_NS + np.array([max(leg.begin_ns, 2 * S), (leg.end_ns - 2 * S) // (5 * S) * 5 * S + 2 * S])
            assert range_elevation([ROME], ephemeris, times, np.array([leg.satellite]))[1].min() >= 60.0
    before = assign(base, catalogue, ephemeris, START_NS, 600 * S)[0]
    out_ns = [sum(leg.end_ns - leg.begin_ns for leg in legs if leg.outage) for legs in (free, before)]
    assert out_ns[0] < out_ns[1]


def test_a_ship_is_served_where_it_is():
    """30 kn for ten minutes: ranges of its links are those of its position at each step, by the site's own formula."""
    track = Track("ship", (Waypoint(38.0, 12.0), Waypoint(38.0, 14.0)), 30.0)
    base = italy()
    ship = replace(base.terminals[0], host="ship", site=track, bound=False)
    scenario = replace(base, terminals=(ship,), pairs=(("ship", "dc-rome"),), flows=lambda _: ())
    plan = build_plan(scenario, dense(), START_NS, 600 * S, step_ns=60 * S)
    node = plan.node("ut-ship")
    assert (node.latitude_deg, node.longitude_deg) == pytest.approx((38.0, 12.0), abs=1e-9)
    ephemeris = Ephemeris(dense(), START_NS, 600 * S)
    numbers = dict(zip(dense().node_names, range(len(dense())), strict=True))
    last = 0
    for number, link in enumerate(plan.links):
        if link.kind == "user" and link.a == "ut-ship":
            for step in plan.link_steps(number):
                gone_deg = 30 * 1852 / 3600 * step["time_ns"] / S / (111_320 * np.cos(np.radians(38.0)))
                here = Site("here", 38.0, 12.0 + gone_deg)
                times = np.array([START_NS + step["time_ns"]])
                range_m, _ = range_elevation([here], ephemeris, times, np.array([numbers[link.b]]))
                assert step["range_m"] == pytest.approx(range_m.item(), abs=150.0)  # a geodesic is no parallel
                last = max(last, int(step["time_ns"]))
    assert last > 500 * S
