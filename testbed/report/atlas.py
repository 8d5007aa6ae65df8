"""The map: coasts, sites, satellites, and the ways that serve at an instant.

Plate carrée, scaled to true proportions in the middle of the map. The coastline comes with the package: Natural Earth,
public domain (`coastline.json` says which and how it was simplified). A map across the antimeridian is not cut there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import cos, radians
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from testbed.report import canvas

LAND: Final = "#e6eae0"
COAST: Final = "#98a392"
SEA: Final = "#f8fafb"

LEAST_SPAN_DEG: Final = 5.0
"""Assumption: a map of less says nothing."""

_LINE_COST: Final = 30.0  # of hiding 4 pixels of a line, in square pixels of a label

NEAR_PX: Final = 9
"""Markers closer than this share one label."""

_MARKS: Final = {
    "terminal": ("^", 9.0, canvas.BLUE),
    "gateway": ("s", 8.0, canvas.VERMILLION),
    "pop": ("D", 7.0, canvas.PURPLE),
    "router": ("o", 7.0, canvas.GREEN),
    "satellite": ("o", 8.0, canvas.INK),
}
ROLE_WORDS: Final = {
    "terminal": "terminal",
    "gateway": "gateway",
    "pop": "PoP",
    "router": "data centre",
    "satellite": "serving satellite",
}
_OTHERS: Final = ("router", 7.0, canvas.GREEN)
_PLACES: Final = ((9, 0, "left", "center"), (-9, 0, "right", "center"), (0, 9, "center", "bottom"),
                  (0, -9, "center", "top"), (8, 8, "left", "bottom"), (8, -8, "left", "top"),
                  (-8, 8, "right", "bottom"), (-8, -8, "right", "top"), (14, 18, "left", "bottom"),
                  (14, -18, "left", "top"), (-14, 18, "right", "bottom"), (-14, -18, "right", "top"))  # fmt: skip
"""Where a label may stand, as an offset from its marker in points, the best first."""


@dataclass(frozen=True)
class Mark:
    """A node on the map."""

    name: str
    role: str
    longitude_deg: float
    latitude_deg: float


@dataclass(frozen=True)
class Way:
    """The nodes of a path in their order, the kind of each hop, and the pair's colour."""

    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    colour: str


def draw(axes: Axes, marks: list[Mark], ways: list[Way], others: NDArray[np.float64]) -> None:
    """Draw the map into `axes`.

    others: (longitude, latitude) in degrees of satellites that do not serve, shape (n, 2). A hop between nodes without
    a mark is left out.
    """
    _frame(axes, marks)
    _coast(axes)
    places = {mark.name: (mark.longitude_deg, mark.latitude_deg) for mark in marks}
    for number, way in enumerate(ways):
        _draw_way(axes, way, places, 1.6 + 2.4 * (len(ways) - 1 - number))
    if len(others):
        dots = axes.plot(*others.T, ".", color=canvas.MUTED, alpha=0.55, markersize=3, zorder=3)[0]
        dots.set_gid("others")
    spots = axes.transData.transform(np.array([(mark.longitude_deg, mark.latitude_deg) for mark in marks]))
    clusters = _clusters(spots)
    for cluster in clusters:
        for above, number in enumerate(reversed(cluster)):
            shape, size, colour = _MARKS.get(marks[number].role, _OTHERS)
            drawn = axes.plot(
                [marks[number].longitude_deg], [marks[number].latitude_deg], shape, color=colour,
                markersize=size + 5.0 * above,  # what lies below others still shows
                markeredgecolor="white", markeredgewidth=1.0, zorder=6 - 0.1 * above,
            )[0]  # fmt: skip
            drawn.set_gid(f"mark-{marks[number].name}")
    _labels(axes, marks, clusters, spots, [_on_way(way, places, axes) for way in ways])


def key(axes: Axes, marks: list[Mark], *, others: bool) -> list[Any]:
    """One handle per kind of mark on the map, for a legend."""
    handles = []
    for role, word in ROLE_WORDS.items():
        if any(mark.role == role for mark in marks):
            shape, size, colour = _MARKS[role]
            handles += axes.plot([], [], shape, color=colour, markersize=size, label=word)
    if others:
        handles += axes.plot([], [], ".", color=canvas.MUTED, markersize=4, label="other satellite")
    for look, word in (("-", "radio"), ("-.", "laser"), (":", "fibre")):
        handles += axes.plot([], [], look, color=canvas.INK, label=word)
    return handles


def _frame(axes: Axes, marks: list[Mark]) -> None:
    """Limits that hold every mark, in the proportions of the axes, with degrees on both."""
    box_px = axes.get_window_extent()
    east = np.array([mark.longitude_deg for mark in marks])
    north = np.array([mark.latitude_deg for mark in marks])
    middle = (east.min() + east.max()) / 2, (north.min() + north.max()) / 2
    squeeze = max(0.15, cos(radians(middle[1])))  # a degree of longitude against one of latitude
    high = max(float(np.ptp(north)), LEAST_SPAN_DEG) * 1.3
    wide = max(float(np.ptp(east)), LEAST_SPAN_DEG) * 1.25
    high = max(high, wide * squeeze * box_px.height / box_px.width)
    wide = high / squeeze * box_px.width / box_px.height
    axes.set_xlim(middle[0] - wide / 2, middle[0] + wide / 2)
    axes.set_ylim(middle[1] - high / 2, middle[1] + high / 2)
    axes.set_facecolor(SEA)
    axes.patch.set_alpha(1)
    axes.grid(visible=True, axis="both", color=canvas.RULE, linewidth=0.6)
    axes.set_axisbelow(False)
    for axis, ends in ((axes.xaxis, "EW"), (axes.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _, ends=ends: _degrees(value, ends)))
        for line in axis.get_gridlines():
            line.set_zorder(1.5)


