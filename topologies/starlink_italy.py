"""The Italian government on Starlink: a ministry in Rome and the naval base of Taranto reach a data centre in Rome.

There is no PoP in Rome: all Italian users leave the operator's network in Milan, so Rome to Rome trombones through
Milan. Three gateways stand in Italy, at Milano, Foggia and Marsala; by default satellites land there alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from testbed.emulation.planned import planned_topo
from testbed.ground.errors import ScenarioError
from testbed.plan.capacity import ITALY, Capacity
from testbed.plan.delays import Overheads
from testbed.plan.losses import parse_losses
from testbed.plan.policies import POLICIES
from testbed.plan.scenario import (
    OUTAGES_MS,
    Access,
    Carrier,
    Centre,
    Choice,
    Gateway,
    Losses,
    Parameter,
    Pop,
    Scenario,
    Switch,
    Terminal,
    Whole,
    parse_parameters,
)
from topologies.services import government, meeting
from topologies.sites import FRANKFURT_POP, LANDING, MILAN_POP, ROME, STARLINK_GATEWAYS, TARANTO

NAME = "starlink-italy"
TITLE = "Italian government on Starlink: Rome and Taranto to a data centre in Rome, via the Milan PoP"

POWERS_OF_TWO = tuple(str(2**exponent) for exponent in range(11))
"""What a kernel filter can select by the low bits of a sequence number."""

RAIN_PERCENT = ("1", "0.1", "0.01")
"""What P.618 says of a year, as in docs/radio.md."""

KEYS = ("manual", "cnsa2", "eu-hybrid", "classic")
"""The profiles of traffic.profiles, and keys made for the run."""

ENCRYPTION = ("overlay", "operator", "both")
"""The hosts' own; the operator's, from terminal to PoP, under which hosts send in the clear; or one in the other."""

ACCESS = ("cgnat", "public", "ipv6")
"""What stands between a user and the Internet: a carrier-grade NAT; or nothing, with public IPv4 or IPv6 addresses."""

HUB = "dc-rome"
"""Where sites that a NAT keeps apart meet: it decrypts and encrypts again."""

TRAFFIC = ("encryption", "access", "esn", "window", "profile", "rekey_s", "generator", "adversary", "adversary_every")
"""Parameters that the traffic package gives meaning."""

PARAMETERS: tuple[Parameter, ...] = (
    Choice("order", "hold", "what a handover does to packets in flight", ("hold", "drop", "reorder")),
    Whole("outage_ms", "20", "how long a handover cuts the user link; only with order=drop", 1, 5_000, OUTAGES_MS),
    Choice("policy", "measured", "how a terminal's satellite is chosen", tuple(POLICIES)),
    Choice("landing", "italy", "where satellites may land", tuple(LANDING)),
    Choice("landing_by", "delay", "which gateway a satellite lands at", ("highest", "delay")),
    Whole("antennas", "52", "percent: how often a gateway has an antenna free for a satellite that would land", 1, 100),
    Losses("lost", "none", "gateways and PoPs out of service, with seconds from the start: gw-foggia@20-40"),
    Choice("fallback", "none", "PoP that takes over when Milan is lost", ("none", "frankfurt")),
    Whole("gso_deg", "0", "least angle between a satellite and the geostationary arc, seen from the ground", 0, 40),
    Whole("beams", "0", "how many of these terminals one satellite serves at most; 0: any number", 0, 100),
    Choice(
        "capacity", "median", "rate of user links: the measured median, or drawn for each slot", ("median", "slots")
    ),
    Whole("load", "0", "percent of the cell that others take beyond the everyday; with capacity=slots", 0, 99),
    Choice("rain", "off", "weather as bad as in this percent of the year; with capacity=slots", ("off", *RAIN_PERCENT)),
    Choice("routing", "plan", "who sets the routes: the plan, or FRR (OSPF) in every router", ("plan", "frr")),
    Choice("domains", "one", "who runs the routers: one for all, or operator, carrier, government", ("one", "three")),
    Choice("encryption", "overlay", "whose: the hosts' own, the operator's (terminal to PoP), or both", ENCRYPTION),
    Choice("access", "cgnat", "how users are reached: behind a NAT, or at public addresses of IPv4 or IPv6", ACCESS),
    Choice("sites", "apart", "whether Rome and Taranto call each other, behind a NAT over the hub", ("apart", "meet")),
    Switch("esn", "on", "extended sequence numbers of ESP (RFC 4303)"),
    Whole("window", "1024", "anti-replay window of ESP, packets", 64, 4_096),
    Choice("profile", "manual", "where keys come from: by hand, or by an exchange with these algorithms", KEYS),
    Whole("rekey_s", "3600", "seconds after which keys are renewed; with a profile other than manual", 1, 86_400),
    Choice("generator", "struct", "what builds the packets; Scapy gets fewer to build", ("struct", "scapy")),
    Choice("adversary", "none", "what an attacker on the path does", ("none", "bitflip", "replay", "plaintext")),
    Choice("adversary_every", "64", "the attacker acts on one packet in this many", POWERS_OF_TWO),
)

MASK_DEG = 25.0
"""Least elevation requested for Starlink's first shell (FCC filings); used for users and gateways."""

