from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.ground.errors import ScenarioError
from testbed.orbits.horizon import Horizon

AZIMUTH = st.integers(0, 359)
SECTORS = st.lists(st.tuples(AZIMUTH, AZIMUTH, st.integers(0, 80)).filter(lambda s: s[0] != s[1]), max_size=4)


def test_a_sector_holds_its_beginning_and_not_its_end() -> None:
    horizon = Horizon(((90.0, 180.0, 30.0), (120.0, 150.0, 20.0), (170.0, 200.0, 45.0)))
    azimuths = np.array([[0.0, 89.999, 90.0, 130.0], [169.0, 170.0, 199.999, 200.0]])
    assert horizon.skyline_deg(azimuths).tolist() == [[-90, -90, 30, 30], [30, 45, 45, -90]]


def test_a_sector_may_cross_north() -> None:
    horizon = Horizon(((350.0, 10.0, 15.0),))
    azimuths = np.array([349.9, 350.0, 359.9999, 0.0, 9.9, 10.0, 180.0])
    assert horizon.skyline_deg(azimuths).tolist() == [-90, 15, 15, 15, 15, -90, -90]


@pytest.mark.parametrize("sector", [(270.0, 360.0), (270.0, 0.0)])
def test_a_sector_may_end_at_north(sector: tuple[float, float]) -> None:
    horizon = Horizon(((*sector, 9.0), (360.0, 5.0, 7.0)))
    assert horizon.skyline_deg(np.array([269.0, 271.0, 359.9999, 0.0, 5.0])).tolist() == [-90, 9, 9, 7, -90]


def test_all_round_and_nothing() -> None:
    azimuths = np.array([0.0, 123.0, 359.9])
    assert Horizon(((0.0, 360.0, 12.0),)).skyline_deg(azimuths).tolist() == [12.0] * 3
    assert Horizon(()).skyline_deg(azimuths).tolist() == [-90.0] * 3


@given(SECTORS, st.lists(AZIMUTH, min_size=1), st.integers(0, 359))
def test_turning_terrain_and_view_together_changes_nothing(
    sectors: list[tuple[int, int, int]], azimuths: list[int], turn: int
) -> None:
    turned = Horizon(tuple((float((a + turn) % 360), float((b + turn) % 360), float(e)) for a, b, e in sectors))
    still = Horizon(tuple((float(a), float(b), float(e)) for a, b, e in sectors))
    seen = np.array(azimuths, dtype=np.float64)
    assert np.array_equal(turned.skyline_deg((seen + turn) % 360.0), still.skyline_deg(seen))


@pytest.mark.parametrize(
    ("sector", "said"),
    [
        ((-1.0, 10.0, 5.0), "horizon, sector 2: azimuth -1 is outside 0 to 360 degrees"),
        ((0.0, 361.0, 5.0), "horizon, sector 2: azimuth 361 is outside 0 to 360 degrees"),
        ((0.0, float("nan"), 5.0), "horizon, sector 2: azimuth nan is outside"),
        ((0.0, 10.0, 91.0), "horizon, sector 2: elevation 91 is outside -90 to 90 degrees"),
        ((40.0, 40.0, 5.0), "horizon, sector 2: from 40 to 40 degrees has no width: all round is 0 to 360"),
        ((360.0, 0.0, 5.0), "horizon, sector 2: from 360 to 0 degrees has no width"),
    ],
)
def test_a_sector_that_is_none_is_refused(sector: tuple[float, float, float], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        Horizon(((10.0, 20.0, 5.0), sector))
