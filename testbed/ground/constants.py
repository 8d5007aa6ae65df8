"""Constants of nature and of the field, each with unit and source."""

from __future__ import annotations

from typing import Final

SPEED_OF_LIGHT_M_S: Final = 299_792_458.0
"""Speed of light in vacuum, m/s; exact by definition of the metre (SI)."""

FIBRE_INDEX: Final = 1.468
"""Group refractive index of single-mode fibre near 1550 nm (ITU-T G.652 class): 4.9 µs/km."""

FIBRE_ROUTE_FACTOR: Final = 1.5
"""Assumption: length of a core fibre route over the great circle between its ends."""

WGS84_A_M: Final = 6_378_137.0
"""WGS-84 equatorial radius, m (NIMA TR8350.2)."""

WGS84_F: Final = 1.0 / 298.257223563
"""WGS-84 flattening (NIMA TR8350.2)."""

WGS72_MU_M3_S2: Final = 3.986008e14
"""Gravitational parameter used by SGP4 element sets (WGS-72), m³/s²."""

WGS72_RADIUS_M: Final = 6_378_135.0
"""Earth radius used by SGP4 element sets (WGS-72), m."""

EARTH_ROTATION_RAD_S: Final = 7.292115e-5
"""Earth's rotation rate, rad/s (WGS-84, NIMA TR8350.2)."""

EARTH_MEAN_RADIUS_M: Final = 6_371_008.8
"""Mean radius R1 of the WGS-84 ellipsoid, m; for great-circle lengths of fibre routes."""

NS_PER_S: Final = 1_000_000_000
"""Nanoseconds per second."""

SLOT_NS: Final = 15 * NS_PER_S
"""Length of a Starlink scheduling slot (Tanveer et al., CoNEXT Companion 2023)."""

SLOT_PHASE_NS: Final = 12 * NS_PER_S
"""Slots begin at :12 :27 :42 :57 UTC, the same everywhere (the same source)."""
