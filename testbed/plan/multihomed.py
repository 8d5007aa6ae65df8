"""Several systems at each site: each is planned alone, and their networks meet at the sites' edge routers.

               ┌─ ut-rome ─ satellite ─ gateway ─ pop-milan ─┐
    rome ─ ce-rome ─ vt-rome ─ satellite ─ gateway ─ pop-vigna ─ ce-dc-rome ─ dc-rome
               └─────────── pe-roma ── … ── pe-roma ─────────┘
A plan says how each system behaves and which is preferred. Which one carries is chosen in the run, by measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from testbed.ground.errors import PlanError, ScenarioError
from testbed.plan.model import Cable, Lan, Node, PathStep, Plan, Route, Uplink
from testbed.plan.scenario import Scenario
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.terrestrial import Terrestrial

MOST_SYSTEMS = 3
"""A host has an address for each in its LAN, a /29 (`testbed.emulation.addresses`)."""


@dataclass(frozen=True)
class Part:
    """One of the systems, by the name that reports use. terminal: what its terminals' names begin with."""

    system: str
    asked: Scenario | Terrestrial
    terminal: str = "ut"


@dataclass(frozen=True)
class Multihomed:
    """Sites with several systems; `parts` in order of preference, all with the same hosts.

    pairs: (site's host, centre's host) between which a system is chosen, each way apart. Each host stands behind its
    edge router, `ce-<host>`. flows: as in Scenario; those of the parts are left out. Raises ScenarioError.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    pairs: tuple[tuple[str, str], ...]
    flows: Callable[[int], tuple[dict[str, Any], ...]]
    traffic: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    sovereignty: Sovereignty | None = None

    def __post_init__(self) -> None:
        where = f"topology {self.name}"
        names = [part.system for part in self.parts]
        if not 2 <= len(set(names)) == len(names) <= MOST_SYSTEMS:
            raise ScenarioError(f"{where}: systems {', '.join(names)}: it takes two or three, each named once")
        for part in self.parts:
            if isinstance(part.asked, Scenario) and part.asked.translated:
                raise ScenarioError(
                    f"{where}: {part.system} translates addresses, and a site keeps its own over all systems: "
                    "declare it with translated=False"
                )
            if _hosts(part) != _hosts(self.parts[0]):
                raise ScenarioError(f"{where}: {part.system} and {names[0]} do not serve the same hosts")
            if set(self.pairs) - set(part.asked.pairs):
                raise ScenarioError(f"{where}: {part.system} does not audit all of its pairs")


def edge(host: str) -> str:
    """The name of a host's edge router."""
    return f"ce-{host}"


def merged(asked: Multihomed, plans: Sequence[Plan]) -> Plan:
    """The plan of all systems together, from those of its parts, in their order; raises PlanError."""
    parts = [_renamed(part, plan) for part, plan in zip(asked.parts, plans, strict=True)]
    hosts = _hosts(asked.parts[0])
    uplinks = tuple(uplink for host in hosts for part in asked.parts for uplink in _uplinks(part, host))
    events = chain.from_iterable(plan.events for plan in parts)
    links = tuple(chain.from_iterable(plan.links for plan in parts))
    if len({(link.a, link.b) for link in links}) != len(links):
        raise PlanError(f"plan of {asked.name}: two systems have a link between the same nodes")
    first = next((plan for plan in parts if "catalogue" in plan.manifest), parts[0])
    return Plan(
        topology=asked.name,
        start_ns=first.start_ns,
        duration_ns=first.duration_ns,
        satellites=sum(plan.satellites for plan in parts),
        nodes=tuple(_nodes(parts, hosts)),
        links=links,
        lans=tuple(Lan(host, edge(host)) for host in hosts),
        cables=tuple(Cable(one.router, one.via) for one in uplinks if _is_terminal(parts, one.via)),
        uplinks=uplinks,
        routes=tuple(_routes(parts, uplinks)),
        events=tuple(sorted(events, key=lambda one: (one.time_ns, one.node))),
        paths=tuple(chain.from_iterable(_paths(plan, asked.pairs) for plan in parts)),
        steps=_steps(parts),
        flows=asked.flows(first.duration_ns),
        traffic=dict(asked.traffic),
        warnings=tuple(dict.fromkeys(chain.from_iterable(plan.warnings for plan in parts))),
        assumptions=(*asked.assumptions, *_assumptions(asked, parts)),
        manifest={
            **first.manifest,
            "topology": asked.name,
            "title": asked.title,
            **({"sovereignty": asdict(asked.sovereignty)} if asked.sovereignty else {}),
            "parameters": dict(asked.parameters),
            "systems": {
                part.system: {
                    name: plan.manifest[name]
                    for name in ("title", "sovereignty", "catalogue", "overheads", "parameters")
                    if name in plan.manifest
                }
                for part, plan in zip(asked.parts, parts, strict=True)
            },
        },
    )


def _hosts(part: Part) -> list[str]:
    """Sites' hosts first, then the centres'."""
    asked = part.asked
    if isinstance(asked, Terrestrial):
        return [customer.host for customer in asked.customers]
    return [*(terminal.host for terminal in asked.terminals), *(centre.host for centre in asked.centres)]


