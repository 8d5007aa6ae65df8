"""Catalogues that need no file: a preset by its name, or longitudes of the geostationary ring."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from testbed.ground.errors import CatalogueError
from testbed.orbits.catalogue import Catalogue, merge
from testbed.orbits.geostationary import Slot, geostationary_catalogue, slot_at
from testbed.orbits.presets import PRESETS, Preset
from testbed.orbits.walker import walker_catalogue

RING = "geo:"
"""Begins a list of longitudes, as in 'geo:11.8E,37E'."""

_LONGITUDE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)([EW])")


def is_built_in(name: str) -> bool:
    """Is it the name of a built-in constellation, or a list of longitudes?"""
    return name in PRESETS or name.startswith(RING)


def built_in(name: str, epoch_ns: int) -> Catalogue:
    """The constellation of that name, with elements for `epoch_ns` (UTC, since 1970); one part.

    Raises CatalogueError for an unknown name, with the nearest and the known ones, or a longitude that is none.
    """
    if name.startswith(RING):
        return _of(Preset("", "", slots=_slots(name)), name, epoch_ns)
    if name not in PRESETS:
        raise CatalogueError(unknown(name))
    return _of(PRESETS[name], name, epoch_ns)


def unknown(name: str) -> str:
    """The message for a name that is neither a file nor built in."""
    near = difflib.get_close_matches(name.lower(), PRESETS, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return (
        f"unknown catalogue '{name}': {hint}give a file of TLE or OMM, or one of {', '.join(PRESETS)}, or longitudes "
        f"like {RING}11.8E,37E"
    )


def _of(preset: Preset, name: str, epoch_ns: int) -> Catalogue:
    source = f"built-in: {name}"
    made = []
    if preset.shells:
        made.append(walker_catalogue(preset.shells, epoch_ns, source))
    if preset.slots:
        made.append(geostationary_catalogue(preset.slots, epoch_ns, source))
    whole = merge(made)
    part = replace(whole.parts[0], sha256=whole.sha256, satellites=len(whole), assumption=preset.assumption)
    return replace(whole, source=source, merged=(part,))


def _slots(name: str) -> tuple[Slot, ...]:
    slots = []
    for text in name.removeprefix(RING).split(","):
        match = _LONGITUDE.fullmatch(text.strip())
        if match is None or float(match[1]) > 180.0:
            raise CatalogueError(
                f"--catalogue {name}: '{text}' is not a longitude: write 0 to 180 with E or W, like {RING}11.8E,37E"
            )
        slots.append(slot_at(float(match[1]) * (1.0 if match[2] == "E" else -1.0)))
    return tuple(slots)
