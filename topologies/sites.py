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

# Others that see satellites over the Mediterranean: the same map. Names are cut to nine characters.
IBI_GATEWAY: Final = Site("ibi", 38.60842, -0.6007)
VILLAREJO_GATEWAY: Final = Site("villarejo", 40.16758, -3.2869)
LEPE_GATEWAY: Final = Site("lepe", 37.255557, -7.236135)
VILLENAVE_GATEWAY: Final = Site("villenave", 44.78096, -0.53738)
USINGEN_GATEWAY: Final = Site("usingen", 50.3298, 8.47082)
AERZEN_GATEWAY: Final = Site("aerzen", 52.060989, 9.328231)
WOLA_GATEWAY: Final = Site("wola", 51.86417, 20.92105)
MUALLIM_GATEWAY: Final = Site("muallim", 40.78875, 29.50939)

STARLINK_GATEWAYS: Final = {
    MILANO_GATEWAY: "IT",
    FOGGIA_GATEWAY: "IT",
    MARSALA_GATEWAY: "IT",
    IBI_GATEWAY: "ES",
    VILLAREJO_GATEWAY: "ES",
    LEPE_GATEWAY: "ES",
    VILLENAVE_GATEWAY: "FR",
    USINGEN_GATEWAY: "DE",
    AERZEN_GATEWAY: "DE",
    WOLA_GATEWAY: "PL",
    MUALLIM_GATEWAY: "TR",
}
"""Each with its country (ISO 3166-1)."""

LANDING: Final = {"italy": ("IT",), "europe": ("DE", "ES", "FR", "IT", "PL"), "any": ()}
"""Rules of landing by word; 'europe' is those member states of the European Union that have a gateway here."""

MILAN_POP: Final = Site("milan", 45.478016, 9.101828)
"""Starlink's PoP mlnnita1: map/pop.json in clarkzjw/starlink-geoip-data."""

FRANKFURT_POP: Final = Site("frankfurt", 50.11967, 8.73463)
"""Starlink's PoP frntdeu1: the same file."""
