"""Built-in constellations, as data.

Sizes, altitudes and inclinations of STARLINK_2026 are the observed ones of 2026-06-14 (CelesTrak elements, 10,544
satellites, of which the 700 that were rising, falling or spare are left out). Altitudes are the medians of the
semi-major axis less the equatorial radius. Plane counts are not published. Assumption: A, C, D, G and H have as many
planes as the strongest harmonic of the observed nodes; B has four times the 28 that its three altitudes share; E and F
keep their spacing within a plane or the number of their planes. planes × per_plane then comes within 4 % of the
observed size. Real shells have gaps and are drawn here as whole.

Assumption: in every shell of which the phasing is unknown, neighbouring planes are half a slot apart (F = planes // 2),
as in Hypatia (Kassing et al., IMC 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.orbits.geostationary import Slot
from testbed.orbits.walker import Shell


@dataclass(frozen=True)
class Preset:
    """A built-in constellation. `assumption`: what of it nobody has published."""

    title: str
    source: str
    shells: tuple[Shell, ...] = ()
    slots: tuple[Slot, ...] = ()  # geostationary satellites
    assumption: str = ""


STARLINK_2026_BROADBAND: tuple[Shell, ...] = (
    Shell("A", 483e3, 43.0, planes=99, per_plane=33, phasing=49),  # observed 3,254
    Shell("B", 471e3, 53.16, planes=112, per_plane=25, phasing=56),  # 2,840 at 463, 471 and 475 km; 28 and 112 planes
    Shell("C", 540e3, 53.16, planes=72, per_plane=18, phasing=36),  # 1,262; the old 72 planes, 10 km lower
    Shell("D", 572e3, 70.0, planes=36, per_plane=19, phasing=18),  # 698
    Shell("E", 466e3, 97.3, planes=22, per_plane=24, phasing=11),  # 524
    Shell("F", 549e3, 97.4, planes=13, per_plane=36, phasing=6),  # 471
)
"""Starlink as of June 2026, the shells above 440 km, which serve user terminals."""

STARLINK_2026_D2C: tuple[Shell, ...] = (
    Shell("G", 360e3, 53.16, planes=48, per_plane=9, phasing=24),  # observed 438
    Shell("H", 356e3, 43.0, planes=26, per_plane=13, phasing=13),  # 331
)
"""Starlink as of June 2026, the low shells, which serve telephones directly (direct to cell)."""

STARLINK_2026: tuple[Shell, ...] = STARLINK_2026_BROADBAND + STARLINK_2026_D2C
"""Starlink as of June 2026, every shell."""

STARLINK_GEN1: tuple[Shell, ...] = (
    Shell("A", 550e3, 53.0, planes=72, per_plane=22, phasing=39),  # F = 39 is commonly fitted
    Shell("B", 540e3, 53.2, planes=72, per_plane=22, phasing=39),
    Shell("C", 570e3, 70.0, planes=36, per_plane=20, phasing=18),
    Shell("D", 560e3, 97.6, planes=6, per_plane=58, phasing=3),
    Shell("E", 560e3, 97.6, planes=4, per_plane=43, phasing=2),
)
"""Starlink's first generation as filed with the FCC (modification granted in April 2021): 4,408 satellites."""

ONEWEB: tuple[Shell, ...] = (Shell("OW", 1_202e3, 87.9, planes=12, per_plane=54, phasing=6, spread_deg=182.7),)
"""OneWeb as of June 2026: 648 of 651 satellites are in 12 planes 15.2° apart, a star. Each plane has an altitude of its
own, 1,178 to 1,222 km; here all have the median."""

KUIPER: tuple[Shell, ...] = (
    Shell("KA", 590e3, 33.0, planes=28, per_plane=28, phasing=14),  # 784
    Shell("KB", 610e3, 42.0, planes=36, per_plane=36, phasing=18),  # 1,296
    Shell("KC", 630e3, 51.9, planes=34, per_plane=34, phasing=17),  # 1,156
)
"""Kuiper (Amazon Leo) as authorised by the FCC (FCC 20-102, 2020): 3,236 satellites, planes as in Hypatia."""

O3B: tuple[Shell, ...] = (Shell("OB", 8_062e3, 0.0, planes=1, per_plane=30, phasing=0),)
"""O3b and O3b mPOWER on the equator."""

IRIS2: tuple[Shell, ...] = (
    Shell("IL", 1_200e3, 87.9, planes=12, per_plane=22, phasing=6, spread_deg=180.0),  # 264
    Shell("IM", 8_000e3, 53.0, planes=3, per_plane=6, phasing=1),  # 18
    Shell("IB", 600e3, 53.0, planes=2, per_plane=4, phasing=1),  # 8
)
"""IRIS² as planned: 264 low satellites, 18 medium ones and a layer below. Assumption: that has what is missing to the
about 290 announced in all, at the height and inclination that ITALY has here."""

