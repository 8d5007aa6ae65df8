"""The Italian government on Starlink: a ministry in Rome and the naval base of Taranto reach a data centre in Rome.

There is no PoP in Rome: all Italian users leave the operator's network in Milan, so Rome to Rome trombones through
Milan. The three gateways stand at Milano, Foggia and Marsala.
"""

from __future__ import annotations

from testbed.emulation.planned import planned_topo
from testbed.plan.delays import Overheads
from testbed.plan.scenario import (
    Access,
    Centre,
    Choice,
    Gateway,
    Parameter,
    Pop,
    Scenario,
    Switch,
    Terminal,
    Whole,
    parse_parameters,
)
from topologies.services import government
from topologies.sites import FOGGIA_GATEWAY, MARSALA_GATEWAY, MILAN_POP, MILANO_GATEWAY, ROME, TARANTO

NAME = "starlink-italy"
TITLE = "Italian government on Starlink: Rome and Taranto to a data centre in Rome, via the Milan PoP"

POWERS_OF_TWO = tuple(str(2**exponent) for exponent in range(11))
"""What a kernel filter can select by the low bits of a sequence number."""

PARAMETERS: tuple[Parameter, ...] = (
    Choice("order", "hold", "what a handover does to packets in flight", ("hold", "drop", "reorder")),
    Whole("outage_ms", "20", "how long a handover cuts the user link; only with order=drop", 1, 5_000),
    Choice("routing", "plan", "who sets the routes: the plan, or FRR (OSPF) in every router", ("plan", "frr")),
    Switch("esn", "on", "extended sequence numbers of ESP (RFC 4303)"),
    Whole("window", "1024", "anti-replay window of ESP, packets", 64, 4_096),
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
    "user links carry 41 Mbit/s up and 282 Mbit/s down (medians for Italy), feeder links 1 Gbit/s, fibre 10 Gbit/s",
    "the user link's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "a satellite lands at one gateway at a time and keeps it while it sees it for a whole slot",
    "a terminal gets the satellite that is highest in mid-slot among those with a gateway in view for the whole slot",
    "satellites are not limited by beams, load or the exclusion of the geostationary arc; there are no laser links",
    "satellites below 440 km of mean altitude do not serve broadband terminals",
    "links lose nothing outside handovers and outages",
    "links are made 1 s before their slot and kept 1 s after it",
)

ROUTING_ASSUMPTIONS = {
    "plan": "routes move at the slot's boundary, everywhere at once",
    "frr": "OSPF in one area, from the terminals to the data centre's edge: hello 1 s, dead 4 s; a link costs its "
    "one-way delay when it first comes up",
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
    return Scenario(
        name=NAME,
        title=TITLE,
        terminals=(
            Terminal("rome", ROME, MASK_DEG, USER_UP_BPS, USER_DOWN_BPS),
            Terminal("taranto", TARANTO, MASK_DEG, USER_UP_BPS, USER_DOWN_BPS),
        ),
        gateways=(
            Gateway("gw-milano", MILANO_GATEWAY, MASK_DEG, "pop-milan", FEEDER_BPS),
            Gateway("gw-foggia", FOGGIA_GATEWAY, MASK_DEG, "pop-milan", FEEDER_BPS),
            Gateway("gw-marsala", MARSALA_GATEWAY, MASK_DEG, "pop-milan", FEEDER_BPS),
        ),
        pops=(Pop("pop-milan", MILAN_POP),),
        centres=(Centre("dc-rome", ROME, "ce-rome", "pop-milan"),),
        pairs=(("rome", "dc-rome"), ("taranto", "dc-rome")),
        minimum_altitude_m=MINIMUM_ALTITUDE_M,
        access=Access(order=values["order"], outage_ns=values["outage_ms"] * 1_000_000),
        overheads=Overheads(),
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: government(
            duration_ns, "rome", "taranto", "dc-rome", light=values["generator"] == "scapy"
        ),
        routing=values["routing"],
        traffic={name: values[name] for name in ("esn", "window", "generator", "adversary", "adversary_every")},
        parameters=values,
        assumptions=(*ASSUMPTIONS, ORDER_ASSUMPTIONS[values["order"]], ROUTING_ASSUMPTIONS[values["routing"]]),
    )


topos = {"starlink_italy": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/starlink_italy.py --topo starlink_italy[,parameter=value…]`."""
