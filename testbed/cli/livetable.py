"""The live table of a run on a terminal: paths, flows, what comes next. Drawn from the record of docs/live.md."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_AROUND: Final = 10  # lines of the table that are neither a path nor a flow
_LEAST: Final = 2  # rows of each kind, however low the terminal


class LiveTable:
    """What a person sees; redrawn as often as asked, so that countdowns run between two records."""

    def __init__(self) -> None:
        self.stage = ""
        self._record: dict[str, Any] | None = None
        self._taken_s = 0.0
        self._over = False
        self._spinner = Spinner("dots")

    def over(self) -> None:
        """Nothing comes any more: time stands still."""
        self._over = True

    def take(self, record: dict[str, Any]) -> None:
        """The newest record."""
        self._record, self._taken_s = record, time.monotonic()

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        record = self._record
        if record is None:
            self._spinner.update(text=Text(self.stage))
            yield self._spinner
            return
        passed_s = 0.0 if self._over else time.monotonic() - self._taken_s
        paths, flows = _shares(options.max_height - _AROUND, len(record["paths"]), len(record["flows"]))
        yield Group(self._head(record, passed_s), Text(), *_paths(record, paths), *_flows(record, flows))

    def _head(self, record: dict[str, Any], passed_s: float) -> Text:
        now_s = min(record["time_s"] + passed_s, record["of_s"])
        parts = [f"{now_s:.0f} of {record['of_s']:.0f} s", f"{record['utc'][11:19]} UTC"]
        if record["speed"] != 1.0:
            parts.append(f"{record['speed']:g} times as fast")
        if record["next_slot_s"] is not None and not self._over:
            parts.append(f"slot in {max(record['next_slot_s'] - passed_s, 0.0):.0f} s")
        event = record["next_event"]
        if event is not None and not self._over:
            in_s = max(event["in_s"] - passed_s, 0.0)
            parts.append(f"{event['kind']} {event['node']} in {in_s:.0f} s")
        return Text.assemble((self.stage, "bold"), "  ", " · ".join(parts))


def _paths(record: dict[str, Any], room: int) -> list[RenderableType]:
    table = _table("path", "satellite", "planned ms", "measured ms")
    for path in record["paths"][:room]:
        satellites = path["satellites"]
        over = " → ".join(satellites) if len(satellites) < 3 else f"{satellites[0]} → … → {satellites[-1]}"
        name = Text(over or f"{path['hops']} hops", style="" if path["up"] else "strike red")
        table.add_row(path["name"], name, _ms(path["planned_ms"]), _ms(path["measured_ms"]))
    return [table, *_more(len(record["paths"]) + record["paths_left_out"] - room)]


def _flows(record: dict[str, Any], room: int) -> list[RenderableType]:
    if not record["flows"]:
        return []
    table = _table("flow", "sent", "received", "alarms")
    for flow in record["flows"][:room]:
        alarms = Text(f"{flow['alarms']:,}", style="bold red" if flow["alarms"] else "")
        table.add_row(flow["name"], f"{flow['sent']:,}", f"{flow['received']:,}", alarms)
    alarms = record["alarms"]
    told = [Text(f"{alarms:,} alarm{'s' if alarms > 1 else ''} in all", style="bold red")] if alarms else []
    return [Text(), table, *_more(len(record["flows"]) - room), *told]


def _shares(room: int, paths: int, flows: int) -> tuple[int, int]:
    """Rows for paths and for flows: half each, and what one does not need is the other's."""
    half = max(room // 2, _LEAST)
    return max(half, room - flows), max(half, room - paths)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(columns[0], min_width=22)
    for name in columns[1:]:
        table.add_column(name, justify="left" if name == "satellite" else "right")
    return table


def _more(count: int) -> Sequence[Text]:
    return [Text(f"and {count} more", style="dim")] if count > 0 else []


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
