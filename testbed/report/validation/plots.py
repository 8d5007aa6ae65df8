"""The pictures of a validation: what was measured and what models say, drawn over each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from testbed.report import canvas
from testbed.report.plots import Plot
from testbed.report.validation.cells import PHASE_S, SLOT_S, Cells, Observed, cells_of
from testbed.report.validation.score import shown
from testbed.report.validation.statistics import alignment, steps_ms

WINDOW_S: Final = 600
"""How much of a series is drawn over time: 40 slots, so that single ones can be seen."""

POINTS: Final = 400
"""Points of a curve."""

_SHOWN: Final = (0.001, 0.999)  # what lies outside these quantiles of the measured values is not drawn
_COLUMNS: Final = 3  # of a legend: two rows of it fit under a figure


@dataclass(frozen=True, eq=False)
class _Curve:
    """A series as it is drawn: `row` of the document; `label` for the legend, where '_' stands for none.

    cells: as the instrument would show them; own: as they are.
    """

    one: Observed
    row: dict[str, Any]
    cells: Cells
    own: Cells
    label: str
    colour: str
    dashes: str
    width: float

    def draw(self, axes: Axes, x: Any, y: Any, **more: Any) -> None:
        look: dict[str, Any] = {"linewidth": self.width, "label": self.label} | more
        axes.plot(x, y, self.dashes, color=self.colour, **look)


def plots(document: dict[str, Any], series: Sequence[Observed]) -> list[Plot]:
    """All pictures of the document and its series; those without data are left out."""
    curves = list(_curves(document, series))
    found = (
        _distribution(curves),
        _quantiles(curves),
        _over_time(curves),
        _correlation(curves, document["limits"]["autocorrelation"]),
        _steps(curves),
        _profile(curves),
    )
    return [plot for plot in found if plot is not None]


def _curves(document: dict[str, Any], series: Sequence[Observed]) -> Iterator[_Curve]:
    parts = 0
    for number, (one, row) in enumerate(zip(series, document["series"], strict=True)):
        if one.name == "Gaussian slots":
            continue  # in the tables alone: a legend has room for six
        label = "planned" if one.kind == "planned" else one.name
        if number == 0:
            look = (canvas.INK, "-", 2.4)
        elif one.kind == "measured":
            look = (canvas.MUTED, ("--", "-.", ":")[parts % 3], 1.0)
            label = "_" if parts else "other parts"  # one name for all: there is room for six
            parts += 1
        elif one.kind in ("emulated", "planned"):
            look = (canvas.GREEN, "-", 1.8)
        elif one.name == "fitted model":
            look = (canvas.BLUE, "-", 1.8)
        elif one.name == "fitted Gaussian":
            look = (canvas.VERMILLION, "--", 1.4)
        else:
            look = (canvas.PURPLE, "-.", 1.4)
        yield _Curve(one, row, shown(one, series[0]), cells_of(one), label, *look)


def _finish(axes: Axes, name: str, title: str, x: str, y: str) -> str:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    canvas.legend(axes, columns=_COLUMNS)
    return canvas.to_svg(axes, name, title)


def _distribution(curves: Sequence[_Curve]) -> Plot:
    title = "How round trips are distributed"
    share = np.linspace(0, 100, POINTS)
    low, high = np.quantile(curves[0].cells.value_ms, _SHOWN)
    medians = [float(np.median(one.cells.value_ms)) for one in curves]
    with canvas.style():
        axes = canvas.new_axes()
        for one in reversed(curves):
            one.draw(axes, np.percentile(one.cells.value_ms, share), share)
        axes.set_xlim(max(min(low, *medians) - 2.0, 0.0), max(high, *medians) + 2.0)
        axes.set_ylim(0, 100)
        svg = _finish(axes, "distribution", title, "round trip, ms", "seconds with less, %")
    caption = (
        "The area between a curve and the black one is the Wasserstein distance, their largest height apart that of "
        "Kolmogorov and Smirnov. Thin grey curves are other real parts: no model need be nearer than they are."
    )
    return Plot(title, svg, caption)


def _quantiles(curves: Sequence[_Curve]) -> Plot:
    title = "Quantile against quantile"
    share = np.linspace(0.5, 99.5, POINTS)
    held = np.percentile(curves[0].cells.value_ms, share)
    with canvas.style():
        axes = canvas.new_axes()
        curves[0].draw(axes, held, held)
        for one in curves[1:]:
            one.draw(axes, held, np.percentile(one.cells.value_ms, share))
        svg = _finish(axes, "quantiles", title, f"measured ({curves[0].label}), ms", "round trip, ms")
    caption = (
        "From the 0.5 to the 99.5 % quantile. On the black line a model has the measured distribution; above it, its "
        "round trips are longer; a steeper curve has the longer tail."
    )
    return Plot(title, svg, caption)


def _over_time(curves: Sequence[_Curve]) -> Plot:
    title = "Ten minutes of each"
    with canvas.style():
        axes = canvas.new_axes()
        for one in [*curves[1:], curves[0]]:
            if one.label in ("fitted Gaussian", "other parts", "_"):
                continue  # a band of noise that hides the others; and one real part is enough
            value = _window(one.cells)
            one.draw(axes, np.arange(len(value)) / 60.0, value, drawstyle="steps-post", linewidth=min(one.width, 1.6))
        axes.set_xlim(0, WINDOW_S / 60)
        svg = _finish(axes, "time", title, "minutes", "round trip, ms")
    caption = (
        "The first ten minutes of each series, from the beginning of a slot, in seconds' medians. Nobody foretells "
        "single values: alike should be how high the steps are, how long a level holds, how often it goes far up."
    )
    if curves[0].one.averaged_s:
        caption += (
            f" All as an instrument shows them that averages over {curves[0].one.averaged_s:g} s, hence the slopes."
        )
    return Plot(title, svg, caption)


def _window(cells: Cells) -> NDArray[np.float64]:
    """The first WINDOW_S values from a slot's beginning on, of the first piece that is long enough, else the longest;
    seconds without a value keep the one before, so that the line holds together."""
    first, grid = max(cells.pieces(), key=lambda piece: min(len(piece[1]), WINDOW_S + SLOT_S))
    skip = (PHASE_S - first) % SLOT_S if len(grid) > SLOT_S else 0
    there = np.maximum.accumulate(np.where(np.isfinite(grid), np.arange(len(grid)), 0))
    found: NDArray[np.float64] = grid[there][skip : skip + WINDOW_S]
    return found


def _correlation(curves: Sequence[_Curve], limit: float) -> Plot:
    title = "How long a level is remembered"
    averaged_s = curves[0].one.averaged_s
    with canvas.style():
        axes = canvas.new_axes()
        for one in reversed(curves):
            known = [(lag, value) for lag, value in one.row["correlation"] if value is not None]
            if known:
                lags, values = zip(*known, strict=True)
                one.draw(axes, lags, values)
        axes.axvline(SLOT_S, color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), zorder=1)
        axes.axhline(0.0, color=canvas.MUTED, linewidth=0.8)
        axes.set_ylim(-0.3, 1.0)
        axes.set_xlim(0, 120)
        axes.set_xticks(range(0, 121, 15))
        svg = _finish(axes, "correlation", title, "seconds apart", "autocorrelation")
    caption = (
        f"Judged at the dashed line, one slot: there a model must come within {limit:g} of the whole file's value. "
        "Samples drawn each for itself lie on zero"
    )
    caption += f"; slots drawn so do not, seen over {averaged_s:g} s." if averaged_s else ", and so do slots."
    return Plot(title, svg, caption)


def _steps(curves: Sequence[_Curve]) -> Plot | None:
    title = "Steps between slots"
    if not curves[0].row["steps"]:
        return None
    with canvas.style():
        axes = canvas.new_axes()
        for one in reversed(curves):
            if one.row["steps"]:
                size = steps_ms(one.own, one.one.averaged_s)
                larger = np.geomspace(100.0, max(100.0 / len(size), 0.1), POINTS)
                one.draw(axes, np.percentile(size, 100.0 - larger), larger)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_ylim(0.1, 100)
        axes.set_xlim(left=0)
        svg = _finish(axes, "steps", title, "step of the slot's median, ms", "slots with a larger one, %")
    caption = "How much the level differs from the slot before. The more to the right, the wilder."
    if curves[0].one.averaged_s:
        caption += " Averages are read at the end of slots, where they are of one slot alone."
    return Plot(title, svg, caption)


def _profile(curves: Sequence[_Curve]) -> Plot | None:
    title = "When levels change"
    averaged_s = curves[0].one.averaged_s
    found = [(one, alignment(one.cells, averaged_s)) for one in curves if one.one.absolute]
    chosen = [(one, when) for one, when in found if when is not None]
    if not chosen:
        return None
    seconds = np.arange(SLOT_S)
    with canvas.style():
        axes = canvas.new_axes()
        for one, when in reversed(chosen):
            one.draw(axes, seconds, 100.0 * np.array(when.profile), marker="o", markersize=3)
        axes.axvline(chosen[0][1].expected, color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), zorder=1)
        axes.axhline(50.0, color=canvas.MUTED, linewidth=0.8)
        axes.set_xticks(seconds)
        svg = _finish(axes, "profile", title, "second of a quarter minute, UTC", "size of change, mean rank in %")
    caption = "How large changes are at each second of 15, ranked among all changes. What knows no clock stays near 50."
    if averaged_s:
        caption += (
            f" Slots begin at 12, which is :12 :27 :42 :57. An average over {averaged_s:g} s flattens what happens "
            "there and moves it to the dashed line, half its length later."
        )
    else:
        caption += " Slots begin at the dashed line, 12, which is :12 :27 :42 :57."
    return Plot(title, svg, caption)
