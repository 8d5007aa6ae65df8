"""A carrier's fibre network without satellites: customers behind last miles, hubs, spans between them, and cuts.

    rome ── ce-rome ══ pe-roma ══ pe-firenze ══ … ══ pe-milano ══ ce-dc-milan ── dc-milan
Packets take the way of least delay. A span that is cut goes dark at once; routes move when the carrier has noticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from testbed.ground.constants import FIBRE_INDEX, NS_PER_S
from testbed.ground.errors import PlanError, ScenarioError
from testbed.ground.units import format_utc
from testbed.orbits.sites import Site, great_circle_m
from testbed.plan.cuts import Cut
from testbed.plan.delays import propagation_ns
from testbed.plan.model import STEP_DTYPE, Event, Lan, Link, Node, PathStep, Plan, Route
from testbed.plan.sound import check_names
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.texts import nearest

MARGIN_NS = 2_000_000
"""Assumption: lateness of timers around a change of routes, as at handovers."""


@dataclass(frozen=True)
class Hub:
    """A carrier's router, `pe-<site>`."""

    router: str
    site: Site


@dataclass(frozen=True)
class Customer:
    """A host behind its router, `ce-<name>`, at the end of a last mile to the router `hub`.

    access_ns: what the last mile adds to its fibre, one way.
    """

    host: str
    site: Site
    router: str
    hub: str
    access_ns: int
    up_bps: int
    down_bps: int


@dataclass(frozen=True)
class Terrestrial:
    """A carrier's network and its customers.

    spans: pairs of hubs' routers. pairs: (host, host) whose paths are audited, both ways. route_factor: a fibre's
    length over the great circle. detection_ns: from a cut, or its repair, to the new routes. Raises ScenarioError when
    names are unfit or do not fit together.
    """

    name: str
    title: str
    hubs: tuple[Hub, ...]
    spans: tuple[tuple[str, str], ...]
    customers: tuple[Customer, ...]
    pairs: tuple[tuple[str, str], ...]
    route_factor: float
    core_bps: int
    last_mile_buffer_ns: int
    core_buffer_ns: int
    detection_ns: int
    flows: Callable[[int], tuple[dict[str, Any], ...]]
    cuts: tuple[Cut, ...] = ()
    traffic: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    sovereignty: Sovereignty | None = None

    def __post_init__(self) -> None:
        _check(self)


def terrestrial_plan(asked: Terrestrial, start_ns: int | None, duration_ns: int, seed: int) -> Plan:
    """The plan of the network from `start_ns` on (UTC since 1970; None: now); raises PlanError."""
    if duration_ns <= 0:
        raise PlanError(f"plan of {asked.name}: duration {duration_ns / NS_PER_S:g} s is not positive")
    if start_ns is None:
        start_ns = time.time_ns() // NS_PER_S * NS_PER_S
    network = _Network(asked, duration_ns)
    return Plan(
        topology=asked.name,
        start_ns=start_ns,
        duration_ns=duration_ns,
        satellites=0,
        nodes=tuple(_nodes(asked)),
        links=network.links,
        lans=tuple(Lan(customer.host, customer.router) for customer in asked.customers),
        routes=network.routes(),
        events=network.events(),
        paths=network.paths(),
        steps=network.steps(),
        flows=asked.flows(duration_ns),
        traffic=dict(asked.traffic),
        assumptions=asked.assumptions,
        manifest={
            "topology": asked.name,
            "title": asked.title,
            "start": format_utc(start_ns, 9),
            "duration_ns": duration_ns,
            **({"sovereignty": asdict(asked.sovereignty)} if asked.sovereignty else {}),
            "parameters": dict(asked.parameters),
            "seed": seed,
            "versions": {name: version(name) for name in ("satcom-testbed", "numpy", "scipy")},
        },
    )


