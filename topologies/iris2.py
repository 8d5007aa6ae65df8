"""The Italian government on IRIS², the European Union's constellation, as planned: low and medium orbits.

264 satellites at 1,200 km and 18 at 8,000 km; the layer below them is announced without a number and is not in it.
Satellites land at European gateways and hand over in Rome.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from testbed.emulation.planned import planned_topo
from testbed.orbits.lasers import RELAY_FROM_M, Lasers
from testbed.plan.delays import Overheads
from testbed.plan.losses import parse_losses
from testbed.plan.scenario import Access, Choice, Parameter, Pop, Scenario, Switch, Whole, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from topologies.common import (
    CORE_BUFFER_NS,
    FIBRE_BPS,
    HANDOVER,
    LOST,
    POLICY,
    TRAFFIC,
    USER_BUFFER_NS,
    gateways,
    sky_rules,
    traffic_of,
)
from topologies.government import SITES, WORKLOAD, users
from topologies.government import WORKLOADS as WORKLOADS
from topologies.sites import EUROPEAN_GATEWAYS, ROME_POP
from topologies.threats import ATTACK

NAME = "iris2"
TITLE = "Italian government on IRIS²: Rome and Taranto to a data centre in Rome, over low and medium orbits"

ORBITS = {"both": (0.0, inf), "leo": (0.0, RELAY_FROM_M), "meo": (RELAY_FROM_M, inf)}
"""Least and greatest mean altitude of the satellites that serve, m."""

LANDING = {"europe": (), "italy": ("IT",)}

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    *HANDOVER,
    replace(POLICY, default="least-delay"),
    Choice("orbits", "both", "which satellites serve", tuple(ORBITS)),
    Choice("landing", "europe", "where satellites may land", tuple(LANDING)),
    Whole("mask_deg", "25", "least elevation of a satellite, degrees, for users and gateways", 5, 40),
    Switch("lasers", "off", "links between satellites, the low and the medium orbits included"),
    LOST,
    *WORKLOAD,
    *TRAFFIC,
)

USER_UP_BPS = 20_000_000
USER_DOWN_BPS = 100_000_000
"""Assumption: no rates are published."""

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
    "the layer below, announced without a number, is left out",
    "gateways stand at teleports of Fucino, Lario, Betzdorf, Rambouillet and Arganda; the PoP is in Rome",
    "access adds 17.5 ms of round trip in all (15 to 20 expected); it does not vary from packet to packet",
    "user links carry 20 Mbit/s up and 100 Mbit/s down, whatever the weather",
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "the data centre's access to core fibre adds 0.5 ms one way",
    "feeder links carry 1 Gbit/s, fibre 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "terminals are reassigned in slots of 15 s, as Starlink's are, and see the sky freely",
    "links lose nothing outside handovers and outages",
)


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    asked = users(values["sites"])
    mask_deg = float(values["mask_deg"])
    lowest_m, highest_m = ORBITS[values["orbits"]]
    access = Access(
        order=values["order"],
        outage_ns=values["outage_ms"] * 1_000_000,
        policy=values["policy"],
        landing_by="delay",
        landing=LANDING[values["landing"]],
    )
    return Scenario(
        name=NAME,
        title=asked.title(TITLE),
        terminals=asked.terminals(mask_deg, USER_UP_BPS, USER_DOWN_BPS),
        gateways=gateways(EUROPEAN_GATEWAYS, mask_deg, ("pop-rome",)),
        pops=(Pop("pop-rome", ROME_POP),),
        centres=asked.behind("pop-rome"),
        pairs=asked.pairs,
        minimum_altitude_m=lowest_m,
        maximum_altitude_m=highest_m,
        access=access,
        overheads=OVERHEADS,
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: asked.workload(values, duration_ns),
        constellation=("iris2",),
        lost=parse_losses(values["lost"]),
        lasers=Lasers(relay=True) if values["lasers"] else None,
        traffic=traffic_of(values),
        parameters=values,
        assumptions=(
            *ASSUMPTIONS,
            *sky_rules(access, values, mask_deg),
        ),
        sovereignty=SOVEREIGNTY,
    )


TRIALS = {"attack": ATTACK, "gateway lost": {"lost": "gw-fucino@8"}}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"iris2": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/iris2.py --topo iris2[,parameter=value…]`."""
