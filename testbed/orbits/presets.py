"""Built-in constellations.

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

from testbed.orbits.walker import Shell

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
