"""The way that packets take by the routes which the daemons have made, node by node as the kernels hold them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import cache

from testbed.emulation import addresses
from testbed.emulation.frr.convergence import Key
from testbed.emulation.wiring import Wiring

Way = tuple[str, ...] | None
"""Nodes from end to end; None where the routes lead nowhere or round in a circle."""


class Ways:
    """Follows routes (IPv4) from one end of a path of the plan to the other."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        plan = wiring.plan
        self._routers = {lan.host: lan.router for lan in plan.lans}
        self._translators = {node.name for node in plan.nodes if node.nat}
        self._owners = {
            str(interface.addresses[0]): node.name
            for node in plan.nodes
            for _, interface in wiring.neighbours(node.name)
        }

    def follow(self, routes: Mapping[Key, str], source: str, destination: str) -> Way:
        """From `source` to `destination`, both hosts, or nodes that have a number."""
        plan = self._wiring.plan
        last = self._routers.get(destination, destination)
        inner = str(self._wiring.address(destination))
        translated = bool(self._translators) and plan.node(destination).inside and not plan.node(source).inside
        way = [source] if source not in self._routers else [source, self._routers[source]]
        while way[-1] != last:
            if way[-1] in self._translators:
                translated = False  # from here on the packet has its inner address
            prefixes = _prefixes(str(addresses.PUBLIC_ADDRESS) if translated else inner)
            held = (routes.get((way[-1], prefix)) for prefix in prefixes)
            gateway = next((gateway for gateway in held if gateway is not None), None)
            following = self._owners.get(gateway) if gateway else None
            if following is None or following in way:
                return None
            way.append(following)
        return tuple(way if last == destination else [*way, destination])


@cache
def _prefixes(address: str) -> tuple[str, ...]:
    """Every prefix of an IPv4 address, the longest first, as a kernel looks them up."""
    return tuple(str(ipaddress.ip_network(f"{address}/{length}", strict=False)) for length in range(32, -1, -1))
