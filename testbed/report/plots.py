"""The report's figures: each an SVG with a caption that says in plain words what one should see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from testbed.plan.expected import pair_path, path_delay_ns, path_nodes
from testbed.plan.model import Event, Plan
from testbed.report import canvas
from testbed.report.evidence import Evidence, lost_tx_ns

MAX_DOTS: Final = 600
"""Dots drawn per figure; a page with many figures stays small."""

LINE_POINTS: Final = 1200
"""Instants at which the planned delay is drawn, besides both sides of every change of way."""

_ROW_PX: Final = 15
_LETTER_PX: Final = 7.4
"""Room that a handover's label takes: a line of it, and a letter (DejaVu Sans at canvas.TEXT_PX)."""

_KIND_LOOK: Final = {
    "user": (canvas.BLUE, "-"),
    "feeder": (canvas.VERMILLION, "--"),
    "isl": (canvas.GREEN, "-."),
    "fibre": (canvas.PURPLE, ":"),
}


@dataclass(frozen=True)
class Plot:
    """A figure: `svg` is an element to put into a page or a file."""

    title: str
    svg: str
    caption: str


def delay_plots(evidence: Evidence) -> list[Plot]:
    """Planned and measured one-way delay over time, one plot per audited path that has probes."""
    samples = evidence.samples[evidence.samples["path"]]
    return [
        _delay_plot(evidence, number, samples[samples["index"] == number])
        for number in range(len(evidence.plan.paths))
        if np.any(samples["index"] == number)
    ]


def error_plot(evidence: Evidence) -> Plot | None:
    """Distribution of the delay error per kind of link, with the budget; None without audit or probes."""
    samples = evidence.samples
    links = samples[~samples["path"] & (samples["delay_ns"] >= 0) & ~samples["transition"]]
    if evidence.audit is None or not len(links):
        return None
    budget = evidence.audit["budget"]
    error_us = np.abs(links["delay_ns"] - links["planned_ns"]) / 1e3
    kinds = np.array([link.kind for link in evidence.plan.links])[links["index"]]
    with canvas.style():
        axes = canvas.new_axes()
        for kind, (colour, dashes) in _KIND_LOOK.items():
            chosen = np.sort(error_us[kinds == kind])
            if len(chosen):
                share = np.linspace(0, 100, min(len(chosen), 200))
                values = np.maximum(np.percentile(chosen, share), 1)
                axes.plot(values, share, dashes, color=colour, label=kind, drawstyle="steps-post")
        budgets_us = (budget["link_p50_us"], budget["link_p90_us"])
        axes.plot(budgets_us, (50, 90), "D", color=canvas.INK, markersize=6, label="budget")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.minorticks_off()
        axes.set_ylim(0, 100)
        axes.set_xlim(right=max(axes.get_xlim()[1], budget["link_p90_us"] * 12))
        _label(axes, "delay error, µs", "probes with less, %")
        canvas.legend(axes)
        svg = canvas.to_svg(axes, "error", "Delay error by kind of link")
    caption = (
        "Each curve should pass to the left of both diamonds: half of the probes off by less than "
        f"{budget['link_p50_us']:.0f} µs, nine in ten by less than {budget['link_p90_us']:.0f} µs. "
        "Errors under 1 µs are drawn at 1 µs."
    )
    return Plot("Delay error by kind of link", svg, caption)


def tick_plot(evidence: Evidence) -> Plot | None:
    """Lateness of the player's ticks over time; None without ticks."""
    ticks = evidence.ticks
    if not len(ticks):
        return None
    kept = _thin(np.abs(ticks["late_ns"]))
    with canvas.style():
        axes = canvas.new_axes()
        _dots(axes, ticks["time_ns"][kept], ticks["late_ns"][kept], canvas.BLUE, "tick")
        axes.set_ylim(bottom=min(0.0, float(ticks["late_ns"].min()) / 1e6))
        axes.set_xlim(0, evidence.plan.duration_ns / 1e9)
        _label(axes, "time since the start, s", "lateness, ms")
        canvas.legend(axes)
        svg = canvas.to_svg(axes, "ticks", "Lateness of the player")
    caption = "The dots should lie close to zero: every change of the schedule was in the kernel when it was due."
    return Plot("Lateness of the player", svg, caption + _thinned(len(kept), len(ticks), "ticks"))


def flow_plots(evidence: Evidence) -> list[Plot]:
    """One-way delay of each flow's packets over time, with its losses and its receiver's alarms."""
    if evidence.flows is None:
        return []
    packets = evidence.packets
    return [
        _flow_plot(evidence, number, flow, packets[packets["flow"] == number])
        for number, flow in enumerate(evidence.flows["flows"])
        if np.any(packets["flow"] == number)
    ]


