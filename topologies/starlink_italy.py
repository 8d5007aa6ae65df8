"""The Italian government on Starlink: a ministry in Rome and the naval base of Taranto reach a data centre in Rome.

There is no PoP in Rome: all Italian users leave the operator's network in Milan, so Rome to Rome trombones through
Milan. Three gateways stand in Italy, at Milano, Foggia and Marsala; by default satellites land there alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from testbed.emulation.planned import planned_topo
from testbed.ground.errors import ScenarioError
from testbed.orbits.lasers import Lasers
from testbed.plan.capacity import ITALY, Capacity
from testbed.plan.delays import Overheads
from testbed.plan.denial import parse_denials
from testbed.plan.losses import parse_losses
from testbed.plan.scenario import (
    Access,
    Carrier,
    Choice,
    Parameter,
    Pop,
    Scenario,
    Switch,
    Whole,
    parse_parameters,
)
from testbed.plan.sovereignty import Sovereignty
from topologies.common import (
    CORE_BUFFER_NS,
    DENIAL,
    DENIED,
    FIBRE_BPS,
    HANDOVER,
    LASERS,
    LOST,
    ORDER_ASSUMPTIONS,
    POLICY,
    ROUTING,
    ROUTING_ASSUMPTIONS,
    TRAFFIC,
    USER_BUFFER_NS,
    VARIATION,
    access_rules,
    denial_rule,
    gateways,
    lasers_rule,
    traffic_of,
    variation_of,
    variation_rule,
)
from topologies.government import SITES, users
from topologies.government import WORKLOADS as WORKLOADS
from topologies.internet import INTERNET, internet
from topologies.services import SERVICES, meeting
from topologies.sites import FRANKFURT_POP, LANDING, MILAN_POP, STARLINK_GATEWAYS
from topologies.threats import ATTACK

NAME = "starlink-italy"
TITLE = "Italian government on Starlink: Rome and Taranto to a data centre in Rome, via the Milan PoP"

RAIN_PERCENT = ("1", "0.1", "0.01")
"""What P.618 says of a year, as in docs/radio.md."""

ENCRYPTION = ("overlay", "operator", "both")
"""The hosts' own; the operator's, from terminal to PoP, under which hosts send in the clear; or one in the other."""

ACCESS = ("cgnat", "public", "ipv6")
"""What stands between a user and the Internet: a carrier-grade NAT; or nothing, with public IPv4 or IPv6 addresses."""

HUB = "dc-rome"
"""Where sites that a NAT keeps apart meet: it decrypts and encrypts again."""

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    *HANDOVER,
    POLICY,
    VARIATION,
    Choice("landing", "italy", "where satellites may land", tuple(LANDING)),
    Choice("landing_by", "delay", "which gateway a satellite lands at", ("highest", "delay")),
    Whole("antennas", "52", "percent: how often a gateway has an antenna free for a satellite that would land", 1, 100),
    LOST,
    DENIED,
    Choice("fallback", "none", "PoP that takes over when Milan is lost", ("none", "frankfurt")),
    Whole("gso_deg", "0", "least angle between a satellite and the geostationary arc, seen from the ground", 0, 40),
    Whole("beams", "0", "how many of these terminals one satellite serves at most; 0: any number", 0, 100),
    Choice(
        "capacity", "median", "rate of user links: the measured median, or drawn for each slot", ("median", "slots")
    ),
    Whole("load", "0", "percent of the cell that others take beyond the everyday; with capacity=slots", 0, 99),
    Choice("rain", "off", "weather as bad as in this percent of the year; with capacity=slots", ("off", *RAIN_PERCENT)),
    LASERS,
    ROUTING,
    Choice("domains", "one", "who runs the routers: one for all, or operator, carrier, government", ("one", "three")),
    Choice("encryption", "overlay", "whose: the hosts' own, the operator's (terminal to PoP), or both", ENCRYPTION),
    Choice("access", "cgnat", "how users are reached: behind a NAT, or at public addresses of IPv4 or IPv6", ACCESS),
    Switch("meet", "off", "Rome and Taranto call each other; behind a NAT over the data centre as a hub"),
    SERVICES,
    *TRAFFIC,
    INTERNET,
)

MASK_DEG = 25.0
"""Least elevation requested for Starlink's first shell (FCC filings); used for users and gateways."""

