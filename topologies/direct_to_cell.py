"""Phones that reach satellites directly: after an earthquake at Amatrice, in Rome, and in a boat on the Ionian Sea.

The low shell alone serves them, 335 to 375 km, one beam for a whole region. It passes packets on over lasers to the
main fleet, which lands at the Italian gateways. Terrestrial cells are gone from the start, or at a given second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from testbed.emulation.planned import planned_topo
from testbed.ground.constants import NS_PER_S
from testbed.orbits.horizon import Horizon
from testbed.orbits.lasers import Lasers
from testbed.orbits.sites import Site
from testbed.plan.delays import Overheads
from testbed.plan.denial import parse_denials
from testbed.plan.losses import Loss, parse_losses
from testbed.plan.scenario import (
    Access,
    Cell,
    Centre,
    Parameter,
    Pop,
    Scenario,
    Switch,
    Terminal,
    Whole,
    parse_parameters,
)
from testbed.plan.sovereignty import Sovereignty
from topologies.common import (
    CORE_BUFFER_NS,
    DENIAL,
    DENIED,
    FEEDER_BPS,
    FIBRE_BPS,
    HANDOVER,
    LOST,
    ORDER_ASSUMPTIONS,
    ROUTING_ASSUMPTIONS,
    TRAFFIC,
    access_rules,
    denial_rule,
    gateways,
    traffic_of,
)
from topologies.services import EARTHQUAKE, JUDGED, Flow, emergency, sms, unjudged
from topologies.sites import AMATRICE, IONIAN, MILAN_POP, ROME, STARLINK_GATEWAYS

NAME = "direct-to-cell"
TITLE = "Phones directly on satellites: Amatrice after an earthquake, Rome and the Ionian Sea to the civil protection"

PARAMETERS: tuple[Parameter, ...] = (
    *HANDOVER,
    Whole("sharing", "8", "phones that share a beam evenly", 1, 80),
    Switch("terrain", "on", "mountains around Amatrice"),
    Switch("lasers", "on", "links between satellites; without them a satellite must see phone and gateway"),
    Whole("cells_lost", "0", "second at which the terrestrial cells are lost; 0: before the start", 0, 86_400),
    LOST,
    DENIED,
    JUDGED,
    *TRAFFIC,
)

CEILING_M = 440_000.0
"""Satellites below serve phones: 335 to 375 km on 2026-06-14 (CelesTrak elements)."""

MASK_DEG = 25.0
"""Least elevation for gateways (FCC filings). Assumption: also for phones, outdoors; none are served indoors."""

BEAM_DOWN_BPS = 4_000_000
"""Of a whole beam, outdoors: field estimate of arXiv 2506.00283."""

BEAM_UP_BPS = 1_200_000
"""Assumption: of a whole beam; up to 7.2 Mbit/s are promised, phones send with 0.2 W."""

BEAM_BUFFER_NS = 500_000_000
"""Assumption: what a phone's share sends in this time waits for it; at 150 kbit/s that are six full packets."""

OVERHEADS = Overheads(scheduling_up_ns=40_000_000, scheduling_down_ns=20_000_000, frame_ns=1_000_000)
"""Assumption: LTE's scheduling adds 40 ms up, where a grant is awaited, and 20 ms down (20 to 40 in textbooks), its
subframe 1 ms; idle round trips of 60 to 150 ms are expected."""

TERRAIN = {
    True: "mountains hide satellites below 28 to 32° in two sectors at Amatrice",
    False: "no mountains hide satellites",
}

VALLEY = Horizon(((40.0, 140.0, 32.0), (200.0, 300.0, 28.0)))
"""Assumption: the Laga mountains east of Amatrice and those to the south-west, drawn as steep as a phone between houses
has them."""

LASERS = 5
"""Assumption: four for the +grid of its shell and one for another shell; Starlink's have three or four."""

CELL = Cell("", AMATRICE, MASK_DEG, ("pop-milan",), FEEDER_BPS, "IT", 18_000_000, 12_000_000, 10_000_000, 30_000_000)
"""A base station. Assumption: its radio adds 30 ms of round trip (20 to 40 in textbooks for 4G), more of it upwards,
and a phone gets 10 Mbit/s up and 30 down."""

CELLS = {"amatrice": Site("cell-am", 42.63, 13.29, 955.0), "rome": Site("cell-rm", 41.90, 12.49)}
"""Assumption: where the two phones ashore have one; off the Ionian coast there is none."""

CELLS_LOST = "terrestrial cells are gone: phones have satellites alone, outdoors"

WARNING = replace(
    EARTHQUAKE,
    headline="IT-alert ESERCITAZIONE: terremoto ad Amatrice.",
    area="Amatrice e comuni vicini",
    polygon=((42.8, 13.1), (42.8, 13.5), (42.5, 13.5), (42.5, 13.1), (42.8, 13.1)),
)
"""An exercise made up for the testbed."""

CENTRE = "alarm"
"""The civil protection's operations room in Rome."""

SOVEREIGNTY = Sovereignty(
    landing="Italy",
    operator="SpaceX, with the spectrum of an Italian mobile operator",
    jurisdiction="United States for the satellites, Italy for the mobile operator",
    keys="the mobile operator for the radio link; the government end to end",
    off="SpaceX, by account or by area; the mobile operator its spectrum",
)

