"""testbed.orbits.lasers and planes: the links of shells, made and real, and when they are free."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orbit_data import START_NS, S, starlink
from plan_data import falling

from testbed.ground.constants import WGS84_A_M
from testbed.ground.errors import ScenarioError
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.grid import Grid
from testbed.orbits.lasers import Lasers, lit, lit_at, mesh, pairs
from testbed.orbits.presets import IRIS2, ONEWEB, STARLINK_2026, STARLINK_GEN1
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue

DAY_NS = 86_400 * S


def catalogue(shells: Sequence[Shell]) -> Catalogue:
    return walker_catalogue(shells, START_NS, "built-in: test")


def links(one: Catalogue, time_ns: int = START_NS, rules: Lasers = Lasers()) -> np.ndarray:  # noqa: B008
    return pairs(one, Ephemeris(one, time_ns, 0), time_ns, rules)


def grids(shells: Sequence[Shell]) -> set[tuple[int, ...]]:
    """The links of the shells' +grids, as `Grid` counts them from plane and slot."""
    found: set[tuple[int, ...]] = set()
    first = 0
    for shell in shells:
        found |= {tuple(sorted(pair)) for pair in (Grid(shell).links() + first).tolist()}
        first += len(shell)
    return found


def as_set(array: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pair) for pair in array.tolist()}


@st.composite
def shells(draw: st.DrawFn) -> Shell:
    planes, per_plane = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    inclination_deg = draw(st.sampled_from([33.0, 53.0, 70.0, 87.9, 97.6]))
    spread_deg = draw(st.sampled_from([180.0, 360.0]))
    raan0_deg = draw(st.sampled_from([0.0, 1.0, 200.0]))
    phasing = draw(st.integers(0, planes - 1))
    return Shell("A", 550e3, inclination_deg, planes, per_plane, phasing, spread_deg, raan0_deg)


