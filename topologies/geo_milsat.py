"""The Italian government on the satellites it has: SICRAL and GOVSATCOM's in geostationary orbit.

Everything comes down at SICRAL's control centre in Vigna di Valle. A satellite there stands still: a terminal keeps it,
and a packet takes a quarter of a second up and down.
"""

from __future__ import annotations

from testbed.emulation.planned import planned_topo
from testbed.plan.delays import Overheads
from testbed.plan.denial import parse_denials
from testbed.plan.losses import parse_losses
from testbed.plan.scenario import Access, Choice, Gateway, Parameter, Pop, Scenario, Whole, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from topologies.common import (
    CORE_BUFFER_NS,
    DENIED,
    FEEDER_BPS,
    FIBRE_BPS,
    LOST,
    ROUTING_ASSUMPTIONS,
    TRAFFIC,
    USER_BUFFER_NS,
    access_rules,
    denial_rule,
    traffic_of,
)
from topologies.government import SITES, WORKLOAD, users
from topologies.government import WORKLOADS as WORKLOADS
from topologies.sites import VIGNA_DI_VALLE
from topologies.threats import ATTACK

NAME = "geo-milsat"
TITLE = "Italian government over its satellites in GEO: Rome and Taranto to a data centre in Rome, via Vigna di Valle"

SATELLITES = {"sicral": ("sicral",), "govsatcom": ("govsatcom",), "both": ("sicral", "govsatcom")}

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    Choice("satellites", "both", "whose satellites serve", tuple(SATELLITES)),
    Whole("mask_deg", "10", "least elevation of a satellite, degrees, for users and gateways", 5, 40),
    LOST,
    DENIED,
    *WORKLOAD,
    *TRAFFIC,
)

LOWEST_M = 30_000e3
"""Satellites below are not geostationary, where a catalogue has others too."""

USER_UP_BPS = 2_000_000
USER_DOWN_BPS = 8_000_000
"""Assumption: a share of an SHF transponder; none is published."""

OVERHEADS = Overheads(
    scheduling_up_ns=60_000_000, scheduling_down_ns=29_000_000, frame_ns=0, processing_ns=0, gateway_ns=500_000
)
"""Assumption: modem and processing add 90 ms of round trip, the middle of 60 to 120 (textbook), more of it upwards."""

SOVEREIGNTY = Sovereignty(
    landing="Italy (Vigna di Valle)",
    operator="Italy's defence ministry for SICRAL; France, Spain and others own what GOVSATCOM pools",
    jurisdiction="Italy for SICRAL; the European Union pools capacity of member states in GOVSATCOM",
    keys="the government",
    off="Italy for SICRAL; each owner its own satellite in GOVSATCOM",
)

ASSUMPTIONS = (
    "satellites stand still at their longitudes; SICRAL is not in public catalogues",
    "the one gateway is SICRAL's control centre at Vigna di Valle, also for GOVSATCOM's satellites",
    "modem and processing add 90 ms of round trip (60 to 120 in textbooks); it does not vary from packet to packet",
    "user links carry 2 Mbit/s up and 8 Mbit/s down, whatever the weather",
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "the data centre's access to core fibre adds 0.5 ms one way",
    "feeder links carry 1 Gbit/s, fibre 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "terminals see the sky freely; satellites are not limited by load",
    "links lose nothing outside outages",
)


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    asked = users(values["sites"])
    mask_deg = float(values["mask_deg"])
    access = Access(order="hold", outage_ns=0, policy="highest", landing_by="delay")
    return Scenario(
        name=NAME,
        title=asked.title(TITLE),
        terminals=asked.terminals(mask_deg, USER_UP_BPS, USER_DOWN_BPS),
        gateways=(Gateway("gw-vigna", VIGNA_DI_VALLE, mask_deg, ("pop-vigna",), FEEDER_BPS, "IT"),),
        pops=(Pop("pop-vigna", VIGNA_DI_VALLE),),
        centres=asked.behind("pop-vigna"),
        pairs=asked.pairs,
        minimum_altitude_m=LOWEST_M,
        access=access,
        overheads=OVERHEADS,
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: asked.workload(values, duration_ns),
        constellation=SATELLITES[values["satellites"]],
        lost=parse_losses(values["lost"]),
        denied=parse_denials(values["denied"]),
        traffic=traffic_of(values),
        parameters=values,
        assumptions=(
            *ASSUMPTIONS,
            f"users and gateways see satellites from {mask_deg:g}° on",
            *access_rules(access, values["lost"]),
            *denial_rule(values, access.detection_ns),
            ROUTING_ASSUMPTIONS["plan"],
        ),
        sovereignty=SOVEREIGNTY,
    )


TRIALS = {"attack": ATTACK, "control centre lost": {"lost": "gw-vigna@8-16"}}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"geo_milsat": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/geo_milsat.py --topo geo_milsat[,parameter=value…]`."""
