from __future__ import annotations

from math import acos, atan2, cos, degrees, radians, sin, sqrt, tan

import numpy as np
import pytest
from orbit_data import START_NS, S
from skyfield.api import EarthSatellite, load, wgs84

from testbed.ground.constants import SPEED_OF_LIGHT_M_S
from testbed.ground.errors import ScenarioError
from testbed.ground.units import parse_utc_ns
from testbed.orbits.frames import DAY_NS, subpoint
from testbed.orbits.geostationary import Slot, geostationary_catalogue, slot_at
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.visibility import range_elevation

RING = [slot_at(float(longitude)) for longitude in range(-180, 180, 15)]
VIGNA = Site("vigna", 42.08, 12.21)
TARANTO = Site("taranto", 40.44, 17.21)
GEO_RADIUS_KM = 42_164.17  # textbook: of the geostationary orbit


def off_deg(time_ns: np.ndarray, epoch_ns: int = START_NS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """East of the nominal longitude, north of the equator (degrees), altitude (km), each (n_times, n_slots)."""
    catalogue = geostationary_catalogue(RING, epoch_ns, "ring")
    assert {satrec.method for satrec in catalogue.satrecs} == {"d"}  # flown by SGP4's deep-space part
    position_m = Ephemeris(catalogue, int(time_ns[0]), int(time_ns[-1] - time_ns[0])).position_m(time_ns)
    latitude, longitude, height_m = subpoint(position_m, time_ns[:, None])
    nominal = np.array([slot.longitude_deg for slot in RING])
    return (longitude - nominal + 180.0) % 360.0 - 180.0, latitude, height_m / 1000.0


@pytest.mark.parametrize("epoch", ["2026-06-14T06:00:00Z", "2010-12-01T00:00:00Z", "2040-03-20T17:00:30Z"])
def test_all_round_the_ring_the_longitude_is_kept(epoch: str) -> None:
    epoch_ns = parse_utc_ns(epoch)
    east, north, _ = off_deg(epoch_ns + np.array([0, DAY_NS]), epoch_ns)
    assert np.abs(east).max() < 1e-6  # at the epoch and 24 h later
    east, north, altitude_km = off_deg(epoch_ns + np.arange(0, 25) * 3600 * S, epoch_ns)
    assert np.abs(east).max() < 0.001
    assert np.abs(north).max() < 0.04
    assert altitude_km == pytest.approx(35_786, abs=2)
    east, north, altitude_km = off_deg(epoch_ns + np.arange(0, 7 * 24 + 1, 6) * 3600 * S, epoch_ns)
    assert np.abs(east).max() < 0.1
    assert np.abs(north).max() < 0.04
    assert altitude_km == pytest.approx(35_786, abs=2)


def test_skyfield_sees_it_where_the_formula_has_it() -> None:
    """Vigna di Valle to 11.8° E: skyfield's topocentric position of the same elements, and spherical trigonometry."""
    catalogue = geostationary_catalogue([Slot("SICRAL-1B", 11.8)], START_NS, "one")
    scale = load.timescale(builtin=True)
    satellite = EarthSatellite.from_satrec(catalogue.satrecs[0], scale)
    place = wgs84.latlon(VIGNA.latitude_deg, VIGNA.longitude_deg)
    for hours in (0, 24):
        moment = scale.utc(2026, 6, 14, 6 + hours)
        assert wgs84.subpoint_of(satellite.at(moment)).longitude.degrees == pytest.approx(11.8, abs=0.002)
        elevation, azimuth, distance = (satellite - place).at(moment).altaz()
        # Maral & Bousquet, Satellite Communications Systems, 2.1.5; with the site's geocentric latitude and radius.
        x, y, z = place.itrs_xyz.km
        radius_km, beside = sqrt(x * x + y * y + z * z), radians(11.8 - VIGNA.longitude_deg)
        central = acos(cos(atan2(z, sqrt(x * x + y * y))) * cos(beside))
        range_km = sqrt(radius_km**2 + GEO_RADIUS_KM**2 - 2 * radius_km * GEO_RADIUS_KM * cos(central))
        high = degrees(atan2(cos(central) - radius_km / GEO_RADIUS_KM, sin(central)))
        assert distance.km == pytest.approx(range_km, abs=3)  # 10 µs
        assert elevation.degrees == pytest.approx(high, abs=0.25)  # the ellipsoid's normal tilts by 0.19° here
        assert azimuth.degrees == pytest.approx(180 + degrees(atan2(-tan(beside), sin(radians(42.08)))), abs=0.1)
        time_ns = np.array([START_NS + hours * 3600 * S])
        range_m, elevation_deg = range_elevation([VIGNA], Ephemeris(catalogue, int(time_ns[0]), S), time_ns)
        assert range_m[0, 0, 0] / 1000 == pytest.approx(distance.km, abs=0.05)
        assert elevation_deg[0, 0, 0] == pytest.approx(elevation.degrees, abs=0.002)


@pytest.mark.parametrize(("longitude_deg", "round_trip_ms"), [(11.8, 502), (16.2, 502), (37.0, 507)])
def test_round_trips_from_taranto_to_vigna_di_valle(longitude_deg: float, round_trip_ms: float) -> None:
    """Computed by others with fixed positions on the ring, in whole milliseconds."""
    catalogue = geostationary_catalogue([slot_at(longitude_deg)], START_NS, "one")
    time_ns = np.array([START_NS])
    range_m, _ = range_elevation([VIGNA, TARANTO], Ephemeris(catalogue, START_NS, S), time_ns)
    assert 2_000 * range_m.sum() / SPEED_OF_LIGHT_M_S == pytest.approx(round_trip_ms, abs=0.6)


@pytest.mark.parametrize(
    ("longitude_deg", "name"),
    [(11.8, "G11E8"), (37.0, "G37E"), (-6.43, "G6W43"), (0.0, "G0E"), (-178.125, "G178W125"), (180.0, "G180E")],
)
def test_a_longitude_is_a_name(longitude_deg: float, name: str) -> None:
    assert slot_at(longitude_deg) == Slot(name, longitude_deg)
    assert len(f"{name}-eth10") <= 15


def test_names_numbers_hash() -> None:
    slots = [Slot("SICRAL-1B", 11.8), slot_at(37.0)]
    catalogue = geostationary_catalogue(slots, START_NS, "built-in: sicral")
    assert catalogue.node_names == ("SICRAL-1B", "G37E")
    assert catalogue.synthetic.all()
    assert catalogue.shells == ("GEO", "GEO")
    assert catalogue.mean_altitude_m / 1000 == pytest.approx(35_786, abs=5)
    assert catalogue.sha256 == geostationary_catalogue(slots, START_NS, "other").sha256
    assert catalogue.sha256 != geostationary_catalogue(slots, START_NS + 1, "other").sha256
    assert catalogue.sha256 != geostationary_catalogue(slots[::-1], START_NS, "other").sha256


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Slot("SICRAL-1BB", 11.8),
            "satellite 'SICRAL-1BB': write at most nine letters, digits and '-', a letter first",
        ),
        (lambda: Slot("X", 180.5), "satellite 'X': longitude 180.5 is outside -180 to 180"),
        (lambda: Slot("X", float("nan")), "satellite 'X': longitude nan is outside -180 to 180"),
        (lambda: slot_at(11.80001), "longitude 11.80001 has more than three decimals: round it"),
        (lambda: geostationary_catalogue([], START_NS, "x"), "x: it needs at least one longitude"),
        (
            lambda: geostationary_catalogue([slot_at(1.0), slot_at(1.0)], START_NS, "x"),
            "x: two satellites are named 'G1E': name a longitude once",
        ),
    ],
)
def test_what_is_no_satellite(make, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        make()
    assert str(error.value) == said
