from __future__ import annotations

import numpy as np
import pytest
from orbit_data import START_NS, S, shared_tle, starlink

from testbed.orbits.builtin import built_in
from testbed.orbits.catalogue import merge, read_catalogue
from testbed.orbits.presets import (
    IRIS2,
    KUIPER,
    O3B,
    ONEWEB,
    PRESETS,
    STARLINK_2026,
    STARLINK_2026_BROADBAND,
    STARLINK_2026_D2C,
    STARLINK_GEN1,
)
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue

OBSERVED_2026 = {"A": 3254, "B": 2840, "C": 1262, "D": 698, "E": 524, "F": 471, "G": 438, "H": 331}


@pytest.mark.parametrize("shell", STARLINK_2026, ids=lambda shell: shell.name)
def test_2026_shells_have_the_size_that_was_observed(shell: Shell) -> None:
    assert len(shell) == pytest.approx(OBSERVED_2026[shell.name], rel=0.04)


@pytest.mark.parametrize("shell", STARLINK_2026, ids=lambda shell: shell.name)
def test_2026_shells_lie_where_the_real_ones_do(shell: Shell) -> None:
    catalogue = starlink()
    inclination_deg = np.degrees([satrec.inclo for satrec in catalogue.satrecs])
    altitude_m = catalogue.mean_altitude_m
    wide_m = 25e3 if shell in STARLINK_2026_D2C else 10e3  # the low shells are spread over 40 km
    here = (np.abs(inclination_deg - shell.inclination_deg) < 0.5) & (np.abs(altitude_m - shell.altitude_m) < wide_m)
    assert np.count_nonzero(here) == pytest.approx(OBSERVED_2026[shell.name], rel=0.07)
    assert np.median(altitude_m[here]) == pytest.approx(shell.altitude_m, abs=1e3)
    assert np.median(inclination_deg[here]) == pytest.approx(shell.inclination_deg, abs=0.1)


@pytest.mark.parametrize("name", "ACDGH")
def test_plane_counts_are_the_strongest_harmonic_of_the_real_nodes(name: str) -> None:
    shell = next(shell for shell in STARLINK_2026 if shell.name == name)
    catalogue = starlink()
    inclination_deg = np.degrees([satrec.inclo for satrec in catalogue.satrecs])
    here = np.abs(inclination_deg - shell.inclination_deg) < 0.5
    here &= np.abs(catalogue.mean_altitude_m - shell.altitude_m) < (25e3 if name in "GH" else 5e3)
    minutes = (START_NS - catalogue.epochs_ns) / 60e9
    node = np.array([satrec.nodeo for satrec in catalogue.satrecs])
    node += np.array([satrec.nodedot for satrec in catalogue.satrecs]) * minutes
    counts = np.arange(2, 150)
    strength = np.abs(np.exp(1j * np.outer(counts, node[here])).mean(axis=1))
    assert counts[strength.argmax()] == shell.planes


def test_gen1_is_the_filed_constellation() -> None:
    assert [len(shell) for shell in STARLINK_GEN1] == [1584, 1584, 720, 348, 172]
    assert sum(map(len, STARLINK_GEN1)) == 4408


@pytest.mark.parametrize("shells", [STARLINK_2026, STARLINK_GEN1], ids=["2026", "gen1"])
def test_presets_make_catalogues_with_names_that_serve_as_nodes(shells: tuple[Shell, ...]) -> None:
    catalogue = walker_catalogue(shells, START_NS, "built-in: preset")
    assert len(catalogue) == sum(map(len, shells))
    assert max(map(len, catalogue.node_names)) <= 9


def test_broadband_and_telephone_shells_are_parted_at_440_km() -> None:
    assert STARLINK_2026 == STARLINK_2026_BROADBAND + STARLINK_2026_D2C
    assert sum(map(len, STARLINK_2026)) == 9813
    assert min(shell.altitude_m for shell in STARLINK_2026_BROADBAND) > 440e3
    assert max(shell.altitude_m for shell in STARLINK_2026_D2C) < 440e3


def test_the_sizes_that_were_planned() -> None:
    assert [len(shell) for shell in KUIPER] == [784, 1296, 1156]  # FCC 20-102: 3,236
    assert [len(shell) for shell in IRIS2] == [264, 18, 8]
    assert {name: sum(map(len, one.shells)) + len(one.slots) for name, one in PRESETS.items()} == {
        "starlink-2026": 9_813,
        "starlink-broadband": 9_043,
        "starlink-d2c": 770,
        "starlink-gen1": 4_408,
        "oneweb": 648,
        "kuiper": 3_236,
        "o3b-mpower": 30,
        "iris2": 290,  # as announced in all
        "italy-leo": 120,
        "sicral": 2,
        "sicral-1": 1,
        "govsatcom": 4,
    }


