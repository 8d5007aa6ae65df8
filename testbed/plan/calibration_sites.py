"""Data of the calibration: gateways, PoPs, towns and measured medians, nothing that is computed.

Towns: centres to two decimals (about 1 km). In Italy every region's capital and further cities, so that they lie as
the population does; elsewhere the larger cities, spread over the country.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from testbed.orbits.sites import Site

Towns = tuple[Site, ...]


@dataclass(frozen=True)
class Country:
    """A country whose users were measured.

    pops: where they leave the network; of several, each town takes the nearest. median_ms: published round trip from
    user to PoP (Starlink's public metrics, residential, September 2026).
    """

    name: str
    pops: tuple[str, ...]
    towns: Towns
    median_ms: float


def _towns(text: str) -> Towns:
    """'name latitude longitude, …' as sites."""
    words = [part.split() for part in text.split(",")]
    return tuple(Site(name, float(latitude), float(longitude)) for name, latitude, longitude in words)


GATEWAYS: Final = (
    # Unofficial community map of 2023-10-10, in nitindermohan/multifaceted-starlink-performance.
    Site("milano", 45.318522, 9.187329),
    Site("foggia", 41.50823, 15.58648),
    Site("marsala", 37.794324, 12.493115),
    Site("ibi", 38.60842, -0.6007),
    Site("villarejo", 40.16758, -3.2869),
    Site("lepe", 37.255557, -7.236135),
    Site("villenave", 44.78096, -0.53738),
    Site("usingen", 50.3298, 8.47082),
    Site("aerzen", 52.060989, 9.328231),
    Site("wola", 51.86417, 20.92105),
    Site("muallim", 40.78875, 29.50939),
    # Assumption: a gateway beside each PoP that has none on this list, because the others have one within 45 km (Milan,
    # Frankfurt, Madrid). London's are on the map, but not on this list; of one at Sofia nothing is published.
    Site("x-sofia", 42.702735, 23.306259),
    Site("x-london", 51.51154, -0.00289),
)

ASSUMED_GATEWAYS: Final = ("x-sofia", "x-london")
"""Those that no source names."""

POPS: Final = {
    # map/pop.json in clarkzjw/starlink-geoip-data.
    "milan": Site("milan", 45.478016, 9.101828),
    "frankfurt": Site("frankfurt", 50.11967, 8.73463),
    "madrid": Site("madrid", 40.433899, -3.62408),
    "london": Site("london", 51.51154, -0.00289),
    "sofia": Site("sofia", 42.702735, 23.306259),
}

ITALY_QUANTILES_MS: Final = {0.2: 24.5, 0.5: 28.0, 0.8: 31.8}
"""Over Italian customers: fast fifth, median, slow fifth of the round trip to the PoP (the same metrics)."""

ITALY: Final = Country(
    "Italy",
    ("milan",),  # all five RIPE Atlas probes: atlas/active_probes.csv in clarkzjw/starlink-geoip-data
    _towns(
        "torino 45.07 7.69, cuneo 44.39 7.55, aosta 45.74 7.32, milano 45.46 9.19, bergamo 45.69 9.67, "
        "brescia 45.54 10.22, sondrio 46.17 9.87, genova 44.41 8.93, laspezia 44.10 9.82, trento 46.07 11.12, "
        "bolzano 46.50 11.35, verona 45.44 10.99, venezia 45.44 12.33, belluno 46.14 12.22, udine 46.06 13.24, "
        "trieste 45.65 13.78, bologna 44.49 11.34, parma 44.80 10.33, rimini 44.06 12.57, firenze 43.77 11.25, "
        "grosseto 42.76 11.11, perugia 43.11 12.39, ancona 43.62 13.52, roma 41.90 12.49, latina 41.47 12.90, "
        "laquila 42.35 13.40, campobass 41.56 14.66, napoli 40.85 14.27, salerno 40.68 14.77, potenza 40.64 15.80, "
        "foggia 41.46 15.54, bari 41.12 16.87, taranto 40.47 17.24, lecce 40.35 18.17, cosenza 39.30 16.25, "
        "reggio 38.11 15.65, palermo 38.12 13.36, catania 37.50 15.09, agrigento 37.31 13.58, cagliari 39.22 9.12, "
        "sassari 40.73 8.56"
    ),
    28.0,
)

COUNTRIES: Final = (
    Country(
        "Greece",
        ("sofia",),  # three probes: atlas/active_probes.csv
        _towns(
            "athens 37.98 23.73, thessalon 40.64 22.94, patras 38.25 21.73, heraklion 35.34 25.13, "
            "larissa 39.64 22.42, ioannina 39.66 20.85, rhodes 36.44 28.22"
        ),
        22.9,
    ),
    Country(
        "Malta",
        ("sofia",),  # seven of eight reverse names of its subnets: geoip/geoip-latest.json, the same repository
        _towns("valletta 35.90 14.51, mosta 35.91 14.43, victoria 36.04 14.24"),
        32.6,
    ),
    Country(
        "Croatia",
        ("milan",),  # all IPv4 subnets that have a reverse name, the same file
        _towns(
            "zagreb 45.81 15.98, split 43.51 16.44, rijeka 45.33 14.44, osijek 45.55 18.69, zadar 44.12 15.23, "
            "dubrovnik 42.65 18.09"
        ),
        23.8,
    ),
    Country(
        "France",
        ("london", "frankfurt", "madrid", "milan"),  # three, one, one and one probe: atlas/active_probes.csv
        _towns(
            "paris 48.86 2.35, marseille 43.30 5.37, lyon 45.76 4.84, toulouse 43.60 1.44, nantes 47.22 -1.55, "
            "lille 50.63 3.06, strasburg 48.57 7.75, bordeaux 44.84 -0.58, rennes 48.11 -1.68, limoges 45.83 1.26, "
            "dijon 47.32 5.04"
        ),
        27.9,
    ),
    Country(
        "Slovenia",
        ("milan",),  # all IPv4 subnets that have a reverse name: geoip/geoip-latest.json
        _towns("ljubljana 46.05 14.51, maribor 46.56 15.65, koper 45.55 13.73, celje 46.23 15.26"),
        28.9,
    ),
    Country(
        "Albania",
        ("sofia",),  # all subnets that have a reverse name, the same file
        _towns("tirana 41.33 19.82, vlore 40.47 19.49, shkoder 42.07 19.51, korce 40.62 20.78"),
        22.8,
    ),
    Country(
        "Bulgaria",
        ("sofia",),  # one probe: atlas/active_probes.csv
        _towns(
            "sofia 42.70 23.32, plovdiv 42.14 24.75, varna 43.21 27.91, burgas 42.50 27.47, ruse 43.85 25.95, "
            "pleven 43.42 24.61"
        ),
        22.1,
    ),
    Country(
        "Germany",
        ("frankfurt",),  # eleven probes: atlas/active_probes.csv
        _towns(
            "berlin 52.52 13.40, hamburg 53.55 9.99, munich 48.14 11.58, cologne 50.94 6.96, frankfurt 50.11 8.68, "
            "stuttgart 48.78 9.18, leipzig 51.34 12.37, hanover 52.37 9.73, nuremberg 49.45 11.08, "
            "rostock 54.09 12.14, freiburg 48.00 7.85"
        ),
        26.1,
    ),
)
"""Countries whose medians are predicted; nothing was fitted on them."""
