"""The pictures of a validation: what was measured and what models say, drawn over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from testbed.report import canvas
from testbed.report.plots import Plot
from testbed.report.validation.cells import PHASE_S, SLOT_S, Observed, cells_of
from testbed.report.validation.statistics import steps_ms

WINDOW_S: Final = 600
"""How much of a series is drawn over time: 40 slots, so that single ones can be seen."""

POINTS: Final = 400
"""Points of a curve."""

_SHOWN: Final = (0.001, 0.999)  # what lies outside these quantiles of the measured values is not drawn

_Look = tuple[str, str, float]  # colour, dashes, width


def plots(document: dict[str, Any], series: Sequence[Observed]) -> list[Plot]:
    """All pictures of the document and its series; those without data are left out."""
    looks = [_look(number, one) for number, one in enumerate(series)]
    found = (
        _distribution(series, looks),
        _quantiles(series, looks),
        _over_time(series, looks),
        _correlation(document, looks),
        _steps(series, looks),
        _profile(document, looks),
    )
    return [plot for plot in found if plot is not None]


def _look(number: int, one: Observed) -> _Look:
    if number == 0:
        return canvas.INK, "-", 2.4
    if one.kind == "measured":
        return canvas.MUTED, (":", "-.", "--")[number % 3], 1.0
    if one.kind in ("emulated", "planned"):
        return canvas.GREEN, "-", 1.6
    return {
        "fitted model": (canvas.BLUE, "-", 1.8),
        "fitted Gaussian": (canvas.VERMILLION, "--", 1.4),
    }.get(one.name, (canvas.PURPLE, "-.", 1.4))


def short(one: Observed | dict[str, Any]) -> str:
    """A name for a legend."""
    name, kind = (one.name, one.kind) if isinstance(one, Observed) else (one["name"], one["kind"])
    return {"emulated": "emulated", "planned": "planned"}.get(kind, name)


def _draw(axes: Axes, x: Any, y: Any, look: _Look, label: str, **more: Any) -> None:
    colour, dashes, width = look
    axes.plot(x, y, dashes, color=colour, linewidth=width, label=label, **more)


def _limits(series: Sequence[Observed]) -> tuple[float, float]:
    """The range of round trips to show, ms: of what was measured, and the medians of all others."""
    held = cells_of(series[0]).value_ms
    low, high = np.quantile(held, _SHOWN)
    medians = [float(np.median(cells_of(one).value_ms)) for one in series]
    return max(min(low, *medians) - 2.0, 0.0), max(high, *medians) + 2.0


def _distribution(series: Sequence[Observed], looks: Sequence[_Look]) -> Plot:
    title = "How round trips are distributed"
    share = np.linspace(0, 100, POINTS)
    with canvas.style():
        axes = canvas.new_axes()
        for one, look in reversed(list(zip(series, looks, strict=True))):
            _draw(axes, np.percentile(cells_of(one).value_ms, share), share, look, short(one))
        axes.set_xlim(*_limits(series))
        axes.set_ylim(0, 100)
        axes.set_xlabel("round trip, ms")
        axes.set_ylabel("seconds with less, %")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, "distribution", title)
    caption = (
        "The area between a curve and the black one is the Wasserstein distance, their largest height apart that of "
        "Kolmogorov and Smirnov. Thin grey curves are other real days: no model need be nearer than they are."
    )
    return Plot(title, svg, caption)


def _quantiles(series: Sequence[Observed], looks: Sequence[_Look]) -> Plot:
    title = "Quantile against quantile"
    share = np.linspace(0.5, 99.5, POINTS)
    held = np.percentile(cells_of(series[0]).value_ms, share)
    with canvas.style():
        axes = canvas.new_axes()
        axes.plot(held[[0, -1]], held[[0, -1]], color=canvas.INK, linewidth=1.0, label="the same")
        for one, look in list(zip(series, looks, strict=True))[1:]:
            _draw(axes, held, np.percentile(cells_of(one).value_ms, share), look, short(one))
        axes.set_xlabel(f"measured {series[0].name}, ms")
        axes.set_ylabel("round trip, ms")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, "quantiles", title)
    caption = (
        "From the 0.5 to the 99.5 % quantile. On the black line a model has the measured distribution; above it, its "
        "round trips are longer; a steeper curve has the longer tail."
    )
    return Plot(title, svg, caption)


def _over_time(series: Sequence[Observed], looks: Sequence[_Look]) -> Plot:
    title = "Ten minutes of each"
    with canvas.style():
        axes = canvas.new_axes()
        for number, (one, look) in enumerate(zip(series, looks, strict=True)):
            if one.kind == "measured" and number:
                continue
            if one.name == "fitted Gaussian":
                continue  # a band of noise that hides the others
            second, value = _window(one)
            _draw(axes, second / 60.0, value, (look[0], look[1], min(look[2], 1.4)), short(one), drawstyle="steps-post")
        axes.set_xlim(0, WINDOW_S / 60)
        axes.set_xlabel("minutes")
        axes.set_ylabel("round trip, ms")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, "time", title)
    caption = (
        "The first ten minutes of each series that begin with a slot, in seconds' medians. Nobody foretells single "
        "values: alike should be how high the steps are, how long a level holds, and how often it goes far up."
    )
    if series[0].averaged_s:
        caption += (
            f" What was measured is a running average over {series[0].averaged_s:g} s, hence its round shoulders."
        )
    return Plot(title, svg, caption)


def _window(one: Observed) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds since the first slot's beginning, and values, of the longest piece's first WINDOW_S."""
    first, grid = max(cells_of(one).pieces(), key=lambda piece: min(len(piece[1]), WINDOW_S + SLOT_S))
    skip = (PHASE_S - first) % SLOT_S if len(grid) > SLOT_S else 0
    chosen = grid[skip : skip + WINDOW_S]
    return np.arange(len(chosen), dtype=np.float64), chosen