USER_UP_BPS = 41_000_000
USER_DOWN_BPS = 282_000_000
"""Medians for Italy (Starlink's public metrics, residential, September 2026)."""

FEEDER_BPS = 1_000_000_000
"""Assumption: a gateway's share for these users; never the bottleneck."""

FIBRE_BPS = 10_000_000_000
"""Assumption: a core fibre's wavelength."""

USER_BUFFER_NS = 80_000_000
"""Assumption: loaded round trips rise by 60 to 100 ms (textbook), so the bottleneck holds 80 ms of its rate."""

CORE_BUFFER_NS = 10_000_000
"""Assumption: buffers elsewhere."""

MINIMUM_ALTITUDE_M = 440_000.0
"""Satellites below serve phones (direct to cell, 335-375 km on 2026-06-14), or are on their way up or down."""

ASSUMPTIONS = (
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "access adds 13.4 ms of round trip in all, 8.3 ms up, 4.1 ms down and 0.5 ms each way at the gateway; it does not "
    "vary from packet to packet",
    "the data centre's access to core fibre adds 0.5 ms one way",
    "feeder links carry 1 Gbit/s, fibre 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "a satellite lands at one gateway at a time and keeps it while it sees it for a whole slot",
    "terminals keep their satellite for whole slots (they stand still and see the sky freely)",
    "there are no laser links, and satellites are not limited by load",
    "satellites below 440 km of mean altitude do not serve broadband terminals",
    "links lose nothing outside handovers and outages",
    "links are made 1 s before their slot and kept 1 s after it",
)

LANDING_ASSUMPTIONS = {
    "highest": "a satellite lands at the gateway that it sees highest when it is first used there",
    "delay": "a satellite lands at the gateway with the least delay to the PoP, fibre included, when it is first used",
}

ROUTING_ASSUMPTIONS = {
    "plan": "routes move at the slot's boundary, everywhere at once",
    "frr": "OSPF in one area, in every router of the domain: hello 1 s, dead 4 s; a link costs its one-way delay when "
    "it first comes up",
}

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

