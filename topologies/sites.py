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

# Government sites beyond Rome and Taranto. Assumption: cities' centres, to two decimals, as maps show them.
DEFENCE: Final = Site("defence", 41.91, 12.49)
INTELLIGENCE: Final = Site("intel", 41.89, 12.51)
TORINO: Final = Site("torino", 45.07, 7.69)
VENEZIA: Final = Site("venezia", 45.44, 12.33)
GENOVA: Final = Site("genova", 44.41, 8.93)
BOLOGNA: Final = Site("bologna", 44.49, 11.34)
FIRENZE: Final = Site("firenze", 43.77, 11.26)
NAPOLI: Final = Site("napoli", 40.85, 14.27)
PALERMO: Final = Site("palermo", 38.12, 13.36)
CAGLIARI: Final = Site("cagliari", 39.22, 9.11)
MILAN: Final = Site("milan", 45.46, 9.19)

# Ground stations of Italy. Assumption: space centres that could serve a national system, as maps show them.
FUCINO_GATEWAY: Final = Site("fucino", 41.98, 13.60)
LARIO_GATEWAY: Final = Site("lario", 46.16, 9.41)
SCANZANO_GATEWAY: Final = Site("scanzano", 37.91, 13.37)
MATERA_GATEWAY: Final = Site("matera", 40.65, 16.70)

# Teleports of the companies behind IRIS². Assumption: where its gateways stand is not published.
BETZDORF_GATEWAY: Final = Site("betzdorf", 49.68, 6.33)
RAMBOUILLET_GATEWAY: Final = Site("rambouil", 48.55, 1.78)
ARGANDA_GATEWAY: Final = Site("arganda", 40.31, -3.45)

NATIONAL_GATEWAYS: Final = {FUCINO_GATEWAY: "IT", LARIO_GATEWAY: "IT", SCANZANO_GATEWAY: "IT", MATERA_GATEWAY: "IT"}
EUROPEAN_GATEWAYS: Final = {
    FUCINO_GATEWAY: "IT",
    LARIO_GATEWAY: "IT",
    BETZDORF_GATEWAY: "LU",
    RAMBOUILLET_GATEWAY: "FR",
    ARGANDA_GATEWAY: "ES",
}

VIGNA_DI_VALLE: Final = Site("vigna", 42.08, 12.21)
"""Assumption: SICRAL's control centre, on Lake Bracciano, as maps show it."""

ROME_POP: Final = Site("rome", 41.90, 12.49)
"""Assumption: where a system of Italy or of Europe hands over to the government's network."""

# People with phones. Assumption: the town's centre; a fishing boat in the Ionian Sea.
AMATRICE: Final = Site("amatrice", 42.63, 13.29, 955.0)
IONIAN: Final = Site("ionian", 37.0, 18.5)

# The Navy's. Assumption: positions as maps show them.
SANTA_ROSA: Final = Site("santarosa", 41.99, 12.38)
"""The Navy's headquarters at Rome."""
LA_SPEZIA: Final = Site("spezia", 44.10, 9.83)
AUGUSTA: Final = Site("augusta", 37.23, 15.22)
