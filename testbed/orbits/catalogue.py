"""A set of satellites with their orbital elements: read from a file, made by `walker` or `geostationary`, or merged."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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


SYNTHETIC_BASE = 1_000_000_000
"""Made satellites are numbered from here on, upwards: a NORAD number has nine digits at most."""


@dataclass(frozen=True)
class Part:
    """One file or one built-in constellation that satellites of a catalogue come from."""

    source: str
    sha256: str
    satellites: int  # in it, before merging and filters
    built_in: bool
    assumption: str = ""  # what nobody has published and was made up


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Satellites in the order of their files. Arrays have shape (n_sats,) and are read-only.

    A satellite is synthetic when it was made and not catalogued: it belongs to a shell.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.int64]  # NORAD catalogue numbers; above SYNTHETIC_BASE for synthetic ones; unique
    satrecs: tuple[Satrec, ...]
    epochs_ns: NDArray[np.int64]  # UTC, since 1970
    source: str  # file name without folders, or "built-in: ..."; joined by " + " where there are several
    sha256: str  # of the file's bytes, uncompressed; of the elements when they are built in; of the parts' hashes
    shells: tuple[str, ...] = ()  # the shell of each satellite, '' for one from a file; () when all are from files
    merged: tuple[Part, ...] = ()  # what it was merged from, in order
    filters: tuple[str, ...] = ()  # what was asked of `select`
    warnings: tuple[str, ...] = ()  # what a user should know of the merging, one line each

    def __post_init__(self) -> None:
        self.numbers.setflags(write=False)
        self.epochs_ns.setflags(write=False)

    def __len__(self) -> int:
        return len(self.satrecs)

    @property
    def newest_epoch_ns(self) -> int:
        """The latest epoch of all satellites, UTC nanoseconds since 1970."""
        return int(self.epochs_ns.max())

    @property
    def parts(self) -> tuple[Part, ...]:
        """Where the satellites come from: at least one part."""
        return self.merged or (Part(self.source, self.sha256, len(self), bool(self.synthetic.any())),)

    @cached_property
    def synthetic(self) -> NDArray[np.bool_]:
        """Which satellites are made, shape (n_sats,)."""
        return self.numbers > SYNTHETIC_BASE

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """Names for nodes of the network: 'NORAD12345', or a synthetic satellite's own name.

        Without 'NORAD' they have nine characters at most, so that '-eth10' makes an interface's name of them.
        """
        named = zip(self.names, self.numbers, self.synthetic, strict=True)
        return tuple(name if made else f"NORAD{number}" for name, number, made in named)

    def take(self, indices: NDArray[np.int64], filters: tuple[str, ...]) -> Catalogue:
        """The catalogue with these satellites alone, in this order; `filters` says how they were chosen."""
        return replace(
            self,
            names=tuple(self.names[i] for i in indices),
            numbers=self.numbers[indices],
            satrecs=tuple(self.satrecs[i] for i in indices),
            epochs_ns=self.epochs_ns[indices],
            shells=tuple(self.shells[i] for i in indices) if self.shells else (),
            merged=self.parts,
            filters=filters,
        )

    @property
    def mean_altitude_m(self) -> NDArray[np.float64]:
        """Semi-major axis from the mean motion, less the equatorial radius (WGS-72), metres, shape (n_sats,)."""
        rad_per_s = np.array([satrec.no_kozai for satrec in self.satrecs]) / 60.0
        return np.cbrt(WGS72_MU_M3_S2 / rad_per_s**2) - WGS72_RADIUS_M

    @property
    def inclination_deg(self) -> NDArray[np.float64]:
        """Inclination of each satellite's mean elements, degrees, shape (n_sats,)."""
        return np.degrees([satrec.inclo for satrec in self.satrecs])


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


def merge(catalogues: Sequence[Catalogue]) -> Catalogue:
    """The satellites of all, in order; the only one itself when there is but one.

    Of a NORAD number that comes more than once the newest elements stay (the first named of equal ones), at their own
    place, and a warning counts them. Synthetic satellites are numbered anew, in order. The source is the sources joined
    by ' + ', the hash that of the hashes, in order.
    Raises CatalogueError without catalogues, or when two synthetic satellites share a name.
    """
    if not catalogues:
        raise CatalogueError("no catalogue to merge: give a file or the name of a built-in constellation")
    if len(catalogues) == 1:
        return catalogues[0]
    _check_made(catalogues)
    made = np.concatenate([one.synthetic for one in catalogues])
    numbers = np.concatenate([one.numbers for one in catalogues])
    numbers[made] = SYNTHETIC_BASE + np.arange(1, np.count_nonzero(made) + 1)
    epochs_ns = np.concatenate([one.epochs_ns for one in catalogues])
    of_part = np.repeat(np.arange(len(catalogues)), [len(one) for one in catalogues])
    by_age = np.lexsort((-epochs_ns, numbers))  # stable: the first named of equal ones stays first
    ordered = numbers[by_age]
    again = np.concatenate([[False], ordered[1:] == ordered[:-1]])
    kept = np.sort(by_age[~again])
    names = [name for one in catalogues for name in one.names]
    satrecs = [satrec for one in catalogues for satrec in one.satrecs]
    shells = [shell for one in catalogues for shell in (one.shells or ("",) * len(one))]
    parts = tuple(part for one in catalogues for part in one.parts)
    warnings = tuple(warning for one in catalogues for warning in one.warnings)
    if again.any():
        twice = np.unique(ordered[again])
        warnings += (_twice(catalogues, len(twice), of_part[kept[np.isin(numbers[kept], twice)]]),)
    return Catalogue(
        names=tuple(names[i] for i in kept),
        numbers=numbers[kept],
        satrecs=tuple(satrecs[i] for i in kept),
        epochs_ns=epochs_ns[kept],
        source=" + ".join(one.source for one in catalogues),
        sha256=hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest(),
        shells=tuple(shells[i] for i in kept) if made.any() else (),
        merged=parts,
        warnings=warnings,
    )


def _check_made(catalogues: Sequence[Catalogue]) -> None:
    """Synthetic satellites become nodes by their names, which nobody else made unique."""
    sources: dict[str, str] = {}
    for one in catalogues:
        for index in np.flatnonzero(one.synthetic):
            name = one.names[index]
            if name in sources:
                raise CatalogueError(
                    f"{one.source}: its satellite '{name}' is also in {sources[name]}: give each constellation once"
                )
            sources[name] = one.source


def _twice(catalogues: Sequence[Catalogue], count: int, chosen: NDArray[np.int64]) -> str:
    """The warning of satellites that came more than once; `chosen`: the part that each of them was taken from."""
    taken = np.bincount(chosen, minlength=len(catalogues))
    from_each = ", ".join(f"{n:,} from {one.source}" for n, one in zip(taken, catalogues, strict=True) if n)
    return f"satellites in more than one catalogue: {count:,}; of each the newest elements are used, {from_each}"


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
