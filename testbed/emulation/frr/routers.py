"""A plan's nodes as FRR's routers: who speaks OSPF with whom, and at which cost."""

from __future__ import annotations

import ipaddress
from typing import Final

import numpy as np

from testbed.emulation import addresses
from testbed.emulation.frr.config import CALM, QUICK, Adjacency, Router, cost
from testbed.emulation.frr.domains import speakers
from testbed.emulation.wiring import Wiring
from testbed.plan.model import Plan

_FIRST_IDENTIFIER: Final = ipaddress.IPv4Address("0.0.0.1")
_LOOPBACK: Final = Adjacency("lo", 1, passive=True)
_LAN_COST: Final = 1
_FEW: Final = 20  # routers that keep up with QUICK on one processor, in both families


def routers(wiring: Wiring) -> list[Router]:
    """Every node that forwards. LANs are announced and not spoken on; so is a node's own address, and a PoP's.

    OSPF stays inside a domain; its edge speaks BGP with its neighbours in others. Raises PlanError.
    Nobody sends to the links between routers: the kernels get no routes for these.
    """
    costs = _costs(wiring.plan)
    timers = QUICK if sum(node.role != "host" for node in wiring.plan.nodes) <= _FEW else CALM
    edges = speakers(wiring)
    found = []
    for number, planned in enumerate(wiring.plan.nodes):
        if planned.role == "host":
            continue
        own = [_LOOPBACK] if planned.nat or planned.number is not None else []
        adjacencies = [
            Adjacency(interface.name, costs.get((planned.name, neighbour), _LAN_COST), passive=neighbour in wiring.lans)
            for neighbour, interface in wiring.neighbours(planned.name)
            if wiring.plan.node(neighbour).domain == planned.domain
        ]
        identifier = _FIRST_IDENTIFIER + number
        unrouted, edge = addresses.LINK_NETWORKS, edges.get(planned.name)
        found.append(Router(planned.name, identifier, (*own, *adjacencies), timers, unrouted, edge))
    return found


def _costs(plan: Plan) -> dict[tuple[str, str], int]:
    """By direction: of its delay when it first comes up, or at first where it never does."""
    found = {}
    for number, link in enumerate(plan.links):
        steps = plan.link_steps(number)
        found[link.a, link.b] = cost(int(steps["delay_ns"][np.argmax(steps["up"])]))
    return found
