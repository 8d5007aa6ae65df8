"""Jamming that the plan declares: user links of terminals in an area lose a share of their packets for a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.orbits.sites import Site, great_circle_m
from testbed.plan.losses import NO_LOSS
from testbed.plan.model import Event, Link

LEVELS: Mapping[str, float] = {"light": 0.05, "medium": 0.3, "heavy": 0.8}
"""Assumption: share of packets lost. In Iran, January 2026, some 30 % of the traffic at first, over 80 % within hours
(Forbes via sinodefence)."""

_WRITTEN = re.compile(r"([a-z]+)@([0-9]+(?:\.[0-9]+)?)(?:-([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Jam:
    """Within `radius_m` of `centre` a share `loss` is lost in [begin_ns, end_ns) of the plan; without, to its end."""

    centre: Site
    radius_m: float
    loss: float
    begin_ns: int
    end_ns: int | None = None

    def reaches(self, site: Site) -> bool:
        """Is a terminal there jammed?"""
        return great_circle_m(self.centre, site) <= self.radius_m


def parse_jam(text: str, centre: Site, radius_m: float) -> tuple[Jam, ...]:
    """As people write it: 'none', or LEVEL@BEGIN or LEVEL@BEGIN-END in seconds of the plan.

    Raises ValueError with what is wrong, to be put behind the parameter's name and value.
    """
    if text == NO_LOSS:
        return ()
    match = _WRITTEN.fullmatch(text)
    if match is None or match[1] not in LEVELS:
        levels = ", ".join(LEVELS)
        raise ValueError(f"is not understood: write {NO_LOSS}, or one of {levels} and @BEGIN or @BEGIN-END in seconds")
    level, begin, end = match.groups()
    if end is not None and float(end) <= float(begin):
        raise ValueError(f"has a window that ends before it begins: write {level}@{end}-{begin}")
    end_ns = None if end is None else round(float(end) * NS_PER_S)
    return (Jam(centre, radius_m, LEVELS[level], round(float(begin) * NS_PER_S), end_ns),)


def jammed(
    links: Sequence[Link],
    steps: NDArray[np.void],
    stands: Mapping[str, Site],
    jams: Sequence[Jam],
    duration_ns: int,
    spared: Collection[str] = (),
) -> NDArray[np.void]:
    """The steps with the losses of the jams, of the same type and order. stands: terminals' places, by node; spared:
    satellites and cells that are not jammed."""
    if not jams:
        return steps
    parts = []
    for number, link in enumerate(links):
        mine = steps[steps["link"] == number]
        for jam in jams:
            terminal = next((end for end in (link.a, link.b) if end in stands), None)
            aimed = link.kind == "user" and link.a not in spared and link.b not in spared
            if aimed and terminal is not None and jam.reaches(stands[terminal]):
                mine = _lossy(mine, jam, duration_ns)
        parts.append(mine)
    return np.concatenate(parts)


def jam_events(stands: Mapping[str, Site], jams: Sequence[Jam], duration_ns: int) -> list[Event]:
    """One for each jam and terminal that it reaches."""
    return [
        Event(
            jam.begin_ns,
            "jam",
            terminal,
            "jamming, and planned for",
            min(duration_ns if jam.end_ns is None else jam.end_ns, duration_ns) - jam.begin_ns,
            {"loss": jam.loss},
        )
        for jam in jams
        for terminal, site in stands.items()
        if jam.begin_ns < duration_ns and jam.reaches(site)
    ]


def _lossy(mine: NDArray[np.void], jam: Jam, duration_ns: int) -> NDArray[np.void]:
    """One link's steps with a step at each edge of the jam, and its loss in between."""
    edges = [edge for edge in (jam.begin_ns, jam.end_ns) if edge is not None and edge < duration_ns]
    times = np.union1d(mine["time_ns"], np.array(edges, np.int64))
    row = np.searchsorted(mine["time_ns"], times, side="right") - 1
    found = mine[row]
    found["time_ns"] = times
    inside = (times >= jam.begin_ns) & (times < (inf if jam.end_ns is None else jam.end_ns))
    found["loss"] = np.where(inside, found["loss"] + jam.loss - found["loss"] * jam.loss, found["loss"])
    return found