def _delay_plot(evidence: Evidence, number: int, samples: NDArray[np.void]) -> Plot:
    plan = evidence.plan
    path = plan.paths[number]
    source, destination = path[0].nodes[0], path[0].nodes[-1]
    changes = np.array([step.time_ns for step in path], dtype=np.int64)
    grid = np.linspace(0, plan.duration_ns - 1, LINE_POINTS).astype(np.int64)
    times = np.unique(np.r_[grid, changes, changes[changes > 0] - 1])
    planned = path_delay_ns(plan, path, times)
    arrived = samples[samples["delay_ns"] >= 0]
    kept = arrived[_thin(np.abs(arrived["delay_ns"] - arrived["planned_ns"]))]
    with canvas.style():
        axes = _time_axes(plan, path_nodes(path))
        axes.plot(times / 1e9, planned / 1e6, color=canvas.BLUE, label="planned", drawstyle="steps-post", zorder=4)
        for during, label in ((False, "measured"), (True, "in a handover")):
            chosen = kept[kept["transition"] == during]
            if len(chosen):
                _dots(axes, chosen["tx_ns"], chosen["delay_ns"], canvas.VERMILLION, label, hollow=during)
        _losses(axes, samples["tx_ns"][samples["delay_ns"] < 0])
        axes.set_ylim(_pair_limits(evidence, source, destination))
        canvas.legend(axes)
        svg = canvas.to_svg(axes, f"path-{number}", f"One-way delay {source} → {destination}")
    close = ""
    if evidence.audit is not None:
        budget_us = evidence.audit["budget"]["path_p50_us_per_hop"] * evidence.audit["paths"][number]["netem_hops"]
        close = f", half of them within {budget_us / 1e3:.2f} ms,"
    caption = (
        f"One-way delay from {source} to {destination}. The dots (probes) should lie on the line (the plan){close} and "
        "step with it at each handover, the vertical lines." + _thinned(len(kept), len(arrived), "probes")
    )
    return Plot(f"{source} → {destination}", svg, caption)


def _pair_limits(evidence: Evidence, source: str, destination: str) -> tuple[float, float]:
    """The range of delays to show, ms: of the same height for both directions between two hosts, to compare them."""
    samples = evidence.samples[evidence.samples["path"] & (evidence.samples["delay_ns"] >= 0)]
    low, heights = 0.0, [1.0]
    for number, path in enumerate(evidence.plan.paths):
        ends = (path[0].nodes[0], path[0].nodes[-1])
        own = samples[samples["index"] == number]
        if set(ends) == {source, destination} and len(own):
            together = np.r_[own["delay_ns"], own["planned_ns"]] / 1e6
            heights.append(float(np.ptp(together)))
            if ends == (source, destination):
                low = float(together.min())
    height = max(heights)
    return low - 0.08 * height, low + 1.08 * height


def _flow_plot(evidence: Evidence, number: int, flow: dict[str, Any], packets: NDArray[np.void]) -> Plot:
    plan = evidence.plan
    path = pair_path(plan, flow["src"], flow["dst"])
    assert evidence.flows is not None
    alarms = [
        alarm for alarm in evidence.flows["alarms"] if alarm["host"] == flow["dst"] and alarm["time_ns"] >= 0
    ]  # -1: the kernel gave no stamp
    arrived = packets[(packets["delay_ns"] >= 0) & (packets["tx_ns"] >= 0)]
    kept = arrived[_thin(arrived["delay_ns"])]
    with canvas.style():
        axes = _time_axes(plan, path_nodes(path) if path else {flow["src"], flow["dst"]})
        if len(kept):
            _dots(axes, kept["tx_ns"], kept["delay_ns"], canvas.BLUE, "packet")
        _losses(axes, lost_tx_ns(packets))
        for place, (name, count) in enumerate(Counter(alarm["verdict"] for alarm in alarms).items()):
            times = np.array([alarm["time_ns"] for alarm in alarms if alarm["verdict"] == name])
            axes.plot(
                times / 1e9,
                np.full(len(times), 0.97 - 0.06 * place),
                "v^<>sD"[place % 6],
                color=canvas.PURPLE,
                markersize=6,
                transform=axes.get_xaxis_transform(),
                label=f"{name} × {count}",
            )
        if len(arrived):
            low, high = float(arrived["delay_ns"].min()) / 1e6, float(arrived["delay_ns"].max()) / 1e6
            height = max(high - low, 1.0)
            axes.set_ylim(low - 0.08 * height, high + (0.3 if alarms else 0.08) * height)
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, f"flow-{number}", f"One-way delay of {flow['name']}")
    raised = f" Marks at the top are alarms at {flow['dst']}, whatever flow they concern." if alarms else ""
    caption = (
        f"One-way delay of the {flow['kind']} packets from {flow['src']} to {flow['dst']}. "
        f"An undisturbed flow is a narrow band that steps at handovers.{raised}"
    )
    return Plot(flow["name"], svg, caption + _thinned(len(kept), len(arrived), "packets"))


