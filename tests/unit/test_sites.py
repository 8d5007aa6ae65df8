from __future__ import annotations

from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skyfield.api import wgs84

from testbed.ground.constants import EARTH_MEAN_RADIUS_M
from testbed.ground.errors import ScenarioError
from testbed.orbits.sites import Site, ecef_m, great_circle_m, up_ecef

LATITUDE = st.floats(-90, 90)
LONGITUDE = st.floats(-180, 180)
SITES = st.builds(Site, st.just("x"), LATITUDE, LONGITUDE, st.floats(-400, 20_000))


@given(SITES)
def test_ecef_is_where_skyfield_has_it(site: Site) -> None:
    expected_m = wgs84.latlon(site.latitude_deg, site.longitude_deg, site.height_m).itrs_xyz.m
    assert np.abs(ecef_m(site) - expected_m).max() < 1e-4  # skyfield rounds through astronomical units


@given(SITES, st.floats(1, 10_000))
def test_up_is_the_direction_in_which_height_grows(site: Site, rise_m: float) -> None:
    higher = Site("x", site.latitude_deg, site.longitude_deg, site.height_m + rise_m)
    assert np.allclose(ecef_m(higher), ecef_m(site) + rise_m * up_ecef(site), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latitude_deg": 95.0}, "site 'roma': latitude 95 is outside -90 to 90 degrees"),
        ({"longitude_deg": -181.0}, "site 'roma': longitude -181 is outside -180 to 180 degrees"),
        ({"latitude_deg": float("nan")}, "latitude nan"),
        ({"height_m": float("inf")}, "height inf"),
        ({"height_m": 550e3}, "height 550000 is outside -1,000 to 100,000 m"),
    ],
)
def test_a_place_that_is_nowhere_is_refused_with_name_and_value(change: dict[str, float], said: str) -> None:
    with pytest.raises(ScenarioError, match=said.replace("(", r"\(")):
        Site(**({"name": "roma", "latitude_deg": 41.9, "longitude_deg": 12.5} | change))


@pytest.mark.parametrize(
    ("a", "b", "published_km"),
    [
        # Gateways of the community map, city centres, and the lengths published with the fibre delays between them.
        (Site("foggia", 41.50823, 15.58648), Site("milano", 45.4642, 9.19), 677),
        (Site("marsala", 37.794324, 12.493115), Site("milano", 45.4642, 9.19), 895),
        (Site("roma", 41.9028, 12.4964), Site("milano", 45.4642, 9.19), 477),
        (Site("red-sea", 20.0, 38.5), Site("foggia", 41.50823, 15.58648), 3222),
    ],
)
def test_great_circles_of_known_routes(a: Site, b: Site, published_km: float) -> None:
    assert great_circle_m(a, b) / 1e3 == pytest.approx(published_km, abs=1)


def test_great_circle_of_a_quarter_and_of_half_the_sphere() -> None:
    assert great_circle_m(Site("a", 0, 0), Site("b", 0, 90)) == pytest.approx(EARTH_MEAN_RADIUS_M * pi / 2)
    assert great_circle_m(Site("a", 37, 20), Site("b", -37, -160)) == pytest.approx(EARTH_MEAN_RADIUS_M * pi)
    assert great_circle_m(Site("a", 37, 20), Site("b", 37, 20, 9000.0)) == 0.0


@given(SITES, SITES)
def test_great_circle_is_symmetric_and_no_shorter_than_the_chord_on_the_sphere(a: Site, b: Site) -> None:
    length_m = great_circle_m(a, b)
    assert length_m == pytest.approx(great_circle_m(b, a))
    spherical = [
        np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        for lat, lon in (np.radians([s.latitude_deg, s.longitude_deg]) for s in (a, b))
    ]
    chord_m = EARTH_MEAN_RADIUS_M * np.linalg.norm(spherical[0] - spherical[1])
    assert chord_m - 1e-6 <= length_m <= chord_m * pi / 2 + 1e-3