class _Network:
    """Links with their delays, and the ways over them from each change of the routes on."""

    def __init__(self, asked: Terrestrial, duration_ns: int) -> None:
        self._asked, self._duration_ns = asked, duration_ns
        sites = {hub.router: hub.site for hub in asked.hubs}
        sites |= {customer.router: customer.site for customer in asked.customers}
        self._numbers = {router: number for number, router in enumerate(sites)}
        self._routers = tuple(sites)
        links, delays_ns, rates_bps = [], [], []
        for a, b in asked.spans:
            for ends in ((a, b), (b, a)):
                links.append(Link(*ends, "fibre", asked.core_bps * asked.core_buffer_ns // (8 * NS_PER_S)))
                delays_ns.append(self._fibre_ns(sites[a], sites[b]))
                rates_bps.append(asked.core_bps)
        for customer in asked.customers:
            a, b = customer.router, customer.hub
            for ends, rate_bps in (((a, b), customer.up_bps), ((b, a), customer.down_bps)):
                links.append(Link(*ends, "fibre", rate_bps * asked.last_mile_buffer_ns // (8 * NS_PER_S)))
                delays_ns.append(self._fibre_ns(sites[a], sites[b]) + customer.access_ns)
                rates_bps.append(rate_bps)
        self.links = tuple(links)
        self._delays_ns, self._rates_bps = delays_ns, rates_bps
        late_ns = asked.detection_ns
        edges = [edge for cut in asked.cuts for edge in (cut.begin_ns, cut.end_ns) if edge is not None]
        self._times = sorted({0, *(edge + late_ns if edge else 0 for edge in edges if edge + late_ns < duration_ns)})
        self._ways = [self._shortest(time_ns) for time_ns in self._times]

    def steps(self) -> NDArray[np.void]:
        """Each link's: one, or one more at each edge of a cut."""
        parts = []
        for number, link in enumerate(self.links):
            gaps = self._gaps(link)
            times = sorted({0, *(edge for gap in gaps for edge in gap if edge < self._duration_ns)})
            steps = np.zeros(len(times), STEP_DTYPE)
            steps["link"], steps["time_ns"] = number, times
            steps["up"] = [not any(begin <= time_ns < end for begin, end in gaps) for time_ns in times]
            steps["delay_ns"], steps["rate_bps"] = self._delays_ns[number], self._rates_bps[number]
            steps["range_m"] = steps["elevation_deg"] = np.nan
            parts.append(steps)
        return np.concatenate(parts)

    def routes(self) -> tuple[Route, ...]:
        """From every router to every host, and what changes later."""
        found: list[Route] = []
        held: dict[tuple[str, str], str] = {}
        for time_ns, ways in zip(self._times, self._ways, strict=True):
            wanted = {
                (router, customer.host): following
                for router in self._routers
                for customer in self._asked.customers
                if (following := next(iter(ways(router, customer.router)[1:]), None)) is not None
            }
            for (node, destination), via in sorted(wanted.items()):
                if held.get((node, destination)) != via:
                    held[node, destination] = via
                    found.append(Route(time_ns, node, destination, via))
        return tuple(found)

    def paths(self) -> tuple[tuple[PathStep, ...], ...]:
        """Of each audited pair, there and back. Where there is no way left the old one stays in force."""
        homes = {customer.host: customer.router for customer in self._asked.customers}
        found = []
        for pair in self._asked.pairs:
            for source, destination in (pair, pair[::-1]):
                steps: list[PathStep] = []
                for time_ns, ways in zip(self._times, self._ways, strict=True):
                    way = ways(homes[source], homes[destination])
                    nodes = (source, *way, destination)
                    if way and (not steps or steps[-1].nodes != nodes):
                        steps.append(PathStep(time_ns, nodes))
                if not steps:
                    raise PlanError(f"plan of {self._asked.name}: no way from {source} to {destination}: cut less")
                found.append(tuple(steps))
        return tuple(found)

    def events(self) -> tuple[Event, ...]:
        """Cuts until the routes have moved, and repairs while they move."""
        flight_ns = sum(self._delays_ns) // 2  # no way uses a link twice: a generous bound of what is on its way
        flight_ns = min(flight_ns, NS_PER_S // 10)
        late_ns = self._asked.detection_ns
        found = []
        for cut in self._asked.cuts:
            detail = {"span": f"{cut.a}-{cut.b}"}
            for node in (f"pe-{cut.a}", f"pe-{cut.b}"):
                if cut.begin_ns < self._duration_ns:
                    window_ns = late_ns + flight_ns + MARGIN_NS
                    found.append(Event(cut.begin_ns, "cut", node, "backbone cut", window_ns, detail))
                if cut.end_ns is not None and cut.end_ns + late_ns < self._duration_ns:
                    begin_ns = cut.end_ns + late_ns
                    found.append(Event(begin_ns, "mended", node, "routes move back", flight_ns + MARGIN_NS, detail))
        return tuple(sorted(found, key=lambda event: (event.time_ns, event.node)))

    def _fibre_ns(self, a: Site, b: Site) -> int:
        route_m = great_circle_m(a, b) * self._asked.route_factor
        return int(propagation_ns(np.asarray(route_m * FIBRE_INDEX)).item())

    def _gaps(self, link: Link) -> list[tuple[int, int]]:
        """When the link is cut."""
        return [
            (cut.begin_ns, self._duration_ns if cut.end_ns is None else cut.end_ns)
            for cut in self._asked.cuts
            if {link.a, link.b} == {f"pe-{cut.a}", f"pe-{cut.b}"}
        ]

    def _shortest(self, time_ns: int) -> Callable[[str, str], tuple[str, ...]]:
        """Ways between routers, from one to the other, as the carrier knows the network at that time; () for none."""
        known_ns = max(time_ns - self._asked.detection_ns, 0)
        whole = [
            number
            for number, link in enumerate(self.links)
            if not any(begin <= known_ns < end for begin, end in self._gaps(link))
        ]
        ends = np.array([[self._numbers[self.links[n].a], self._numbers[self.links[n].b]] for n in whole]).T
        # One way more than its delay, so that of two equal ways the one with fewer links is taken.
        weights = np.array([self._delays_ns[number] for number in whole], np.float64) + 1.0
        graph = csr_matrix((weights, (ends[0], ends[1])), shape=(len(self._routers), len(self._routers)))
        _, before = dijkstra(graph, return_predecessors=True)

        def way(source: str, destination: str) -> tuple[str, ...]:
            origin, nodes = self._numbers[source], [self._numbers[destination]]
            while nodes[-1] != origin:
                if before[origin, nodes[-1]] < 0:
                    return ()
                nodes.append(int(before[origin, nodes[-1]]))
            return tuple(self._routers[number] for number in nodes[::-1])

        return way


def _nodes(asked: Terrestrial) -> Iterator[Node]:
    """Hosts, their routers, the carrier's. Nobody translates addresses."""
    for customer in asked.customers:
        yield _at(customer.host, "host", customer.site)
    for hub in asked.hubs:
        yield _at(hub.router, "router", hub.site)
    for customer in asked.customers:
        yield _at(customer.router, "router", customer.site)


def _at(name: str, role: Any, site: Site) -> Node:
    return Node(name, role, inside=False, latitude_deg=site.latitude_deg, longitude_deg=site.longitude_deg)


def _check(asked: Terrestrial) -> None:
    where = f"topology {asked.name}"
    hubs = [hub.router for hub in asked.hubs]
    hosts = [customer.host for customer in asked.customers]
    routers = [customer.router for customer in asked.customers]
    for prefix, names in (("pe-", hubs), ("ce-", routers)):
        for name in names:
            if not name.startswith(prefix):
                raise ScenarioError(f"{where}: node '{name}' must be named {prefix}<site>")
    check_names(where, [*hosts, *(name.partition("-")[2] for name in [*hubs, *routers])], [*hosts, *hubs, *routers])
    for a, b in [*asked.spans, *((customer.hub, customer.hub) for customer in asked.customers)]:
        for end in (a, b):
            if end not in hubs:
                raise ScenarioError(f"{where}: there is no hub '{end}'{nearest(end, hubs)}; there is {', '.join(hubs)}")
    for pair in asked.pairs:
        if not set(pair) <= set(hosts) or pair[0] == pair[1]:
            raise ScenarioError(f"{where}: audited pair {pair[0]}-{pair[1]} is not two of its hosts")
    spans = {f"{a.removeprefix('pe-')}-{b.removeprefix('pe-')}" for a, b in asked.spans}
    for cut in asked.cuts:
        if not {f"{cut.a}-{cut.b}", f"{cut.b}-{cut.a}"} & spans:
            written = f"{cut.a}-{cut.b}"
            raise ScenarioError(
                f"{where}: no span '{written}' to cut{nearest(written, spans)}; there is {', '.join(sorted(spans))}"
            )
