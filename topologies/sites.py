"""Places that topologies share: WGS-84 degrees, and where each position comes from."""

from __future__ import annotations

from typing import Final

from testbed.orbits.sites import Site

ROME: Final = Site("rome", 41.90, 12.49)
"""A ministry in Rome: the city's centre, to two decimals."""

TARANTO: Final = Site("taranto", 40.44, 17.21)
"""Assumption: the naval base Mar Grande at Taranto, as maps show it."""

# Starlink's three Italian gateways: unofficial community map of 2023-10-10, in
# nitindermohan/multifaceted-starlink-performance.
MILANO_GATEWAY: Final = Site("milano", 45.318522, 9.187329)
FOGGIA_GATEWAY: Final = Site("foggia", 41.50823, 15.58648)
MARSALA_GATEWAY: Final = Site("marsala", 37.794324, 12.493115)

MILAN_POP: Final = Site("milan", 45.478016, 9.101828)
"""Starlink's PoP mlnnita1: map/pop.json in clarkzjw/starlink-geoip-data."""
