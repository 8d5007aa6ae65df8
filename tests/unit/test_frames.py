from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, S, starlink, starlink_lines
from sgp4.api import jday
from sgp4.propagation import gstime
from skyfield.api import EarthSatellite, load, wgs84

from testbed.ground.units import parse_utc_ns
from testbed.orbits.frames import (
    DAY_NS,
    ecef_to_teme,
    gmst_rad,
    julian_date,
    sites_teme_m,
    subpoint,
    up_teme,
)
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site, ecef_m

INSTANTS_NS = st.integers(parse_utc_ns("1980-01-01T00:00:00Z"), parse_utc_ns("2056-01-01T00:00:00Z"))


def test_gmst_of_the_textbook() -> None:
    # Vallado, Fundamentals of Astrodynamics and Applications, example 3-5: 1992-08-20 12:14 UT1. The book's time is one
    # float64, good to 1.7e-7 degrees; in exact fractions the formula gives 152.5787878516575.
    computed_deg = np.degrees(gmst_rad(parse_utc_ns("1992-08-20T12:14:00Z")))
    assert computed_deg == pytest.approx(152.578787886, abs=1.7e-7)
    assert computed_deg == pytest.approx(152.5787878516575, abs=1e-11)


@given(INSTANTS_NS)
def test_gmst_is_that_of_vallados_own_code(time_ns: int) -> None:
    jd, fr = julian_date(time_ns)
    difference = float(gmst_rad(time_ns)) - gstime(float(jd + fr))
    # Vallado's code takes one float64 as time, which resolves 40 µs: 3e-9 of a turn.
    assert abs((difference + np.pi) % (2 * np.pi) - np.pi) < 1e-8


def test_gmst_turns_by_less_than_a_microsecond_in_a_microsecond() -> None:
    later = gmst_rad(np.array([START_NS, START_NS + 1000]))
    assert np.diff(later) == pytest.approx(7.292115e-11, rel=1e-4)


@given(INSTANTS_NS)
def test_julian_date_is_that_of_sgp4(time_ns: int) -> None:
    time_ns -= time_ns % S  # jday has no exact place for nanoseconds
    instant = np.datetime64(time_ns, "ns").astype("datetime64[s]").item()
    jd, fr = julian_date(time_ns)
    expected_jd, expected_fr = jday(*instant.timetuple()[:6])
    assert (float(jd), float(fr)) == (expected_jd, pytest.approx(expected_fr, abs=1e-15))


def test_julian_date_keeps_nanoseconds_and_the_shape() -> None:
    jd, fr = julian_date(np.array([[START_NS, START_NS + 1]]))
    assert jd.shape == fr.shape == (1, 2)
    assert (fr[0, 1] - fr[0, 0]) * DAY_NS == pytest.approx(1.0, abs=0.01)


def test_sites_turn_with_the_earth() -> None:
    sites = [Site("equator", 0.0, 0.0), Site("pole", 90.0, 0.0)]
    times = START_NS + np.array([0, 86_164 * S + 90_530_833])  # a sidereal day later (IAU 1982)
    position_m = sites_teme_m(sites, times)
    assert position_m.shape == up_teme(sites, times).shape == (2, 2, 3)
    assert np.allclose(position_m[0], position_m[1], rtol=0, atol=0.1)
    assert np.allclose(position_m[0, 1], ecef_m(sites[1]), rtol=0, atol=1e-6)
    half_a_day_on = sites_teme_m(sites, times[:1] + DAY_NS // 2)[0, 0]
    assert np.linalg.norm(half_a_day_on - position_m[0, 0]) > 12_000e3  # a frame that stood still would give 0


@given(st.floats(-89.99, 89.99), st.floats(-180, 180), st.floats(-400, 36_000e3), INSTANTS_NS)
def test_subpoint_undoes_a_site(latitude_deg: float, longitude_deg: float, height_m: float, time_ns: int) -> None:
    ground = Site("x", latitude_deg, longitude_deg)
    higher_m = sites_teme_m([ground], np.array([time_ns]))[0] + height_m * up_teme([ground], np.array([time_ns]))[0]
    latitude, longitude, height = subpoint(higher_m, time_ns)
    assert latitude[0] == pytest.approx(latitude_deg, abs=1e-8)
    assert (longitude[0] - longitude_deg + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert height[0] == pytest.approx(height_m, abs=1e-3)


def test_subpoint_at_a_pole_and_of_nothing() -> None:
    polar_m = ecef_to_teme(np.array([[0.0, 0.0, 6_356_752.314245 + 550e3], [np.nan] * 3]), np.array([START_NS]))[0]
    latitude, _, height = subpoint(polar_m, START_NS)
    assert (latitude[0], height[0]) == (pytest.approx(90.0), pytest.approx(550e3, abs=1e-3))
    assert np.isnan(latitude[1])
    assert np.isnan(height[1])


def test_ground_track_is_skyfields() -> None:
    catalogue, lines = starlink(), starlink_lines()
    indices = np.arange(0, len(catalogue), 500)
    time_ns = np.array([START_NS + 1234 * S])
    position_m = Ephemeris(catalogue, START_NS, 3600 * S).position_m(time_ns, indices)
    latitude, longitude, height = subpoint(position_m, time_ns[:, None])
    timescale = load.timescale(builtin=True)
    instant = timescale.utc(2026, 6, 14, 6, 0, 1234)
    for column, index in enumerate(indices):
        place = wgs84.geographic_position_of(
            EarthSatellite(lines[3 * index + 1], lines[3 * index + 2], None, timescale).at(instant)
        )
        assert latitude[0, column] == pytest.approx(place.latitude.degrees, abs=1e-4)
        assert longitude[0, column] == pytest.approx(place.longitude.degrees, abs=0.002)  # 0.0002 times UT1 - UTC
        assert height[0, column] == pytest.approx(place.elevation.m, abs=5)
