"""The Italian Navy in the wider Mediterranean: three frigates, a patrol aircraft and three bases, headquarters in Rome.

Satellites pass packets on over lasers and land in Italy alone: in the Red Sea no gateway is in view, and in the Levant
seldom an Italian one.
"""

from __future__ import annotations

from dataclasses import replace
from math import atan2, cos, degrees, radians, sin
from typing import Final

from testbed.emulation.planned import planned_topo
from testbed.ground.errors import ScenarioError
from testbed.orbits.lasers import Lasers
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Track, Waypoint
from testbed.plan.delays import Overheads
from testbed.plan.denial import parse_denials
from testbed.plan.jamming import parse_jam
from testbed.plan.losses import NO_LOSS, parse_losses
from testbed.plan.scenario import (
    Access,
    Backup,
    Centre,
    Choice,
    Parameter,
    Pop,
    Scenario,
    Terminal,
    parse_parameters,
)
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.texts import Text
from topologies.common import (
    CORE_BUFFER_NS,
    DENIED,
    FIBRE_BPS,
    HANDOVER,
    LASERS,
    LOST,
    ORDER_ASSUMPTIONS,
    POLICY,
    ROUTING_ASSUMPTIONS,
    TRAFFIC,
    USER_BUFFER_NS,
    access_rules,
    denial_rule,
    gateways,
    lasers_rule,
    traffic_of,
)
from topologies.geo_milsat import LOWEST_M
from topologies.geo_milsat import OVERHEADS as GEO_OVERHEADS
from topologies.geo_milsat import USER_DOWN_BPS as GEO_DOWN_BPS
from topologies.geo_milsat import USER_UP_BPS as GEO_UP_BPS
from topologies.services import Flow, bulk, military, secure_voice
from topologies.sites import (
    AUGUSTA,
    LA_SPEZIA,
    LANDING,
    MILAN_POP,
    SANTA_ROSA,
    STARLINK_GATEWAYS,
    TARANTO,
    VIGNA_DI_VALLE,
)
from topologies.starlink_italy import MASK_DEG, MINIMUM_ALTITUDE_M, USER_DOWN_BPS, USER_UP_BPS
from topologies.threats import ATTACK

NAME = "mediterranean"
TITLE = "Italian Navy on Starlink: frigates, a patrol aircraft and bases to headquarters in Rome, landing in Italy"

PARAMETERS: tuple[Parameter, ...] = (
    *HANDOVER,
    replace(POLICY, default="least-handover"),
    Choice("landing", "italy", "where satellites may land", tuple(LANDING)),
    replace(LASERS, default="on"),
    LOST,
    DENIED,
    Choice("fallback", "geo", "what ships have where Starlink does not serve them: SICRAL in GEO", ("geo", "none")),
    Text("jamming", NO_LOSS, "user links in the Levant lose packets", "none|light|medium|heavy@BEGIN_S[-END_S]"),
    *TRAFFIC,
)

JAMMED: Final = Site("levant", 34.00, 32.50)
JAMMED_M: Final = 400_000.0
"""Assumption: where jamming is met, and how far it reaches from there."""

CRUISE_KN: Final = 15.0
"""A FREMM frigate's cruising speed, 15 to 16 knots (textbook)."""

PATROL_KN: Final = 250.0
"""Assumption: a maritime patrol aircraft on station."""

PATROL_HEIGHT_M: Final = 6_000.0
"""Assumption: its height."""

FLEET: Final = (
    # Taranto to Lampedusa and the Gulf of Sirte, from off Lampedusa on
    Track(
        "frigate-w",
        (Waypoint(35.40, 12.70), Waypoint(33.50, 18.00), Waypoint(37.00, 18.50), Waypoint(40.40, 17.15)),
        CRUISE_KN,
        turn="back",
    ),
    # Augusta to Crete and the Levant, from the Levant on
    Track(
        "frigate-e",
        (Waypoint(34.00, 32.50), Waypoint(34.00, 25.00), Waypoint(37.20, 15.30)),
        CRUISE_KN,
        turn="back",
    ),
    # Suez to the Red Sea, from 20° north on
    Track(
        "frigate-s",
        (Waypoint(20.00, 38.50), Waypoint(27.50, 34.00), Waypoint(29.80, 32.50)),
        CRUISE_KN,
        turn="back",
    ),
    # Sigonella to the Gulf of Sirte and back, over Lampedusa
    Track(
        "patrol",
        (
            Waypoint(37.40, 14.92, PATROL_HEIGHT_M),
            Waypoint(33.50, 18.00, PATROL_HEIGHT_M),
            Waypoint(35.50, 12.60, PATROL_HEIGHT_M),
        ),
        PATROL_KN,
        kind="aircraft",
        turn="loop",
    ),
)
"""Assumption: straight between areas named in the press; each begins at the far end."""

