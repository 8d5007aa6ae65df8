"""The Italian government on a carrier's fibre, without satellites: the same sites, last miles, a backbone that is cut.

The backbone is drawn as two coasts and what joins them, so that every cut but an island's leaves a way round.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.emulation.planned import planned_topo
from testbed.orbits.sites import Site, great_circle_m
from testbed.plan.cuts import Cuts, parse_cuts
from testbed.plan.scenario import Choice, Parameter, parse_parameters
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.terrestrial import Customer, Hub, Terrestrial
from topologies.common import CORE_BUFFER_NS, FIBRE_BPS, TRAFFIC, USER_BUFFER_NS, traffic_of
from topologies.government import SITES, WORKLOAD, users
from topologies.government import WORKLOADS as WORKLOADS
from topologies.threats import ATTACK, POSITION

NAME = "terrestrial"
TITLE = "Italian government on a carrier's fibre: Rome and Taranto to a data centre in Rome, no satellites"

LAST_MILES: Final = {
    "fibre": (500_000, 1_000_000_000, 1_000_000_000),
    "ftth": (1_000_000, 300_000_000, 1_000_000_000),
    "fwa": (15_000_000, 20_000_000, 100_000_000),
}
"""What the last mile adds one way, ns, and its rates up and down, bit/s. Textbook: an access to core fibre 0.5 to 1 ms,
FTTH 1 to 3 ms and FWA or 4G 20 to 40 ms of round trip, of which the middles. Assumption: the rates."""

PARAMETERS: tuple[Parameter, ...] = (
    SITES,
    Choice("last_mile", "fibre", "how sites reach the carrier; data centres have fibre", tuple(LAST_MILES)),
    Cuts("cut", "none", "spans of the backbone that are cut, with seconds from the start: bologna-firenze@20-40"),
    *WORKLOAD,
    *(replace(one, default="fibre", choices=("fibre",)) if one is POSITION else one for one in TRAFFIC),
)

HUBS: Final = (
    Site("torino", 45.07, 7.69),
    Site("milano", 45.46, 9.19),
    Site("venezia", 45.44, 12.33),
    Site("genova", 44.41, 8.93),
    Site("bologna", 44.49, 11.34),
    Site("pisa", 43.72, 10.40),
    Site("firenze", 43.77, 11.26),
    Site("pescara", 42.46, 14.21),
    Site("roma", 41.90, 12.49),
    Site("napoli", 40.85, 14.27),
    Site("bari", 41.12, 16.87),
    Site("taranto", 40.47, 17.24),
    Site("cagliari", 39.22, 9.11),
    Site("palermo", 38.12, 13.36),
)
"""Assumption: a router of the carrier in each of these cities."""

SPANS: Final = (
    "torino-milano torino-genova milano-genova milano-venezia milano-bologna venezia-bologna bologna-firenze "
    "genova-pisa pisa-firenze pisa-roma firenze-roma bologna-pescara roma-pescara pescara-bari roma-napoli "
    "napoli-bari napoli-taranto bari-taranto napoli-palermo roma-cagliari cagliari-palermo"
)
"""Assumption: carriers publish no maps; along the coasts and motorways, and by sea to the islands."""

ROUTE_FACTOR: Final = 1.4
"""Assumption: a span over its great circle, so that Rome to Milan, three spans, is 1.5 times its own, as core fibre is
(textbook)."""

DETECTION_NS: Final = 1_000_000_000
"""Assumption: from a cut to the new routes, an interior gateway protocol without fast reroute."""

SOVEREIGNTY = Sovereignty(
    landing="Italy",
    operator="the carrier; which one is not said",
    jurisdiction="Italy",
    keys="the government",
    off="the carrier, under Italian law",
)

ASSUMPTIONS = (
    "the backbone is drawn: 14 hubs, 21 spans along the coasts, the motorways and by sea; carriers publish no maps",
    "a span is 1.4 times its great circle, so that Rome to Milan is 1.5 times its own, at a group index of 1.468",
    "data centres have an access of 0.5 ms one way and 1 Gbit/s; spans carry 10 Gbit/s",
    "routes move 1 s after a cut and 1 s after its repair, everywhere at once, to the way of least delay",
    "the last mile's best-effort buffer holds 80 ms of its rate, other buffers 10 ms",
    "fibres lose nothing, and their delay does not vary",
    "an attacker, if there is one, stands where the carrier's fibre enters a data centre",
)


def scenario(**parameters: str) -> Terrestrial:
    """The network with these parameters, as written by people; raises ScenarioError."""
    values = parse_parameters(NAME, PARAMETERS, parameters)
    asked = users(values["sites"])
    access_ns, up_bps, down_bps = LAST_MILES[values["last_mile"]]
    sites = [_customer(host, site, access_ns, up_bps, down_bps) for host, site in asked.places.items()]
    centres = [_customer(host, site, *LAST_MILES["fibre"]) for host, (site, _) in asked.centres.items()]
    return Terrestrial(
        name=NAME,
        title=asked.title(TITLE),
        hubs=tuple(Hub(f"pe-{site.name}", site) for site in HUBS),
        spans=tuple((f"pe-{a}", f"pe-{b}") for a, b in (span.split("-") for span in SPANS.split())),
        customers=(*sites, *centres),
        pairs=asked.pairs,
        route_factor=ROUTE_FACTOR,
        core_bps=FIBRE_BPS,
        last_mile_buffer_ns=USER_BUFFER_NS,
        core_buffer_ns=CORE_BUFFER_NS,
        detection_ns=DETECTION_NS,
        flows=lambda duration_ns: asked.workload(values, duration_ns),
        cuts=parse_cuts(values["cut"]),
        traffic=traffic_of(values),
        parameters=values,
        assumptions=(
            *ASSUMPTIONS,
            f"a site's last mile ({values['last_mile']}) adds {access_ns / 1e6:g} ms one way and carries "
            f"{up_bps / 1e6:g} Mbit/s up, {down_bps / 1e6:g} Mbit/s down",
        ),
        sovereignty=SOVEREIGNTY,
    )


def _customer(host: str, site: Site, access_ns: int, up_bps: int, down_bps: int) -> Customer:
    """Behind the nearest hub."""
    hub = min(HUBS, key=lambda hub: great_circle_m(hub, site))
    return Customer(host, site, f"ce-{host}", f"pe-{hub.name}", access_ns, up_bps, down_bps)


TRIALS = {"attack": ATTACK, "backbone cut": {"cut": "roma-napoli@8-18"}}
"""What `testbed compare` tries, each in a run of 30 s."""

topos = {"terrestrial": lambda **parameters: planned_topo(scenario, **parameters)}
"""For `mn --custom topologies/terrestrial.py --topo terrestrial[,parameter=value…]`."""