def _degrees(value: float, ends: str) -> str:
    return f"{abs(value):g}°{ends[0] if value > 0 else ends[1] if value < 0 else ''}"


@cache
def _atlas() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "coastline.json").read_text(encoding="utf-8"))
    return loaded


def coast(west: float, east: float, south: float, north: float) -> list[NDArray[np.float64]]:
    """Rings of land that touch the box, degrees, (n, 2) each; the fine ones where they cover all of it."""
    fine = _atlas()["region"]
    inside = fine["west"] <= west and east <= fine["east"] and fine["south"] <= south and north <= fine["north"]
    rings = []
    for packed in (fine if inside else _atlas()["world"])["rings"]:
        ring = np.cumsum(np.array(packed).reshape(-1, 2), axis=0) / 100
        (left, bottom), (right, top) = ring.min(axis=0), ring.max(axis=0)
        if left <= east and right >= west and bottom <= north and top >= south:
            rings.append(ring)
    return rings


def _coast(axes: Axes) -> None:
    rings = coast(*axes.get_xlim(), *axes.get_ylim())
    land = PolyCollection(rings, facecolor=LAND, edgecolor=COAST, linewidth=0.7, zorder=1, closed=True)
    axes.add_collection(land, autolim=False)


def _draw_way(axes: Axes, way: Way, places: dict[str, tuple[float, float]], width: float) -> None:
    for (a, b), kind in zip(pairwise(way.nodes), way.kinds, strict=True):
        if a in places and b in places:
            (west, south), (east, north) = places[a], places[b]
            look = {"fibre": ":", "isl": "-."}.get(kind, "-")
            axes.plot([west, east], [south, north], look, color=way.colour, linewidth=width, alpha=0.9, zorder=4)


def _on_way(way: Way, places: dict[str, tuple[float, float]], axes: Axes) -> NDArray[np.float64]:
    """Points every few pixels along a way, in pixels, shape (n, 2)."""
    parts = [np.zeros((0, 2))]
    for hop in pairwise(way.nodes):
        if set(hop) <= places.keys():
            ends = axes.transData.transform(np.array([places[node] for node in hop]))
            length_px = float(np.hypot(*(ends[1] - ends[0])))
            parts.append(np.linspace(ends[0], ends[1], 2 + int(length_px / 4)))
    return np.concatenate(parts)


def _labels(
    axes: Axes,
    marks: list[Mark],
    clusters: list[list[int]],
    spots: NDArray[np.float64],
    ways: list[NDArray[np.float64]],
) -> None:
    """One label per cluster of marks, where it hides the least."""
    painter: Any = FigureCanvasAgg(cast(Figure, axes.figure)).get_renderer()  # type: ignore[no-untyped-call]
    frame = axes.get_window_extent()
    taken: list[Bbox] = []
    beside = np.concatenate([np.zeros((0, 2)), *ways])
    for cluster in clusters:
        text = ", ".join(dict.fromkeys(marks[number].name.removeprefix("NORAD") for number in cluster))
        first = marks[cluster[0]]
        label = axes.annotate(
            text, (first.longitude_deg, first.latitude_deg), (9, 0), textcoords="offset points", fontsize=11,
            color=canvas.INK, zorder=7, path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
        label.set_gid(f"label-{first.name}")
        # Not on its own markers, and clear of others', so that nobody takes it for theirs.
        rooms_px = [(spot, 6 if number in cluster else 16) for number, spot in enumerate(spots)]
        held = [*taken, *(Bbox.from_bounds(x - room, y - room, 2 * room, 2 * room) for (x, y), room in rooms_px)]
        best: tuple[float, int, Bbox] | None = None
        for order, place in enumerate(_PLACES):
            _put(label, place)
            box = label.get_window_extent(painter)
            cost = sum(_overlap(box, other) for other in held) + 3 * (box.width * box.height - _overlap(box, frame))
            hidden = (beside >= np.array(box.min) - 2) & (beside <= np.array(box.max) + 2)
            cost += _LINE_COST * np.count_nonzero(hidden.all(axis=1)) + order
            if best is None or cost < best[0] - 1e-6:
                best = cost, order, box
        assert best is not None
        _put(label, _PLACES[best[1]])
        taken.append(best[2])


def _put(label: Any, place: tuple[int, int, str, str]) -> None:
    label.set_position(place[:2])
    label.set_horizontalalignment(place[2])
    label.set_verticalalignment(place[3])


def _clusters(spots: NDArray[np.float64]) -> list[list[int]]:
    """Marks that share a label: each within NEAR_PX of the first of its cluster."""
    clusters: list[list[int]] = []
    for number, spot in enumerate(spots):
        for cluster in clusters:
            if np.hypot(*(spots[cluster[0]] - spot)) < NEAR_PX:
                cluster.append(number)
                break
        else:
            clusters.append([number])
    return clusters


def _overlap(one: Bbox, other: Bbox) -> float:
    """Area that two boxes share."""
    common = Bbox.intersection(one, other)
    return 0.0 if common is None else float(common.width * common.height)
