from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, S, starlink, starlink_lines
from skyfield.api import EarthSatellite, load, wgs84

from testbed.ground.constants import SPEED_OF_LIGHT_M_S, WGS84_A_M
from testbed.ground.errors import PlanError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import ecef_to_teme, sites_teme_m, up_teme
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site, ecef_m, up_ecef
from testbed.orbits.visibility import look, range_elevation

ROMA = Site("roma", 41.9, 12.5)


def one(site: Site, satellite_m: np.ndarray) -> tuple[float, float]:
    range_m, elevation_deg = look(ecef_m(site)[None, None], up_ecef(site)[None, None], satellite_m[None, None])
    return float(range_m[0, 0, 0]), float(elevation_deg[0, 0, 0])


def test_at_the_zenith_550_km_are_1_8346_ms() -> None:
    range_m, elevation_deg = one(ROMA, ecef_m(ROMA) + 550e3 * up_ecef(ROMA))
    assert range_m / SPEED_OF_LIGHT_M_S * 1e3 == pytest.approx(1.8346, abs=5e-5)
    assert elevation_deg == pytest.approx(90.0, abs=1e-5)


@pytest.mark.parametrize(
    ("altitude_km", "elevation_deg", "published_km"),
    [(550, 40, 812), (550, 25, 1123), (480, 25, 995), (360, 10, 1331), (1200, 25, 2205), (8000, 10, 11826)],
)
def test_slant_ranges_of_the_published_table(altitude_km: float, elevation_deg: float, published_km: float) -> None:
    # Along the equator the ellipsoid is the table's sphere of 6,378 km. The Earth's central angle by the law of sines.
    radius_m = WGS84_A_M + altitude_km * 1e3
    elevation = np.radians(elevation_deg)
    angle = np.arccos(WGS84_A_M / radius_m * np.cos(elevation)) - elevation
    satellite_m = radius_m * np.array([np.cos(angle), np.sin(angle), 0.0])
    range_m, seen_deg = one(Site("equator", 0.0, 0.0), satellite_m)
    assert range_m / 1e3 == pytest.approx(published_km, abs=0.6)
    assert seen_deg == pytest.approx(elevation_deg, abs=1e-9)


def test_elevation_is_geodetic_not_geocentric() -> None:
    # At 45° the two verticals are 0.192° apart (WGS-84).
    site = Site("x", 45.0, 0.0)
    _, elevation_deg = one(site, ecef_m(site) * (1 + 550e3 / np.linalg.norm(ecef_m(site))))
    assert 90.0 - elevation_deg == pytest.approx(0.192, abs=0.001)


def test_below_the_horizon_is_negative_and_the_antipode_is_the_nadir() -> None:
    assert one(Site("x", 0.0, 0.0), np.array([-7e6, 0.0, 0.0]))[1] == pytest.approx(-90.0, abs=1e-5)


UNIT = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(x * x for x in q) > 0.01)


@given(UNIT, st.floats(-90, 90), st.floats(-180, 180), st.tuples(*[st.floats(-1, 1)] * 3), st.floats(300e3, 36e6))
def test_look_does_not_depend_on_the_frame(
    quaternion: tuple[float, ...], latitude: float, longitude: float, way: tuple[float, ...], height_m: float
) -> None:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    direction = np.add(way, (0.0, 0.0, 1.5))
    site = Site("x", latitude, longitude)
    arrays = (ecef_m(site)[None, None], up_ecef(site)[None, None], (6.4e6 + height_m) * direction[None, None])
    range_m, elevation_deg = look(*arrays)
    turned_range_m, turned_elevation_deg = look(*(array @ rotation.T for array in arrays))
    assert turned_range_m == pytest.approx(range_m, abs=1e-6)
    # Near the zenith the arc sine is worth no more than 1e-6 degrees.
    assert turned_elevation_deg == pytest.approx(elevation_deg, abs=3e-6)


@given(st.floats(0, 360), st.integers(0, 10**15))
def test_turning_site_and_time_together_changes_nothing(turn_deg: float, shift_ns: int) -> None:
    """In the Earth's frame nothing depends on the date: a fixed point above a site is always seen the same way."""
    site = Site("x", 41.9, turn_deg - 180.0)
    above_m = ecef_m(site) + 600e3 * up_ecef(site) + np.array([1e5, 2e5, 3e5])
    expected = one(site, above_m)
    time_ns = np.array([START_NS + shift_ns])
    far = Site("far", 0.0, 0.0)
    from_frames = sites_teme_m([site, far], time_ns), up_teme([site, far], time_ns)
    range_m, elevation_deg = look(*from_frames, ecef_to_teme(above_m[None], time_ns))
    assert (range_m[0, 0, 0], elevation_deg[0, 0, 0]) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