ASSUMPTIONS = (
    "satellites below 440 km serve phones, all others pass packets on",
    "a beam carries 4 Mbit/s down (field estimate) and 1.2 Mbit/s up, shared evenly",
    "LTE adds 63.5 ms of round trip in all, and the gateway 0.5 ms each way; it does not vary from packet to packet",
    "phones keep a satellite until it falls below their mask or terrain, looked at every 5 s",
    "the mobile operator's core stands at the PoP in Milan: its share of the delay is in LTE's",
    "fibre routes are 1.5 times the great circle, at a group index of 1.468",
    "feeder links carry 1 Gbit/s, fibre 10 Gbit/s; a phone's best-effort buffer holds 500 ms of its rate, others 10",
    "an alert goes to each phone by itself, as cell broadcast pages; on radio all phones would hear the same",
    "an SMS spends no time in a message centre",
    "links lose nothing outside handovers and outages",
)


def scenario(**parameters: str) -> Scenario:
    """The scenario with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    access = Access(
        order=values["order"],
        outage_ns=values["outage_ms"] * 1_000_000,
        policy="least-handover",
        landing_by="delay",
        landing=("IT",),
    )
    up_bps, down_bps = BEAM_UP_BPS // values["sharing"], BEAM_DOWN_BPS // values["sharing"]
    lost_s = values["cells_lost"]
    cells = {host: replace(CELL, name=f"gw-{site.name}", site=site) for host, site in CELLS.items() if lost_s}
    horizons = {AMATRICE.name: VALLEY} if values["terrain"] else {}
    return Scenario(
        name=NAME,
        title=TITLE,
        terminals=tuple(
            Terminal(
                site.name,
                site,
                MASK_DEG,
                up_bps,
                down_bps,
                bound=False,
                horizon=horizons.get(site.name),
                cell=cells[site.name].name if site.name in cells else "",
            )
            for site in (AMATRICE, ROME, IONIAN)
        ),
        gateways=(*gateways(STARLINK_GATEWAYS, MASK_DEG, ("pop-milan",)), *cells.values()),
        pops=(Pop("pop-milan", MILAN_POP),),
        centres=(Centre(CENTRE, ROME, "ce-rome", "pop-milan"),),
        pairs=tuple((site.name, CENTRE) for site in (AMATRICE, ROME, IONIAN)),
        minimum_altitude_m=0.0,
        maximum_altitude_m=CEILING_M,
        access=access,
        overheads=OVERHEADS,
        fibre_bps=FIBRE_BPS,
        user_buffer_ns=BEAM_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        flows=lambda duration_ns: flows(duration_ns, judged=values["judged"], light=values["generator"] == "scapy"),
        constellation=("starlink-2026",),
        lost=(*parse_losses(values["lost"]), *(Loss(cell.name, lost_s * NS_PER_S) for cell in cells.values())),
        denied=parse_denials(values["denied"]),
        lasers=Lasers(terminals=LASERS, cross_shell=True) if values["lasers"] else None,
        traffic=traffic_of(values),
        parameters=values,
        assumptions=(
            *_cells_rule(lost_s),
            *ASSUMPTIONS,
            f"{values['sharing']} phones share a beam: {up_bps / 1e3:g} kbit/s up and {down_bps / 1e3:g} down for each",
            TERRAIN[values["terrain"]],
            *access_rules(access, values["lost"]),
            *denial_rule(values, access.detection_ns),
            ORDER_ASSUMPTIONS[values["order"]],
            ROUTING_ASSUMPTIONS["plan"],
        ),
        sovereignty=SOVEREIGNTY,
    )


def _cells_rule(lost_s: int) -> Iterator[str]:
    """What is assumed of terrestrial cells."""
    if not lost_s:
        yield CELLS_LOST
        return
    yield (
        "phones at Amatrice and in Rome are on terrestrial cells, 30 ms of round trip and 10 Mbit/s up, 30 down, until "
        f"all cells are lost at second {lost_s}; the boat has none"
    )
    yield "a phone notices the loss of its cell after 1 s and takes 2 s more to be on a satellite; its address stays"


def flows(duration_ns: int, *, judged: bool = False, light: bool = False) -> tuple[Flow, ...]:
    """A call from Amatrice, SMS of every phone and back, the alert to all: 124 packets/s; `light`: 68, for Scapy."""
    phones = ("amatrice", "rome", "ionian")
    found = emergency(duration_ns, phones, CENTRE, callers=("amatrice",), what=WARNING)
    if light:
        found = tuple(flow for flow in found if flow["name"] != "call-amatrice-down")
    else:
        answer = "Ricevuto, i soccorsi arrivano."
        found += tuple(sms(f"reply-{phone}", CENTRE, phone, 2, answer, duration_ns) for phone in phones)
    return found if judged else unjudged(found)


TRIALS = {"cells lost": {"cells_lost": "8"}, "operator denies": DENIAL}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"direct_to_cell": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/direct_to_cell.py --topo direct_to_cell[,parameter=value…]`."""
