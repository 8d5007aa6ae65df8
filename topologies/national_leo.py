"""The Italian government on a constellation of its own, as studied in 2025: no orbit of it is published.

Satellites land in Italy alone, at the space centres of Fucino, Lario, Scanzano and Matera, and hand over in Rome. With
some 120 satellites it takes a low mask to be served all the time: at 25° a quarter of an hour has no satellite.
"""

from __future__ import annotations

from dataclasses import replace

from testbed.emulation.planned import planned_topo
from testbed.orbits.lasers import Lasers
from testbed.plan.delays import Overheads
from testbed.plan.losses import parse_losses
from testbed.plan.scenario import Access, Parameter, Pop, Scenario, Whole, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from topologies.common import (
    CORE_BUFFER_NS,
    FIBRE_BPS,
    HANDOVER,
    LASERS,
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
from topologies.sites import NATIONAL_GATEWAYS, ROME_POP
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
    *WORKLOAD,
    *TRAFFIC,
)

USER_UP_BPS = 20_000_000
USER_DOWN_BPS = 100_000_000
"""Assumption: nothing is published; less than Starlink's, with a tenth of the satellites."""

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
    access = Access(
        order=values["order"],
        outage_ns=values["outage_ms"] * 1_000_000,
        policy=values["policy"],
        landing_by="delay",
        landing=("IT",),
    )
    return Scenario(
        name=NAME,
        title=asked.title(TITLE),
        terminals=asked.terminals(mask_deg, USER_UP_BPS, USER_DOWN_BPS),
        gateways=gateways(NATIONAL_GATEWAYS, mask_deg, ("pop-rome",)),
        pops=(Pop("pop-rome", ROME_POP),),
        centres=asked.behind("pop-rome"),
        pairs=asked.pairs,
        minimum_altitude_m=0.0,
        access=access,
        overheads=Overheads(),
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: asked.workload(values, duration_ns),
        constellation=("italy-leo",),
        lost=parse_losses(values["lost"]),
        lasers=Lasers() if values["lasers"] else None,
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

topos = {"national_leo": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/national_leo.py --topo national_leo[,parameter=value…]`."""
