"""The comparison's pictures."""

from __future__ import annotations

from typing import Any, Final

from testbed.report import canvas
from testbed.report.plots import Plot

_COLOURS: Final = (canvas.BLUE, canvas.VERMILLION, canvas.GREEN, canvas.PURPLE, canvas.INK)
_DASHES: Final = ("-", "--", "-.", ":")

KIND_NAMES: Final = {"voice": "calls", "bulk": "transfers"}
"""Kinds of flows in words; others by their own name."""


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


def _look(number: int) -> tuple[str, str]:
    return _COLOURS[number % len(_COLOURS)], _DASHES[number // len(_COLOURS) % len(_DASHES)]


def _delays(document: dict[str, Any], kind: str) -> Plot:
    what = KIND_NAMES.get(kind, f"{kind} flows")
    title = f"One-way delay of {what}"
    with canvas.style():
        axes = canvas.new_axes()
        for number, system in enumerate(document["systems"]):
            curve = system["delays"].get(kind)
            if curve:
                colour, dashes = _look(number)
                axes.plot(curve, range(len(curve)), dashes, color=colour, label=system["name"])
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
    title = f"{figure['name'][0].upper()}{figure['name'][1:]}" + (f", {figure['unit']}" if figure["unit"] else "")
    with canvas.style():
        axes = canvas.new_axes()
        names = []
        for number, system in enumerate(document["systems"]):
            names.append(system["name"])
            found = system["figures"][figure["key"]]
            if found is not None:
                colour, _ = _look(number)
                axes.errorbar([number], [found["mean"]], yerr=[found["half"] or 0.0], fmt="o", color=colour, capsize=4)
        axes.set_xticks(range(len(names)), names, rotation=18, ha="right")
        axes.set_xlim(-0.5, len(names) - 0.5)
        bottom, top = axes.get_ylim()
        axes.set_ylim(min(0.0, bottom) if figure["key"] != "mos" else 1.0, top if figure["key"] != "mos" else 4.5)
        svg = canvas.to_svg(axes, f"figure-{figure['key']}", title)
    return Plot(title, svg, figure["meaning"][0].upper() + figure["meaning"][1:] + ".")