RED_SEA: Final = "frigate-s"
"""Sees no gateway from where it sails."""

LEAVES_AT: Final = 0.3
"""Assumption: a ship leaves Starlink for GEO where jamming takes this share of its packets: 'medium' or 'heavy'."""

GEO: Final = Backup(
    constellation=("sicral",),
    from_m=LOWEST_M,
    hosts=tuple(one.name for one in FLEET if one.kind == "ship"),
    gateway="gw-vigna",
    overheads=GEO_OVERHEADS,
    up_bps=GEO_UP_BPS,
    down_bps=GEO_DOWN_BPS,
    leaves_at=LEAVES_AT,
)
"""SICRAL as in `geo-milsat`. Assumption: ships alone have an antenna for it."""

GEO_ASSUMPTIONS: Final = {
    "geo": (
        "ships that Starlink does not serve, that it denies, or that lose 30 % of their packets or more to jamming, "
        "change to SICRAL in GEO, which is not jammed, and back with the next slot in which they could; noticing takes "
        "1 s, a change 2 s without service",
        "over GEO a ship has 2 Mbit/s up and 8 down, and modem and processing add 90 ms of round trip; all of it comes "
        "down at Vigna di Valle",
    ),
    "none": ("there is no way over GEO to fall back to",),
}

BASES: Final = (TARANTO, LA_SPEZIA, AUGUSTA)

MARITIME_UP_BPS = 47_000_000
MARITIME_DOWN_BPS = 259_000_000
"""Medians of the maritime cell 0-30E 30-60N (Starlink's public metrics, October 2025)."""

CENTRE = "hq-rome"

SOVEREIGNTY = Sovereignty(
    landing="Italy; with landing=europe or any also where those gateways stand",
    operator="SpaceX",
    jurisdiction="United States",
    keys="the government end to end; the operator for its own links, lasers included",
    off="SpaceX, by account or by area; the United States by its law; terminals rely on satellite navigation",
)