ORDER_ASSUMPTIONS = {
    "hold": "handovers hold: the new path waits until the old one has drained, plus 2 ms for late timers; "
    "packets that wait in a full buffer of the old path may still be overtaken",
    "drop": "handovers drop: the user link is down from the slot's boundary for the declared outage, what is in "
    "flight on it is lost",
    "reorder": "handovers reorder: routes move at the slot's boundary, packets on a shorter new path overtake",
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
    three = values["domains"] == "three"
    drawn = values["capacity"] == "slots"
    if not drawn and (values["rain"] != "off" or values["load"]):
        raise ScenarioError(f"{NAME}: rain and load act on rates drawn for each slot: add -p capacity=slots")
    return Scenario(
        name=NAME,
        title=TITLE,
        terminals=(
            Terminal("rome", ROME, MASK_DEG, USER_UP_BPS, USER_DOWN_BPS),
            Terminal("taranto", TARANTO, MASK_DEG, USER_UP_BPS, USER_DOWN_BPS),
        ),
        gateways=tuple(
            Gateway(f"gw-{site.name}", site, MASK_DEG, tuple(pop.name for pop in pops), FEEDER_BPS, country)
            for site, country in STARLINK_GATEWAYS.items()
        ),
        pops=pops,
        centres=(Centre("dc-rome", ROME, "ce-rome", "pop-milan", Carrier("pe-milan", MILAN_POP) if three else None),),
        pairs=(("rome", "dc-rome"), ("taranto", "dc-rome")),
        minimum_altitude_m=MINIMUM_ALTITUDE_M,
        access=access,
        overheads=Overheads(),
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: (
            *government(duration_ns, "rome", "taranto", "dc-rome", light=values["generator"] == "scapy"),
            *(meeting(duration_ns, "rome", "taranto") if values["sites"] == "meet" else ()),
        ),
        lost=parse_losses(values["lost"]),
        capacity=Capacity(ITALY, values["load"] / 100) if drawn else None,
        rain_percent=None if values["rain"] == "off" else float(values["rain"]),
        routing=values["routing"],
        translated=values["access"] == "cgnat",
        traffic={name: values[name] for name in TRAFFIC} | ({"hub": HUB} if values["sites"] == "meet" else {}),
        parameters=values,
        assumptions=(
            *ASSUMPTIONS,
            *_rules(access, values),
            *_rates(values),
            *ENCRYPTION_ASSUMPTIONS[values["encryption"]],
            *ACCESS_ASSUMPTIONS[values["access"]],
            *((DOMAINS_ASSUMPTIONS[values["routing"]],) if three else ()),
            ORDER_ASSUMPTIONS[values["order"]],
            ROUTING_ASSUMPTIONS[values["routing"]],
        ),
    )


def _refuse(values: dict[str, Any]) -> None:
    """What does not go together; raises ScenarioError."""
    usual = {"encryption": "overlay", "access": "cgnat", "sites": "apart"}
    needed = {
        "encryption": {"routing": "plan", "adversary": "none"},
        "access": {"routing": "plan", "adversary": "none"},
        "sites": {"generator": "struct"},
    }
    for option, others in needed.items():
        for name, only in others.items() if values[option] != usual[option] else ():
            if values[name] != only:
                raise ScenarioError(
                    f"{NAME}: {option}={values[option]} with {name}={values[name]} is refused: use {name}={only}"
                )
    if values["access"] == "ipv6" and values["profile"] != "manual":
        raise ScenarioError(f"{NAME}: access=ipv6 with profile={values['profile']} is refused: use profile=manual")
    if values["encryption"] == "operator" and (values["profile"] != "manual" or values["generator"] != "struct"):
        raise ScenarioError(
            f"{NAME}: encryption=operator has hosts that send in the clear: leave profile and generator out"
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


def _rules(access: Access, values: dict[str, Any]) -> Iterator[str]:
    """What the rules of access assume, as they were asked for."""
    yield f"a terminal gets {POLICIES[access.policy].meaning}, among those that have a way down for the whole slot"
    yield LANDING_ASSUMPTIONS[access.landing_by]
    yield "satellites land " + (f"in {', '.join(access.landing)} alone" if access.landing else "at any gateway known")
    if access.antennas < 1.0:
        yield (
            f"a gateway has an antenna free for a satellite that would land there with a chance of {access.antennas:g} "
            "(52 % is fitted on Italy, docs/delays.md)"
        )
    if access.gso_deg:
        yield f"satellites within {access.gso_deg:g}° of the geostationary arc are not used"
    else:
        yield "the geostationary arc is not avoided"
    if access.beams:
        yield f"a satellite has {access.beams} beams for these terminals; those declared first choose first"
    if values["lost"] != "none":
        yield f"the loss of a gateway or PoP is noticed and mended after {access.detection_ns / 1e9:g} s"


topos = {"starlink_italy": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/starlink_italy.py --topo starlink_italy[,parameter=value…]`."""
