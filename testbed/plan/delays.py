"""One-way delay, component by component.

Propagation alone is wrong by a factor of three: countries next to a PoP and a gateway see 20.8-22 ms to the PoP where
the radio path explains 7 to 9 (Starlink's public metrics, residential, September 2026). The rest is framing,
scheduling and processing, here one fixed figure on the user link.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import FIBRE_INDEX, FIBRE_ROUTE_FACTOR, NS_PER_S, SPEED_OF_LIGHT_M_S
from testbed.ground.errors import PlanError
from testbed.orbits.sites import Site, great_circle_m
from testbed.plan.model import Plan

Components = dict[str, NDArray[np.int64]]
"""Name of a component to its share of the one-way delay in whole ns; shape () or (n_times,). Their sum is the delay."""


@dataclass(frozen=True)
class Overheads:
    """What a link adds to the flight of the signal.

    Access is 12 to 14 ms of round trip in all: medians of countries next to a PoP and a gateway (20.8-22 ms) less their
    propagation. Processing in the satellite and the gateway is inside that figure.
    """

    access_up_ns: int = 8_000_000  # Assumption: 13 ms in all, the larger part upwards, where a grant is awaited
    access_down_ns: int = 5_000_000  # Assumption: the rest
    centre_access_ns: int = 500_000  # Assumption: 0.5-1 ms per access to core fibre (textbook), the lower end
    fibre_route_factor: float = FIBRE_ROUTE_FACTOR
    fibre_index: float = FIBRE_INDEX


def propagation_ns(range_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Range over the speed of light in vacuum, in whole ns, same shape."""
    return np.rint(range_m / SPEED_OF_LIGHT_M_S * NS_PER_S).astype(np.int64)


def user_link(range_m: NDArray[np.float64], upward: bool, overheads: Overheads) -> Components:
    """Terminal to satellite (`upward`) or back; the whole access overhead is booked here."""
    access_ns = overheads.access_up_ns if upward else overheads.access_down_ns
    propagation = propagation_ns(range_m)
    return {"propagation": propagation, "access": np.full_like(propagation, access_ns)}


def feeder_link(range_m: NDArray[np.float64]) -> Components:
    """Satellite to gateway or back."""
    return {"propagation": propagation_ns(range_m)}


def gateway_fibre(gateway: Site, pop: Site, overheads: Overheads) -> Components:
    """Gateway to PoP or back: great circle x route factor x index / c."""
    route_m = great_circle_m(gateway, pop) * overheads.fibre_route_factor
    return {"fibre": propagation_ns(np.asarray(route_m * overheads.fibre_index))}


def centre_fibre(pop: Site, centre: Site, overheads: Overheads) -> Components:
    """PoP to data centre or back: fibre, and the centre's access to it."""
    return {**gateway_fibre(pop, centre, overheads), "centre access": np.asarray(overheads.centre_access_ns)}


def total_ns(components: Components) -> NDArray[np.int64]:
    """The one-way delay: the sum of its components, ns."""
    return np.asarray(sum(components.values()), dtype=np.int64)


def breakdown(plan: Plan, nodes: tuple[str, ...], time_ns: int) -> dict[str, dict[str, int]]:
    """What the delay along `nodes` consists of at `time_ns`: link kind to {'propagation': ns, 'overhead': ns}.

    Overhead is what a radio link's range does not explain: access, or a hold at a handover. A fibre's whole delay
    counts as propagation; plain links between a host and its router cost nothing. Raises PlanError when neighbours
    share no link.
    """
    index = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    plain = {(lan.host, lan.router) for lan in plan.lans} | {(lan.router, lan.host) for lan in plan.lans}
    parts: dict[str, dict[str, int]] = {}
    for hop in pairwise(nodes):
        if hop in plain:
            continue
        if hop not in index:
            raise PlanError(f"plan of {plan.topology}: no link {hop[0]}→{hop[1]}")
        steps = plan.link_steps(index[hop])
        step = steps[np.searchsorted(steps["time_ns"], time_ns, side="right") - 1]
        part = parts.setdefault(plan.links[index[hop]].kind, {"propagation": 0, "overhead": 0})
        flight_ns = int(step["delay_ns"]) if np.isnan(step["range_m"]) else int(propagation_ns(step["range_m"]))
        part["propagation"] += flight_ns
        part["overhead"] += int(step["delay_ns"]) - flight_ns
    return parts