ASSUMPTIONS = (
    "ships keep 15 knots and the aircraft 250 on straight tracks; each begins at the far end of its own",
    "ships and the aircraft see the sky freely and may change satellites inside slots, looked at every 5 s",
    "user links carry the medians, whatever the weather: 47 Mbit/s up and 259 down at sea and in the air, 41 and 282 "
    "at the bases",
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "access adds 13.4 ms of round trip in all, fitted on fixed users in Italy; it does not vary from packet to packet",
    "the headquarters' access to core fibre adds 0.5 ms one way",
    "feeder links carry 1 Gbit/s, fibre and lasers 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "satellites below 440 km of mean altitude do not serve broadband terminals",
    "satellites are not limited by load; links lose nothing outside handovers and outages",
)


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    try:
        jams = parse_jam(values["jamming"], JAMMED, JAMMED_M)
    except ValueError as error:
        raise ScenarioError(f"{NAME}: parameter jamming='{values['jamming']}' {error}") from None
    access = Access(
        order=values["order"],
        outage_ns=values["outage_ms"] * 1_000_000,
        policy=values["policy"],
        landing_by="delay",
        landing=LANDING[values["landing"]],
    )
    meshed, geo = values["lasers"], values["fallback"] == "geo"
    afloat = [one for one in FLEET if meshed or geo or one.name != RED_SEA]
    fleet = [Terminal(one.name, one, MASK_DEG, MARITIME_UP_BPS, MARITIME_DOWN_BPS, bound=False) for one in afloat]
    bases = [Terminal(site.name, site, MASK_DEG, USER_UP_BPS, USER_DOWN_BPS) for site in BASES]
    return Scenario(
        name=NAME,
        title=TITLE,
        terminals=(*fleet, *bases),
        gateways=(
            *gateways(STARLINK_GATEWAYS, MASK_DEG, ("pop-milan",)),
            *(gateways({VIGNA_DI_VALLE: "IT"}, MASK_DEG, ("pop-vigna",)) if geo else ()),
        ),
        pops=(Pop("pop-milan", MILAN_POP), *((Pop("pop-vigna", VIGNA_DI_VALLE),) if geo else ())),
        centres=(Centre(CENTRE, SANTA_ROSA, "ce-rome", "pop-milan"),),
        pairs=tuple((one.host, CENTRE) for one in (*fleet, *bases)),
        minimum_altitude_m=MINIMUM_ALTITUDE_M,
        access=access,
        overheads=Overheads(),
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: tuple(
            flow
            for flow in flows(duration_ns, light=values["generator"] == "scapy")
            if meshed or geo or RED_SEA not in (flow["src"], flow["dst"])
        ),
        lost=parse_losses(values["lost"]),
        denied=parse_denials(values["denied"]),
        jams=jams,
        backup=GEO if geo else None,
        lasers=Lasers() if meshed else None,
        traffic=traffic_of(values),
        parameters=values,
        assumptions=(
            *ASSUMPTIONS,
            *access_rules(access, values["lost"]),
            *denial_rule(values, access.detection_ns),
            lasers_rule(on=meshed),
            *GEO_ASSUMPTIONS[values["fallback"]],
            *(() if meshed or geo else ("the frigate in the Red Sea has no way without lasers and is left out",)),
            *(
                f"jamming takes {jam.loss:.0%} of the packets, both ways, of user links within 400 km of 34°N 32.5°E"
                for jam in jams
            ),
            ORDER_ASSUMPTIONS[values["order"]],
            ROUTING_ASSUMPTIONS["plan"],
        ),
        sovereignty=SOVEREIGNTY,
    )


def flows(duration_ns: int, *, light: bool = False) -> tuple[Flow, ...]:
    """Orders and a sensor's stream of each of the fleet, tracks of ships (AIS), a call with the frigate in the Levant,
    reports of the bases: 234 packets/s; `light`: no streams and half of the call, 72, for Scapy."""
    forces = [
        flow
        for one in FLEET
        for flow in military(duration_ns, one.name, CENTRE, _begin(one))
        if (one.kind == "ship" or flow["kind"] != "track") and (not light or flow["rate_pps"] <= 4)
    ]
    call = (
        secure_voice("call-frigate-e-up", "frigate-e", CENTRE, duration_ns),
        *(() if light else (secure_voice("call-frigate-e-down", CENTRE, "frigate-e", duration_ns),)),
    )
    reports = [bulk(f"report-{base.name}", base.name, CENTRE, 1 if light else 5, duration_ns) for base in BASES]
    return (*forces, *call, *reports)


def _begin(track: Track) -> str:
    """Where a track begins, as `traffic.messages` writes it: latitude, longitude, course, speed."""
    here, there = track.waypoints[:2]
    east = radians(there.longitude_deg - here.longitude_deg)
    from_north, to_north = radians(here.latitude_deg), radians(there.latitude_deg)
    ahead = cos(from_north) * sin(to_north) - sin(from_north) * cos(to_north) * cos(east)
    course_deg = degrees(atan2(sin(east) * cos(to_north), ahead)) % 360.0  # of the great circle, at its beginning
    return f"{here.latitude_deg:g} {here.longitude_deg:g} {course_deg:.0f} {track.speed_kn:g}"


TRIALS = {
    "attack": ATTACK,
    "gateway lost": {"lost": "gw-foggia@8"},
    "jamming": {"jamming": "heavy@8-18"},
    "operator denies": {"denied": f"area:{JAMMED.latitude_deg:g},{JAMMED.longitude_deg:g},{JAMMED_M / 1e3:g}@8-16"},
}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"mediterranean": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/mediterranean.py --topo mediterranean[,parameter=value…]`."""
