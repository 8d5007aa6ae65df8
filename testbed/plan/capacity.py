"""What a user link carries in each 15 s slot, drawn from measured figures, with weather and load on top.

Measured medians are one number for all; a terminal sees them change from slot to slot. Here each slot's rate is drawn
from the measured quantiles by a hash of seed, terminal, direction and slot: the same inputs give the same rates, in any
order and for any part of a plan.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from testbed.ground.constants import SLOT_NS, SLOT_PHASE_NS
from testbed.ground.errors import ScenarioError
from testbed.plan.radio import KU_DOWN, KU_UP, S_DOWN, S_UP, Band, share

LEAST_BPS: Final = 64_000
"""Assumption: no user link is slower; a packet of 1,500 bytes takes 0.19 s. Below that it is down, see `closes`."""

GRAIN_BPS: Final = 1_000
"""Rates are whole kbit/s: the last bit of a float must not show in a plan."""

LASTING_SHARE: Final = 0.45
LASTING_SLOTS: Final = 5
"""A share of the variance is a mean over this many slots, common to both directions; the rest is drawn anew each slot.

It gives correlations of 0.36, 0.27, 0.18, 0.09 and 0 at lags of 1 to 5 slots, and 0.45 between up and down. Measured on
a German motorway (sys-uos/Starlink-on-the-Autobahn, 315 slots of 15 s, medians in each, ranks made normal): down 0.33,
0.32, 0.16, 0.10 and up 0.41, 0.31, 0.14, 0.08 at lags 1 to 4, none at 16; up with down 0.38. Standard errors: 0.07.
Assumption: fixed and ship's terminals vary at that pace, too.
"""

LAST_LEVEL: Final = 0.99
"""Assumption: nothing beyond the 1 % and 99 % quantiles; the measurements say nothing there."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Quantiles:
    """Measured quantiles of a rate: levels 0..1 and bit/s, both rising. One alone is a constant.

    Between and beyond them the rate goes linearly with the normal deviate of the level. Raises ScenarioError.
    """

    levels: tuple[float, ...]
    rates_bps: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for part in (self.levels, self.rates_bps) for a, b in pairwise(part))
        inside = all(1.0 - LAST_LEVEL <= level <= LAST_LEVEL for level in self.levels)
        if not (
            self.levels and len(self.levels) == len(self.rates_bps) and rising and inside and self.rates_bps[0] > 0
        ):
            raise ScenarioError(
                f"quantiles {self.rates_bps} bit/s at {self.levels}: give as many of each, rising, levels of "
                f"{1.0 - LAST_LEVEL:.2f} to {LAST_LEVEL:.2f}, rates above 0"
            )

    def at(self, deviate: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rates in bit/s at standard normal deviates, same shape; not negative."""
        rates = np.array(self.rates_bps, dtype=np.float64)
        if len(rates) == 1:
            return np.full(deviate.shape, rates[0])
        knots, end = _normal_at(np.array(self.levels)), NormalDist().inv_cdf(LAST_LEVEL)
        low = rates[0] - (knots[0] + end) * (rates[1] - rates[0]) / (knots[1] - knots[0])
        high = rates[-1] + (end - knots[-1]) * (rates[-1] - rates[-2]) / (knots[-1] - knots[-2])
        all_knots, all_rates = np.array([-end, *knots, end]), np.array([max(low, 0.0), *rates, high])
        return np.asarray(np.interp(deviate, all_knots, all_rates), dtype=np.float64)


@dataclass(frozen=True)
class Cell:
    """Where and how a terminal is served: what was measured there, and the bands of its link."""

    name: str
    up: Quantiles
    down: Quantiles
    up_band: Band = KU_UP
    down_band: Band = KU_DOWN


_FIFTHS: Final = (0.2, 0.5, 0.8)

ITALY: Final = Cell(
    "Italy",
    up=Quantiles(_FIFTHS, (31_000_000, 41_000_000, 52_000_000)),
    down=Quantiles(_FIFTHS, (215_000_000, 282_000_000, 339_000_000)),
)
"""Starlink's public metrics, residential, September 2026: quantiles over customers. Assumption: slots have the same."""

MARITIME: Final = Cell(
    "maritime",
    up=Quantiles(_FIFTHS, (36_000_000, 47_000_000, 60_000_000)),
    down=Quantiles(_FIFTHS, (197_000_000, 259_000_000, 311_000_000)),
)
"""The same metrics, October 2025, cell 0-30 E 30-60 N: medians. Assumption: spread about them as in Italy."""

MOTORWAY: Final = Cell(
    "motorway",
    up=Quantiles((0.05, 0.2, 0.5, 0.8, 0.95), (1_760_000, 7_120_000, 15_370_000, 23_430_000, 31_990_000)),
    down=Quantiles((0.05, 0.2, 0.5, 0.8, 0.95), (71_600_000, 134_100_000, 222_800_000, 304_000_000, 395_000_000)),
)
"""A mobile terminal on a German motorway, 2024-04-19: medians of 315 slots (sys-uos/Starlink-on-the-Autobahn, CC BY-SA
4.0; Laniewski, Lanfer, Aschenbruck, doi 10.1109/OJCOMS.2025.3539836)."""

PHONE: Final = Cell(
    "phone",
    up=Quantiles((0.5,), (1_600_000,)),
    down=Quantiles((0.5,), (4_000_000,)),
    up_band=S_UP,
    down_band=S_DOWN,
)
"""Direct to cell, a whole beam, which phones share: 4 Mbit/s down outdoors (arXiv 2506.00283, a field estimate).
Assumption: up as its peak to the downlink's, 7.2 to 18.3 Mbit/s."""


@dataclass(frozen=True)
class Capacity:
    """A terminal's capacity in a cell. Raises ScenarioError for a load outside 0..1.

    load: the share of the cell that others take on top of the everyday load, which is in the measured figures already;
    1 - load is left. Assumption: shares are equal for all slots and both directions, nobody has priority.
    """

    cell: Cell
    load: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.load <= 1.0:
            raise ScenarioError(f"load {self.load:g} of the cell '{self.cell.name}' is outside 0 to 1")

    def rate_bps(
        self,
        seed: int,
        terminal: str,
        upward: bool,
        utc_ns: NDArray[np.int64],
        elevation_deg: NDArray[np.float64],
        fade_db: ArrayLike,
    ) -> NDArray[np.int64]:
        """Rate at each instant, shape (n,); at least LEAST_BPS, constant within a slot.

        A slot has the rate of the deepest fade among its instants. `fade_db`: below a clear sky, at this direction's
        frequency, () or (n,); nan: the link cannot close. Raises PlanError for a negative fade.
        """
        rate_bps, _ = self._draw(seed, terminal, upward, utc_ns, elevation_deg, fade_db)
        return np.maximum(rate_bps, LEAST_BPS)

    def closes(
        self,
        seed: int,
        terminal: str,
        upward: bool,
        utc_ns: NDArray[np.int64],
        elevation_deg: NDArray[np.float64],
        fade_db: ArrayLike,
    ) -> NDArray[np.bool_]:
        """Does the link carry at least LEAST_BPS? Shape (n,), for the step's `up`.

        Elevation counts as far as the horizon. Assumption: above it range costs nothing, beams make up for it.
        """
        rate_bps, lit = self._draw(seed, terminal, upward, utc_ns, elevation_deg, fade_db)
        return np.asarray(lit & (rate_bps >= LEAST_BPS), dtype=np.bool_)

    def _draw(
        self,
        seed: int,
        terminal: str,
        upward: bool,
        utc_ns: NDArray[np.int64],
        elevation_deg: NDArray[np.float64],
        fade_db: ArrayLike,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rates without a floor, and whether the satellite is above the horizon for the slot's instants."""
        slots, member = np.unique(slot_number(utc_ns), return_inverse=True)
        instants = np.broadcast_to(np.asarray(fade_db, dtype=np.float64), utc_ns.shape)
        deepest_db = np.full(len(slots), -np.inf)
        np.maximum.at(deepest_db, member, np.where(np.isnan(instants), np.inf, instants))
        quantiles, band = (self.cell.up, self.cell.up_band) if upward else (self.cell.down, self.cell.down_band)
        drawn = quantiles.at(deviates(seed, terminal, upward, slots))
        rate_bps = drawn * (1.0 - self.load) * share(band, deepest_db)
        whole = np.floor(rate_bps / GRAIN_BPS).astype(np.int64) * GRAIN_BPS
        return whole[member], elevation_deg > 0.0


def slot_number(utc_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The scheduling slot that holds each instant, counted from 1970, same shape."""
    return (utc_ns - SLOT_PHASE_NS) // SLOT_NS


def mid_slot_ns(utc_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The middle of the slot that holds each instant, UTC, same shape: where to take a slot's elevation and fade."""
    return slot_number(utc_ns) * SLOT_NS + SLOT_PHASE_NS + SLOT_NS // 2


def deviates(seed: int, terminal: str, upward: bool, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard normal deviates of the slots, same shape; correlated as LASTING_SHARE and LASTING_SLOTS say."""
    fresh = _normal(_key(seed, terminal, "up" if upward else "down"), slots)
    common = _key(seed, terminal, "lasting")
    lasting = sum(_normal(common, slots - back) for back in range(LASTING_SLOTS)) / np.sqrt(LASTING_SLOTS)
    return np.asarray(np.sqrt(1.0 - LASTING_SHARE) * fresh + np.sqrt(LASTING_SHARE) * lasting, dtype=np.float64)


def _key(seed: int, terminal: str, what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{terminal}/{what}".encode()).digest()[:8], "little")


def _normal(key: int, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """Independent standard normal deviates of key and slot."""
    return _normal_at(((_mixed(key, slots) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def _normal_at(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = NormalDist().inv_cdf
    return np.array([inverse(level) for level in levels.tolist()], dtype=np.float64)


def _mixed(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The outputs of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) started at `seed`; 1 is the first."""
    state = np.uint64(seed) + numbers.astype(np.uint64) * _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
