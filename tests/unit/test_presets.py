from __future__ import annotations

import numpy as np
import pytest
from orbit_data import START_NS, starlink

from testbed.orbits.presets import STARLINK_2026, STARLINK_2026_BROADBAND, STARLINK_2026_D2C, STARLINK_GEN1
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
