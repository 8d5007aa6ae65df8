"""The Italian government on IRIS², the European Union's constellation, as planned: low and medium orbits.

264 satellites at 1,200 km, 18 at 8,000 km, and a layer below them of which nothing but the total of about 290 is
announced. Satellites land at European gateways and hand over in Rome.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from testbed.emulation.planned import planned_topo
from testbed.orbits.lasers import RELAY_FROM_M, Lasers
from testbed.plan.delays import Overheads
from testbed.plan.scenario import Choice, Parameter, Scenario, Switch, Whole, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from topologies.common import DENIAL, DENIED, HANDOVER, LOST, POLICY, TRAFFIC
from topologies.constellation import Constellation, scenario_of
from topologies.government import SITES, WORKLOAD
from topologies.government import WORKLOADS as WORKLOADS
from topologies.sites import EUROPEAN_GATEWAYS
from topologies.threats import ATTACK

NAME = "iris2"
TITLE = "Italian government on IRIS²: Rome and Taranto to a data centre in Rome, over low and medium orbits"

LOW_LAYER_BELOW_M = 1_000e3
"""Between the layer below, 600 km here, and the main one at 1,200 km."""

ORBITS = {
    "all": (0.0, inf),
    "leo": (LOW_LAYER_BELOW_M, RELAY_FROM_M),
    "meo": (RELAY_FROM_M, inf),
    "low": (0.0, LOW_LAYER_BELOW_M),
}
"""Least and greatest mean altitude of the satellites that serve, m."""

LANDING = {"europe": (), "italy": ("IT",)}

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    *HANDOVER,
    replace(POLICY, default="least-delay"),
    Choice("orbits", "all", "which satellites serve; those of the layer below alone are seldom in view", tuple(ORBITS)),
    Choice("landing", "europe", "where satellites may land", tuple(LANDING)),
    Whole("mask_deg", "25", "least elevation of a satellite, degrees, for users and gateways", 5, 40),
    Switch("lasers", "off", "links between satellites, the low and the medium orbits included"),
    LOST,
    DENIED,
    *WORKLOAD,
    *TRAFFIC,
)

OVERHEADS = Overheads(scheduling_up_ns=8_833_000, scheduling_down_ns=4_500_000)
"""Assumption: access adds 17.5 ms of round trip, the middle of the 15 to 20 ms expected beyond propagation."""

SOVEREIGNTY = Sovereignty(
    landing="Italy, Luxembourg, France, Spain (assumption: gateways are not published)",
    operator="SpaceRISE (concession of 2024-12-16, twelve years)",
    jurisdiction="European Union, by contract with the Commission",
    keys="the government",
    off="the European Union and the operator; Italy alone neither can nor can prevent it",
)

ASSUMPTIONS = (
    "264 satellites fly at 1,200 km in a star at 87.9°, 18 at 8,000 km at 53°: numbers and the medium altitude are "
    "published, planes are not, and the low altitude is given as 1,200 or 1,300 km",
    "Assumption: the layer below has 8 satellites, what is missing to the about 290 announced in all, in 2 planes of 4 "
    "at 53° and 600 km; that there is such a layer is published, neither its number nor its orbits",
    "Assumption: the layer below serves terminals as the others do, at the same rates and overheads; what it is for is "
    "not published",
    "gateways stand at teleports of Fucino, Lario, Betzdorf, Rambouillet and Arganda; the PoP is in Rome",
    "access adds 17.5 ms of round trip in all (15 to 20 expected); it does not vary from packet to packet",
)


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    system = Constellation(
        name=NAME,
        title=TITLE,
        satellites="iris2",
        grounds=EUROPEAN_GATEWAYS,
        overheads=OVERHEADS,
        sovereignty=SOVEREIGNTY,
        assumptions=ASSUMPTIONS,
        altitude_m=ORBITS[values["orbits"]],
        landing=LANDING[values["landing"]],
        lasers=Lasers(relay=True),
    )
    return scenario_of(system, values)


TRIALS = {"attack": ATTACK, "gateway lost": {"lost": "gw-fucino@8"}, "operator denies": DENIAL}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"iris2": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/iris2.py --topo iris2[,parameter=value…]`."""
