"""One-way delay, component by component.

Propagation alone is wrong by a factor of three: countries next to a PoP and a gateway see 20.8-22 ms to the PoP where
the radio path explains 7 to 9 (Starlink's public metrics, residential, September 2026). What is added to the flight of
the signal is named here; its sum over both directions is the one figure that is fitted (docs/delays.md).

Components: `propagation` (radio), `frame`, `scheduling`, `processing` (user link), `gateway` and `fibre` (gateway to
PoP), `centre access` (PoP to data centre). What changes from slot to slot and within one is in `plan.variation`.
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


FRAME_NS = 1_333_333
"""Starlink's frame, 1/750 s (Humphreys et al., 2022, downlink): a packet is out when its frame is."""


@dataclass(frozen=True)
class Overheads:
    """What a link adds to the flight of the signal, one way.

    Fitted: the sum over both directions, 13.4 ms, on Italy's quantiles; independently 12 to 14 ms are what countries
    next to a PoP and a gateway see beyond their propagation. How it divides is not published. The frame is known;
    processing and gateway are assumed; scheduling is what is left, and divides as the measured jitter does, 4.6 ms up
    and 1.7 ms down (mean absolute IPDV at 100 Hz, eBPF-trace): upwards a grant is awaited.
    """

    scheduling_up_ns: int = 6_720_000
    scheduling_down_ns: int = 2_480_000
    frame_ns: int = FRAME_NS
    processing_ns: int = 250_000  # Assumption: coding and switching in terminal and satellite together
    gateway_ns: int = 500_000  # Assumption: the gateway's radio and routers, booked on its fibre
    centre_access_ns: int = 500_000  # Assumption: 0.5-1 ms per access to core fibre (textbook), the lower end
    fibre_route_factor: float = FIBRE_ROUTE_FACTOR
    fibre_index: float = FIBRE_INDEX

    @property
    def access_up_ns(self) -> int:
        """What the user link adds upwards, ns."""
        return self.scheduling_up_ns + self.frame_ns + self.processing_ns

    @property
    def access_down_ns(self) -> int:
        """What the user link adds downwards, ns."""
        return self.scheduling_down_ns + self.frame_ns + self.processing_ns

    @property
    def round_trip_ns(self) -> int:
        """What is neither radio nor fibre between terminal and PoP, both ways, ns."""
        return self.access_up_ns + self.access_down_ns + 2 * self.gateway_ns


def propagation_ns(range_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Range over the speed of light in vacuum, in whole ns, same shape."""
    return np.rint(range_m / SPEED_OF_LIGHT_M_S * NS_PER_S).astype(np.int64)


def user_link(range_m: NDArray[np.float64], upward: bool, overheads: Overheads) -> Components:
    """Terminal to satellite (`upward`) or back; each component of the shape of `range_m`."""
    propagation = propagation_ns(range_m)
    scheduling_ns = overheads.scheduling_up_ns if upward else overheads.scheduling_down_ns
    return {
        "propagation": propagation,
        "frame": np.full_like(propagation, overheads.frame_ns),
        "scheduling": np.full_like(propagation, scheduling_ns),
        "processing": np.full_like(propagation, overheads.processing_ns),
    }


def feeder_link(range_m: NDArray[np.float64]) -> Components:
    """Satellite to gateway or back."""
    return {"propagation": propagation_ns(range_m)}


def gateway_fibre(gateway: Site, pop: Site, overheads: Overheads) -> Components:
    """Gateway to PoP or back: the gateway's share, and the fibre."""
    return {"gateway": np.asarray(overheads.gateway_ns), "fibre": _fibre_ns(gateway, pop, overheads)}


def carrier_fibre(pop: Site, carrier: Site, overheads: Overheads) -> Components:
    """PoP to a carrier's router or back: fibre alone."""
    return {"fibre": _fibre_ns(pop, carrier, overheads)}


def centre_fibre(pop: Site, centre: Site, overheads: Overheads) -> Components:
    """PoP, or carrier, to data centre or back: fibre, and the centre's access to it."""
    return {"fibre": _fibre_ns(pop, centre, overheads), "centre access": np.asarray(overheads.centre_access_ns)}


def _fibre_ns(a: Site, b: Site, overheads: Overheads) -> NDArray[np.int64]:
    """Great circle x route factor x index / c, in whole ns."""
    route_m = great_circle_m(a, b) * overheads.fibre_route_factor
    return propagation_ns(np.asarray(route_m * overheads.fibre_index))


def total_ns(components: Components) -> NDArray[np.int64]:
    """The one-way delay: the sum of its components, ns."""
    return np.asarray(sum(components.values()), dtype=np.int64)


def breakdown(plan: Plan, nodes: tuple[str, ...], time_ns: int) -> dict[str, dict[str, int]]:
    """What the delay along `nodes` consists of at `time_ns`: link kind to {'propagation': ns, 'overhead': ns}.

    Overhead is what a radio link's range does not explain: access, variation, or a hold at a handover. A fibre's whole
    delay, with the gateway's or the centre's share, counts as propagation; plain links between a host and its router
    cost nothing. Raises PlanError when neighbours share no link.
    """
    index = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    plain = {(lan.host, lan.router) for lan in plan.lans} | {(cable.a, cable.b) for cable in plan.cables}
    plain |= {(b, a) for a, b in plain}
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
