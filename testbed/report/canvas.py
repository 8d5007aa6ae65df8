"""The look of the report's plots, and how a figure becomes SVG.

The SVG is the same for the same data (no date, salted ids), keeps text as text, and takes its colours and its font from
the page (CSS variables with a fallback), so that one figure serves light and dark.
"""

from __future__ import annotations

import html
import io
import re
from contextlib import AbstractContextManager
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH_PX: Final = 420
HEIGHT_PX: Final = 290
"""Size of a figure in SVG user units: one to a row on a phone (0.9 px a unit), two to a row on a desk (1.2 px)."""

TEXT_PX: Final = 12
"""Of all text in figures: 11 px on a phone 400 px wide."""

_LEFT_PX: Final = 50
RIGHT_PX: Final = 8
_BOTTOM_PX: Final = 76
_AXIS_PX: Final = 44  # of these for the axis and its label; two rows of a legend fit below
AXES_WIDTH_PX: Final = WIDTH_PX - _LEFT_PX - RIGHT_PX

SVG_DPI: Final = 72
"""Matplotlib's SVG backend writes one user unit per point."""

INK: Final = "#1c2530"
MUTED: Final = "#5f6b7a"
RULE: Final = "#dcdfe3"
BLUE: Final = "#0072b2"
VERMILLION: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#aa4499"
"""Colours that also differ to colour-blind eyes: Okabe and Ito's set (2008); purple is darkened after Paul Tol's."""

_PAGE_VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    BLUE: "--blue",
    VERMILLION: "--vermillion",
    GREEN: "--green",
    PURPLE: "--purple",
}

_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the layout is the same everywhere
    "font.size": TEXT_PX,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "legend.frameon": False,
    "legend.fontsize": TEXT_PX,
    "lines.linewidth": 1.6,
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are made and written in the report's look."""
    context: AbstractContextManager[None] = matplotlib.rc_context(_STYLE)
    return context


def on_page(colour: str) -> str:
    """A colour of these as CSS, which takes the page's light or dark one."""
    return f"var({_PAGE_VARIABLES[colour]}, {colour})"


def new_axes(
    top_px: float = 20, *, left_px: float = _LEFT_PX, bottom_px: float = _BOTTOM_PX, height_px: float = HEIGHT_PX
) -> Axes:
    """Axes alone in a new figure, with room around them: above, at the left and below, where a legend may stand."""
    figure = Figure(figsize=(WIDTH_PX / SVG_DPI, height_px / SVG_DPI), dpi=SVG_DPI)
    figure.patch.set_alpha(0)
    width, height = (WIDTH_PX - left_px - RIGHT_PX) / WIDTH_PX, 1 - (bottom_px + top_px) / height_px
    axes = figure.add_axes((left_px / WIDTH_PX, bottom_px / height_px, width, height))
    axes.patch.set_alpha(0)
    return axes


def legend(axes: Axes, columns: int = 5) -> None:
    """The legend in rows of `columns` under the axes, where it hides no data."""
    axes.figure.legend(
        loc="upper left",
        bbox_to_anchor=(_LEFT_PX / WIDTH_PX, (_BOTTOM_PX - _AXIS_PX) / HEIGHT_PX),
        ncols=columns,
        columnspacing=1.2,
        handletextpad=0.4,
        handlelength=1.6,
        borderaxespad=0,
        borderpad=0.2,
    )


def to_svg(axes: Axes, name: str, title: str) -> str:
    """The figure of `axes` as an SVG element; `name` keeps its ids apart from those of other figures on a page."""
    out = io.StringIO()
    figure = axes.figure
    assert isinstance(figure, Figure)
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    view = re.search(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', svg)
    assert view is not None
    opening = '<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" stroke-linejoin="round" '
    svg = f'{opening}viewBox="{view[1]}" aria-label="{html.escape(title)}">{svg[view.end() :]}'
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would apply to the whole page
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("xlink:href", "href").replace("'DejaVu Sans'", "var(--sans, sans-serif)")
    for colour in _PAGE_VARIABLES:
        svg = svg.replace(colour, on_page(colour))
    return svg.strip()
