"""Orbit mean-elements messages (CCSDS 502.0-B) in JSON, CSV and XML, as CelesTrak and Space-Track serve them.

Unlike two-line sets they hold satellite numbers of more than five digits; newly catalogued satellites have only these.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any
from xml.parsers import expat

from sgp4 import omm
from sgp4.api import Satrec

from testbed.ground.errors import CatalogueError, InputError
from testbed.ground.units import format_utc, parse_utc_ns
from testbed.orbits.elements import MEND, Elements, check_bounds

Record = Mapping[str, Any]

_NUMBER = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?")  # neither nan nor 1_0, which float() takes
_COUNT = re.compile(r"[0-9]{1,9}")
_BETWEEN_OBJECTS = re.compile(r"[\s,]*")

_QUANTITIES = {
    "MEAN_MOTION": "mean motion",
    "ECCENTRICITY": "eccentricity",
    "INCLINATION": "inclination",
    "RA_OF_ASC_NODE": "right ascension of the ascending node",
    "ARG_OF_PERICENTER": "argument of perigee",
    "MEAN_ANOMALY": "mean anomaly",
}
_NUMERIC = (*_QUANTITIES, "BSTAR", "MEAN_MOTION_DOT", "MEAN_MOTION_DDOT")
FIELDS = ("OBJECT_NAME", "NORAD_CAT_ID", "EPOCH", *_NUMERIC)
"""The fields without which a satellite cannot be propagated or named."""

# sgp4.omm wants these too. No position depends on them.
_UNUSED = {
    "CLASSIFICATION_TYPE": "U",
    "OBJECT_ID": "",
    "EPHEMERIS_TYPE": 0,
    "ELEMENT_SET_NO": 0,
    "REV_AT_EPOCH": 0,
}
_EPOCHS_NS = range(parse_utc_ns("1957-10-04"), parse_utc_ns("2262-01-01"))  # from Sputnik to the end of int64
_ALPHA5_MAX = 339_999  # the largest satellite number that a Satrec can hold


def read_json(text: str, source: str) -> Iterator[Elements]:
    """The elements in a JSON array of objects; `source` names the file in errors. Raises CatalogueError."""
    try:
        document = json.loads(text)
    except ValueError as error:  # JSONDecodeError, or a whole number of thousands of digits
        line, reason = getattr(error, "lineno", 1), getattr(error, "msg", str(error))
        raise CatalogueError(f"{source} line {line}: broken JSON ({reason}): get the file again") from None
    except RecursionError:
        raise CatalogueError(f"{source} line 1: JSON is nested too deep: get the file again") from None
    if not isinstance(document, list):
        raise CatalogueError(f"{source} line 1: not an array of objects ('{_short(text)}'): get the file again")
    decoder = json.JSONDecoder()
    at, line = text.index("[") + 1, 1 + text[: text.index("[")].count("\n")
    for _ in document:  # decoded once more, one by one, to know on which line each begins
        begin = _skip(text, at)
        line += text.count("\n", at, begin)
        record, end = decoder.raw_decode(text, begin)
        if not isinstance(record, dict):
            raise CatalogueError(f"{source} line {line}: not an object with elements ('{_short(str(record))}'): {MEND}")
        yield _elements(record, source, line)
        line += text.count("\n", begin, end)
        at = end


def read_csv(text: str, source: str) -> Iterator[Elements]:
    """The elements in a table whose header names the fields; otherwise as `read_json`."""
    rows = omm.parse_csv(io.StringIO(text, newline=""))
    try:
        for row in rows:
            if None in row:
                value = ",".join(row[None])
                raise CatalogueError(f"{source} line {rows.line_num}: columns beyond the header ('{value}'): {MEND}")
            yield _elements(row, source, rows.line_num)
    except csv.Error as error:
        raise CatalogueError(f"{source} line {rows.line_num + 1}: broken CSV ({error}): get the file again") from None


def read_xml(text: str, source: str) -> Iterator[Elements]:
    """The elements in the <segment>s of a message; otherwise as `read_json`.

    Not sgp4.omm.parse_xml, which forgets the lines and fails without a word when a part of a segment is missing.
    """
    parser = expat.ParserCreate("utf-8")
    records: list[tuple[int, dict[str, str]]] = []
    chunks: list[str] = []

    def start(tag: str, _attributes: dict[str, str]) -> None:
        chunks.clear()
        if tag == "segment":
            records.append((parser.CurrentLineNumber, {}))

    def end(tag: str) -> None:
        if records:
            records[-1][1][tag] = "".join(chunks).strip()
        chunks.clear()

    def refuse(*_declaration: object) -> None:
        line = parser.CurrentLineNumber
        raise CatalogueError(f"{source} line {line}: a DOCTYPE has no place in orbital elements: get the file again")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = chunks.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise CatalogueError(f"{source} line {error.lineno}: broken XML ({error}): get the file again") from None
    for line, record in records:
        yield _elements(record, source, line)


def _elements(record: Record, source: str, line: int) -> Elements:
    name = record.get("OBJECT_NAME")
    where = f"{source} line {line} (satellite '{name}')"
    for field in FIELDS:
        if record.get(field) in (None, ""):
            raise CatalogueError(f"{where}: {field} is missing: {MEND}")
    for field in _NUMERIC:
        value = str(record[field]).strip()
        if not _NUMBER.fullmatch(value) or not isfinite(float(value)):
            raise CatalogueError(f"{where}: {field} is not a number ('{value}'): {MEND}")
        if field in _QUANTITIES:
            check_bounds(where, _QUANTITIES[field], value)
    number_text = str(record["NORAD_CAT_ID"]).strip()
    if not _COUNT.fullmatch(number_text):
        raise CatalogueError(f"{where}: NORAD_CAT_ID is not a number of at most nine digits ('{number_text}'): {MEND}")
    number = int(number_text)
    try:
        epoch_ns = parse_utc_ns(str(record["EPOCH"]).strip())
    except InputError:
        raise CatalogueError(f"{where}: EPOCH is not an ISO 8601 time ('{record['EPOCH']}'): {MEND}") from None
    if epoch_ns not in _EPOCHS_NS:
        raise CatalogueError(f"{where}: EPOCH is outside 1957 to 2261 ('{record['EPOCH']}'): {MEND}")
    satrec = Satrec()
    held = number if number <= _ALPHA5_MAX else 0
    omm.initialize(satrec, {**record, **_UNUSED, "NORAD_CAT_ID": held, "EPOCH": format_utc(epoch_ns, 6).rstrip("Z")})
    return Elements(str(name), number, satrec, epoch_ns, line)


def _skip(text: str, at: int) -> int:
    match = _BETWEEN_OBJECTS.match(text, at)
    assert match is not None  # the pattern also matches nothing
    return match.end()


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