def _correlation(document: dict[str, Any], looks: Sequence[_Look]) -> Plot:
    title = "How long a level is remembered"
    with canvas.style():
        axes = canvas.new_axes()
        for row, look in reversed(list(zip(document["series"], looks, strict=True))):
            known = [(lag, value) for lag, value in row["correlation"] if value is not None]
            if known:
                lags, values = zip(*known, strict=True)
                _draw(axes, lags, values, look, short(row))
        axes.axvline(SLOT_S, color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), zorder=1)
        axes.axhline(0.0, color=canvas.MUTED, linewidth=0.8)
        axes.set_ylim(-0.25, 1.0)
        axes.set_xlim(0, 120)
        axes.set_xticks(range(0, 121, 15))
        axes.set_xlabel("seconds apart")
        axes.set_ylabel("autocorrelation")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, "correlation", title)
    caption = (
        "Judged at the dashed line, one slot: there a model must come within "
        f"{document['limits']['autocorrelation']:g} of the whole file's value. Independent draws lie on zero."
    )
    return Plot(title, svg, caption)


def _steps(series: Sequence[Observed], looks: Sequence[_Look]) -> Plot | None:
    title = "Steps between slots"
    sizes = [steps_ms(cells_of(one), round(one.averaged_s / 2)) if one.absolute else np.zeros(0) for one in series]
    if not len(sizes[0]):
        return None
    with canvas.style():
        axes = canvas.new_axes()
        for one, look, size in reversed(list(zip(series, looks, sizes, strict=True))):
            if len(size):
                larger = np.geomspace(100.0, max(100.0 / len(size), 0.1), POINTS)
                _draw(axes, np.percentile(size, 100.0 - larger), larger, look, short(one))
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_ylim(0.1, 100)
        axes.set_xlim(left=0)
        axes.set_xlabel("step of the slot's median, ms")
        axes.set_ylabel("slots with a larger one, %")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, "steps", title)
    caption = "How much the level differs from the slot before. The more to the right, the wilder."
    if series[0].averaged_s:
        caption += " An instrument that averages makes steps smaller: what was measured is a lower bound."
    return Plot(title, svg, caption)


def _profile(document: dict[str, Any], looks: Sequence[_Look]) -> Plot | None:
    title = "When levels change"
    rows = [
        (row, look)
        for number, (row, look) in enumerate(zip(document["series"], looks, strict=True))
        if row["alignment"] is not None and (number == 0 or row["kind"] != "measured")
    ]
    if not rows:
        return None
    seconds = np.arange(SLOT_S)
    with canvas.style():
        axes = canvas.new_axes()
        for row, look in reversed(rows):
            _draw(
                axes, seconds, 100.0 * np.array(row["alignment"]["profile"]), look, short(row), marker="o", markersize=3
            )
        axes.axvline(PHASE_S, color=canvas.MUTED, linewidth=0.8, dashes=(3, 3), zorder=1)
        axes.axhline(50.0, color=canvas.MUTED, linewidth=0.8)
        axes.set_xticks(seconds)
        axes.set_xlabel("second of a quarter minute, UTC")
        axes.set_ylabel("size of change, mean rank in %")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, "profile", title)
    caption = (
        "How large changes are at each second of 15, ranked among all changes. Slots begin at the dashed line, 12, which "
        "is :12 :27 :42 :57. What does not know the clock stays near 50."
    )
    held = document["series"][0]["alignment"]
    if held is not None and held["expected"] != PHASE_S:
        caption += f" Averaging moves what was measured to {held['expected']:g}."
    return Plot(title, svg, caption)
