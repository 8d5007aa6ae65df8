"""A plan as one picture: delay over time, satellites in view over time, and the map at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import subpoint
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.visibility import range_elevation
from testbed.plan.expected import path_delay_ns
from testbed.plan.model import PathStep, Plan
from testbed.report import atlas, canvas
from testbed.report.atlas import Mark, Way

WIDTH_PX: Final = 1280
LEFT_PX: Final = 72
RIGHT_PX: Final = 24
ASIDE_PX: Final = 400
"""Room beside the map, for the ways in words."""

LINE_POINTS: Final = 2_400
"""Instants at which a delay is drawn, besides both sides of every change of way."""

VIEW_POINTS: Final = 240
"""Instants at which satellites in view are counted, a second apart at least."""

LABEL_PX: Final = 96
"""Room that a handover's label takes."""

ROW_PX: Final = 15

COLOURS: Final = (canvas.BLUE, canvas.VERMILLION, canvas.GREEN, canvas.PURPLE, canvas.INK, "#8a6d00")

SHADE: Final = "#ccd2d9"

LEGEND_COLUMNS: Final = 6

_CHUNK = 16  # instants whose elevations are in memory at once


@dataclass(frozen=True)
class Watch:
    """A node that looks for satellites, and the least elevation at which it sees one."""

    name: str
    site: Site
    mask_deg: float


@dataclass(frozen=True)
class Sky:
    """What a picture needs beside the plan: the catalogue it was made from, and who looks up from where.

    minimum_altitude_m: satellites of a lower mean altitude do not count.
    """

    catalogue: Catalogue
    watches: tuple[Watch, ...]
    minimum_altitude_m: float


