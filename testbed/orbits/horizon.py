"""Terrain: how high mountains, masts and houses stand around a place."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from testbed.ground.errors import ScenarioError
from testbed.orbits import kernels


@dataclass(frozen=True)
class Horizon:
    """What blocks the view: sectors of (azimuth_from_deg, azimuth_to_deg, elevation_deg).

    A sector reaches clockwise from the first azimuth, included, to the second, not included; 350 to 10 crosses north,
    0 to 360 is all round. Below the sector's elevation nothing is seen in it; where sectors overlap the highest counts,
    outside them there is nothing but the mask. Azimuths are 0 to 360 from north over east.
    Raises ScenarioError for an azimuth or an elevation out of range, or a sector without width.
    """

    sectors: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        for number, (begin, end, elevation) in enumerate(self.sectors, 1):
            for what, value, low, high in (
                ("azimuth", begin, 0.0, 360.0),
                ("azimuth", end, 0.0, 360.0),
                ("elevation", elevation, -90.0, 90.0),
            ):
                if not (isfinite(value) and low <= value <= high):
                    raise ScenarioError(
                        f"horizon, sector {number}: {what} {value:g} is outside {low:g} to {high:g} degrees"
                    )
            if begin % 360.0 == end % 360.0 and (begin, end) != (0.0, 360.0):
                raise ScenarioError(
                    f"horizon, sector {number}: from {begin:g} to {end:g} degrees has no width: all round is 0 to 360"
                )

    def skyline_deg(self, azimuth_deg: NDArray[np.float64]) -> NDArray[np.float64]:
        """The elevation below which nothing is seen at azimuths of 0 to 360, of the same shape; -90 in the open."""
        azimuths = np.ascontiguousarray(azimuth_deg, dtype=np.float64)
        skyline = np.empty(azimuths.size)
        kernels.skylines(self.rows, azimuths.ravel(), skyline)
        return skyline.reshape(azimuths.shape)

    @property
    def rows(self) -> NDArray[np.float64]:
        """The sectors as an array, (n_sectors, 3), no end at 0: what reaches to north reaches to 360."""
        rows = np.array(self.sectors, dtype=np.float64).reshape(-1, 3)
        rows[:, 0] %= 360.0
        rows[rows[:, 1] == 0.0, 1] = 360.0
        return rows
