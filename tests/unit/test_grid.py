"""testbed.orbits.grid: every satellite's neighbours, the seam included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.orbits.grid import Grid
from testbed.orbits.presets import STARLINK_2026, STARLINK_GEN1
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue

START_NS = 1_781_000_000_000_000_000


def shell(planes: int, per_plane: int, phasing: int = 0, spread_deg: float = 360.0) -> Shell:
    return Shell("A", 550e3, 53.0, planes, per_plane, phasing, spread_deg)


@st.composite
def shells(draw: st.DrawFn) -> Shell:
    planes = draw(st.integers(1, 9))
    spread_deg = draw(st.sampled_from([180.0, 360.0]))
    return shell(planes, draw(st.integers(1, 9)), draw(st.integers(0, planes - 1)), spread_deg)


@given(shells())
def test_no_link_is_made_twice_and_none_leads_to_itself(odd: Shell) -> None:
    links = Grid(odd).links()
    assert len({frozenset(pair) for pair in links.tolist()}) == len(links)
    assert all(a != b for a, b in links.tolist())


@given(shells())
def test_each_step_is_undone_by_its_opposite(odd: Shell) -> None:
    grid = Grid(odd)
    for plane in range(odd.planes):
        for slot in range(odd.per_plane):
            assert grid.behind(*grid.ahead(plane, slot)) == (plane, slot)
            assert grid.west(*grid.east(plane, slot)) == (plane, slot)


def test_a_large_shell_has_two_links_for_each_satellite_and_four_at_each() -> None:
    links = Grid(STARLINK_GEN1[0]).links()
    assert links.shape == (3_168, 2)
    assert set(np.bincount(links.ravel())) == {4}


@pytest.mark.parametrize("one", [STARLINK_GEN1[0], *STARLINK_2026])
def test_the_seam_is_as_long_as_any_other_joint_between_planes(one: Shell) -> None:
    """Held against where SGP4 puts the satellites: a wrong shift lengthens the seam by thousands of km."""
    ephemeris = Ephemeris(walker_catalogue([one], START_NS, "test"), START_NS, 0)
    position_m = ephemeris.position_m(np.array([START_NS]))[0]
    links = Grid(one).links()
    length_m = np.linalg.norm(position_m[links[:, 0]] - position_m[links[:, 1]], axis=1)
    plane = links // one.per_plane
    seam = (plane[:, 0] == one.planes - 1) & (plane[:, 1] == 0)
    across = (plane[:, 0] != plane[:, 1]) & ~seam
    assert seam.sum() == one.per_plane
    assert length_m[seam].max() <= length_m[across].max() + 10e3
    assert length_m[seam].min() >= length_m[across].min() - 10e3


@pytest.mark.parametrize(
    ("planes", "per_plane", "count"), [(1, 1, 0), (1, 2, 1), (2, 1, 1), (2, 2, 4), (3, 1, 3), (3, 3, 18)]
)
def test_small_shells(planes: int, per_plane: int, count: int) -> None:
    assert len(Grid(shell(planes, per_plane)).links()) == count


def test_a_star_has_no_link_from_its_last_plane_to_the_first() -> None:
    assert len(Grid(shell(6, 5, 0, 180.0)).links()) == 6 * 5 + 5 * 5