def write_picture(plan: Plan, sky: Sky | None, path: Path, at_ns: int | None = None) -> None:
    """Draw the plan into a file, SVG or PNG by its name. at_ns: the map's instant; the middle of the plan without it.

    Without a sky (a plan that has no orbits) there are delays and losses alone. The same plan gives the same SVG.
    Raises PlanError for another kind of file, an instant outside the plan, or a file that cannot be written.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in ("svg", "png"):
        raise PlanError(f"{path}: a picture is .svg or .png: give it such a name")
    at_ns = plan.duration_ns // 2 if at_ns is None else at_ns
    if not 0 <= at_ns < plan.duration_ns:
        raise PlanError(
            f"the map's instant, {at_ns / NS_PER_S:g} s, is outside the plan's {plan.duration_ns / 1e9:g} s"
        )
    if not plan.paths:
        raise PlanError(f"plan of {plan.topology}: it follows no pair of hosts, so there is nothing to draw")
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    with canvas.style(), matplotlib.rc_context({"svg.hashsalt": "plan"}):
        figure = picture(plan, sky, at_ns)
        try:
            figure.savefig(path, format=form, metadata=metadata)
        except OSError as error:
            raise PlanError(f"{path}: cannot be written ({error.strerror}): choose another place") from None


def picture(plan: Plan, sky: Sky | None, at_ns: int) -> Figure:
    """The figure: 1280 px wide at `canvas.SVG_DPI`."""
    rows = _handover_rows(plan)
    heights = {"delay": 300, "view": 190, "map": 540} if sky else {"delay": 300, "loss": 170}
    below_px = 78 + ROW_PX * ((len(plan.paths) + 1) // LEGEND_COLUMNS)
    tops = {"delay": 62 + ROW_PX * rows, "view": below_px, "loss": below_px}
    tops["map"] = 104 + ROW_PX * ((len(sky.watches) - 1) // LEGEND_COLUMNS if sky else 0)
    height_px = sum(heights[name] + tops[name] for name in heights) + 82
    figure = Figure(figsize=(WIDTH_PX / canvas.SVG_DPI, height_px / canvas.SVG_DPI), dpi=canvas.SVG_DPI)
    figure.patch.set_facecolor("white")
    _title(figure, plan, sky, height_px)
    y_px = float(height_px)
    axes: dict[str, Axes] = {}
    for name, its_height in heights.items():
        y_px -= tops[name] + its_height
        wide = WIDTH_PX - LEFT_PX - RIGHT_PX - (ASIDE_PX if name == "map" else 0)
        box = (LEFT_PX / WIDTH_PX, y_px / height_px, wide / WIDTH_PX, its_height / height_px)
        axes[name] = figure.add_axes(box)
        axes[name].set_gid(f"panel-{name}")
    draw_delays(axes["delay"], plan)
    if sky:
        draw_view(axes["view"], plan, sky)
        draw_map(axes["map"], plan, sky, at_ns)
    else:
        draw_loss(axes["loss"], plan)
    return figure


def draw_delays(axes: Axes, plan: Plan) -> None:
    """One-way delay of every pair and direction; handovers are dashed lines, outages and planned losses grey."""
    for number, path in enumerate(plan.paths):
        changes = np.array([step.time_ns for step in path], np.int64)
        grid = np.linspace(0, plan.duration_ns - 1, LINE_POINTS).astype(np.int64)
        times = np.unique(np.r_[grid, changes, changes[changes > 0] - 1])
        delay_ms = path_delay_ns(plan, path, times) / 1e6
        line = axes.plot(
            times / 1e9,
            delay_ms,
            _dash(plan, number),
            color=_colour(plan, path),
            drawstyle="steps-post",
            label=_pair(path),
            linewidth=1.5,
        )[0]
        line.set_gid(f"delay-{number}")
    _time_axis(axes, plan, "one-way delay, ms")
    _mark_events(axes, plan)
    axes.margins(y=0.12)
    _legend_below(axes)


def draw_view(axes: Axes, plan: Plan, sky: Sky) -> None:
    """Satellites above each site's mask over time."""
    times, counts = in_view(plan, sky)
    colours = {path[0].nodes[1]: _colour(plan, path) for path in plan.paths}
    dashes = iter((("-"), (5, 2), (1, 1.5), (6, 2, 1, 2), (3, 3), (8, 3)) * len(sky.watches))
    for watch, row in zip(sky.watches, counts.T, strict=True):
        terminal = watch.name in colours
        dash: Any = "-" if terminal else next(dashes)
        style: dict[str, Any] = {"linestyle": dash} if isinstance(dash, str) else {"dashes": dash}
        line = axes.plot(
            times / 1e9,
            row,
            color=colours.get(watch.name, canvas.MUTED),
            label=f"{watch.name}, above {watch.mask_deg:g}°",
            drawstyle="steps-post",
            linewidth=1.6 if terminal else 1.1,
            **style,
        )[0]
        line.set_gid(f"view-{watch.name}")
    _time_axis(axes, plan, "satellites in view")
    low, high = int(counts.min()), int(counts.max())
    axes.set_ylim(0 if low < high / 2 else low - 0.2 * (high - low) - 1, high + 0.15 * (high - low) + 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    _legend_below(axes)


def draw_loss(axes: Axes, plan: Plan) -> None:
    """Planned loss of links that lose something or are down, per cent."""
    for number, link in enumerate(plan.links):
        steps = plan.link_steps(number)
        loss = np.where(steps["up"], steps["loss"], 1.0)
        if link.kind == "user":
            times = np.r_[steps["time_ns"], plan.duration_ns] / 1e9
            dash = "-" if plan.node(link.a).role == "terminal" else "--"
            axes.plot(times, np.r_[loss, loss[-1]] * 100, dash, drawstyle="steps-post", color=COLOURS[0],
                      label=f"{link.a} → {link.b}")  # fmt: skip
    _time_axis(axes, plan, "planned loss, %")
    axes.set_ylim(bottom=0)
    _legend_below(axes)


def draw_map(axes: Axes, plan: Plan, sky: Sky, at_ns: int) -> None:
    """Where everybody is at `at_ns`, the ways that serve then, and the same ways in words beside it."""
    instant = np.array([plan.start_ns + at_ns], np.int64)
    ephemeris = Ephemeris(sky.catalogue, int(instant[0]), 0)
    latitude, longitude, _ = subpoint(ephemeris.position_m(instant)[0], instant[0])
    index = {name: number for number, name in enumerate(sky.catalogue.node_names)}
    ways = [(path, _at(path, at_ns)) for path in plan.paths[::2]]
    serving = list(dict.fromkeys(node for _, nodes in ways for node in nodes if node in index))
    marks = [
        Mark(node.name, node.role, node.longitude_deg, node.latitude_deg)
        for node in plan.nodes
        if node.role != "host" and node.latitude_deg is not None and node.longitude_deg is not None
    ]
    marks += [Mark(name, "satellite", float(longitude[index[name]]), float(latitude[index[name]])) for name in serving]
    others = np.array([number for name, number in index.items() if name not in serving], np.int64)
    dots = np.column_stack([longitude[others], latitude[others]])
    kinds = {(link.a, link.b): link.kind for link in plan.links}
    drawn = [
        Way(nodes, tuple(kinds.get(hop, "lan") for hop in pairwise(nodes)), _colour(plan, path)) for path, nodes in ways
    ]
    atlas.draw(axes, marks, drawn, dots[np.isfinite(dots).all(axis=1)])
    when = f"{format_utc(plan.start_ns + at_ns, 1)}, {at_ns / NS_PER_S:g} s after the start"
    axes.set_title(f"Map at {when}", loc="left", fontsize=13, pad=10)
    handles = atlas.key(axes, marks, others=bool(len(dots)))
    figure = cast(Figure, axes.figure)
    box = axes.get_position()
    left = box.x1 + 28 / WIDTH_PX
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(left, box.y0), ncols=2, borderaxespad=0)
    _ways_in_words(figure, plan, ways, at_ns, left, box.y1)