@settings(deadline=None)
@given(shells(), st.integers(0, 30))
def test_a_walker_shells_links_are_its_grids_at_any_time(shell: Shell, days: int) -> None:
    assert as_set(links(catalogue([shell]), START_NS + days * DAY_NS // 10)) == grids([shell])


@pytest.mark.parametrize("constellation", [STARLINK_2026, STARLINK_GEN1, ONEWEB, IRIS2])
def test_every_built_in_constellation_has_its_grids_links(constellation: Sequence[Shell]) -> None:
    """Shells of one altitude and inclination among them (the last two of GEN1) are not mixed up."""
    one = catalogue(constellation)
    found = mesh(one, Ephemeris(one, START_NS, 0), START_NS, Lasers())
    assert as_set(found.pairs) == grids(constellation)
    assert len(found.shells) == len(constellation)
    assert len(found.left_out) == 0


@pytest.mark.parametrize(("planes", "per_plane", "count"), [(1, 1, 0), (1, 3, 3), (2, 1, 1), (2, 2, 4), (3, 3, 18)])
def test_small_shells(planes: int, per_plane: int, count: int) -> None:
    assert links(catalogue([Shell("A", 8_000e3, 53.0, planes, per_plane, 0)])).shape == (count, 2)


def test_the_real_constellation_in_less_than_a_second() -> None:
    real = starlink()
    ephemeris = Ephemeris(real, START_NS, 0)
    begin = time.process_time()
    found = mesh(real, ephemeris, START_NS, Lasers())
    assert time.process_time() - begin < 1.0
    # The shells that the table of observed ones has (facts of 2026-06-14, 10 km bins; here within 1 km of the median).
    seen = {(round(s.altitude_m / 1e3), round(s.inclination_deg)): len(s.satellites()) for s in found.shells}
    assert {key: seen[key] for key in [(483, 43), (540, 53), (572, 70)]} == {
        (483, 43): 3225,
        (540, 53): 1220,
        (572, 70): 684,
    }
    assert sum(seen.values()) + len(found.left_out) == len(real)
    assert 700 <= len(found.left_out) <= 1_200  # 706 are away from all shells; the rest strays inside them
    ranges_m, up = lit(ephemeris, found.pairs, np.array([START_NS]), Lasers())
    assert ranges_m.max() < 5_100e3  # a beam of the highest shell's grazes 80 km at 5,120 km
    assert up.mean() > 0.999
    degree = np.bincount(found.pairs.ravel(), minlength=len(real))
    assert degree.max() == 4
    assert (degree[np.setdiff1d(np.arange(len(real)), found.left_out)] >= 2).mean() > 0.99
    # The old shell has kept the 72 planes that were filed for it.
    assert [len(s.planes) for s in found.shells if round(s.altitude_m / 1e3) == 540] == [72]


def test_real_links_last_a_day_within_their_shells() -> None:
    """Links that fit the planes stay as long as they are; wrong partners would drift apart by thousands of km."""
    real = starlink()
    found = links(real)
    later_ns = START_NS + DAY_NS
    _, up = lit(Ephemeris(real, later_ns, 0), found, np.array([later_ns]), Lasers())
    assert up.mean() > 0.99


def test_the_same_satellites_give_the_same_bytes_and_a_part_of_them_its_own() -> None:
    one = catalogue([STARLINK_GEN1[3]])
    assert links(one).tobytes() == links(one).tobytes()
    some = np.arange(58, 116)
    found = pairs(one, Ephemeris(one, START_NS, 0), START_NS, Lasers(), some)
    assert as_set(found) == {pair for pair in grids([STARLINK_GEN1[3]]) if set(pair) <= set(some.tolist())}


@pytest.mark.parametrize("terminals", [0, 1, 2, 3, 4, 5, 6])
def test_never_more_links_than_terminals(terminals: int) -> None:
    one = catalogue(IRIS2[:2])  # without the layer below
    rules = Lasers(terminals=terminals, cross_shell=True, relay=True)
    degree = np.bincount(links(one, rules=rules).ravel(), minlength=len(one))
    assert degree.max(initial=0) == terminals if terminals < 5 else degree.max() <= terminals
    between = [pair for pair in links(one, rules=rules).tolist() if (pair[0] < 264) != (pair[1] < 264)]
    assert bool(between) == (terminals >= 5)  # the +grid comes first and takes up to four


def test_a_relay_needs_a_free_terminal_and_sees_its_satellite() -> None:
    one = catalogue(IRIS2[:2])
    ephemeris = Ephemeris(one, START_NS, 0)
    low = one.mean_altitude_m < 2_000e3
    plain = as_set(pairs(one, ephemeris, START_NS, Lasers(terminals=5)))
    relayed = as_set(pairs(one, ephemeris, START_NS, Lasers(terminals=5, relay=True)))
    more = np.array(sorted(relayed - plain))
    assert plain < relayed
    assert (low[more].sum(axis=1) == 1).all()
    assert lit(ephemeris, more, np.array([START_NS]), Lasers())[1].all()
    assert as_set(pairs(one, ephemeris, START_NS, Lasers(terminals=5, cross_shell=True))) == plain


@pytest.mark.parametrize(("altitude_km", "longest_km"), [(360, 3844), (480, 4616), (550, 5017), (1200, 7930)])
def test_the_atmosphere_ends_a_beam_at_the_published_length(altitude_km: float, longest_km: float) -> None:
    """2 sqrt((R + h)² - (R + 80)²), Hypatia's cap, computed outside for the table of the domain's facts."""
    radius_m = WGS84_A_M + altitude_km * 1e3

    def up(length_km: float) -> bool:
        half = np.arcsin(length_km * 1e3 / 2 / radius_m)
        ends = radius_m * np.array([[np.cos(half), np.sin(half), 0.0], [np.cos(half), -np.sin(half), 0.0]])
        range_m, free = lit_at(ends[None], np.array([[0, 1]]), Lasers())
        assert range_m[0, 0] == pytest.approx(length_km * 1e3)
        return bool(free[0, 0])

    assert (up(longest_km - 1.0), up(longest_km + 1.0)) == (True, False)


def test_a_beam_away_from_the_earth_is_free_at_any_length() -> None:
    ends = np.array([[[7e6, 0.0, 0.0], [40e6, 1e6, 0.0]]])
    assert lit_at(ends, np.array([[0, 1]]), Lasers())[1].all()
    assert not lit_at(ends, np.array([[0, 1]]), Lasers(max_range_m=30e6))[1].any()


def test_beyond_the_polar_cut_off_links_are_dark() -> None:
    one = catalogue([ONEWEB[0]])
    ephemeris = Ephemeris(one, START_NS, 0)
    found = pairs(one, ephemeris, START_NS, Lasers())
    position_m = ephemeris.position_m(np.array([START_NS]))[0]
    latitude_deg = np.degrees(np.arcsin(position_m[:, 2] / np.linalg.norm(position_m, axis=1)))
    _, up = lit(ephemeris, found, np.array([START_NS]), Lasers(polar_cutoff_deg=70.0))
    _, free = lit(ephemeris, found, np.array([START_NS]), Lasers())
    assert np.array_equal(up[0], free[0] & (np.abs(latitude_deg[found]) <= 70.0).all(axis=1))
    assert 0.6 < up.mean() < free.mean()


def test_both_ends_measure_the_same_to_the_last_bit() -> None:
    one = catalogue([STARLINK_GEN1[2]])
    ephemeris = Ephemeris(one, START_NS, 600 * S)
    found, times = links(one), START_NS + np.arange(0, 600, 7) * S
    there, back = lit(ephemeris, found, times, Lasers()), lit(ephemeris, found[:, ::-1], times, Lasers())
    assert there[0].tobytes() == back[0].tobytes()
    assert there[1].tobytes() == back[1].tobytes()
    position_m = ephemeris.position_m(times)
    expected = np.linalg.norm(position_m[:, found[:, 0]] - position_m[:, found[:, 1]], axis=2)
    assert np.abs(there[0] - expected).max() < 1e-6


def test_a_satellite_that_cannot_be_propagated_has_no_links() -> None:
    one = catalogue([Shell("A", 550e3, 53.0, 3, 3, 0)])
    broken = replace(one, satrecs=(*one.satrecs[:4], _fallen(), *one.satrecs[5:]))
    ephemeris = Ephemeris(broken, START_NS, 0)
    found = mesh(broken, ephemeris, START_NS, Lasers())
    assert found.left_out.tolist() == [4]
    assert 4 not in found.pairs
    range_m, up = lit(ephemeris, np.array([[3, 4]]), np.array([START_NS]), Lasers())
    assert np.isnan(range_m).all()
    assert not up.any()


def _fallen() -> object:
    return falling(catalogue([Shell("A", 550e3, 53.0, 1, 1, 0)]), 1).satrecs[0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_range_m": 0.0}, "longest range 0 m"),
        ({"grazing_m": -1.0}, "grazing altitude -1 m"),
        ({"polar_cutoff_deg": 91.0}, "polar cut-off 91"),
        ({"terminals": -1}, "-1 terminals"),
    ],
)
def test_rules_that_make_no_sense(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        Lasers(**wrong)  # type: ignore[arg-type]
