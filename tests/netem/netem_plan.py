"""Small plans written by hand, for the tests that play one on a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from testbed.plan.model import STEP_DTYPE, Kind, Lan, Link, Node, Plan, Route

RATE_BPS = 100_000_000
BUFFER_BYTES = 100_000

Steps = Sequence[tuple[int, bool, int]]
"""Of one link and direction: from when on (ns), up or not, one-way delay (ns)."""


def hand_made(
    nodes: Iterable[Node],
    lans: Mapping[str, str],
    steps: Mapping[tuple[str, str], Steps],
    routes: Iterable[tuple[int, str, str, str]],
    duration_ns: int,
) -> Plan:
    """A plan of these links and routes (from when on, node, destination, via); `lans` from host to router."""
    nodes = tuple(nodes)
    roles = {node.name: node.role for node in nodes}
    rows = [
        (number, time_ns, up, delay_ns, RATE_BPS, 0.0, np.nan, np.nan)
        for number, link_steps in enumerate(steps.values())
        for time_ns, up, delay_ns in link_steps
    ]
    return Plan(
        topology="by-hand",
        start_ns=0,
        duration_ns=duration_ns,
        satellites=sum(role == "satellite" for role in roles.values()),
        nodes=nodes,
        links=tuple(Link(a, b, _kind({roles[a], roles[b]}), BUFFER_BYTES) for a, b in steps),
        lans=tuple(Lan(host, router) for host, router in lans.items()),
        routes=tuple(Route(*route) for route in sorted(routes)),
        events=(),
        paths=(),
        steps=np.array(rows, STEP_DTYPE),
    )


def _kind(roles: set[str]) -> Kind:
    if "terminal" in roles:
        return "user"
    return "feeder" if "satellite" in roles else "fibre"
