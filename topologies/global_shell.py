"""A whole constellation as a network: every satellite a router, links within each shell, two places pinged across it.

The ends are the satellites above the two places at the start; they move on, and the places stay behind.
"""

from __future__ import annotations

import re
from typing import Final

from testbed.emulation.planned import planned_topo
from testbed.ground.errors import ScenarioError
from testbed.orbits.presets import ITALY, STARLINK_2026, STARLINK_GEN1
from testbed.orbits.sites import Site
from testbed.plan.scenario import Choice, Parameter, parse_parameters
from testbed.plan.shells import Shells
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.texts import Text

NAME = "global-shell"
TITLE = "A whole shell of Starlink: every satellite a router, the satellites above two places pinged across it"

CONSTELLATIONS: Final = {"first": STARLINK_GEN1[:1], "all": STARLINK_2026, "italy": ITALY}
"""1,584, 9,813 and 120 satellites."""

PARAMETERS: tuple[Parameter, ...] = (
    Choice(
        "constellation",
        "first",
        "which shells: Starlink's first; all, or a --catalogue; a small one",
        tuple(CONSTELLATIONS),
    ),
    Text("a", "41.90,12.49", "one place, degrees north and east; Rome", "LAT,LON"),
    Text("b", "40.71,-74.01", "the other place; New York", "LAT,LON"),
)

SOVEREIGNTY = Sovereignty(
    landing="none: packets stay in space",
    operator="SpaceX; for constellation=italy an assumption",
    jurisdiction="United States; for constellation=italy Italy",
    keys="the operator: nothing is protected end to end here",
    off="the operator",
)

ASSUMPTIONS = (
    "the ends are satellites near the two places at the start, of each shell the two with the shortest way, for all of "
    "the plan",
    "there are no terminals, gateways and flows: the audit's probes are the pings",
)

_PLACE = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?),(-?[0-9]+(?:\.[0-9]+)?)")


def scenario(**parameters: str) -> Shells:
    """The constellation with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    return Shells(
        name=NAME,
        title=TITLE,
        shells=CONSTELLATIONS[values["constellation"]],
        places=(_place("a", values["a"]), _place("b", values["b"])),
        parameters=values,
        assumptions=ASSUMPTIONS,
        sovereignty=SOVEREIGNTY,
        catalogued=values["constellation"] == "all",
    )


def _place(name: str, written: str) -> Site:
    match = _PLACE.fullmatch(written)
    if match is None:
        raise ScenarioError(f"{NAME}: parameter {name}='{written}' is not a place: write degrees like 41.90,12.49")
    return Site(name, float(match[1]), float(match[2]))


topos = {"global_shell": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/global_shell.py --topo global_shell[,parameter=value…]`."""
