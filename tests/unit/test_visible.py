"""The search for what is above a mask, held to the comparison of everything and to skyfield."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, S, shared_tle, starlink, starlink_lines, with_checksum
from skyfield.api import EarthSatellite, load, wgs84

from testbed.ground.errors import PlanError
from testbed.orbits.catalogue import Catalogue, parse_catalogue
from testbed.orbits.horizon import Horizon
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Place, Track, Waypoint
from testbed.orbits.visibility import Sightings, azimuth_deg, range_elevation, visible
from testbed.orbits.walker import Shell, walker_catalogue

ROMA = Site("roma", 41.9, 12.5)
FLIGHT = Track("flight", (Waypoint(41.8, 12.25, 9e3), Waypoint(33.5, 18.0, 11e3)), 480.0, START_NS, "aircraft", "back")
PLACES: tuple[Place, ...] = (ROMA, Site("aden", 12.5, 47.0), Site("pole", 90.0, 30.0, 2800.0), FLIGHT)


@pytest.fixture(scope="module")
def ephemeris() -> Ephemeris:
    return Ephemeris(starlink(), START_NS, 3600 * S)


def every(
    places: Sequence[Place],
    masks_deg: Sequence[float],
    ephemeris: Ephemeris,
    times: np.ndarray,
    indices: np.ndarray | None = None,
    horizons: Sequence[Horizon | None] | None = None,
) -> tuple[np.ndarray, ...]:
    """Time, place, satellite, range and elevation of all that is above, by looking at everything."""
    range_m, elevation_deg = range_elevation(places, ephemeris, times, indices)
    azimuth = azimuth_deg(places, ephemeris, times, indices)
    above = elevation_deg >= np.array(masks_deg)[:, None]
    for place, horizon in enumerate(horizons or ()):
        for begin, end, low_deg in horizon.sectors if horizon else ():
            inside = (azimuth[:, place] - begin) % 360.0 < ((end - begin) % 360.0 or 360.0)
            above[:, place] &= ~inside | (elevation_deg[:, place] >= low_deg)
    time, place, column = np.nonzero(above)
    satellite = column if indices is None else indices[column]
    return time, place, satellite, range_m[above], elevation_deg[above]


def same(found: Sightings, expected: tuple[np.ndarray, ...]) -> bool:
    records = found.time, found.place, found.satellite, found.range_m, found.elevation_deg
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(records, expected, strict=True))


TERRAIN = Horizon(((300.0, 40.0, 33.0), (40.0, 95.0, 60.0), (180.0, 200.0, 10.0)))


@pytest.mark.parametrize("step_ns", [S, 7 * S, 59_999_999_999, 200 * S])
@pytest.mark.parametrize("horizons", [None, (TERRAIN, None, Horizon(((0.0, 360.0, 26.0),)), TERRAIN)])
def test_it_is_looking_at_everything(
    ephemeris: Ephemeris, step_ns: int, horizons: tuple[Horizon | None, ...] | None
) -> None:
    times = START_NS + 400 * S + np.arange(min(150, 3200 * S // step_ns)) * step_ns
    indices = np.random.default_rng(8).permutation(len(ephemeris.catalogue))[:1500]
    masks = [25.0, 40.0, 5.0, 0.0]
    found = visible(PLACES, masks, ephemeris, times, indices, horizons)
    expected = every(PLACES, masks, ephemeris, times, indices, horizons)
    assert len(found) > 500
    assert same(found, expected)
    assert not same(found, every(PLACES, [26.0, 40.0, 5.0, 0.0], ephemeris, times, indices, horizons))
    for time, place in ((0, 0), (3, 3), (len(times) - 1, 1)):
        here = (expected[0] == time) & (expected[1] == place)
        assert np.array_equal(found.satellite[found.at(time, place)], expected[2][here])
        assert found.counts[time, place] == np.count_nonzero(here)
    if horizons:
        assert len(found) < len(visible(PLACES, masks, ephemeris, times, indices))


@pytest.fixture(scope="module")
def motley() -> Ephemeris:
    """Vallado's sets: eccentric and deep-space ones, some that SGP4 cannot propagate; all begin together."""
    lines = [with_checksum(line) for line in shared_tle("SGP4-VER.TLE").read_text().splitlines() if line[:1] in "12"]
    sets = {first[2:7]: (first, second[:69]) for first, second in zip(lines[::2], lines[1::2], strict=True)}
    dated = [
        with_checksum(f"{first[:18]}06176.02341244{first[32:]}") + "\n" + second for first, second in sets.values()
    ]
    catalogue = parse_catalogue("\n".join(dated).encode(), "motley.tle")
    return Ephemeris(catalogue, int(catalogue.epochs_ns[0]), 6 * 3600 * S)


