"""The Italian government with three systems at each site: Starlink, its satellites in GEO, and a carrier's fibre.

Each is what its own topology says it is. Their networks meet at the sites' edge routers, which send over the one that
is preferred as long as it answers, and over the next one where it does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from testbed.emulation.planned import planned_topo
from testbed.ground.errors import ScenarioError
from testbed.plan.cuts import Cuts
from testbed.plan.losses import NO_LOSS
from testbed.plan.multihomed import Multihomed, Part
from testbed.plan.scenario import Choice, Parameter, Switch, Whole, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from topologies import geo_milsat, starlink_italy, terrestrial
from topologies.common import LOST, POLICY, TRAFFIC, VARIATION
from topologies.government import SITES, users
from topologies.services import LOW_LATENCY_DATA, SERVICES, WARNING

NAME = "resilient"
TITLE = "Italian government over Starlink, GEO and fibre at once: Rome and Taranto to a data centre in Rome"

PREFERENCES: Final = {
    "starlink": ("starlink", "terrestrial", "geo"),
    "terrestrial": ("terrestrial", "starlink", "geo"),
    "geo": ("geo", "terrestrial", "starlink"),
}
"""The order in which systems are used, by the first."""

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    Choice("prefer", "starlink", "which system carries while it answers", tuple(PREFERENCES)),
    Choice("last_mile", "fibre", "how sites reach the carrier; data centres have fibre", tuple(terrestrial.LAST_MILES)),
    POLICY,
    VARIATION,
    LOST,
    Cuts("cut", "none", "spans of the backbone that are cut, with seconds from the start: roma-napoli@20-40"),
    Whole("hello_ms", "100", "how often each path is asked whether it answers", 20, 10_000),
    Whole("misses", "3", "after how many answers that are missing a path counts as down", 2, 50),
    Whole("restore_ms", "2000", "how long a path must answer again before traffic returns to it", 0, 600_000),
    Switch("duplicate", "on", "commands and alerts go over two systems at once"),
    replace(SERVICES, default="government"),
    *(one for one in TRAFFIC if one.name in ("esn", "window")),
)

URGENT: Final = (WARNING, LOW_LATENCY_DATA)
"""DSCPs of what is sent over two systems: alerts, and commands with the tracks of their class."""

MOST_HELLOS_PPS: Final = 300.0
"""Assumption: with more the machine's timers suffer in the user-mode kernel."""

SOVEREIGNTY = Sovereignty(
    landing="Italy",
    operator="SpaceX, Italy's defence ministry with what GOVSATCOM pools, and a carrier: three that fail apart",
    jurisdiction="United States for one, Italy and the European Union for two",
    keys="the government end to end, over all three",
    off="nobody all three: SpaceX the first, the owners of satellites the second, the carrier the third",
)

ASSUMPTIONS = (
    "a site keeps its addresses over all systems, as behind an overlay or with addresses of its own: no NAT on the way",
    "the site's edge router is joined to its terminals by cables without delay",
    "sites and data centres choose each for what they send, from BFD's answers over each system (RFC 5880)",
)


def scenario(**parameters: str) -> Multihomed:
    """The three systems with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    asked = users(values["sites"])
    lost = _lost(values["lost"])
    common = {"sites": values["sites"]}
    parts = {
        "starlink": Part(
            "starlink",
            starlink_italy.scenario(
                **common, access="public", lost=lost["starlink"], policy=values["policy"], variation=values["variation"]
            ),
        ),
        "terrestrial": Part(
            "terrestrial", terrestrial.scenario(**common, cut=values["cut"], last_mile=values["last_mile"])
        ),
        "geo": Part("geo", replace(geo_milsat.scenario(**common, lost=lost["geo"]), translated=False), "vt"),
    }
    order = PREFERENCES[values["prefer"]]
    _affordable(len(asked.pairs) * len(order), values["hello_ms"])
    urgent = URGENT if values["duplicate"] else ()
    return Multihomed(
        name=NAME,
        title=asked.title(TITLE),
        parts=tuple(parts[system] for system in order),
        pairs=asked.pairs,
        flows=lambda duration_ns: asked.flows(duration_ns, services=values["services"]),
        traffic={
            "access": "public",
            "esn": values["esn"],
            "window": values["window"],
            "selection": {name: values[name] for name in ("hello_ms", "misses", "restore_ms")},
            **({"duplicated": list(urgent)} if urgent else {}),
        },
        parameters=values,
        assumptions=(
            *ASSUMPTIONS,
            f"preferred are {', '.join(order)}, in this order",
            f"a path counts as down after {values['misses']} times {values['hello_ms']} ms without an answer, and is "
            f"used again when it has answered for {values['restore_ms'] / 1e3:g} s",
            "commands and alerts are sent over two systems at once, and the second copy is removed where it arrives"
            if urgent
            else "nothing is sent over two systems at once",
        ),
        sovereignty=SOVEREIGNTY,
    )


def _lost(text: str) -> dict[str, str]:
    """What is lost, system by system."""
    found: dict[str, list[str]] = {"starlink": [], "geo": []}
    for part in text.split(",") if text != NO_LOSS else ():
        name = part.strip().partition("@")[0]
        found["geo" if name in ("gw-vigna", "pop-vigna") else "starlink"].append(part.strip())
    return {system: ",".join(parts) or NO_LOSS for system, parts in found.items()}


def _affordable(paths: int, hello_ms: int) -> None:
    rate_pps = 2 * paths * 1e3 / hello_ms
    if rate_pps > MOST_HELLOS_PPS:
        least_ms = -(-2 * paths * 1000 // MOST_HELLOS_PPS)
        raise ScenarioError(
            f"{NAME}: {paths} paths asked every {hello_ms} ms make {rate_pps:.0f} packets/s, at most "
            f"{MOST_HELLOS_PPS:.0f} are affordable: add -p hello_ms={least_ms:.0f}"
        )


WORKLOADS: dict[str, dict[str, str]] = {"government": {}, "basic": {"services": "basic"}}
"""What `testbed compare --workload` knows, in these parameters."""

TRIALS: dict[str, dict[str, Any]] = {
    "gateway lost": {"lost": "gw-milano@8"},
    "PoP lost": {"lost": "pop-milan@8-18"},
    "fibre cut": {"prefer": "terrestrial", "cut": "roma-napoli@8-18"},
    "one after another": {"lost": "pop-milan@6-22,gw-vigna@14-18", "cut": "roma-napoli@10-22"},
}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"resilient": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/resilient.py --topo resilient[,parameter=value…]`."""