USER_UP_BPS = 41_000_000
USER_DOWN_BPS = 282_000_000
"""Medians for Italy (Starlink's public metrics, residential, September 2026)."""

MINIMUM_ALTITUDE_M = 440_000.0
"""Satellites below serve phones (direct to cell, 335-375 km on 2026-06-14), or are on their way up or down."""

SOVEREIGNTY = Sovereignty(
    landing="Italy; with landing=europe or any also where those gateways stand",
    operator="SpaceX",
    jurisdiction="United States",
    keys="the government end to end; the operator for its own links",
    off="SpaceX, by account or by area; the United States by its law",
)

NO_LASERS = "there are no laser links, and satellites are not limited by load"

ASSUMPTIONS = (
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "access adds 13.4 ms of round trip in all, 8.3 ms up, 4.1 ms down and 0.5 ms each way at the gateway",
    "the data centre's access to core fibre adds 0.5 ms one way",
    "feeder links carry 1 Gbit/s, fibre 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "a satellite lands at one gateway at a time and keeps it while it sees it for a whole slot",
    "terminals keep their satellite for whole slots (they stand still and see the sky freely)",
    NO_LASERS,
    "satellites below 440 km of mean altitude do not serve broadband terminals",
    "links lose nothing outside handovers and outages",
    "links are made 1 s before their slot and kept 1 s after it",
)

DOMAINS_ASSUMPTIONS = {
    "plan": "a carrier's router stands between PoP and data centre, on the PoP's campus: no fibre between the two",
    "frr": "a carrier's router stands between PoP and data centre, on the PoP's campus: no fibre between the two; "
    "BGP between the domains with AS numbers for documentation (RFC 5398), keepalive 3 s, hold 9 s; in BGP stand the "
    "NAT's /24, the data centre's /24 and a /48 of IPv6 for each LAN; OSPF is the operator's own",
}

_OPERATORS = (
    "the operator's encryption is an ESP tunnel between each terminal and the PoP, where its keys are; real operators "
    "do not publish theirs"
)

ENCRYPTION_ASSUMPTIONS: dict[str, tuple[str, ...]] = {
    "overlay": ("the operator's own encryption is not there: the hosts' is all there is",),
    "operator": (_OPERATORS, "hosts send in the clear: nothing tells whether what arrives is genuine"),
    "both": (_OPERATORS,),
}

