"""Measured series of delay, loss and rate, read from a table: CSV (also .csv.gz) or Parquet.

A column is named by the user, with its unit behind a colon where its own name does not end in one: 'lat:ms', 'drop:%',
'rate_mbit'. Nothing is guessed and nothing is mended: what is not understood is refused with file, line and value.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import InputError, PlanError
from testbed.ground.units import parse_duration_ns, parse_rate_bps, parse_utc_ns

Kind = Literal["rtt", "one-way"]

ABSOLUTE_S: Final = 1_000_000_000
"""Assumption: seconds from here on (2001-09-09) count from 1970, smaller ones from the beginning of a measurement."""

_DELAY_UNITS: Final = ("ms", "us", "s", "ns")
_LOSS_UNITS: Final = {"ratio": 1.0, "%": 0.01, "pct": 0.01, "percent": 0.01}
_RATE_UNITS: Final = ("bps", "kbps", "mbps", "gbps", "bit", "kbit", "mbit", "gbit")


@dataclass(frozen=True)
class Columns:
    """Which columns mean what, each 'NAME' or 'NAME:UNIT'; empty for one that there is not.

    time: ISO 8601 (UTC without a zone) or seconds. delay: round trip or one way, by `kind`; `delay_up` and
    `delay_down`: one way each, instead of it. loss: share of packets, round trip or one way as the delay.
    """

    time: str = "time"
    delay: str = "delay_ms"
    kind: Kind = "rtt"
    delay_up: str = ""
    delay_down: str = ""
    loss: str = ""
    rate_up: str = ""
    rate_down: str = ""


@dataclass(frozen=True, eq=False)
class Series:
    """Samples in the order of time; arrays of shape (n,), n ≥ 1. A sample holds until the next one.

    up and down are the directions of a user: from the terminal, and to it.
    """

    time_ns: NDArray[np.int64]  # UTC since 1970 if `absolute`, else since the measurement's own zero
    up_ns: NDArray[np.int64]  # one-way delay
    down_ns: NDArray[np.int64]
    loss_up: NDArray[np.float64]  # 0..1
    loss_down: NDArray[np.float64]
    rate_up_bps: NDArray[np.int64] | None
    rate_down_bps: NDArray[np.int64] | None
    absolute: bool
    source: str  # the file's name without folders, or what made it
    sha256: str = ""  # of the file's bytes

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True)
class _Table:
    """Columns as they were read: text, or Parquet's own types."""

    where: str
    word: str  # what a row is called in this kind of file
    first: int  # the number of its first row of data
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int] | None = None  # of a CSV's rows, where they are not one after the other

    def at(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"{self.where} {self.word} {self.lines[row] if self.lines else self.first + row}"


def read_series(path: Path, columns: Columns, up_share: float) -> Series:
    """The series in a file. `up_share`: what part of a round trip goes up.

    A round trip's loss p is split evenly, 1 - sqrt(1 - p) in each direction. A row whose loss is total may have no
    delay: it keeps the one before. Raises PlanError, naming file, line and value.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PlanError(f"{path}: cannot be read ({reason}): give a CSV or Parquet file of measurements") from None
    table = _parquet(data, path.name) if data[:4] == b"PAR1" else _csv(data, path.name)
    time_ns, absolute = _times(table, columns.time)
    loss = _numbers(table, "loss", columns.loss, _loss_reader) if columns.loss else np.zeros(len(time_ns))
    both = bool(columns.delay_up), bool(columns.delay_down)
    if any(both) and not all(both):
        raise PlanError(f"{path.name}: delay_up and delay_down belong together: name both columns, or delay alone")
    if all(both):
        up_ns = _delays(table, "delay_up", columns.delay_up, loss)
        down_ns = _delays(table, "delay_down", columns.delay_down, loss)
    else:
        whole_ns = _delays(table, "delay", columns.delay, loss)
        up_ns = np.rint(whole_ns * up_share).astype(np.int64) if columns.kind == "rtt" else whole_ns
        down_ns = whole_ns - up_ns if columns.kind == "rtt" else whole_ns
    each = 1.0 - np.sqrt(1.0 - loss) if columns.kind == "rtt" and not all(both) else loss
    return Series(
        time_ns=time_ns,
        up_ns=up_ns,
        down_ns=down_ns,
        loss_up=each,
        loss_down=each,
        rate_up_bps=_rates(table, "rate_up", columns.rate_up),
        rate_down_bps=_rates(table, "rate_down", columns.rate_down),
        absolute=absolute,
        source=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _csv(data: bytes, where: str) -> _Table:
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise PlanError(f"{where}: damaged gzip file ({error}): get the file again") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PlanError(f"{where} line {line}: not text: give a CSV or Parquet file") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise PlanError(f"{where} line {reader.line_num}: no CSV ({error})") from None
    if len(rows) < 2:
        raise PlanError(f"{where}: no samples in it: the first line names the columns, one line per sample follows")
    header = rows[0]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise PlanError(f"{where} line {line}: {len(row)} fields where the first line names {len(header)}")
    columns = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
    return _Table(where, "line", 2, columns, lines[1:])


def _parquet(data: bytes, where: str) -> _Table:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(f"{where}: not a readable Parquet file ({reason}): get the file again") from None
    if not len(table):
        raise PlanError(f"{where}: no samples in it")
    return _Table(where, "row", 1, {name: _values(table[name]) for name in table.column_names})


def _values(column: Any) -> Sequence[Any]:
    """Python values; time stamps as exact seconds since 1970."""
    if pa.types.is_timestamp(column.type):
        whole = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
        return [None if value is None else Decimal(value).scaleb(-9) for value in whole]
    return list(column.to_pylist())


def _column(table: _Table, role: str, name: str) -> Sequence[Any]:
    if name not in table.columns:
        known = ", ".join(table.columns)
        raise PlanError(f"{table.where}: no column '{name}' for {role}; it has {known}: say -p {role}=COLUMN")
    return table.columns[name]


def _times(table: _Table, name: str) -> tuple[NDArray[np.int64], bool]:
    values = _column(table, "time", name)
    found = np.empty(len(values), np.int64)
    calendar = isinstance(values[0], str) and ":" in values[0]
    for row, value in enumerate(values):
        try:
            if calendar:
                found[row] = parse_utc_ns(value.strip())
            else:
                found[row] = int((Decimal(str(value).strip()) * NS_PER_S).to_integral_value())
        except (InputError, InvalidOperation, ValueError, OverflowError):
            raise PlanError(f"{table.at(row)}: {name} '{value}' is no time: ISO 8601 or seconds, all alike") from None
        if row and found[row] <= found[row - 1]:
            raise PlanError(f"{table.at(row)}: {name} '{value}' is not later than '{values[row - 1]}' before it")
    return found, calendar or int(found[0]) >= ABSOLUTE_S * NS_PER_S


def _delays(table: _Table, role: str, spec: str, loss: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nanoseconds; where everything was lost and nothing measured, the last delay before."""
    name, unit = _unit(spec, _DELAY_UNITS, "ms")
    values = _column(table, role, name)
    found = np.empty(len(values), np.int64)
    per_unit_ns = float(parse_duration_ns(f"1{unit}"))
    for row, value in enumerate(values):
        if row and loss[row] == 1.0 and str("" if value is None else value).strip().lower() in ("", "nan"):
            found[row] = found[row - 1]
            continue
        found[row] = round(_number(table, row, name, value, 0.0, math.inf, "a delay, 0 or more") * per_unit_ns)
    return found


def _rates(table: _Table, role: str, spec: str) -> NDArray[np.int64] | None:
    if not spec:
        return None
    return np.rint(_numbers(table, role, spec, _rate_reader)).astype(np.int64)


def _loss_reader(table: _Table, role: str, spec: str) -> tuple[str, float, float, str]:
    name, unit = _unit(spec, tuple(_LOSS_UNITS), "ratio" if spec == "loss" else "")
    if not unit:
        raise PlanError(
            f"{table.where}: is column '{name}' a ratio or per cent? Say -p {role}={name}:ratio or {name}:%"
        )
    factor = _LOSS_UNITS[unit]
    return name, factor, 1.0, f"a loss from 0 to {1 / factor:g}"


def _rate_reader(table: _Table, role: str, spec: str) -> tuple[str, float, float, str]:
    name, unit = _unit(spec, _RATE_UNITS, "")
    if not unit:
        raise PlanError(f"{table.where}: what is the unit of column '{name}'? Say -p {role}={name}:bps or {name}:mbps")
    return name, float(parse_rate_bps(f"1{unit.replace('bps', 'bit')}")), math.inf, "a rate above 0"


def _numbers(
    table: _Table, role: str, spec: str, reader: Callable[[_Table, str, str], tuple[str, float, float, str]]
) -> NDArray[np.float64]:
    """A column in SI units, shape (n,)."""
    name, factor, high, what = reader(table, role, spec)
    low = math.ulp(0.0) if what.endswith("above 0") else 0.0
    values = _column(table, role, name)
    scaled = [_number(table, row, name, value, low, high / factor, what) for row, value in enumerate(values)]
    return np.array(scaled) * factor


def _number(table: _Table, row: int, name: str, value: Any, low: float, high: float, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (low <= number <= high and math.isfinite(number)):
        raise PlanError(f"{table.at(row)}: {name} '{'' if value is None else value}' is not {what}")
    return number


def _unit(spec: str, units: Sequence[str], default: str) -> tuple[str, str]:
    """Name and unit of 'NAME:UNIT', or of a name that ends in '_UNIT'; `default` without either."""
    name, colon, unit = spec.rpartition(":")
    if colon:
        if unit.lower() not in units:
            raise PlanError(f"column '{spec}': '{unit}' is no unit for it; write one of {', '.join(units)}")
        return name, unit.lower()
    ending = spec.rpartition("_")[2].lower() if "_" in spec else spec[-1:]
    return spec, ending if ending in units else default
