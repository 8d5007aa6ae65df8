from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, S
from skyfield.api import wgs84

from testbed.ground.errors import ScenarioError
from testbed.orbits.frames import east_teme, sites_teme_m, up_teme
from testbed.orbits.sites import Site, east_ecef, ecef_m, up_ecef
from testbed.orbits.tracks import KNOT_M_S, Track, Waypoint

HOUR_S = 3600
TARANTO, PORT_SAID = Waypoint(40.47, 17.2), Waypoint(31.6, 32.4)
KNOTS_20_M_S = 20 * 1852 / 3600
POINTS = st.builds(Waypoint, st.floats(-85, 85), st.floats(-180, 180), st.floats(0, 12_000))
PAIRS = st.tuples(POINTS, POINTS).filter(lambda pair: abs(pair[0].latitude_deg - pair[1].latitude_deg) > 1e-6)


def at(seconds: float | list[float] | np.ndarray) -> np.ndarray:
    return START_NS + np.round(np.atleast_1d(seconds) * S).astype(np.int64)


def ship(*waypoints: Waypoint, speed_kn: float = 20.0, turn: str = "stop") -> Track:
    return Track("ship", waypoints, speed_kn, START_NS, "ship", turn)


@pytest.mark.parametrize(
    ("a", "b", "published_m"),
    [
        # Flinders Peak to Buninyong (GDA Technical Manual): the worked example of the geodesic's formulas.
        (Waypoint(-37.951033417, 144.424867889), Waypoint(-37.652821139, 143.926495528), 54_972.271),
        # Wellington to Salamanca, nearly antipodes (documentation of GeographicLib).
        (Waypoint(-41.32, 174.81), Waypoint(40.96, -5.50), 19_959_679.267),
    ],
)
def test_legs_are_as_long_as_published(a: Waypoint, b: Waypoint, published_m: float) -> None:
    track = ship(a, b)
    assert track.length_m == pytest.approx(published_m, abs=0.002)
    arrives_s = published_m / (20 * 1852 / 3600)
    latitude, longitude, _ = track.position(at([0, arrives_s, arrives_s + 1000]))
    assert latitude == pytest.approx([a.latitude_deg, b.latitude_deg, b.latitude_deg], abs=1e-7)
    assert longitude == pytest.approx([a.longitude_deg, b.longitude_deg, b.longitude_deg], abs=1e-7)


def test_a_knot_is_a_nautical_mile_per_hour_and_a_mile_a_minute_of_arc() -> None:
    # On the equator the geodesic is a circle of WGS-84's equatorial radius; 600 kn for an hour.
    track = Track("jet", (Waypoint(0.0, 0.0), Waypoint(0.0, 60.0)), 600.0, START_NS, "aircraft")
    _, longitude, _ = track.position(at([3600]))
    assert longitude[0] == pytest.approx(np.degrees(600 * 1852 / 6_378_137), abs=1e-9)
    assert longitude[0] == pytest.approx(10.0, abs=0.02)


@given(PAIRS, st.lists(st.floats(0, 30 * HOUR_S), min_size=1, max_size=4))
def test_earth_fixed_positions_are_skyfields(pair: tuple[Waypoint, Waypoint], seconds: list[float]) -> None:
    track = Track("x", pair, 500.0, START_NS, "aircraft")
    latitude, longitude, height = track.position(at(seconds))
    assert np.all(np.abs(longitude) <= 180)
    expected_m = wgs84.latlon(latitude, longitude, height).itrs_xyz.m.T
    assert np.abs(track.ecef_m(at(seconds)) - expected_m).max() < 1e-4  # skyfield rounds through astronomical units


@given(PAIRS, st.floats(0, 1e6), st.sampled_from(["stop", "back", "loop"]))
def test_equal_times_are_equal_lengths(pair: tuple[Waypoint, Waypoint], second: float, turn: str) -> None:
    """Measured as chords of a second at sea level: as long as their arcs to a nanometre."""
    track = ship(*(replace(point, height_m=0.0) for point in pair), turn=turn)
    steps_m = np.linalg.norm(np.diff(track.ecef_m(at(second + np.arange(4))), axis=0), axis=1)
    assert steps_m.max() <= KNOTS_20_M_S + 1e-4
    leg_m = ship(*pair).length_m
    begin_m = second * KNOTS_20_M_S
    legs = np.floor((begin_m + np.array([-1.0, 3 * KNOTS_20_M_S + 1.0])) / leg_m)
    if legs[0] == legs[1]:  # no corner on the way, and no leg shorter than it
        moves = turn != "stop" or legs[0] == 0
        assert steps_m == pytest.approx([KNOTS_20_M_S if moves else 0.0] * 3, abs=1e-4)