def test_a_satellite_without_a_position_has_neither_range_nor_elevation() -> None:
    satellites_m = np.array([[[np.nan] * 3, ecef_m(ROMA), [7e6, 0.0, 0.0]]])
    range_m, elevation_deg = look(ecef_m(ROMA)[None, None], up_ecef(ROMA)[None, None], satellites_m)
    assert np.isnan(range_m[0, 0]).tolist() == [True, False, False]
    assert range_m[0, 0, 1] == 0.0
    assert np.isnan(elevation_deg[0, 0]).tolist() == [True, True, False]


@pytest.fixture(scope="module")
def ephemeris() -> Ephemeris:
    return Ephemeris(starlink(), START_NS, 3600 * S)


def test_a_thousand_ranges_and_elevations_are_skyfields(ephemeris: Ephemeris) -> None:
    random = np.random.default_rng(2026)
    lines = starlink_lines()
    timescale = load.timescale(builtin=True)
    worst_m = worst_deg = least_moved_m = 0.0
    for index in random.integers(0, len(ephemeris.catalogue), 100):
        latitude, longitude = float(np.degrees(np.arcsin(random.uniform(-1, 1)))), float(random.uniform(-180, 180))
        site = Site("x", latitude, longitude, float(random.uniform(0, 3000)))
        seconds = np.sort(random.uniform(0, 3600, 10)).round(6)
        satellite = EarthSatellite(lines[3 * index + 1], lines[3 * index + 2], None, timescale)
        place = wgs84.latlon(site.latitude_deg, site.longitude_deg, site.height_m)
        altitude, _, distance = (satellite - place).at(timescale.utc(2026, 6, 14, 6, 0, seconds)).altaz()
        time_ns = START_NS + np.round(seconds * S).astype(np.int64)
        range_m, elevation_deg = range_elevation([site], ephemeris, time_ns, np.array([index]))
        worst_m = max(worst_m, np.abs(range_m[:, 0, 0] - distance.m).max())
        worst_deg = max(worst_deg, np.abs(elevation_deg[:, 0, 0] - altitude.degrees).max())
        late_m, _ = range_elevation([site], ephemeris, np.minimum(time_ns + S, START_NS + 3600 * S), np.array([index]))
        least_moved_m = max(least_moved_m, np.abs(late_m[:, 0, 0] - distance.m).max())
    assert worst_m < 20.0
    assert worst_deg < 0.01
    assert least_moved_m > 1000.0  # the same check on positions one second late fails


def test_roma_sees_as_many_starlinks_as_published(ephemeris: Ephemeris) -> None:
    """2026-06-14 06:00-07:00 UTC, 15 s steps, above 440 km: at 25° and more 69 on average, at least 55; at 40° 29."""
    catalogue: Catalogue = ephemeris.catalogue
    broadband = np.flatnonzero(catalogue.mean_altitude_m > 440e3)
    assert len(broadband) == 9275
    _, elevation_deg = range_elevation([ROMA], ephemeris, START_NS + np.arange(0, 3600, 15) * S, broadband)
    seen = np.count_nonzero(elevation_deg >= 25.0, axis=2)
    assert (round(float(seen.mean())), int(seen.min())) == (69, 55)
    assert round(float(np.count_nonzero(elevation_deg >= 40.0, axis=2).mean())) == 29


def test_range_elevation_has_the_shape_it_says(ephemeris: Ephemeris) -> None:
    sites = [ROMA, Site("milano", 45.46, 9.19), Site("aden", 12.5, 47.0)]
    range_m, elevation_deg = range_elevation(sites, ephemeris, START_NS + np.array([0, 7 * S]), np.array([3, 1, 4, 1]))
    assert range_m.shape == elevation_deg.shape == (2, 3, 4)
    assert np.array_equal(range_m[:, :, 1], range_m[:, :, 3])
    with pytest.raises(PlanError, match="outside its window"):
        range_elevation(sites, ephemeris, np.array([START_NS - 1]))
