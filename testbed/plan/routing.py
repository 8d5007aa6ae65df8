"""Routes and paths: which neighbour forwards what, and the way between audited hosts, as the legs change.

Routes are added, never taken back: what an old gateway or satellite still holds carries the packets in flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from testbed.plan.access import Leg, serving
from testbed.plan.losses import pop_at
from testbed.plan.model import PathStep, Route
from testbed.plan.scenario import Scenario

Legs = Sequence[Sequence[Leg]]


def routes(scenario: Scenario, legs: Legs, satellites: Sequence[str]) -> tuple[Route, ...]:
    """All routes at time 0 and what changes at each boundary, ordered by time, then node.

    `satellites`: node names by the legs' satellite index.
    """
    held: dict[tuple[str, str], str] = {}
    found: list[Route] = []
    for time_ns in _times(legs):
        wanted = _fixed(scenario) if time_ns == 0 else {}
        current = [(terminal, serving(its_legs, time_ns)) for terminal, its_legs in enumerate(legs)]
        # What is served has the last word: a terminal in an outage names a satellite that may serve others meanwhile.
        for terminal, leg in sorted(current, key=lambda pair: pair[1].begin_ns <= time_ns):
            if time_ns and not leg.begin_ns <= time_ns < leg.end_ns:
                continue  # its outage: nothing moves
            user, gateway = scenario.terminals[terminal], scenario.gateways[leg.gateway]
            pop = scenario.pops[leg.pop].name
            way = (user.name, *(satellites[satellite] for satellite in leg.chain), gateway.name, pop)
            for below, above in pairwise(way):
                wanted[below, "default"] = above
                wanted[above, user.host] = below
            if len(scenario.pops) > 1:
                wanted |= {(centre.router, user.host): pop for centre in scenario.centres}
        for (node, destination), via in sorted(wanted.items()):
            if held.get((node, destination)) != via:
                held[node, destination] = via
                found.append(Route(time_ns, node, destination, via))
    return tuple(found)


def paths(scenario: Scenario, legs: Legs, satellites: Sequence[str]) -> tuple[tuple[PathStep, ...], ...]:
    """The way of each audited pair, up then down: its nodes at time 0 and at each change."""
    found: list[tuple[PathStep, ...]] = []
    numbers = {terminal.host: number for number, terminal in enumerate(scenario.terminals)}
    centres = {centre.host: centre for centre in scenario.centres}
    for host, centre_host in scenario.pairs:
        its_legs, centre = legs[numbers[host]], centres[centre_host]
        steps: list[PathStep] = []
        for time_ns in _times([its_legs]):
            leg = serving(its_legs, time_ns)
            gateway = scenario.gateways[leg.gateway]
            terminal = scenario.terminals[numbers[host]].name
            chain = (satellites[satellite] for satellite in leg.chain)
            pop = scenario.pops[leg.pop].name
            nodes = (host, terminal, *chain, gateway.name, pop, centre.router, centre.host)
            if not steps or steps[-1].nodes != nodes:
                steps.append(PathStep(time_ns, nodes))
        found.append(tuple(steps))
        found.append(tuple(PathStep(step.time_ns, step.nodes[::-1]) for step in steps))
    return tuple(found)


def _fixed(scenario: Scenario) -> dict[tuple[str, str], str]:
    """Routes of the ground as they are at first: (node, destination) to neighbour. LANs need none."""
    gateways = [scenario.gateways[number] for number in scenario.open_gateways]
    pops = {gateway.name: pop_at(gateway.pops, scenario.lost, 0) or gateway.pops[0] for gateway in gateways}
    fixed = {(gateway, "default"): pop for gateway, pop in pops.items()}
    for centre in scenario.centres:
        fixed |= {(pop.name, centre.host): centre.router for pop in scenario.pops}
        fixed[centre.router, "default"] = centre.pop
    return fixed


def _times(legs: Legs) -> list[int]:
    return sorted({0, *(leg.begin_ns for its_legs in legs for leg in its_legs)})
