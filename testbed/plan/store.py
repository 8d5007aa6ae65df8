"""A plan as a file: Parquet, complete and read back; CSV, for other tools."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.plan.model import STEP_DTYPE, Plan, from_json, to_json

METADATA_KEY = b"testbed.plan"
"""Where the Parquet file keeps everything but the steps, as JSON."""

SCHEMA = pa.schema([(name, pa.from_numpy_dtype(STEP_DTYPE[name])) for name in STEP_DTYPE.names or ()])
"""The steps' columns."""

CSV_COLUMNS = (
    "time_utc",
    "a",
    "b",
    "kind",
    "up",
    "one_way_delay_us",
    "range_km",
    "elevation_deg",
    "rate_bps",
    "loss",
)


def write_parquet(plan: Plan, path: Path) -> None:
    """Write the whole plan; the same plan gives the same bytes. Raises PlanError when `path` cannot be written."""
    description = json.dumps(to_json(plan), sort_keys=True, ensure_ascii=False).encode()
    columns = [pa.array(np.ascontiguousarray(plan.steps[name])) for name in SCHEMA.names]
    table = pa.table(columns, schema=SCHEMA.with_metadata({METADATA_KEY: description}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    try:
        path.write_bytes(sink.getvalue())
    except OSError as error:
        raise _unwritable(path, error) from None


def read_parquet(path: Path) -> Plan:
    """The inverse of `write_parquet`; raises PlanError when the file is missing, damaged or no plan."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PlanError(f"{path}: cannot be read ({error.strerror}): give a file that 'testbed plan' wrote") from None
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        description = json.loads((table.schema.metadata or {})[METADATA_KEY])
    except KeyError:
        raise PlanError(f"{path}: Parquet, but not a plan: give a file that 'testbed plan' wrote") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(f"{path}: not a readable plan ({reason}): make it again with 'testbed plan'") from None
    if not table.schema.equals(SCHEMA) or any(column.null_count for column in table.columns):
        raise PlanError(f"{path}: the steps' columns are not a plan's: make it again with 'testbed plan'")
    steps = np.empty(len(table), dtype=STEP_DTYPE)
    for name in SCHEMA.names:
        steps[name] = table[name].to_numpy()
    try:
        return from_json(description, steps)
    except (PlanError, ValueError, AttributeError) as error:
        raise PlanError(f"{path}: {error}: make it again with 'testbed plan'") from None


def write_csv(plan: Plan, sink: Path | TextIO) -> None:
    """One row per step, serving link and direction a→b, ordered by time, then link.

    Serving: on the way of an audited pair at that time. A link that begins to serve between two of its steps has a row
    there with the values that hold. `up` is 1, or 0 while the way is cut. Range and elevation are empty for fibre.
    Raises PlanError when a path cannot be written.
    """
    if isinstance(sink, Path):
        try:
            with sink.open("w", newline="", encoding="utf-8") as file:
                write_csv(plan, file)
        except OSError as error:
            raise _unwritable(sink, error) from None
        return
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    rows = sorted(
        (time_ns, number, row) for number in range(len(plan.links)) for time_ns, row in _serving_rows(plan, number)
    )
    for time_ns, number, row in rows:
        step, link = plan.steps[row], plan.links[number]
        delay_ns = int(step["delay_ns"])
        writer.writerow(
            (
                format_utc(plan.start_ns + time_ns, 3),
                link.a,
                link.b,
                link.kind,
                int(step["up"]),
                f"{delay_ns // 1000}.{delay_ns % 1000:03d}",
                _decimals(step["range_m"] / 1000.0, 6),
                _decimals(step["elevation_deg"], 6),
                int(step["rate_bps"]),
                f"{step['loss']:g}",
            )
        )


def _serving_rows(plan: Plan, number: int) -> Iterator[tuple[int, int]]:
    """(time_ns, row of `plan.steps`) for what `write_csv` says of one link."""
    link = plan.links[number]
    times = plan.link_steps(number)["time_ns"]
    first_row = int(np.searchsorted(plan.steps["link"], number))
    covered_ns = 0
    for begin_ns, end_ns in sorted(serving_times(plan, (link.a, link.b))):
        begin_ns = max(begin_ns, covered_ns)  # two pairs may share the link
        if begin_ns >= end_ns:
            continue
        covered_ns = end_ns
        low, high = np.searchsorted(times, [begin_ns, end_ns])
        if low == len(times) or times[low] > begin_ns:
            yield begin_ns, first_row + int(low) - 1
        for offset in range(low, high):
            yield int(times[offset]), first_row + offset


def serving_times(plan: Plan, hop: tuple[str, str]) -> Iterator[tuple[int, int]]:
    """(begin_ns, end_ns) in which the hop a→b is on the way of an audited pair; several pairs may share it."""
    for path in plan.paths:
        ends = [*(step.time_ns for step in path[1:]), plan.duration_ns]
        for step, end_ns in zip(path, ends, strict=True):
            if hop in zip(step.nodes, step.nodes[1:], strict=False):
                yield step.time_ns, end_ns


def _decimals(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _unwritable(path: Path, error: OSError) -> PlanError:
    return PlanError(f"{path}: cannot be written ({error.strerror}): choose another place")