def _time_axes(plan: Plan, nodes: set[str]) -> Axes:
    """Axes over the plan's time with a vertical line per handover of `nodes`, labelled as far as labels fit."""
    labels: dict[int, list[str]] = {}
    handovers = [event for event in plan.events if event.kind == "handover" and event.node in nodes]
    several = len({event.node for event in handovers}) > 1
    for event in handovers:
        labels.setdefault(event.time_ns, []).append(_handover_label(event, named=several))
    label_px = _LETTER_PX * max((len(label) for row in labels.values() for label in row), default=0)
    rows = max((len(row) for row in labels.values()), default=0)
    instants = np.array(sorted(labels))
    px_per_ns = canvas.AXES_WIDTH_PX / plan.duration_ns
    pixels_apart = float(np.diff(instants).min(initial=plan.duration_ns)) * px_per_ns
    flat, upright = pixels_apart >= label_px, pixels_apart >= _ROW_PX * rows
    axes = canvas.new_axes(top_px=8 + (_ROW_PX * rows if flat else label_px if upright else 0))
    for instant in labels:
        axes.axvline(instant / 1e9, color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), zorder=1)
        if flat or upright:
            room_px = (plan.duration_ns - instant) * px_per_ns + canvas.RIGHT_PX
            aside_px = min(0.0, room_px - label_px / 2) if flat else 0.0
            axes.annotate(
                "\n".join(labels[instant]),
                (instant / 1e9, 1),
                (aside_px, 3),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                va="bottom",
                rotation=0 if flat else 90,
                fontsize=canvas.TEXT_PX,
                color=canvas.MUTED,
            )
    for event in plan.events:
        if event.kind != "handover" and event.node in nodes:
            end_ns = event.time_ns + event.window_ns
            axes.axvspan(event.time_ns / 1e9, end_ns / 1e9, color=canvas.RULE, linewidth=0, zorder=0)
    axes.set_xlim(0, plan.duration_ns / 1e9)
    _label(axes, "time since the start, s", "one-way delay, ms")
    return axes


def _handover_label(event: Event, *, named: bool) -> str:
    """'→45123': the satellite taken, or the gateway if only that changes; with the terminal if `named`."""
    before, after = event.detail.get("from"), event.detail.get("to", "")
    taken = event.detail.get("gateway_to", "") if before == after else after.removeprefix("NORAD")
    return f"{event.node.removeprefix('ut-') if named else ''}→{taken}"


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, labelpad=6)
    axes.set_ylabel(y, labelpad=8)


def _dots(
    axes: Axes, time_ns: NDArray[Any], value_ns: NDArray[Any], colour: str, label: str, *, hollow: bool = False
) -> None:
    face = "none" if hollow else colour
    look: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markeredgewidth": 0.9 if hollow else 0}
    axes.plot(time_ns / 1e9, value_ns / 1e6, "o", markersize=4 if hollow else 3, label=label, zorder=3, **look)


def _losses(axes: Axes, time_ns: NDArray[Any]) -> None:
    if len(time_ns):
        kept = time_ns[:: -(-len(time_ns) // MAX_DOTS)]
        bottom = Line2D(
            kept / 1e9,
            np.full(len(kept), 0.025),
            linestyle="none",
            marker="|",
            markersize=9,
            color=canvas.INK,
            transform=axes.get_xaxis_transform(),
            label=f"lost × {len(time_ns):,}",
        )
        axes.add_line(bottom)


def _thin(weight: NDArray[Any]) -> NDArray[np.int64]:
    """Indices of at most MAX_DOTS of the points: evenly spread, and always the tenth of them with the most weight."""
    if len(weight) <= MAX_DOTS:
        return np.arange(len(weight))
    heaviest = np.argsort(weight, kind="stable")[-MAX_DOTS // 10 :]
    even = np.linspace(0, len(weight) - 1, MAX_DOTS - len(heaviest)).astype(np.int64)
    return np.unique(np.r_[even, heaviest])


def _thinned(drawn: int, total: int, what: str) -> str:
    return f" Drawn: {drawn:,} of {total:,} {what}, the most extreme always among them." if drawn < total else ""
