"""Operator's denial: terminals that the operator itself does not serve for a time, by account or by area.

The satellites, gateways and PoPs are there; it is the terminals that are not let in. The plan knows it, as it knows
losses (`plan.losses`), so what is lost then is no failure of the emulation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from testbed.ground.constants import NS_PER_S
from testbed.orbits.sites import Site, great_circle_m
from testbed.orbits.tracks import Place, Track
from testbed.plan.losses import NO_LOSS
from testbed.plan.model import Event

LET_IN = "let in again"
"""Why a leg begins after a denial."""

_SECONDS = r"@(?P<begin>[0-9]+(?:\.[0-9]+)?)(?:-(?P<end>[0-9]+(?:\.[0-9]+)?))?"
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_AREA = rf"area:(?P<north>{_NUMBER}),(?P<east>{_NUMBER}),(?P<km>[0-9]+(?:\.[0-9]+)?)"
_WRITTEN = re.compile(rf"(?P<whom>account|{_AREA}){_SECONDS}")


@dataclass(frozen=True)
class Denial:
    """No service in [begin_ns, end_ns) of the plan's time; without `end_ns`, to its end.

    centre: of an area, `radius_m` around it; without it the account, which is all terminals. Terminals are reached that
    are in the area when the denial begins. Assumption: those that sail in or out later are as they were.
    """

    begin_ns: int
    end_ns: int | None = None
    centre: Site | None = None
    radius_m: float = 0.0

    @property
    def cause(self) -> str:
        """In an outage's words."""
        return f"{'account' if self.centre is None else 'area'} denied by the operator"

    def reaches(self, place: Place, start_ns: int) -> bool:
        """Is a terminal there, in a plan that starts at this UTC instant, denied?"""
        if self.centre is None:
            return True
        site = place.site_at(start_ns + self.begin_ns) if isinstance(place, Track) else place
        return great_circle_m(self.centre, site) <= self.radius_m


@dataclass(frozen=True)
class Denials:
    """A topology parameter that says whom the operator denies; its value stays the text (`parse_denials`)."""

    name: str
    default: str
    meaning: str

    @property
    def choices(self) -> tuple[str, ...]:
        """How it is written."""
        return (NO_LOSS, "account@BEGIN_S[-END_S]", "area:LAT,LON,KM@BEGIN_S[-END_S]")

    def parse(self, text: str) -> str:
        """The text itself; raises ValueError with what is wrong."""
        parse_denials(text)
        return text


def parse_denials(text: str) -> tuple[Denial, ...]:
    """A denial as people write it: 'none', account@BEGIN-END, or area:LAT,LON,KM@BEGIN-END, seconds of the plan.

    Without -END it lasts to the plan's end. Raises ValueError with what is wrong, to be put behind the parameter's name
    and value.
    """
    if text == NO_LOSS:
        return ()
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(
            "is not understood: write account or area:LAT,LON,KM (degrees north and east), and @BEGIN or @BEGIN-END in "
            "seconds behind it"
        )
    begin, end = match["begin"], match["end"]
    if end is not None and float(end) <= float(begin):
        raise ValueError(f"has a window that ends before it begins: write {match['whom']}@{end}-{begin}")
    begin_ns, end_ns = (None if second is None else round(float(second) * NS_PER_S) for second in (begin, end))
    assert begin_ns is not None
    if match["km"] is None:
        return (Denial(begin_ns, end_ns),)
    north, east = float(match["north"]), float(match["east"])
    if not -90.0 <= north <= 90.0 or not -180.0 <= east <= 180.0:
        raise ValueError(f"is not on Earth: {north:g} degrees north, {east:g} east")
    return (Denial(begin_ns, end_ns, Site("area", north, east), float(match["km"]) * 1e3),)


def denial_events(
    stands: Mapping[str, Place], denials: Sequence[Denial], start_ns: int, duration_ns: int
) -> list[Event]:
    """One for each denial and terminal that it reaches. stands: terminals' places, by node."""
    return [
        Event(
            one.begin_ns,
            "denial",
            terminal,
            f"{one.cause}, and planned for",
            0,
            {"denied_s": (min(one.end_ns or duration_ns, duration_ns) - one.begin_ns) / NS_PER_S},
        )
        for one in denials
        for terminal, place in stands.items()
        if one.begin_ns < duration_ns and one.reaches(place, start_ns)
    ]