@pytest.mark.parametrize("masks", [(25.0, 0.0, 10.0, 60.0), (-90.0, -5.0, -60.0, 90.0)])
def test_deep_space_and_failed_satellites_too(motley: Ephemeris, masks: tuple[float, ...]) -> None:
    catalogue = motley.catalogue
    assert len(catalogue) - len(motley.failed) > 25
    assert motley.failed
    assert {satrec.method for satrec in catalogue.satrecs} == {"n", "d"}
    track = Track("ship", (Waypoint(10.0, 179.9), Waypoint(-10.0, -179.9)), 30.0, motley.start_ns)
    places = (*PLACES[:3], track)
    times = motley.start_ns + np.arange(0, 6 * 3600, 45) * S
    found = visible(places, masks, motley, times)
    assert same(found, every(places, masks, motley, times))
    assert len(found) > 100
    assert not set(motley.failed) & set(found.satellite.tolist())


@pytest.fixture(scope="module")
def shell() -> Ephemeris:
    return Ephemeris(walker_catalogue([Shell("s", 550e3, 53.0, 12, 10, 3)], START_NS, "test"), START_NS, 900 * S)


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=3),
    st.lists(st.integers(0, 900 * S), min_size=1, max_size=30, unique=True),
)
def test_wherever_and_whenever(shell: Ephemeris, asked: list[tuple[float, float, float]], instants: list[int]) -> None:
    places = [Site(f"p{number}", latitude, longitude) for number, (latitude, longitude, _) in enumerate(asked)]
    masks = [mask for _, _, mask in asked]
    times = START_NS + np.sort(instants)
    assert same(visible(places, masks, shell, times), every(places, masks, shell, times))


def test_roma_sees_as_many_starlinks_as_published(ephemeris: Ephemeris) -> None:
    """2026-06-14 06:00-07:00 UTC, 15 s steps, above 440 km, at 25° and more: 69 on average, at least 55."""
    catalogue: Catalogue = ephemeris.catalogue
    broadband = np.flatnonzero(catalogue.mean_altitude_m > 440e3)
    found = visible([ROMA], [25.0], ephemeris, START_NS + np.arange(0, 3600, 15) * S, broadband)
    assert (round(float(found.counts.mean())), int(found.counts.min())) == (69, 55)


def test_a_thousand_azimuths_are_skyfields(ephemeris: Ephemeris) -> None:
    random = np.random.default_rng(62)
    lines, timescale = starlink_lines(), load.timescale(builtin=True)
    worst_deg = 0.0
    least_late_deg = 0.0
    for index in random.integers(0, len(ephemeris.catalogue), 100):
        site = Site("x", float(np.degrees(np.arcsin(random.uniform(-1, 1)))), float(random.uniform(-180, 180)))
        seconds = np.sort(random.uniform(0, 3599, 10)).round(6)
        satellite = EarthSatellite(lines[3 * index + 1], lines[3 * index + 2], None, timescale)
        topos = wgs84.latlon(site.latitude_deg, site.longitude_deg)
        altitude, azimuth, _ = (satellite - topos).at(timescale.utc(2026, 6, 14, 6, 0, seconds)).altaz()
        time_ns = START_NS + np.round(seconds * S).astype(np.int64)
        off = []
        for late_ns in (0, S):
            ours = azimuth_deg([site], ephemeris, time_ns + late_ns, np.array([index]))[:, 0, 0]
            assert np.all((ours >= 0.0) & (ours < 360.0))
            # On the sky a degree of azimuth is shorter, by the cosine of the elevation.
            around = (ours - azimuth.degrees + 180.0) % 360.0 - 180.0
            off.append(np.abs(around * np.cos(altitude.radians)).max())
        worst_deg, least_late_deg = max(worst_deg, off[0]), max(least_late_deg, off[1])
    assert worst_deg < 0.01
    assert least_late_deg > 0.2  # the same check on positions one second late fails


