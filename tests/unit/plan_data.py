"""What the plan's tests share: small constellations, scenarios, and a packet that walks through a plan by itself."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from orbit_data import START_NS
from sgp4.api import WGS72, Satrec

import topologies.starlink_italy
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.build import build_plan
from testbed.plan.model import Link, Plan, Route
from testbed.plan.scenario import Scenario

MS = 1_000_000
S = 1_000_000_000


def italy(mask_deg: float | None = None, gateway_mask_deg: float | None = None, **parameters: str) -> Scenario:
    """The Italian scenario, other masks if given; unless asked, nothing is drawn: the highest satellite serves."""
    scenario = topologies.starlink_italy.scenario(**{"policy": "highest", "antennas": "100", **parameters})
    if mask_deg is not None:
        scenario = replace(scenario, terminals=tuple(replace(t, mask_deg=mask_deg) for t in scenario.terminals))
    if gateway_mask_deg is not None:
        scenario = replace(scenario, gateways=tuple(replace(g, mask_deg=gateway_mask_deg) for g in scenario.gateways))
    return scenario


@cache
def dense() -> Catalogue:
    """A shell that always has satellites over Italy."""
    return walker_catalogue([Shell("A", 550e3, 53.0, 40, 24, 19)], START_NS, "built-in: dense")


@cache
def sparse() -> Catalogue:
    """A high and thin shell: satellites stay, gateways change under them, sometimes there is no satellite."""
    return walker_catalogue([Shell("A", 1_200e3, 53.0, 10, 10, 5)], START_NS, "built-in: sparse")


def falling(catalogue: Catalogue, count: int) -> Catalogue:
    """The catalogue with its first satellites replaced by some that SGP4 cannot propagate for a month."""
    satrecs = list(catalogue.satrecs)
    for index in range(count):
        satrecs[index] = Satrec()
        satrecs[index].sgp4init(WGS72, "i", index + 1, 27_922.25, 0.5, 0.0, 0.0, 0.001, 0.0, 0.9, 0.0, 0.0715, 0.0)
    return replace(catalogue, satrecs=tuple(satrecs))


@cache
def small_plan(order: str = "hold") -> Plan:
    """A minute over the dense shell."""
    return build_plan(italy(order=order), dense(), START_NS, 60 * S)


def steps_between(plan: Plan, a: str, b: str) -> NDArray[np.void]:
    """The steps of link a→b."""
    return plan.link_steps([(link.a, link.b) for link in plan.links].index((a, b)))


def walk(
    links: Sequence[Link],
    steps: NDArray[np.void],
    routes: Iterable[Route],
    packets: Iterable[tuple[int, str, str, str]],
) -> list[int | None]:
    """When each packet arrives, None for the lost, as a network would have it that plays this plan.

    A packet is (sent_ns, node, destination, last node). Each node asks the routes in force when the packet is there;
    each link is a queue, first in, first out; a link that is down takes nothing.
    """
    numbers = {(link.a, link.b): number for number, link in enumerate(links)}
    rows = [steps[steps["link"] == number] for number in range(len(links))]
    times = [row["time_ns"].tolist() for row in rows]
    tables: dict[tuple[str, str], tuple[list[int], list[str]]] = {}
    for route in routes:
        since, via = tables.setdefault((route.node, route.destination), ([], []))
        since.append(route.time_ns)
        via.append(route.via)
    queue = [(sent, number, node) for number, (sent, node, _, _) in enumerate(packets)]
    goals = [(destination, end) for _, _, destination, end in packets]
    arrivals: list[int | None] = [None] * len(queue)
    last_ns, hops = [0] * len(links), [0] * len(queue)
    heapq.heapify(queue)
    while queue:
        now, packet, node = heapq.heappop(queue)
        destination, end = goals[packet]
        if node == end:
            arrivals[packet] = now
            continue
        since, vias = tables.get((node, destination)) or tables[node, "default"]
        via = vias[bisect_right(since, now) - 1]
        link = numbers[node, via]
        row = rows[link][bisect_right(times[link], now) - 1]
        hops[packet] += 1
        assert hops[packet] < 40, f"a packet for {destination} goes in circles at {node}"
        if row["up"]:
            last_ns[link] = max(last_ns[link], now + int(row["delay_ns"]))
            heapq.heappush(queue, (last_ns[link], packet, via))
    return arrivals


def overtaken(arrivals: Sequence[int | None]) -> int:
    """How many packets, given in sending order, arrive before one that was sent earlier."""
    got = np.array([arrival for arrival in arrivals if arrival is not None])
    return int(np.count_nonzero(got < np.maximum.accumulate(got))) if len(got) else 0
