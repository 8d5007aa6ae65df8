"""The government's sites on a constellation of its own state or union: what `iris2` and `national-leo` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from testbed.orbits.lasers import Lasers
from testbed.orbits.sites import Site
from testbed.plan.delays import Overheads
from testbed.plan.denial import parse_denials
from testbed.plan.losses import parse_losses
from testbed.plan.scenario import Access, Pop, Scenario
from testbed.plan.sovereignty import Sovereignty
from topologies.common import CORE_BUFFER_NS, FIBRE_BPS, USER_BUFFER_NS, gateways, sky_rules, traffic_of
from topologies.government import users
from topologies.sites import ROME_POP

USER_UP_BPS: Final = 20_000_000
USER_DOWN_BPS: Final = 100_000_000
"""Assumption: no rates are published of either; less than Starlink's, with a tenth of the satellites or fewer."""

ASSUMPTIONS: Final = (
    "user links carry 20 Mbit/s up and 100 Mbit/s down, whatever the weather",
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "the data centre's access to core fibre adds 0.5 ms one way",
    "feeder links carry 1 Gbit/s, fibre 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "terminals are reassigned in slots of 15 s, as Starlink's are, and see the sky freely",
    "links lose nothing outside handovers and outages",
)

BETWEEN_NEIGHBOURS: Final = Lasers()


@dataclass(frozen=True)
class Constellation:
    """A system of satellites, gateways and one PoP in Rome. altitude_m: least and greatest of those that serve.

    assumptions: what is assumed of it beyond what all share.
    """

    name: str
    title: str
    satellites: str  # a built-in constellation
    grounds: Mapping[Site, str]  # gateways and their countries
    overheads: Overheads
    sovereignty: Sovereignty
    assumptions: tuple[str, ...]
    altitude_m: tuple[float, float] = (0.0, inf)
    landing: tuple[str, ...] = ()
    lasers: Lasers = BETWEEN_NEIGHBOURS


def scenario_of(system: Constellation, values: Mapping[str, Any]) -> Scenario:
    """The scenario of a system with its topology's values; raises ScenarioError."""
    asked = users(values["sites"])
    mask_deg = float(values["mask_deg"])
    access = Access(
        order=values["order"],
        outage_ns=values["outage_ms"] * 1_000_000,
        policy=values["policy"],
        landing_by="delay",
        landing=system.landing,
    )
    return Scenario(
        name=system.name,
        title=asked.title(system.title),
        terminals=asked.terminals(mask_deg, USER_UP_BPS, USER_DOWN_BPS),
        gateways=gateways(system.grounds, mask_deg, ("pop-rome",)),
        pops=(Pop("pop-rome", ROME_POP),),
        centres=asked.behind("pop-rome"),
        pairs=asked.pairs,
        minimum_altitude_m=system.altitude_m[0],
        maximum_altitude_m=system.altitude_m[1],
        access=access,
        overheads=system.overheads,
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: asked.workload(values, duration_ns),
        constellation=(system.satellites,),
        lost=parse_losses(values["lost"]),
        denied=parse_denials(values["denied"]),
        lasers=system.lasers if values["lasers"] else None,
        traffic=traffic_of(values),
        parameters=dict(values),
        assumptions=(*system.assumptions, *ASSUMPTIONS, *sky_rules(access, values, mask_deg)),
        sovereignty=system.sovereignty,
    )
