"""The government's sites and what they run, the same over every system: two of them, or twelve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from testbed.orbits.sites import Site
from testbed.plan.scenario import Carrier, Centre, Choice, Parameter, Terminal
from topologies import sites
from topologies.internet import INTERNET, internet
from topologies.services import SERVICES, Flow, bulk
from topologies.services import services as offered

SITES: Final = Choice(
    "sites",
    "two",
    "who takes part: Rome and Taranto, or twelve ministries, forces and prefectures",
    ("two", "twelve"),
)

WORKLOAD: Final[tuple[Parameter, ...]] = (SERVICES, INTERNET)
"""Parameters that say what runs (`Users.workload`)."""

WORKLOADS: Final[Mapping[str, Mapping[str, str]]] = {
    "government": {"services": "government"},
    "basic": {},
    "pages": {"internet": "web"},
}
"""What `testbed compare --workload` knows, in these parameters."""

DATA_CENTRES: Final[Mapping[str, tuple[Site, str]]] = {
    "dc-rome": (sites.ROME, "ce-rome"),
    "dc-milan": (sites.MILAN, "ce-milan"),
}
"""Host to its place and its router."""

_TITLES: Final = ("Rome and Taranto to a data centre in Rome", "twelve sites to data centres in Rome and Milan")
"""In a topology's title: two, twelve."""

_TWO: Final = (sites.ROME, sites.TARANTO)
_NORTH: Final = (sites.TORINO, sites.VENEZIA, sites.GENOVA, sites.BOLOGNA)
_SOUTH: Final = (sites.FIRENZE, sites.NAPOLI, sites.PALERMO, sites.CAGLIARI)
_REPORT_PPS: Final = 5
"""Assumption: what a prefecture sends all the time, packets/s."""


@dataclass(frozen=True)
class Users:
    """Who takes part. places: by host, which is the site's name. centres: host to its place and its router."""

    places: Mapping[str, Site]
    centres: Mapping[str, tuple[Site, str]]
    pairs: tuple[tuple[str, str], ...]

    def title(self, title: str) -> str:
        """A topology's title, which speaks of two, made to speak of these."""
        return title if len(self.places) == len(_TWO) else title.replace(*_TITLES)

    def terminals(self, mask_deg: float, up_bps: int, down_bps: int) -> tuple[Terminal, ...]:
        """Each place behind a terminal of its own."""
        return tuple(Terminal(host, site, mask_deg, up_bps, down_bps) for host, site in self.places.items())

    def behind(self, pop: str, carrier: Carrier | None = None) -> tuple[Centre, ...]:
        """The data centres, reached from that PoP."""
        return tuple(Centre(host, site, router, pop, carrier) for host, (site, router) in self.centres.items())

    def workload(self, values: Mapping[str, Any], duration_ns: int) -> tuple[Flow, ...]:
        """What a topology's values of WORKLOAD and `generator` ask for."""
        return (
            *self.flows(duration_ns, services=values["services"], light=values["generator"] == "scapy"),
            *internet(values["internet"], "rome", "dc-rome", duration_ns),
        )

    def flows(self, duration_ns: int, *, services: str = "basic", light: bool = False) -> tuple[Flow, ...]:
        """Calls and documents of Rome and Taranto, and beyond them a thin stream up from every pair; 350 packets/s or
        400. `services`: of the parameter of that name. `light`: what Scapy can build."""
        main = offered(services, duration_ns, "rome", "taranto", "dc-rome", light=light)
        rate_pps = 1 if light else _REPORT_PPS
        return (
            *main,
            *(
                bulk(f"report-{host}-{centre.removeprefix('dc-')}", host, centre, rate_pps, duration_ns)
                for host, centre in self.pairs
                if host not in ("rome", "taranto") or centre != "dc-rome"
            ),
        )


def users(word: str) -> Users:
    """Those of the parameter `sites`: 'two' or 'twelve'."""
    if word == "two":
        return Users(
            {site.name: site for site in _TWO},
            {"dc-rome": DATA_CENTRES["dc-rome"]},
            tuple((site.name, "dc-rome") for site in _TWO),
        )
    rome = (*_TWO, sites.DEFENCE, sites.INTELLIGENCE, *_SOUTH)
    pairs = [(site.name, "dc-rome") for site in rome]
    pairs += [(site.name, "dc-milan") for site in (sites.ROME, *_NORTH)]
    return Users({site.name: site for site in (*rome, *_NORTH)}, DATA_CENTRES, tuple(pairs))