def _uplinks(part: Part, host: str) -> Iterator[Uplink]:
    asked = part.asked
    if isinstance(asked, Terrestrial):
        vias = {customer.host: customer.hub for customer in asked.customers}
    else:
        vias = {terminal.host: f"{part.terminal}-{terminal.host}" for terminal in asked.terminals}
        vias |= {centre.host: centre.pop for centre in asked.centres}
    yield Uplink(host, edge(host), part.system, vias[host])


def _renamed(part: Part, plan: Plan) -> Plan:
    """The part's plan with its own names for terminals, and with all routers of hosts as edges."""
    if isinstance(part.asked, Terrestrial):
        plan = _in_use(plan)
    names = {lan.router: edge(lan.host) for lan in plan.lans}
    if isinstance(part.asked, Scenario):
        names |= {terminal.name: f"{part.terminal}-{terminal.host}" for terminal in part.asked.terminals}

    def of(name: str) -> str:
        return names.get(name, name)

    return replace(
        plan,
        nodes=tuple(replace(node, name=of(node.name)) for node in plan.nodes),
        links=tuple(replace(link, a=of(link.a), b=of(link.b)) for link in plan.links),
        lans=tuple(replace(lan, router=of(lan.router)) for lan in plan.lans),
        routes=tuple(replace(route, node=of(route.node), via=of(route.via)) for route in plan.routes),
        events=tuple(replace(event, node=of(event.node)) for event in plan.events),
        paths=tuple(
            tuple(replace(step, nodes=tuple(of(name) for name in step.nodes)) for step in path) for path in plan.paths
        ),
    )


def _in_use(plan: Plan) -> Plan:
    """The plan without those of the carrier's routers that never forward anything between its hosts."""
    used = {node for path in plan.paths for step in path for node in step.nodes}
    used |= {name for lan in plan.lans for name in (lan.host, lan.router)}
    while following := {route.via for route in plan.routes if route.node in used} - used:
        used |= following
    kept = [number for number, link in enumerate(plan.links) if {link.a, link.b} <= used]
    parts = [plan.link_steps(number).copy() for number in kept]
    for number, part in enumerate(parts):
        part["link"] = number
    return replace(
        plan,
        nodes=tuple(node for node in plan.nodes if node.name in used),
        links=tuple(plan.links[number] for number in kept),
        routes=tuple(route for route in plan.routes if route.node in used),
        steps=np.concatenate(parts),
    )


def _is_terminal(parts: Sequence[Plan], name: str) -> bool:
    return any(node.name == name and node.role == "terminal" for plan in parts for node in plan.nodes)


def _nodes(parts: Sequence[Plan], hosts: Sequence[str]) -> Iterator[Node]:
    """Hosts, their edges, then each system's own."""
    known = {node.name: node for plan in reversed(parts) for node in plan.nodes}
    for host in hosts:
        yield replace(known[host], inside=False)
    for host in hosts:
        yield replace(known[host], name=edge(host), role="router", inside=False)
    done = {*hosts, *(edge(host) for host in hosts)}
    for plan in parts:
        for node in plan.nodes:
            if node.name not in done:
                done.add(node.name)
                yield node


def _steps(parts: Sequence[Plan]) -> Any:
    """All steps, the links numbered on from part to part."""
    shifted, begin = [], 0
    for plan in parts:
        steps = plan.steps.copy()
        steps["link"] += begin
        begin += len(plan.links)
        shifted.append(steps)
    return np.concatenate(shifted)


def _routes(parts: Sequence[Plan], uplinks: Sequence[Uplink]) -> list[Route]:
    """Each system's own, the terminals' to their edges, and the edges' as they are at first: over what is preferred."""
    edges = {uplink.router for uplink in uplinks}
    found = [route for plan in parts for route in plan.routes if route.node not in edges]
    found += [Route(0, one.via, one.host, one.router) for one in uplinks if _is_terminal(parts, one.via)]
    preferred = {uplink.host: uplink for uplink in reversed(uplinks)}
    for host, uplink in preferred.items():
        found += [Route(0, uplink.router, other, uplink.via) for other in preferred if other != host]
    return sorted(found, key=lambda route: (route.time_ns, route.node, route.destination))


def _paths(plan: Plan, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[PathStep, ...]]:
    """A system's ways between the pairs, there and back, over the edges."""
    wanted = {*pairs, *(pair[::-1] for pair in pairs)}
    for path in plan.paths:
        if (path[0].nodes[0], path[0].nodes[-1]) in wanted:
            yield tuple(replace(step, nodes=tuple(_over_edges(step.nodes))) for step in path)


def _over_edges(nodes: tuple[str, ...]) -> list[str]:
    found = list(nodes)
    if found[1] != edge(nodes[0]):
        found.insert(1, edge(nodes[0]))
    if found[-2] != edge(nodes[-1]):
        found.insert(-1, edge(nodes[-1]))
    return found


def _assumptions(asked: Multihomed, parts: Sequence[Plan]) -> Iterator[str]:
    """What all systems assume once, the rest with the system's name."""
    everywhere = set.intersection(*(set(plan.assumptions) for plan in parts))
    yield from dict.fromkeys(line for plan in parts for line in plan.assumptions if line in everywhere)
    for part, plan in zip(asked.parts, parts, strict=True):
        yield from (f"{part.system}: {line}" for line in plan.assumptions if line not in everywhere)