ITALY: tuple[Shell, ...] = (Shell("IT", 600e3, 53.0, planes=10, per_plane=12, phasing=5),)
"""A national constellation of Italy, of which only 'more than 100 satellites' is known."""

SICRAL: tuple[Slot, ...] = (Slot("SICRAL-1B", 11.8), Slot("SICRAL-2", 37.0))
SICRAL_1: tuple[Slot, ...] = (Slot("SICRAL-1", 16.2),)
GOVSATCOM: tuple[Slot, ...] = (
    Slot("ATHENA-F", 37.77),
    Slot("SYRAC-4A", 45.48),
    Slot("SYRAC-4B", -6.43),
    Slot("SPAINSAT", 29.0),
)
"""Military satellites over Europe. GOVSATCOM pools eight of France, Spain, Italy, Greece and Luxembourg; the SICRALs
are in a set of their own."""

_HALF_SLOT = "neighbouring planes are half a slot apart"
_OBSERVED = "CelesTrak elements of 2026-06-14"

PRESETS: dict[str, Preset] = {
    "starlink-2026": Preset(
        "Starlink as observed in June 2026, every shell",
        _OBSERVED,
        STARLINK_2026,
        assumption=f"Starlink's plane counts are fitted to the observed nodes, its shells have no gaps, {_HALF_SLOT}",
    ),
    "starlink-broadband": Preset(
        "Starlink as observed in June 2026, the shells above 440 km",
        _OBSERVED,
        STARLINK_2026_BROADBAND,
        assumption=f"Starlink's plane counts are fitted to the observed nodes, its shells have no gaps, {_HALF_SLOT}",
    ),
    "starlink-d2c": Preset(
        "Starlink as observed in June 2026, the low shells for telephones (direct to cell)",
        _OBSERVED,
        STARLINK_2026_D2C,
        assumption=f"Starlink's plane counts are fitted to the observed nodes, its shells have no gaps, {_HALF_SLOT}",
    ),
    "starlink-gen1": Preset(
        "Starlink's first generation as filed",
        "FCC 21-48 (modification of April 2021); F = 39 is commonly fitted",
        STARLINK_GEN1,
        assumption=f"in Starlink's filed shells of unknown phasing {_HALF_SLOT}",
    ),
    "oneweb": Preset(
        "OneWeb as observed in June 2026",
        _OBSERVED,
        ONEWEB,
        assumption=f"OneWeb's planes are full and all at 1,202 km, {_HALF_SLOT}",
    ),
    "kuiper": Preset(
        "Kuiper (Amazon Leo) as authorised",
        "FCC 20-102; planes as in Hypatia (Kassing et al., IMC 2020)",
        KUIPER,
        assumption=f"in Kuiper's shells {_HALF_SLOT}",
    ),
    "o3b-mpower": Preset(
        "O3b and O3b mPOWER, medium orbits on the equator",
        "30 satellites at 8,062 km (CelesTrak elements of June 2026)",
        O3B,
        assumption="the 30 satellites of O3b and O3b mPOWER are evenly spaced",
    ),
    "iris2": Preset(
        "IRIS², the European Union's constellation, as planned for 2030: low and medium orbits, and a layer below",
        "264 satellites at 1,200 km, 18 at 8,000 km, about 290 in all (satnews.com, esa.int)",
        IRIS2,
        assumption="no planes of IRIS² are published: 12 of 22 in a star at 87.9°, 3 of 6 at 53° are drawn; of the "
        "layer below neither number nor orbit: 2 planes of 4 at 53° and 600 km",
    ),
    "italy-leo": Preset(
        "a national constellation of Italy, as studied in 2025",
        "more than 100 satellites (key4biz.it, April 2025)",
        ITALY,
        assumption="no orbit of Italy's constellation is published: 10 planes of 12 at 53° and 600 km are drawn",
    ),
    "sicral": Preset(
        "SICRAL 1B and 2, Italy's military satellites in geostationary orbit",
        "1B at 11.8°E (difesaonline.it)",
        slots=SICRAL,
        assumption="SICRAL 2 is at 37°E, held to 0.1°",
    ),
    "sicral-1": Preset(
        "SICRAL 1 at 16.2°E, retired in May 2021",
        "difesaonline.it, kampuspedia",
        slots=SICRAL_1,
    ),
    "govsatcom": Preset(
        "ATHENA-FIDUS, SYRACUSE 4A and 4B, SPAINSAT NG I in geostationary orbit",
        "longitudes from CelesTrak elements of June 2026",
        slots=GOVSATCOM,
        assumption="which eight satellites GOVSATCOM pools is not published: four of France, Spain and Italy are drawn",
    ),
}
"""Built-in constellations by the name that `--catalogue` takes. Different systems share no shell's and no satellite's
name, so that they may be merged; the sets of Starlink do."""
