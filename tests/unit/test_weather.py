"""Attenuation against ITU's own validation examples and the published table; events; the cache."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.ground.errors import MachineError, ScenarioError
from testbed.orbits.sites import Site
from testbed.plan import weather
from testbed.plan.weather import MOST_FADE_DB, Dish, RainEvent, event_db, fade_db, scaled_db, total_db

ROME = Site("rome", 41.90, 12.49)
S = 1_000_000_000


@pytest.mark.parametrize(
    ("frequency_ghz", "percent", "published_db"),
    [
        (14.25, 1.0, 1.104001525),
        (14.25, 0.1, 3.17165505),
        (14.25, 0.01, 8.693153927),
        (14.25, 0.001, 18.14136049),
        (29.0, 1.0, 4.570302907),
        (29.0, 0.1, 12.47579603),
        (29.0, 0.01, 30.48600187),
        (29.0, 0.001, 56.00032323),
    ],
)
def test_total_attenuation_is_that_of_itus_validation_examples(frequency_ghz, percent, published_db):
    """ITU-R study group 3's examples for P.618-13, total attenuation, Rome: 40.232036°, 1 m, 0.65, horizontal."""
    dish = Dish(frequency_ghz, 1.0, tilt_deg=0.0, efficiency=0.65)
    assert float(total_db(ROME, dish, percent, 40.232036)) == pytest.approx(published_db, rel=2e-4)


# dB exceeded in 1, 0.1 and 0.01 % of the time at 40°: Ku down 11.7, Ku up 14.25 (0.48 m), Ka down 19, Ka up 29 (1.5 m).
PUBLISHED = {
    ("rome", 41.90, 12.49): "0.7/2.0/5.5 1.1/3.1/8.5 2.2/5.8/14.8 4.5/12.1/29.6",
    ("milano", 45.46, 9.19): "0.7/2.1/5.9 1.1/3.3/9.0 2.3/6.1/15.7 4.6/12.8/31.5",
    ("taranto", 40.47, 17.24): "0.7/1.8/5.0 1.0/2.8/7.6 2.1/5.2/13.3 4.1/10.8/26.5",
    ("foggia", 41.46, 15.54): "0.6/1.7/4.7 1.0/2.7/7.3 2.0/5.1/12.8 4.0/10.4/25.5",
    ("marsala", 37.80, 12.44): "0.6/1.8/5.0 1.0/2.8/7.6 2.0/5.2/13.3 3.9/10.7/26.5",
    ("ionian", 37.0, 18.5): "0.7/1.8/5.1 1.0/2.8/7.8 2.1/5.4/13.6 4.1/11.0/27.0",
}
DISHES = (Dish(11.7, 0.48), Dish(14.25, 0.48), Dish(19.0, 1.5), Dish(29.0, 1.5))


@pytest.mark.parametrize("place", PUBLISHED)
def test_the_table_of_italian_sites_within_its_rounding(place):
    for dish, cell in zip(DISHES, PUBLISHED[place].split(), strict=True):
        for percent, published in zip((1.0, 0.1, 0.01), cell.split("/"), strict=True):
            assert float(total_db(Site(*place), dish, percent, 40.0)) == pytest.approx(float(published), abs=0.055)


def test_between_the_grids_elevations_it_is_what_itur_says():
    import itur

    elevation = np.array([5.4, 12.5, 25.5, 38.25, 61.5, 87.5, 89.7])
    direct = itur.atmospheric_attenuation_slant_path(33.5, 18.0, 29.0, elevation, 0.1, 1.5).value
    assert total_db(Site("sirte", 33.5, 18.0), Dish(29.0, 1.5), 0.1, elevation) == pytest.approx(direct, rel=3e-3)


def test_elevations_without_a_prediction():
    dish = Dish(11.7, 0.48)
    low, edge, unknown = total_db(ROME, dish, 0.1, [1.0, 5.0, float("nan")])
    assert low == edge > 0.0
    assert np.isnan(unknown)
    assert total_db(ROME, dish, 0.1, 90.0) < edge


def test_a_fade_is_less_than_the_whole_by_what_gases_take():
    """0.189 dB in clear air at Rome, 14.25 GHz and 40.232° (ITU's examples)."""
    dish = Dish(14.25, 1.0, tilt_deg=0.0, efficiency=0.65)
    gases = total_db(ROME, dish, 0.1, 40.232036) - fade_db(ROME, dish, 0.1, 40.232036)
    assert float(gases) == pytest.approx(0.189480858, abs=2e-4)


@pytest.mark.parametrize("percent", [0.0, 0.0005, 6.0, float("nan")])
def test_a_share_of_the_year_out_of_range_is_refused(percent):
    with pytest.raises(ScenarioError, match=r"site 'rome': weather for .* % of a year: choose 0.001 to 5 %"):
        total_db(ROME, Dish(11.7, 0.48), percent, 40.0)