def test_oneweb_lies_where_the_real_one_does() -> None:
    catalogue = read_catalogue(shared_tle("oneweb_20260614T0413.tle.gz"))
    (shell,) = ONEWEB
    altitude_m, inclination_deg = catalogue.mean_altitude_m, catalogue.inclination_deg
    up = altitude_m > 1_170e3
    assert np.median(altitude_m[up]) == pytest.approx(shell.altitude_m, abs=1e3)
    assert np.median(inclination_deg[up]) == pytest.approx(shell.inclination_deg, abs=0.05)
    minutes = (START_NS - catalogue.epochs_ns) / 60e9
    node = np.array([satrec.nodeo + satrec.nodedot * m for satrec, m in zip(catalogue.satrecs, minutes, strict=True)])
    node_deg = np.sort((np.degrees(node[up]) - 220.0) % 360.0)  # the seam is there
    planes = [plane for plane in np.split(node_deg, np.flatnonzero(np.diff(node_deg) > 5.0) + 1) if len(plane) > 5]
    assert len(planes) == shell.planes
    assert np.mean([len(plane) for plane in planes]) == pytest.approx(shell.per_plane, abs=0.6)
    apart_deg = np.diff([np.median(plane) for plane in planes])
    assert apart_deg == pytest.approx(shell.spread_deg / shell.planes, abs=0.1)
    assert planes[-1].max() - planes[0].min() < 180.0  # a star: the planes' nodes fill half a turn


SHELLS = {shell.name: shell for name in ("starlink-2026", *list(PRESETS)[4:]) for shell in PRESETS[name].shells}


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
def test_flown_by_sgp4_a_shell_turns_as_keplers_third_law_has_it(shell: Shell) -> None:
    catalogue = walker_catalogue([shell], START_NS, "built-in: test")
    axis_m = 6_378_135.0 + shell.altitude_m
    period_s = 2 * np.pi * np.sqrt(axis_m**3 / 3.986004418e14)
    times = START_NS + np.arange(0, int(period_s * S), 60 * S)
    position_m = Ephemeris(catalogue, START_NS, int(period_s * S)).position_m(times, np.array([0, len(shell) // 2]))
    radius_m = np.linalg.norm(position_m, axis=2)
    assert radius_m.mean() == pytest.approx(axis_m, abs=6e3)
    assert np.abs(radius_m - axis_m).max() < 15e3
    step = (position_m[1:] * position_m[:-1]).sum(axis=2) / radius_m[1:] / radius_m[:-1]
    turned = np.arccos(step).sum(axis=0) / (2 * np.pi)
    assert turned == pytest.approx((times[-1] - times[0]) / S / period_s, rel=3e-3)


def test_published_periods_and_delays() -> None:
    o3b = built_in("o3b-mpower", START_NS)
    assert 1440.0 * o3b.satrecs[0].no_kozai / (2 * np.pi) == pytest.approx(5.0, abs=0.01)  # O3b: five turns a day
    assert 4 * IRIS2[1].altitude_m / 299_792.458 == pytest.approx(107, abs=0.5)  # two legs, both ways, zenith, ms
    assert 4 * IRIS2[0].altitude_m / 299_792.458 == pytest.approx(16.0, abs=0.05)
    assert O3B[0].inclination_deg == 0.0


def test_all_systems_may_be_merged_and_every_name_is_an_interfaces() -> None:
    systems = [name for name in PRESETS if not name.startswith("starlink") or name == "starlink-2026"]
    merged = merge([built_in(name, START_NS) for name in systems])
    assert len(merged) == len(set(merged.node_names)) == len(set(merged.numbers.tolist()))
    assert max(map(len, merged.node_names)) <= 9
    assert [part.source for part in merged.parts] == [f"built-in: {name}" for name in systems]
    assert [part.assumption for part in merged.parts] == [PRESETS[name].assumption for name in systems]


def test_what_was_made_up_says_so() -> None:
    for name in ("iris2", "italy-leo"):
        assert "published" in PRESETS[name].assumption
    assert all(preset.source and preset.title for preset in PRESETS.values())
