"""Real orbital elements for the tests: never part of the project, read where they are."""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path

import pytest

from testbed.ground.units import parse_utc_ns
from testbed.orbits.catalogue import Catalogue, read_catalogue

START_NS = parse_utc_ns("2026-06-14T06:00:00Z")
STARLINK = "starlink_20260614T0413.tle.gz"
S = 1_000_000_000

SET_1 = "1 44714U 19074B   26164.50664332  .00069989  00000+0  12401-2 0  9999"
SET_2 = "2 44714  53.1526  86.3448 0002931 112.5370 247.5950 15.49651313363643"
"""Two lines of CelesTrak's (STARLINK-1008), for tests that need but one satellite."""


def shared_tle(name: str) -> Path:
    """A file of elements beside the checkout; skips the test without it, fails in CI."""
    return _shared("tle", name)


def shared_rtt(name: str) -> Path:
    """A file of measured round trips, likewise."""
    return _shared("rtt", name)


def _shared(folder: str, name: str) -> Path:
    path = Path(__file__).parents[3] / "shared" / "data" / folder / name
    if not path.exists():
        reason = f"needs {name}, which is not part of the project"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@cache
def _read(path: Path) -> Catalogue:
    return read_catalogue(path)


def starlink() -> Catalogue:
    """10,544 Starlink satellites, epochs near 2026-06-14."""
    return _read(shared_tle(STARLINK))


def starlink_lines() -> list[str]:
    """The same file's lines: name, line 1, line 2, name, ..."""
    return gzip.decompress(shared_tle(STARLINK).read_bytes()).decode().splitlines()


def with_checksum(line: str) -> str:
    """The line with column 69 set to its checksum, counted as the format's description has it."""
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68])
    return f"{line[:68]}{total % 10}{line[69:]}"
