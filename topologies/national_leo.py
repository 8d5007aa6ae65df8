"""The Italian government on a constellation of its own, as studied in 2025: no orbit of it is published.

Satellites land in Italy alone, at the space centres of Fucino, Lario, Scanzano and Matera, and hand over in Rome. With
some 120 satellites it takes a low mask to be served all the time: at 25° a quarter of an hour has no satellite.
"""

from __future__ import annotations

from dataclasses import replace

from testbed.emulation.planned import planned_topo
from testbed.plan.delays import Overheads
from testbed.plan.scenario import Parameter, Scenario, Whole, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from topologies.common import DENIED, HANDOVER, LASERS, LOST, POLICY, TRAFFIC
from topologies.constellation import Constellation, scenario_of
from topologies.government import SITES, WORKLOAD
from topologies.government import WORKLOADS as WORKLOADS
from topologies.sites import NATIONAL_GATEWAYS
from topologies.threats import ATTACK

NAME = "national-leo"
TITLE = "Italian government on a national constellation: Rome and Taranto to a data centre in Rome, landing in Italy"

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    *HANDOVER,
    replace(POLICY, default="least-handover"),
    Whole("mask_deg", "10", "least elevation of a satellite, degrees, for users and gateways", 5, 40),
    LASERS,
    LOST,
    DENIED,
    *WORKLOAD,
    *TRAFFIC,
)

SOVEREIGNTY = Sovereignty(
    landing="Italy",
    operator="assumption: a company under the Italian state; none is named",
    jurisdiction="Italy",
    keys="the government",
    off="the Italian state; a maker or launcher abroad cannot, parts under foreign export control may be refused",
)

ASSUMPTIONS = (
    "the constellation is 10 planes of 12 at 53° and 600 km; of it only 'more than 100 satellites' is published "
    "(key4biz.it, April 2025), and that it would not fly before 2031",
    "gateways stand at the space centres of Fucino, Lario, Scanzano and Matera; the PoP is in Rome",
    "access adds as much as Starlink's, 13.4 ms of round trip in all; it does not vary from packet to packet",
)


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    system = Constellation(
        name=NAME,
        title=TITLE,
        satellites="italy-leo",
        grounds=NATIONAL_GATEWAYS,
        overheads=Overheads(),
        sovereignty=SOVEREIGNTY,
        assumptions=ASSUMPTIONS,
        landing=("IT",),
    )
    return scenario_of(system, values)


TRIALS = {"attack": ATTACK, "gateway lost": {"lost": "gw-fucino@8"}}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"national_leo": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/national_leo.py --topo national_leo[,parameter=value…]`."""
