"""The report for a terminal: what one needs to know, in 80 columns; plain text where there is no terminal."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Final, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.report import internet
from testbed.report.exposure import rows
from testbed.report.html import verdict_sentence, worst_first
from testbed.report.meeting import sentence
from testbed.report.pages import number
from testbed.report.selection import told

LINES_SHOWN: Final = 8
"""Reasons or warnings printed; the rest are in the files."""

LINKS_SHOWN: Final = 3

_STYLES: Final = {"pass": "bold green", "fail": "bold red", "invalid": "bold yellow"}


def print_report(report: dict[str, Any], file: TextIO) -> None:
    """Print `report`, as `make_report` returns it, to `file`."""
    console = Console(file=file, highlight=False)
    with console.capture() as capture:
        _print(console, report)
    file.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _print(console: Console, report: dict[str, Any]) -> None:
    style = _STYLES[report["verdict"]]
    console.print(Text.assemble((report["verdict"].upper(), style), "  ", verdict_sentence(report)))
    _lines(console, report["reasons"], style)
    console.print()
    console.print(Text(_run_line(report)))
    console.print(Text(_plan_line(report)))
    if report["audit"]:
        _paths(console, report["audit"])
        _links(console, report)
    if report["flows"]:
        _flows(console, report["flows"])
        _services(console, report["flows"])
        _variation(console, [flow for flow in report["flows"] if "measures" in flow])
    if report["internet"]:
        _internet(console, report["internet"])
    if report["meetings"]:
        console.print()
        console.print("Sites that meet", style="bold")
        _lines(console, [sentence(row) for row in report["meetings"]], "dim")
    if report["selection"]:
        console.print()
        console.print("Systems: which carried, and what that cost", style="bold")
        _lines(console, told(report["selection"]), "dim")
    if report["exposure"]:
        _exposure(console, report["exposure"])
    if report["routing"]["by"] == "frr":
        _routing(console, report["routing"])
    if report["warnings"]:
        console.print()
        console.print("Warnings", style="bold")
        _lines(console, report["warnings"], "yellow")
    console.print()
    console.print(Text(f"Report: {Path(report['run_dir']) / 'report.html'}"), soft_wrap=True)


def _lines(console: Console, lines: list[str], style: str) -> None:
    """A list; on a terminal long lines wrap with an indent, in plain text each stays one line that can be searched."""
    for line in lines[:LINES_SHOWN]:
        width = console.width - 4 if console.is_terminal else len(line) + 1
        first, *rest = textwrap.wrap(line, width, break_on_hyphens=False)
        console.print(Text.assemble(("  - ", style), "\n    ".join([first, *rest])), soft_wrap=True)
    if len(lines) > LINES_SHOWN:
        console.print(f"    and {len(lines) - LINES_SHOWN} more in report.json")


def _run_line(report: dict[str, Any]) -> str:
    run = report["run"]
    place = "in the guest" if report["where"] == "uml" else "natively"
    played = f"{run['played_s']:.1f} of {report['duration_s']:.1f} s played {place}"
    if report["speed"] != 1:
        played += f", the schedule at {report['speed']:g} times its speed"
    return f"{report['topology']} from {report['start']}, {played}, Linux {run['kernel']}"


def _plan_line(report: dict[str, Any]) -> str:
    plan = report["plan"]
    return (
        f"{plan['satellites_used']:,} of {plan['satellites']:,} satellites used, {plan['links']:,} link directions, "
        f"{plan['handovers']:,} handovers"
    )


def _table(title: str, columns: list[str]) -> Table:
    """The first column holds names and may wrap, the last a judgement; between them are figures."""
    look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", **look)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:-1]:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column(columns[-1], no_wrap=True)
    return table


def _result(row: dict[str, Any]) -> Text:
    if not row["passed"]:
        return Text("failed", _STYLES["fail"])
    return Text("passed", "green") if row.get("judged", True) else Text("not judged", "dim")


def _error(row: dict[str, Any], quantile: str, budget_us: float) -> Text:
    error_us = (row["error_us"] or {}).get(quantile)
    over = error_us is not None and error_us > budget_us
    return Text(f"{number(error_us)}/{budget_us:.0f}", _STYLES["fail"] if over else "")


def _paths(console: Console, audit: dict[str, Any]) -> None:
    table = _table(
        "Paths: delay p50 in ms, error/budget in µs", ["path", "planned", "measured", "p50", "p90", "result"]
    )
    budget = audit["budget"]
    for row in audit["paths"]:
        hops = row["netem_hops"]
        table.add_row(
            Text(f"{row['from']} → {row['to']}" + (f" ({row['system']})" if "system" in row else "")),
            number(row["planned_p50_ms"], 3),
            number(row["measured_p50_ms"], 3),
            _error(row, "p50", budget["path_p50_us_per_hop"] * hops),
            _error(row, "p90", budget["path_p90_us_per_hop"] * hops),
            _result(row),
        )
    console.print()
    console.print(table)


def _links(console: Console, report: dict[str, Any]) -> None:
    budget = report["audit"]["budget"]
    table = _table("Links: the worst three, error/budget in µs", ["link", "kind", "probes", "p50", "p90", "result"])
    for row in worst_first(report)[:LINKS_SHOWN]:
        table.add_row(
            Text(f"{row['a']} → {row['b']}"),
            row["kind"],
            number(row["samples"]),
            _error(row, "p50", budget["link_p50_us"]),
            _error(row, "p90", budget["link_p90_us"]),
            _result(row),
        )
    console.print()
    console.print(table)


def _routing(console: Console, routing: dict[str, Any]) -> None:
    console.print()
    console.print(f"Routing: FRR in {routing['routers']} routers, settled {routing['settled_s']:.1f} s after its start")
    columns = ["change of links", "at s", "routes", "settled, ms", "without a way, ms"]
    table = _table(f"Routes after each change of links, to {routing['resolution_ms']:.0f} ms", columns)
    table.columns[-1].justify = "right"
    for change in routing["changes"]:
        table.add_row(
            Text(change["what"]),
            number(change["time_s"], 1),
            number(change["routes"]),
            number(change["settled_ms"]),
            number(change["without_way_ms"]),
        )
    console.print(table)


def _flows(console: Console, flows: list[dict[str, Any]]) -> None:
    columns = ["flow", "sent", "lost", "p50", "p95", "p99", "integrity"]
    table = _table("Flows: packets, one-way delay in ms", columns)
    for flow in flows:
        delay_ms = flow["one_way_delay_ms"]
        verdict = flow["integrity"]["verdict"]
        style = {"intact": "green", "attacked": _STYLES["fail"]}.get(verdict, _STYLES["invalid"])
        table.add_row(
            Text(flow["name"]),
            number(flow["sent"]),
            number(flow["lost"]),
            *(number(delay_ms[quantile], 2) for quantile in ("p50", "p95", "p99")),
            Text(verdict, style),
        )
    console.print()
    console.print(table)


def _exposure(console: Console, exposure: dict[str, Any]) -> None:
    """Rows that read the same are one; the matrix of each flow by itself is in the page."""
    table = _table(
        f"What a listener reads, encryption={exposure['encryption']}", ["node", "run by", "packets", "flows", "reads"]
    )
    for row in rows(exposure):
        style = _STYLES["fail"] if row["leak"] else "yellow" if row["level"] == "payload" else ""
        flows = f"{row['flows']} of {row['of']}"
        table.add_row(Text(row["node"]), row["operated_by"], number(row["packets"]), flows, Text(row["level"], style))
    console.print()
    console.print(table)


def _services(console: Console, flows: list[dict[str, Any]]) -> None:
    """What calls and messages got, where there are any."""
    calls = [flow for flow in flows if "call" in flow]
    if calls:
        columns = ["call", "MOS", "worst slot", "lost %", "mouth to ear ms", "gaps"]
        table = _table("Calls: estimate, narrowband, ITU-T G.107", columns)
        table.columns[-1].justify = "right"
        for flow in calls:
            call = flow["call"]
            worst = min((slot["MOS"] or 1.0 for slot in call["per_slot"]), default=None)
            lost = number(100 * call["loss_effective"], 2)
            figures = (number(call["MOS"], 2), number(worst, 2), lost, number(call["m2e_ms"]), number(call["gaps"]))
            table.add_row(Text(flow["name"]), *figures)
        console.print()
        console.print(table)
    timed = [flow for flow in flows if "deadlines" in flow]
    if timed:
        columns = ["messages", "sent", "delivered", "p50 ms", "p99 ms", "deadline ms", "in time"]
        table = _table("Messages: from the first packet sent to the last one needed", columns)
        table.columns[-1].justify = "right"
        for flow in timed:
            found = flow["deadlines"]
            table.add_row(
                Text(flow["name"]),
                number(found["messages"]),
                number(found["delivered"]),
                number(found["time_ms"]["p50"], 1),
                number(found["time_ms"]["p99"], 1),
                number(found["deadline_ms"]),
                number(found["within_deadline"]),
            )
        console.print()
        console.print(table)


def _internet(console: Console, told: dict[str, Any]) -> None:
    console.print()
    console.print("Services over TCP", style="bold")
    for row in internet.rows(told):
        state = Text("failed", _STYLES["fail"]) if row["failed"] else Text("passed", "green")
        console.print(Text.assemble(f"{row['name']}  {row['src']} → {row['dst']}  ", state))
        figures = [f"{name} {value}" for name, value in (*row["told"], ("limited by", row["limited_by"]))]
        console.print(Text("  " + ", ".join(figures)))


def _variation(console: Console, flows: list[dict[str, Any]]) -> None:
    columns = ["flow", "loss %", "95 %", "PDV p99", "jitter", "reordered", "silence"]
    table = _table("Flows: loss and its interval; variation, silence at handovers in ms", columns)
    table.columns[-1].justify = "right"
    for flow in flows:
        measures = flow["measures"]
        loss, bounds = measures["loss"], measures["loss"]["ci95"]
        silences = [around["silence_ms"] for around in measures["handovers"] if around["silence_ms"] is not None]
        table.add_row(
            Text(flow["name"]),
            number(None if loss["ratio"] is None else 100 * loss["ratio"], 2),
            "–" if bounds is None else f"{100 * bounds[0]:.2f}–{100 * bounds[1]:.2f}",
            number(measures["pdv_ms"]["p99"], 2),
            number(measures["rtp_jitter_ms"]["max"], 2),
            number(measures["reordering"]["reordered"]),
            number(max(silences, default=None), 0),
        )
    if flows:
        console.print()
        console.print(table)
