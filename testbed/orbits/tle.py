"""Two-line element sets: two lines per satellite, or three with its name, as CelesTrak and Space-Track serve them.

The format counts columns (CelesTrak, "NORAD Two-Line Element Set Format"). SGP4's own reader forgives much; here a
line that is not as the format has it is refused, because elements that are slightly wrong fly on without a sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from sgp4.alpha5 import from_alpha5
from sgp4.api import Satrec

from testbed.ground.errors import CatalogueError
from testbed.orbits.elements import MEND, Elements, check_bounds
from testbed.orbits.frames import DAY_NS

_LENGTH = 69

_Layout = tuple[tuple[str, int, str], ...]  # what is in it, how many columns, how it must look

_NUMBER = ("satellite number", 5, "[0-9A-HJ-NP-Z][0-9]{4}")  # Alpha-5: A0001 is 100,001; no I and no O
_BLANK = ("blank column", 1, " ")
_ANGLE = "[ 0-9]{2}[0-9][.][0-9]{4}"
_POWER = "[ +-][0-9]{5}[ +-][0-9]"  # ' 12345-3' is 0.12345e-3
_CHECKSUM = ("checksum", 1, "[0-9]")

_LINE_1: _Layout = (
    ("line number", 1, "1"),
    _BLANK,
    _NUMBER,
    ("classification", 1, "[UCS ]"),
    _BLANK,
    ("international designator", 8, "[ -~]{8}"),
    _BLANK,
    ("epoch year", 2, "[0-9]{2}"),
    ("epoch day", 12, "[ 0-9]{2}[0-9][.][0-9]{8}"),
    _BLANK,
    ("derivative of mean motion", 10, "[ +0-][.][0-9]{8}"),
    _BLANK,
    ("second derivative of mean motion", 8, _POWER),
    _BLANK,
    ("drag term B*", 8, _POWER),
    _BLANK,
    ("ephemeris type", 1, "[ 0-9]"),
    _BLANK,
    ("element set number", 4, "[ 0-9]{4}"),
    _CHECKSUM,
)
_LINE_2: _Layout = (
    ("line number", 1, "2"),
    _BLANK,
    _NUMBER,
    _BLANK,
    ("inclination", 8, _ANGLE),
    _BLANK,
    ("right ascension of the ascending node", 8, _ANGLE),
    _BLANK,
    ("eccentricity", 7, "[0-9]{7}"),
    _BLANK,
    ("argument of perigee", 8, _ANGLE),
    _BLANK,
    ("mean anomaly", 8, _ANGLE),
    _BLANK,
    ("mean motion", 11, "[ 0-9][0-9][.][0-9]{8}"),
    ("revolution number", 5, "[ 0-9]{5}"),
    _CHECKSUM,
)
_WHOLE = {layout: re.compile("".join(pattern for _, _, pattern in layout)) for layout in (_LINE_1, _LINE_2)}

# Modulo-10 checksum: a digit counts for itself, a minus sign for one, everything else for nothing.
_WORTH = bytes(code - 48 if 48 <= code <= 57 else int(code == 45) for code in range(256))


def read_tle(text: str, source: str) -> Iterator[Elements]:
    """The element sets in `text`, in order; `source` names the file in errors. Raises CatalogueError.

    Empty lines and lines that begin with '#' are skipped. Text after column 69 is allowed where a blank parts it from
    the elements: Vallado's verification set writes the span to propagate there.
    """
    name, name_line = "", 0
    first, first_line = "", 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.rstrip()
        where = f"{source} line {number}"
        if not line or line.startswith("#"):
            continue
        if first:
            yield _elements(name, first, line, f"{source} line {first_line}", where, first_line)
            name = first = ""
        elif line.startswith("1 "):
            first, first_line = line, number
        elif line.startswith("2 ") or name:
            before = f"of '{name}' on line {name_line}" if name else "before it"
            raise CatalogueError(f"{where}: no line 1 of a two-line set {before} ('{_short(line)}'): {MEND}")
        else:
            name, name_line = line.removeprefix("0 ").strip(), number
    if first:
        raise CatalogueError(f"{source} line {first_line}: line 2 is missing ('{_short(first)}'): {MEND}")
    if name:
        raise CatalogueError(f"{source} line {name_line}: no elements follow ('{_short(name)}'): {MEND}")


def _elements(name: str, first: str, second: str, where_1: str, where_2: str, line: int) -> Elements:
    _check_line(first, _LINE_1, where_1)
    _check_line(second, _LINE_2, where_2)
    if first[2:7] != second[2:7]:
        raise CatalogueError(f"{where_2}: line 1 is of satellite {first[2:7]}, line 2 of '{second[2:7]}': {MEND}")
    for quantity, value in (
        ("inclination", second[8:16]),
        ("right ascension of the ascending node", second[17:25]),
        ("eccentricity", "0." + second[26:33]),
        ("argument of perigee", second[34:42]),
        ("mean anomaly", second[43:51]),
        ("mean motion", second[52:63]),
    ):
        check_bounds(where_2, quantity, value)
    number = from_alpha5(first[2:7])
    satrec = Satrec.twoline2rv(first[:_LENGTH], second[:_LENGTH])
    return Elements(name or f"NORAD{number}", number, satrec, _epoch_ns(first, where_1), line)


def _check_line(line: str, layout: _Layout, where: str) -> None:
    """Length, every column, checksum: in the order in which the message helps most."""
    if len(line) < _LENGTH:
        raise CatalogueError(f"{where}: {len(line)} columns where there must be {_LENGTH} ('{_short(line)}'): {MEND}")
    if not _WHOLE[layout].match(line):
        what, value = _wrong_field(line, layout)
        raise CatalogueError(f"{where}: {what} is not as the format has it ('{value}'): {MEND}")
    if line[_LENGTH : _LENGTH + 1].strip():
        raise CatalogueError(f"{where}: text touches column {_LENGTH} ('{_short(line[_LENGTH:])}'): {MEND}")
    checksum = sum(line[: _LENGTH - 1].encode().translate(_WORTH)) % 10
    if int(line[_LENGTH - 1]) != checksum:
        raise CatalogueError(f"{where}: checksum is '{line[_LENGTH - 1]}', the line adds up to {checksum}: {MEND}")


def _wrong_field(line: str, layout: _Layout) -> tuple[str, str]:
    start = 0
    for what, width, pattern in layout:
        value = line[start : start + width]
        if not re.fullmatch(pattern, value):
            return f"{what} in column {start + 1}", value
        start += width
    raise AssertionError("a line whose every field matches matches as a whole")


def _epoch_ns(first: str, where: str) -> int:
    """Columns 19 to 32: a year of two digits and a day of the year, from 1, with eight decimals. Exact."""
    year = int(first[18:20])
    year += 1900 if year >= 57 else 2000  # Sputnik flew in 1957
    day, fraction = int(first[20:23]), int(first[24:32])
    if not 1 <= day <= 366:
        raise CatalogueError(f"{where}: epoch day is outside 1 to 366 ('{first[20:32]}'): {MEND}")
    days = (date(year, 1, 1) - date(1970, 1, 1)).days + day - 1
    return days * DAY_NS + fraction * (DAY_NS // 10**8)


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