def test_itur_is_asked_once_and_a_folder_spares_even_that(tmp_path, monkeypatch):
    asked = []

    def ask(*inputs):
        asked.append(inputs)
        return np.stack([np.full(len(weather._GRID_DEG), 3.0), np.full(len(weather._GRID_DEG), 1.0)])

    monkeypatch.setattr(weather, "_ask_itur", ask)
    weather._cached.cache_clear()
    dish = Dish(12.0, 0.48)
    for _ in range(2):
        assert float(fade_db(ROME, dish, 0.1, 40.0, tmp_path)) == 2.0
    weather._cached.cache_clear()
    assert float(total_db(ROME, dish, 0.1, 40.0, tmp_path)) == 3.0
    assert len(asked) == 1
    for change in (Dish(12.0, 0.5), Dish(12.5, 0.48)):
        total_db(ROME, change, 0.1, 40.0, tmp_path)
    assert len(asked) == 3

    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    weather._cached.cache_clear()
    assert float(total_db(ROME, dish, 0.1, 40.0, tmp_path)) == 3.0
    assert len(asked) == 4
    weather._cached.cache_clear()


def test_a_cache_folder_that_is_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(weather, "_ask_itur", lambda *_: np.zeros((2, len(weather._GRID_DEG))))
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"file/attenuation-.*cannot be written.*choose another cache folder"):
        total_db(ROME, Dish(12.25, 0.48), 0.1, 40.0, tmp_path / "file")
    weather._cached.cache_clear()


def test_itur_waits_until_it_is_asked():
    program = "import sys, testbed.plan.weather, testbed.plan.radio; sys.exit('itur' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("percent", [0.1, 0.01, 0.001])
def test_rain_scales_in_frequency_as_itu_predicts_it_directly(percent):
    from itur.models import itu618

    direct = {ghz: float(itu618.rain_attenuation(41.9, 12.49, ghz, 40.0, p=percent).value) for ghz in (11.7, 14.25, 29)}
    for ghz in (14.25, 29.0):
        assert float(scaled_db(direct[11.7], 11.7, ghz)) == pytest.approx(direct[ghz], rel=0.2)
    assert float(scaled_db(direct[11.7], 11.7, 11.7)) == pytest.approx(direct[11.7])


@given(st.floats(0.0, MOST_FADE_DB), st.floats(0.0, MOST_FADE_DB), st.sampled_from([1.9, 14.25, 19.0, 29.0]))
def test_more_rain_is_more_at_every_frequency(a_db, b_db, ghz):
    low, high = scaled_db([min(a_db, b_db), max(a_db, b_db)], 11.7, ghz)
    assert 0.0 <= low <= high


def test_an_event_is_where_and_when_it_was_said():
    sites = [ROME, Site("taranto", 40.44, 17.21), Site("milano", 45.46, 9.19)]
    times = np.array([0, 10 * S - 1, 10 * S, 20 * S - 1, 20 * S])
    event = RainEvent(40.5, 17.0, 300.0, 5.0, 10 * S, 20 * S)  # Taranto is 19 km away, Rome 412 km
    fade = event_db([event], sites, times, 11.7)
    assert fade.tolist() == [[0.0] * 5, [0.0, 0.0, 5.0, 5.0, 0.0], [0.0] * 5]
    stronger = RainEvent(40.5, 17.0, 500.0, 8.0, 15 * S, 30 * S)
    assert event_db([event, stronger], sites, times, 11.7)[:2].tolist() == [[0, 0, 0, 8, 8], [0, 0, 5, 8, 8]]
    assert event_db([event], sites, times, 29.0)[1, 2] == pytest.approx(float(scaled_db(5.0, 11.7, 29.0)))
    assert not event_db([], sites, times, 29.0).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fade_db": -1.0}, "rain of -1 dB is outside 0 to 60 dB"),
        ({"fade_db": float("nan")}, "rain of nan dB"),
        ({"radius_km": -1.0}, "rain within -1 km"),
        ({"end_ns": 0}, "from 0 to 0 ns is nowhere"),
        ({"latitude_deg": 91.0}, "latitude 91"),
    ],
)
def test_an_event_that_cannot_be_is_refused(change, said):
    whole = {"latitude_deg": 40.0, "longitude_deg": 17.0, "radius_km": 10.0, "fade_db": 1.0, "begin_ns": 0, "end_ns": S}
    with pytest.raises(ScenarioError, match=said):
        RainEvent(**(whole | change))


@pytest.mark.parametrize(("ghz", "m", "said"), [(0.4, 1.0, "frequency 0.4 GHz"), (12.0, 0.0, "dish 0 m")])
def test_a_dish_that_p618_does_not_know_is_refused(ghz, m, said):
    with pytest.raises(ScenarioError, match=said):
        Dish(ghz, m)