@given(POINTS, st.floats(0, 360), st.lists(st.integers(0, 200 * HOUR_S), min_size=2, max_size=6, unique=True))
def test_a_single_leg_leads_away_from_its_beginning(a: Waypoint, azimuth_deg: float, seconds: list[int]) -> None:
    # The leg is a quarter of the globe at most, along which the straight distance from the beginning grows.
    far = Waypoint(float(np.clip(a.latitude_deg + 40 * np.cos(np.radians(azimuth_deg)), -85, 85)), 10.0, 0.0)
    near = Waypoint(a.latitude_deg, 20.0, 0.0)
    track = Track("x", (near, far), 20.0, START_NS)
    away_m = np.linalg.norm(track.ecef_m(at(np.sort(seconds))) - track.ecef_m(at(0)), axis=1)
    assert np.all(np.diff(away_m) > -1e-6)


def test_height_changes_evenly_along_a_leg() -> None:
    a, b = Waypoint(41.8, 12.25, 0.0), Waypoint(45.63, 8.72, 10_000.0)
    track = Track("flight", (a, b, replace(a, height_m=10_000.0)), 450.0, START_NS, "aircraft")
    leg_s = track.length_m / 2 / (450 * 1852 / 3600)
    assert track.position(at([-60, 0, leg_s / 4, leg_s / 2, leg_s, 1.5 * leg_s, 9e6]))[2] == pytest.approx(
        [0, 0, 2500, 5000, 10_000, 10_000, 10_000], abs=0.01
    )


def test_before_its_start_it_waits_at_the_first_waypoint() -> None:
    latitude, longitude, _ = ship(TARANTO, PORT_SAID).position(at([-1e6, -1, 0]))
    assert latitude.tolist() == [TARANTO.latitude_deg] * 3
    assert longitude == pytest.approx([TARANTO.longitude_deg] * 3, abs=1e-12)


@given(st.floats(0, 400 * HOUR_S))
def test_back_is_symmetric_about_the_far_end_and_loop_repeats(second: float) -> None:
    via = Waypoint(35.5, 18.5)
    back, loop = ship(TARANTO, via, PORT_SAID, turn="back"), ship(TARANTO, via, PORT_SAID, turn="loop")
    speed_m_s = 20 * 1852 / 3600
    far_s = back.length_m / speed_m_s
    there, here = back.ecef_m(at([far_s + second, abs(far_s - second)]))
    assert there == pytest.approx(here, abs=1e-3)
    assert loop.length_m == pytest.approx(back.length_m + ship(PORT_SAID, TARANTO).length_m)
    once, again = loop.ecef_m(at([second, second + 3 * loop.length_m / speed_m_s]))
    assert once == pytest.approx(again, abs=1e-3)
    one, two, three = loop.ecef_m(at([far_s, loop.length_m / speed_m_s, far_s + 10]))
    assert one == pytest.approx(ecef_m(Site("x", PORT_SAID.latitude_deg, PORT_SAID.longitude_deg)), abs=1e-3)
    assert two == pytest.approx(ecef_m(Site("x", TARANTO.latitude_deg, TARANTO.longitude_deg)), abs=1e-3)
    assert np.linalg.norm(three - one) == pytest.approx(10 * speed_m_s, abs=1e-3)


def test_a_track_crosses_the_date_line_and_the_pole() -> None:
    pacific = Track("x", (Waypoint(10.0, 179.0), Waypoint(10.0, -179.0)), 20.0, START_NS)
    assert pacific.length_m < 220e3
    _, longitude, _ = pacific.position(at(pacific.length_m / 2 / (20 * KNOT_M_S)))
    assert abs(longitude[0]) == pytest.approx(180.0, abs=1e-6)
    polar = Track("x", (Waypoint(89.0, 0.0), Waypoint(89.0, 180.0)), 20.0, START_NS)
    latitude, _, _ = polar.position(at(polar.length_m / 2 / (20 * KNOT_M_S)))
    assert latitude[0] == pytest.approx(90.0, abs=1e-6)


def test_a_track_of_one_waypoint_is_a_site() -> None:
    """Both go into the frames, side by side, and a start is all that is missing."""
    rome = Site("rome", 41.9, 12.5, 50.0)
    phone = Track("phone", (Waypoint(41.9, 12.5, 50.0),), kind="phone").starting_at(START_NS)
    times = at([0, 50_000])
    for frame, vector in ((sites_teme_m, ecef_m), (up_teme, up_ecef), (east_teme, east_ecef)):
        both = frame([rome, phone], times)
        assert both.shape == (2, 2, 3)
        assert both[:, 0] == pytest.approx(both[:, 1], abs=1e-8)
        assert np.linalg.norm(both[1, 0]) == pytest.approx(np.linalg.norm(vector(rome)))
        assert np.linalg.norm(both[1, 0] - both[0, 0]) > 1e-3  # the Earth has turned
    assert phone.length_m == 0.0
    assert phone.site_at(START_NS) == replace(rome, name="phone")