def test_what_skyfield_sees_from_behind_a_mountain(ephemeris: Ephemeris) -> None:
    """Skyfield's altitude and azimuth, mask and sectors written out; within 0.01° of an edge either is right."""
    horizon = Horizon(((330.0, 30.0, 50.0), (90.0, 180.0, 35.0)))
    times = START_NS + np.arange(0, 3600, 20) * S
    indices = np.arange(0, len(ephemeris.catalogue), 40)
    found = visible([ROMA], [25.0], ephemeris, times, indices, [horizon])
    seen = set(zip(found.time.tolist(), found.satellite.tolist(), strict=True))
    lines, timescale = starlink_lines(), load.timescale(builtin=True)
    instants = timescale.utc(2026, 6, 14, 6, 0, np.arange(0, 3600, 20))
    topos = wgs84.latlon(ROMA.latitude_deg, ROMA.longitude_deg)
    clear = blocked = 0
    for index in indices.tolist():
        satellite = EarthSatellite(lines[3 * index + 1], lines[3 * index + 2], None, timescale)
        altitude, azimuth, _ = (satellite - topos).at(instants).altaz()
        for time in np.flatnonzero(altitude.degrees > 24.9).tolist():
            high, around = altitude.degrees[time], azimuth.degrees[time]
            floor = 50.0 if around >= 330 or around < 30 else 35.0 if 90 <= around < 180 else 25.0
            edges = [abs((around - edge + 180) % 360 - 180) * np.cos(np.radians(high)) for edge in (330, 30, 90, 180)]
            if min(abs(high - floor), *edges) > 0.01:
                assert ((time, index) in seen) == (high > floor)
                clear, blocked = clear + (high > floor), blocked + (25.0 < high < floor)
    assert clear > 100
    assert blocked > 30


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"masks_deg": [25.0]}, "visible: 1 masks for 2 places: give one for each"),
        ({"masks_deg": [25.0, 91.0]}, "visible: mask 91 of aden is outside -90 to 90 degrees"),
        ({"masks_deg": [float("nan"), 0.0]}, "visible: mask nan of roma"),
        ({"horizons": [None]}, "visible: 1 horizons for 2 places"),
        ({"time_ns": START_NS + np.array([2, 1])}, "visible: the instants are not ascending"),
        ({"time_ns": START_NS + np.array([1, 1])}, "visible: the instants are not ascending"),
        ({"time_ns": np.array([START_NS - 1])}, "outside its window"),
        ({"indices": np.array([120])}, "satellite 120 is none of the catalogue's 120"),
    ],
)
def test_a_question_that_is_none_is_refused(shell: Ephemeris, change: dict[str, object], said: str) -> None:
    asked = {"places": PLACES[:2], "masks_deg": [25.0, 5.0], "ephemeris": shell, "time_ns": np.array([START_NS])}
    with pytest.raises(PlanError, match=said):
        visible(**(asked | change))  # type: ignore[arg-type]


def test_nothing_asked_is_nothing_found(shell: Ephemeris) -> None:
    none = np.array([], dtype=np.int64)
    for found in (
        visible(PLACES, [0.0] * 4, shell, none),
        visible([], [], shell, np.array([START_NS])),
        visible(PLACES, [0.0] * 4, shell, np.array([START_NS]), none),
        visible(PLACES, [90.0] * 4, shell, np.array([START_NS])),
    ):
        assert len(found) == len(found.time) == len(found.place) == 0
    assert visible(PLACES, [90.0] * 4, shell, np.array([START_NS])).counts.shape == (1, 4)