def in_view(plan: Plan, sky: Sky) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(times within the plan in ns, satellites above each watch's mask): shapes (n_times,) and (n_times, n_watches)."""
    seconds = max(1, -(-plan.duration_ns // (VIEW_POINTS * NS_PER_S)))
    times = np.append(np.arange(0, plan.duration_ns, seconds * NS_PER_S), plan.duration_ns)
    eligible = np.flatnonzero(sky.catalogue.mean_altitude_m >= sky.minimum_altitude_m)
    ephemeris = Ephemeris(sky.catalogue, plan.start_ns, plan.duration_ns)
    sites = [watch.site for watch in sky.watches]
    masks = np.array([watch.mask_deg for watch in sky.watches])
    counts = [
        np.count_nonzero(
            range_elevation(sites, ephemeris, plan.start_ns + times[low : low + _CHUNK], eligible)[1] >= masks[:, None],
            axis=2,
        )
        for low in range(0, len(times), _CHUNK)
    ]
    return times, np.concatenate(counts)


def _title(figure: Figure, plan: Plan, sky: Sky | None, height_px: int) -> None:
    title = str(plan.manifest.get("title", plan.topology))
    about = f"{plan.topology}, from {format_utc(plan.start_ns)} for {plan.duration_ns / NS_PER_S:g} s"
    if sky:
        about += f"; {sky.catalogue.source}: {plan.satellites:,} satellites, {plan.satellites_used} used, "
        about += f"{plan.handovers} handover{'s' * (plan.handovers != 1)}"
    elif "trace" in plan.manifest:
        about += f"; series: {plan.manifest['trace']['source']}"
    figure.text(24 / WIDTH_PX, 1 - 24 / height_px, title, fontsize=15, color=canvas.INK, va="center")
    figure.text(24 / WIDTH_PX, 1 - 46 / height_px, about, fontsize=11, color=canvas.MUTED, va="center")


def _ways_in_words(
    figure: Figure, plan: Plan, ways: Sequence[tuple[Any, tuple[str, ...]]], at_ns: int, left: float, top: float
) -> None:
    height_px = figure.get_figheight() * canvas.SVG_DPI
    y_px = 4.0
    for path, nodes in ways:
        delay_ms = path_delay_ns(plan, path, np.array([at_ns]))[0] / 1e6
        told = "cut" if np.isnan(delay_ms) else f"{delay_ms:.2f} ms one way"
        head = f"{_pair(path)}: {told}"
        figure.text(left, top - y_px / height_px, head, fontsize=12, color=_colour(plan, path), va="top")
        y_px += 18
        for line in _wrapped(nodes, 52):
            figure.text(left, top - y_px / height_px, line, fontsize=11, color=canvas.MUTED, va="top")
            y_px += 16
        y_px += 10


def _wrapped(nodes: Sequence[str], width: int) -> list[str]:
    """'a – b – c' in lines of at most `width` characters."""
    lines = [nodes[0]]
    for node in nodes[1:]:
        longer = f"{lines[-1]} – {node}"
        if len(longer) > width:
            lines[-1] += " –"
            lines.append(f"  {node}")
        else:
            lines[-1] = longer
    return lines


def _at(path: tuple[PathStep, ...], at_ns: int) -> tuple[str, ...]:
    return [step for step in path if step.time_ns <= at_ns][-1].nodes


def _pair(path: tuple[PathStep, ...]) -> str:
    return f"{path[0].nodes[0]} → {path[0].nodes[-1]}"


def _couples(plan: Plan) -> list[frozenset[str]]:
    return list(dict.fromkeys(frozenset((path[0].nodes[0], path[0].nodes[-1])) for path in plan.paths))


def _colour(plan: Plan, path: tuple[PathStep, ...]) -> str:
    """One colour per pair of hosts, whichever way."""
    return COLOURS[_couples(plan).index(frozenset((path[0].nodes[0], path[0].nodes[-1]))) % len(COLOURS)]


def _dash(plan: Plan, number: int) -> str:
    """Solid for the first direction of a pair, dashed for the way back."""
    ends = [(path[0].nodes[0], path[0].nodes[-1]) for path in plan.paths]
    return "--" if ends[number][::-1] in ends[:number] else "-"


def _time_axis(axes: Axes, plan: Plan, what: str) -> None:
    axes.set_xlim(0, plan.duration_ns / 1e9)
    axes.set_xlabel("time since the start, s", labelpad=5)
    axes.set_ylabel(what, labelpad=8)


def _legend_below(axes: Axes) -> None:
    box = axes.get_position()
    figure = cast(Figure, axes.figure)
    height_px = figure.get_figheight() * canvas.SVG_DPI
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(box.x0, box.y0 - 40 / height_px),
        ncols=LEGEND_COLUMNS,
        columnspacing=1.6,
        handletextpad=0.5,
        borderaxespad=0,
    )


def _handovers(plan: Plan) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for event in plan.events:
        if event.kind == "handover":
            found.setdefault(event.time_ns, []).append(event)
    return found


def _handover_rows(plan: Plan) -> int:
    """Rows of labels above the delays; none where they would not fit."""
    found = _handovers(plan)
    instants = np.array(sorted(found))
    px_per_ns = (WIDTH_PX - LEFT_PX - RIGHT_PX) / plan.duration_ns
    apart_px = float(np.diff(instants).min(initial=plan.duration_ns)) * px_per_ns
    rows = max((len(events) for events in found.values()), default=0)
    return rows if rows <= 4 and apart_px >= LABEL_PX else 0


def _mark_events(axes: Axes, plan: Plan) -> None:
    colours = {path[0].nodes[1]: _colour(plan, path) for path in reversed(plan.paths)}
    room = _handover_rows(plan)
    handovers = _handovers(plan)
    for instant, events in handovers.items():
        line = axes.axvline(instant / 1e9, color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), zorder=1)
        line.set_gid(f"handover-{instant}")
        px = instant / plan.duration_ns * (WIDTH_PX - LEFT_PX - RIGHT_PX)
        end_px = WIDTH_PX - LEFT_PX - RIGHT_PX - px
        align = "left" if px < LABEL_PX / 2 else "right" if end_px < LABEL_PX / 2 - RIGHT_PX else "center"
        for row, event in enumerate(events if room else []):
            to = event.detail.get("to", "")
            taken = to if to != event.detail.get("from") else event.detail.get("gateway_to", "")
            axes.annotate(
                f"{event.node.removeprefix('ut-')} → {taken.removeprefix('NORAD')}",
                (instant / 1e9, 1),
                (0, 4 + ROW_PX * row),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha=align,
                va="bottom",
                fontsize=10,
                color=colours.get(event.node, canvas.MUTED),
            )
    if handovers:
        axes.plot([], [], color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), label="handover")
    spans = [event for event in plan.events if event.kind != "handover" and event.window_ns]
    for number, event in enumerate(spans):
        end_s = (event.time_ns + event.window_ns) / 1e9
        label = "outage or loss, planned" if number == 0 else None
        axes.axvspan(event.time_ns / 1e9, end_s, color=SHADE, linewidth=0.8, zorder=0, label=label)