ACCESS_ASSUMPTIONS: dict[str, tuple[str, ...]] = {
    "cgnat": (),
    "public": ("users have public IPv4 addresses; what one sends to another turns at the PoP, not before",),
    "ipv6": ("users have public IPv6 addresses; what one sends to another turns at the PoP, not before",),
}


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    access = Access(
        order=values["order"],
        outage_ns=values["outage_ms"] * 1_000_000,
        policy=values["policy"],
        landing_by=values["landing_by"],
        landing=LANDING[values["landing"]],
        antennas=values["antennas"] / 100,
        gso_deg=values["gso_deg"] or None,
        beams=values["beams"] or None,
    )
    pops = (
        Pop("pop-milan", MILAN_POP),
        *((Pop("pop-frankfurt", FRANKFURT_POP),) if values["fallback"] != "none" else ()),
    )
    _refuse(values)
    asked = users(values["sites"])
    three = values["domains"] == "three"
    drawn = values["capacity"] == "slots"
    if not drawn and (values["rain"] != "off" or values["load"]):
        raise ScenarioError(f"{NAME}: rain and load act on rates drawn for each slot: add -p capacity=slots")
    return Scenario(
        name=NAME,
        title=asked.title(TITLE),
        terminals=asked.terminals(MASK_DEG, USER_UP_BPS, USER_DOWN_BPS),
        gateways=gateways(STARLINK_GATEWAYS, MASK_DEG, tuple(pop.name for pop in pops)),
        pops=pops,
        centres=asked.behind("pop-milan", Carrier("pe-milan", MILAN_POP) if three else None),
        pairs=asked.pairs,
        minimum_altitude_m=MINIMUM_ALTITUDE_M,
        access=access,
        overheads=(overheads := Overheads()),
        variation=variation_of(values, overheads),
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: (
            *asked.flows(duration_ns, services=values["services"], light=values["generator"] == "scapy"),
            *(meeting(duration_ns, "rome", "taranto") if values["meet"] else ()),
            *internet(values["internet"], "rome", "dc-rome", duration_ns),
        ),
        lost=parse_losses(values["lost"]),
        denied=parse_denials(values["denied"]),
        lasers=Lasers() if values["lasers"] else None,
        capacity=Capacity(ITALY, values["load"] / 100) if drawn else None,
        rain_percent=None if values["rain"] == "off" else float(values["rain"]),
        routing=values["routing"],
        translated=values["access"] == "cgnat",
        traffic=traffic_of(values)
        | {name: values[name] for name in ("encryption", "access")}
        | ({"hub": HUB} if values["meet"] else {}),
        parameters=values,
        assumptions=(
            *(line for line in ASSUMPTIONS if line != NO_LASERS or not values["lasers"]),
            *((lasers_rule(on=True), "satellites are not limited by load") if values["lasers"] else ()),
            *access_rules(access, values["lost"]),
            *denial_rule(values, access.detection_ns),
            variation_rule(values),
            *_rates(values),
            *ENCRYPTION_ASSUMPTIONS[values["encryption"]],
            *ACCESS_ASSUMPTIONS[values["access"]],
            *((DOMAINS_ASSUMPTIONS[values["routing"]],) if three else ()),
            ORDER_ASSUMPTIONS[values["order"]],
            ROUTING_ASSUMPTIONS[values["routing"]],
        ),
        sovereignty=SOVEREIGNTY,
    )


def _refuse(values: dict[str, Any]) -> None:
    """What does not go together; raises ScenarioError."""
    alone = {"routing": ("plan",), "adversary": ("none",), "internet": ("off",), "ledger": ("auto", "off")}
    needed: dict[str, dict[str, tuple[str, ...]]] = {}
    if values["encryption"] != "overlay":
        needed["encryption"] = alone
    if values["encryption"] == "operator":
        needed["encryption"] = alone | {"services": ("basic",), "generator": ("struct",), "profile": ("manual",)}
    if values["access"] != "cgnat":
        needed["access"] = alone | ({"profile": ("manual",)} if values["access"] == "ipv6" else {})
    if values["profile"] == "strongswan":
        over_udp = {"services": ("basic",), "internet": ("off",), "access": ("cgnat", "public")}
        needed["profile"] = over_udp | {"adversary": ("none",), "ledger": ("auto", "off"), "generator": ("struct",)}
    if values["meet"]:
        needed["meet"] = {"generator": ("struct",), "adversary": ("none",), "ledger": ("auto", "off")}
    for option, others in needed.items():
        for name, fitting in others.items():
            if values[name] not in fitting:
                given = "on" if values[option] is True else values[option]
                raise ScenarioError(
                    f"{NAME}: {option}={given} with {name}={values[name]} is refused: use {name}={fitting[0]}"
                )


def _rates(values: dict[str, Any]) -> Iterator[str]:
    """What user links carry."""
    if values["capacity"] == "median":
        yield "user links carry 41 Mbit/s up and 282 Mbit/s down (medians for Italy), whatever the weather"
        return
    yield (
        "user links' rates are drawn for each slot from Italy's measured quantiles, as correlated as on a German "
        f"motorway; others take {values['load']} % of the cell beyond the everyday"
    )
    if values["rain"] != "off":
        yield f"at each user the weather is as bad as in {values['rain']} % of the year (ITU-R P.618), all at once"


TRIALS = {
    "attack": ATTACK,
    "gateway lost": {"lost": "gw-milano@8"},
    "operator denies": DENIAL,
}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"starlink_italy": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/starlink_italy.py --topo starlink_italy[,parameter=value…]`."""
