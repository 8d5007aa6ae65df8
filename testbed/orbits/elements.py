"""One satellite's orbital elements as read from a file, and the bounds that every format shares."""

from __future__ import annotations

from dataclasses import dataclass

from sgp4.api import Satrec

from testbed.ground.errors import CatalogueError

BOUNDS = {
    "inclination": (0.0, 180.0, "degrees"),
    "right ascension of the ascending node": (0.0, 360.0, "degrees"),
    "eccentricity": (0.0, 0.9999999, "(a closed orbit)"),
    "argument of perigee": (0.0, 360.0, "degrees"),
    "mean anomaly": (0.0, 360.0, "degrees"),
    "mean motion": (1e-8, 20.0, "revolutions per day"),  # 17 is an orbit at the Earth's surface
}
"""Quantity: lowest and highest value, unit. Outside of these SGP4 computes nonsense, or divides by zero."""

MEND = "get the file again, or remove this satellite"


@dataclass(frozen=True)
class Elements:
    """Elements of one satellite. `line`: where they begin in the file, from 1."""

    name: str
    number: int  # NORAD catalogue number
    satrec: Satrec
    epoch_ns: int  # UTC, since 1970
    line: int


def check_bounds(where: str, quantity: str, text: str) -> None:
    """Refuse a number that no orbit has; `text` is a number as the file has it. Raises CatalogueError."""
    low, high, unit = BOUNDS[quantity]
    if not low <= float(text) <= high:
        raise CatalogueError(f"{where}: {quantity} is outside {low:g} to {high:g} {unit} ('{text.strip()}'): {MEND}")
