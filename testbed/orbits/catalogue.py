"""A set of satellites with their orbital elements, read from a file or made by `walker`."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sgp4.api import Satrec

from testbed.ground.constants import WGS72_MU_M3_S2, WGS72_RADIUS_M
from testbed.ground.errors import CatalogueError
from testbed.ground.units import format_utc
from testbed.orbits import omm, tle
from testbed.orbits.elements import Elements
from testbed.orbits.frames import DAY_NS

STALE_DAYS = 3.0
"""Assumption: older elements are worth a warning. After 1.4 days half of all Starlinks are off by more than 10 km,
after 5.8 days by more than 80 km (CelesTrak snapshots of 2026-06-08 to 14)."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Satellites in the order of their file. Arrays have shape (n_sats,) and are read-only."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]  # NORAD catalogue numbers, unique
    satrecs: tuple[Satrec, ...]
    epochs_ns: NDArray[np.int64]  # UTC, since 1970
    source: str  # file name without folders, or "built-in: ..."
    sha256: str  # of the file's bytes, uncompressed; of the elements when they are built in
    synthetic: bool = False  # made by `walker`: the numbers are no NORAD numbers

    def __post_init__(self) -> None:
        self.numbers.setflags(write=False)
        self.epochs_ns.setflags(write=False)

    def __len__(self) -> int:
        return len(self.satrecs)

    @property
    def newest_epoch_ns(self) -> int:
        """The latest epoch of all satellites, UTC nanoseconds since 1970."""
        return int(self.epochs_ns.max())

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """Names for nodes of the network: 'NORAD12345', or the satellite's own name in a synthetic catalogue.

        At most 10 characters for numbers of up to five digits, one more for each further digit.
        """
        return self.names if self.synthetic else tuple(f"NORAD{number}" for number in self.numbers)

    @property
    def mean_altitude_m(self) -> NDArray[np.float64]:
        """Semi-major axis from the mean motion, less the equatorial radius (WGS-72), metres, shape (n_sats,)."""
        rad_per_s = np.array([satrec.no_kozai for satrec in self.satrecs]) / 60.0
        return np.cbrt(WGS72_MU_M3_S2 / rad_per_s**2) - WGS72_RADIUS_M


def read_catalogue(path: Path) -> Catalogue:
    """Read two-line elements, or OMM in JSON, CSV or XML, plain or gzipped; the content tells which.

    Raises CatalogueError, with file, line and value, when anything in the file is malformed: nothing of it is used.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CatalogueError(f"{path}: cannot be read ({reason}): give the path of a TLE or OMM file") from None
    return parse_catalogue(data, path.name)


def parse_catalogue(data: bytes, source: str) -> Catalogue:
    """As `read_catalogue`, from the bytes of a file; `source` names it in errors and in the catalogue."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise CatalogueError(f"{source}: damaged gzip file ({error}): get the file again") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CatalogueError(f"{source} line {line}: not text: give a TLE or OMM file") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise CatalogueError(f"{source} line {line}: not text: give a TLE or OMM file")
    elements = list(_reader(text)(text, source))
    if not elements:
        raise CatalogueError(f"{source}: no satellites in it: give a TLE or OMM file with elements")
    _check_unique(elements, source)
    return _catalogue(elements, source, hashlib.sha256(data).hexdigest())


def _reader(text: str) -> Callable[[str, str], Iterator[Elements]]:
    head = text.lstrip()
    if head.startswith(("[", "{")):
        return omm.read_json
    if head.startswith("<"):
        return omm.read_xml
    columns = head.partition("\n")[0].strip().split(",")
    return omm.read_csv if set(columns) & set(omm.FIELDS) else tle.read_tle


def _check_unique(elements: Sequence[Elements], source: str) -> None:
    lines: dict[int, int] = {}
    for one in elements:
        if one.number in lines:
            raise CatalogueError(
                f"{source} line {one.line}: satellite number '{one.number}' is already on line {lines[one.number]}: "
                "remove one of the two"
            )
        lines[one.number] = one.line


def _catalogue(elements: Sequence[Elements], source: str, sha256: str) -> Catalogue:
    return Catalogue(
        names=tuple(one.name for one in elements),
        numbers=np.array([one.number for one in elements], dtype=np.int64),
        satrecs=tuple(one.satrec for one in elements),
        epochs_ns=np.array([one.epoch_ns for one in elements], dtype=np.int64),
        source=source,
        sha256=sha256,
    )


def staleness_days(catalogue: Catalogue, start_ns: int) -> float:
    """The median distance of the satellites' epochs from `start_ns`, in days."""
    return float(np.median(np.abs(catalogue.epochs_ns - start_ns))) / DAY_NS


def stale_warning(catalogue: Catalogue, start_ns: int) -> str | None:
    """One line when elements of some satellites are more than STALE_DAYS from `start_ns`; None when all are near."""
    distance_days = np.abs(catalogue.epochs_ns - start_ns) / DAY_NS
    stale = int(np.count_nonzero(distance_days > STALE_DAYS))
    if not stale:
        return None
    return (
        f"{catalogue.source}: the elements of {stale:,} of {len(catalogue):,} satellites are more than "
        f"{STALE_DAYS:g} days from the start {format_utc(start_ns)} (median of all {np.median(distance_days):.1f}, "
        f"worst {distance_days.max():.1f} days): they may be tens of kilometres off, take newer elements or another "
        "start"
    )