def test_up_and_east_go_with_it() -> None:
    track, times = ship(TARANTO, PORT_SAID), at([0, 40 * HOUR_S])
    for row, time_ns in enumerate(times):
        site = track.site_at(int(time_ns))
        assert track.ecef_m(times)[row] == pytest.approx(ecef_m(site), abs=1e-8)
        assert track.up_ecef(times)[row] == pytest.approx(up_ecef(site), abs=1e-15)
        assert track.east_ecef(times)[row] == pytest.approx(east_ecef(site), abs=1e-15)


def test_a_start_of_its_own_stays() -> None:
    track = Track("x", (TARANTO, PORT_SAID), 20.0)
    with pytest.raises(ScenarioError, match="track 'x': no start: give the UTC instant of its first waypoint"):
        track.position(at(0))
    started = track.starting_at(START_NS)
    assert started.start_ns == START_NS
    assert started.starting_at(5) == started


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"waypoints": (TARANTO, Waypoint(95.0, 0.0))},
            "track 'x', waypoint 2: latitude 95 is outside -90 to 90 degrees",
        ),
        ({"waypoints": (Waypoint(float("nan"), 0.0),)}, "track 'x', waypoint 1: latitude nan is outside"),
        ({"waypoints": (Waypoint(1.0, 0.0, float("inf")),)}, "track 'x', waypoint 1: height inf is outside"),
        ({"waypoints": ()}, "track 'x': no waypoint: give one at least"),
        ({"waypoints": (PORT_SAID, TARANTO, replace(TARANTO, height_m=900.0))}, "waypoints 2 and 3 are one place"),
        ({"waypoints": (Waypoint(0.0, 180.0), Waypoint(0.0, -180.0))}, "waypoints 1 and 2 are one place, 0 180"),
        ({"waypoints": (Waypoint(90.0, 7.0), Waypoint(90.0, 8.0))}, "waypoints 1 and 2 are one place"),
        (
            {"waypoints": (TARANTO, PORT_SAID, TARANTO), "turn": "loop"},
            "last waypoint of a loop is the first again",
        ),
        ({"speed_kn": 0.0}, "track 'x': speed 0 kn: give a positive one"),
        ({"speed_kn": -3.0}, "track 'x': speed -3 kn: give a positive one"),
        ({"speed_kn": float("nan")}, "track 'x': speed nan kn: give a positive one"),
        ({"speed_kn": 61.0}, "track 'x': speed 61 kn is more than the 60 kn of the fastest ship"),
        ({"speed_kn": 201.0, "kind": "phone"}, "more than the 200 kn of the fastest phone"),
        ({"speed_kn": 1501.0, "kind": "aircraft"}, "more than the 1500 kn of the fastest aircraft"),
        ({"kind": "tank"}, "track 'x': kind 'tank': take one of ship, aircraft, phone"),
        ({"turn": "left"}, "track 'x': turn 'left': take one of stop, back, loop"),
    ],
)
def test_a_track_that_cannot_be_is_refused_in_one_line(change: dict[str, object], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Track(**({"name": "x", "waypoints": (TARANTO, PORT_SAID), "speed_kn": 20.0} | change))  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_track_comes_back_from_what_was_told_of_it() -> None:
    track = Track("frigate", (Waypoint(40.0, 17.0), Waypoint(39.0, 18.0, 5.0)), 18.0, START_NS, turn="back")
    assert Track.told(json.loads(json.dumps(asdict(track)))) == track


@pytest.mark.parametrize("document", [{}, {"name": "a", "waypoints": [{"x": 1}]}, {"name": "a", "waypoints": 3}])
def test_what_describes_no_track_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ScenarioError, match=r"^track \{.*not what describes one"):
        Track.told(document)


def test_pyproj_is_imported_only_when_a_track_is_asked_where_it_is() -> None:
    code = (
        "import sys; from testbed.orbits.tracks import Track, Waypoint; import testbed.orbits.visibility;"
        "track = Track('x', (Waypoint(1, 2), Waypoint(3, 4)), 20.0, 0); print('pyproj' in sys.modules);"
        "track.length_m; print('pyproj' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
