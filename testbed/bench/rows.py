"""What a benchmark says: rows with a value, its target, and the reference measured beside it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Reference:
    """What stands beside a value, in the same unit."""

    name: str
    value: float


@dataclass(frozen=True)
class Row:
    """One figure. `target`: what it must reach; None where it is only told."""

    name: str
    value: float
    unit: str
    better: Literal["lower", "higher"]
    target: float | None = None
    reference: Reference | None = None

    @property
    def met(self) -> bool | None:
        """Has it reached its target?"""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    @property
    def ratio(self) -> float | None:
        """How many times better than the reference it is."""
        if self.reference is None or not self.value or not self.reference.value:
            return None
        return self.reference.value / self.value if self.better == "lower" else self.value / self.reference.value


def document(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The JSON of a benchmark."""
    return {"bench": name, "machine": machine(), "rows": [_entry(row) for row in rows]}


def _entry(row: Row) -> dict[str, Any]:
    reference = None if row.reference is None else {"name": row.reference.name, "value": row.reference.value}
    told = {"name": row.name, "value": row.value, "unit": row.unit, "better": row.better}
    return told | {"target": row.target, "met": row.met, "reference": reference, "ratio": row.ratio}


def print_rows(name: str, rows: Sequence[Row], file: TextIO) -> None:
    """The table for a person."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{name}: {machine()}", title_justify="left")
    for heading in ("figure", "value", "unit", "target", "reference", "ratio", ""):
        table.add_column(heading, justify="right" if heading in ("value", "target", "ratio") else "left")
    for row in rows:
        sign = "≤" if row.better == "lower" else "≥"
        target = "" if row.target is None else f"{sign} {row.target:,g}"
        beside = "" if row.reference is None else f"{row.reference.value:,.4g} {row.reference.name}"
        ratio = "" if row.ratio is None else f"{row.ratio:,.3g}×"
        met = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.name, f"{row.value:,.4g}", row.unit, target, beside, ratio, met)
    Console(file=file, highlight=False, width=None if file.isatty() else 140).print(table)


def machine() -> str:
    """Processor, how many, kernel, load."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}, load {os.getloadavg()[0]:.2f}"
