"""The comparison's pictures."""

from __future__ import annotations

from typing import Any, Final

from testbed.report import canvas
from testbed.report.comparison.figures import CONFIDENCE, Estimate
from testbed.report.comparison.text import KIND_NAMES
from testbed.report.plots import Plot

_COLOURS: Final = (canvas.BLUE, canvas.VERMILLION, canvas.GREEN, canvas.PURPLE, canvas.INK, canvas.MUTED)
_DASHES: Final = ("-", "--", "-.", ":")

_WIDE: Final = 20.0
"""Assumption: figures that differ by more than this factor are drawn on a logarithmic scale."""

_LIMITS: Final = {"mos": (1.0, 4.5), "available_percent": (0.0, 100.0), "in_time_percent": (0.0, 100.0)}
"""Ends of the axis for figures that have some by their nature; 4.5 is G.107's highest in narrowband."""

_ROW_PX: Final = 34
_LETTER_PX: Final = 7.4  # DejaVu Sans at canvas.TEXT_PX
_FOOT_PX: Final = 44
_VALUE_SHARE: Final = 0.34
"""Share of a row's width that is kept free for the figure in words."""


def colour(number: int) -> str:
    """The colour of the system with this number, the same in every picture of a page."""
    return _COLOURS[number % len(_COLOURS)]


def delay_plots(document: dict[str, Any]) -> list[Plot]:
    """How one-way delay is distributed over each system, a picture per kind of flow."""
    kinds = dict.fromkeys(kind for system in document["systems"] for kind in system["delays"])
    return [_delays(document, kind) for kind in kinds]


def figure_plots(document: dict[str, Any], keys: tuple[str, ...]) -> list[Plot]:
    """Each of the figures named, system by system, with its interval; those that no system has are left out."""
    found = [figure for figure in document["figures"] if figure["key"] in keys]
    return [
        _figure(document, figure)
        for figure in found
        if any(system["figures"][figure["key"]] for system in document["systems"])
    ]


def _delays(document: dict[str, Any], kind: str) -> Plot:
    title = f"One-way delay of {KIND_NAMES.get(kind, f'{kind} flows')}"
    with canvas.style():
        axes = canvas.new_axes(top_px=10)
        for number, system in enumerate(document["systems"]):
            curve = system["delays"].get(kind)
            if curve:
                dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
                axes.plot(curve, range(len(curve)), dashes, color=colour(number), label=system["name"])
        axes.set_xscale("log")
        axes.set_ylim(0, 100)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_xlabel("one-way delay, ms")
        axes.set_ylabel("packets with less, %")
        canvas.legend(axes, columns=3)
        svg = canvas.to_svg(axes, f"delays-{kind}", title)
    return Plot(title, svg, "Mean of the flows and runs; the further left the better, the steeper the steadier.")


def _figure(document: dict[str, Any], figure: dict[str, Any]) -> Plot:
    """A row for each system: a dot with its interval, and the figure in words at the end of the row."""
    title = figure["name"][0].upper() + figure["name"][1:]
    systems = document["systems"]
    left_px = 12 + _LETTER_PX * max(len(system["name"]) for system in systems)
    known = [(number, Estimate(**found)) for number, found in _known(systems, figure["key"])]
    with canvas.style():
        height_px = _FOOT_PX + _ROW_PX * len(systems)
        axes = canvas.new_axes(top_px=0, left_px=left_px, bottom_px=_FOOT_PX, height_px=height_px)
        for number, found in known:
            look: dict[str, Any] = {"color": colour(number), "capsize": 3, "markersize": 6}
            axes.errorbar([found.mean], [number], xerr=[found.half or 0.0], fmt="o", **look)
        _scale(axes, figure, [found.mean for _, found in known])
        for number, found in known:
            text = found.text(figure["digits"])
            axes.text(1.0, number, text, transform=axes.get_yaxis_transform(), ha="right", va="center")
        axes.set_yticks(range(len(systems)), [system["name"] for system in systems])
        axes.set_ylim(len(systems) - 0.5, -0.5)
        axes.grid(visible=True, axis="both")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{figure['name']}, {figure['unit']}" if figure["unit"] else figure["name"])
        svg = canvas.to_svg(axes, f"figure-{figure['key']}", title)
    caption = f"{figure['meaning'][0].upper()}{figure['meaning'][1:]}. Bars: {100 * CONFIDENCE:.0f} % interval."
    return Plot(title, svg, caption)


def _known(systems: list[dict[str, Any]], key: str) -> list[tuple[int, dict[str, Any]]]:
    return [(number, system["figures"][key]) for number, system in enumerate(systems) if system["figures"][key]]


def _scale(axes: Any, figure: dict[str, Any], values: list[float]) -> None:
    """Limits of the axis along the figure, with _VALUE_SHARE of the room left free at its end."""
    low, high = min(values), max(values)
    if low > 0 and high / low > _WIDE:
        axes.set_xscale("log")
        low /= 1.5
        axes.set_xlim(low, low * (high / low) ** (1 / (1 - _VALUE_SHARE)))
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        return
    low, high = _LIMITS.get(figure["key"], (0.0, high or 1.0))
    axes.set_xlim(low, low + (high - low) / (1 - _VALUE_SHARE))
    axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= high])
