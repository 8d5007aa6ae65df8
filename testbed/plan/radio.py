"""From dB lost in the weather to the share of a link's rate that is left. Throughput falls, delay does not.

Rain takes from C/N; the modem falls back to what the rest still carries. Starlink's waveform and link budgets are not
public. Assumption: DVB-S2X normal frames stand in for it, as EN 302 307 has their thresholds, with no loss of
implementation; their ratio to each other matters here, not their absolute rate.

What is published on effects, in rain: median throughput -52 % up and -38 % down, no effect on the round trip
(arXiv 2505.04772); another study saw down fall by up to 60 Mbit/s and up unaffected (arXiv 2603.14008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.orbits.sites import Site
from testbed.plan.losses import Loss
from testbed.plan.model import Plan
from testbed.plan.weather import REFERENCE_GHZ, Dish, RainEvent, event_db, scaled_db

# (Es/N0 in dB, information bits per symbol) of the modes that no other beats: quasi-error-free (FER 1e-5), normal
# frames, no pilots, AWGN. ETSI EN 302 307-2 table 20a, with the modes of EN 302 307-1 table 13, which its receivers
# also know.
MODES: Final = (
    (-2.85, 0.434841),  # QPSK 2/9
    (-2.35, 0.490243),
    (-2.03, 0.567805),
    (-1.24, 0.656448),
    (-0.30, 0.789412),
    (0.22, 0.889135),
    (1.00, 0.988858),
    (1.45, 1.088581),
    (2.23, 1.188304),
    (3.10, 1.322253),
    (4.03, 1.487473),
    (4.68, 1.587196),
    (4.73, 1.647211),  # 8APSK 5/9-L
    (5.13, 1.713601),
    (5.50, 1.779991),
    (5.97, 1.972253),  # 16APSK 1/2-L
    (6.55, 2.104850),
    (6.84, 2.193247),
    (7.41, 2.370043),
    (8.10, 2.458441),
    (8.38, 2.524739),
    (8.43, 2.635236),
    (8.97, 2.637201),
    (9.27, 2.745734),
    (9.71, 2.856231),
    (10.21, 2.966728),
    (10.65, 3.077225),
    (11.03, 3.165623),
    (11.10, 3.291954),  # 32APSK 2/3-L
    (11.61, 3.300184),
    (11.75, 3.510192),
    (12.17, 3.620536),
    (12.73, 3.703295),
    (13.05, 3.841226),
    (13.64, 3.951571),
    (13.98, 4.206428),  # 64APSK 32/45-L
    (14.81, 4.338659),
    (15.47, 4.603122),
    (15.87, 4.735354),
    (16.55, 4.936639),
    (16.98, 5.065690),  # 256APSK 29/45-L
    (17.24, 5.241514),
    (18.10, 5.417338),
    (18.59, 5.593162),
    (18.84, 5.768987),
    (19.57, 5.900855),  # 256APSK 3/4
)

GROUND_NOISE_K: Final = 242.0
"""Assumption: noise of a receiver on the ground in a clear sky: 150 K of antenna and a noise figure of 1.2 dB, the
very small aperture terminal of 3GPP TR 38.821."""

RAIN_K: Final = 275.0
"""Mean radiating temperature of the atmosphere (ITU-R P.618-13, section 3), K."""

COSMIC_K: Final = 2.7
"""Sky noise without an atmosphere (the same section), K."""

LEAST_SHARE: Final = 0.5
"""Assumption: a gateway is given up when rain leaves less than half of its uplink's rate."""

_LEAST_RATE: Final = 0.001  # the least rate that a fault may leave
_ES_N0_DB: Final = np.array([mode[0] for mode in MODES])
_EFFICIENCY: Final = np.array([0.0, *(mode[1] for mode in MODES)])


@dataclass(frozen=True)
class Band:
    """One direction of a radio link.

    clear_cn_db: C/N in a clear sky. power_control_db: what the transmitter adds against rain. ground_noise_k: noise of
    the receiver if it stands on the ground, where rain adds its own noise; 0 for one in orbit, which sees the warm
    Earth in any weather.
    """

    name: str
    dish: Dish
    clear_cn_db: float
    power_control_db: float = 0.0
    ground_noise_k: float = 0.0


# Assumption, all C/N: no operator publishes them. Dishes: 0.48 m of a user terminal, 1.5 m of a gateway, as in the
# table of docs/radio.md. Phones: near the handheld link budgets of 3GPP TR 38.821 for 600 km.
KU_DOWN: Final = Band("Ku down", Dish(11.7, 0.48), clear_cn_db=12.0, ground_noise_k=GROUND_NOISE_K)
KU_UP: Final = Band("Ku up", Dish(14.25, 0.48), clear_cn_db=9.0)
KA_DOWN: Final = Band("Ka down", Dish(19.0, 1.5), clear_cn_db=15.0, ground_noise_k=GROUND_NOISE_K)
KA_UP: Final = Band("Ka up", Dish(29.0, 1.5), clear_cn_db=15.0, power_control_db=10.0)
S_DOWN: Final = Band("S down", Dish(2.0, 0.1), clear_cn_db=6.6, ground_noise_k=GROUND_NOISE_K)
S_UP: Final = Band("S up", Dish(1.9, 0.1), clear_cn_db=2.8)


def efficiency(cn_db: ArrayLike) -> NDArray[np.float64]:
    """Information bits per symbol of the best mode that still works, same shape; 0 below the most robust one.

    C/N is taken as Es/N0: noise in a bandwidth of the symbol rate. nan gives 0.
    """
    cn = np.nan_to_num(np.asarray(cn_db, dtype=np.float64), nan=-np.inf)
    return np.asarray(_EFFICIENCY[np.searchsorted(_ES_N0_DB, cn, side="right")], dtype=np.float64)


def loss_db(band: Band, fade_db: ArrayLike) -> NDArray[np.float64]:
    """What a fade takes from C/N, dB, same shape; raises PlanError for a negative fade.

    The fade less power control; on the ground also the noise that the rain radiates: RAIN_K (1 - 10^(-A/10)) in place
    of a part of the cosmic noise (P.618-13, section 3).
    """
    fade = np.asarray(fade_db, dtype=np.float64)
    if np.any(fade < 0.0):
        raise PlanError(f"{band.name}: a fade of {float(np.nanmin(fade)):g} dB; give 0 or more")
    lost = np.maximum(fade - band.power_control_db, 0.0)
    if band.ground_noise_k > 0.0:
        sky_k = (RAIN_K - COSMIC_K) * (1.0 - 10.0 ** (-fade / 10.0))
        lost = lost + 10.0 * np.log10(1.0 + sky_k / band.ground_noise_k)
    return np.asarray(lost, dtype=np.float64)


def share(band: Band, fade_db: ArrayLike) -> NDArray[np.float64]:
    """The share of the clear-sky rate that a fade leaves, 0..1, same shape; 0 when the link cannot close, or for nan.

    Never more for a deeper fade. Raises PlanError for a negative fade.
    """
    return efficiency(band.clear_cn_db - loss_db(band, fade_db)) / efficiency(band.clear_cn_db)


def given_up_db(band: Band = KA_UP, least_share: float = LEAST_SHARE) -> float:
    """The fade, to 0.01 dB, from which on less than `least_share` is left."""
    fades = np.arange(0.0, 100.0, 0.01)
    return float(fades[np.argmax(share(band, fades) < least_share)])


def lost_gateways(fade_db: ArrayLike, band: Band = KA_UP, least_share: float = LEAST_SHARE) -> NDArray[np.bool_]:
    """Which gateways are given up, when: the shape of `fade_db`, (n_gateways, n_times). nan: given up.

    Site diversity: users of a lost gateway land at another one that their satellite sees.
    """
    return np.asarray(share(band, fade_db) < least_share, dtype=np.bool_)


def rain_losses(
    events: Sequence[RainEvent], gateways: Mapping[str, Site], band: Band = KA_UP, least_share: float = LEAST_SHARE
) -> tuple[Loss, ...]:
    """Rain that the plan knows beforehand, as losses of gateways by name: from when to when each is given up."""
    edges = np.array(sorted({edge for event in events for edge in (event.begin_ns, event.end_ns)}), dtype=np.int64)
    gone = lost_gateways(event_db(events, list(gateways.values()), edges, band.dish.frequency_ghz), band, least_share)
    losses: list[Loss] = []
    for name, row in zip(gateways, gone.tolist(), strict=True):
        for (begin_ns, end_ns), given_up in zip(pairwise(edges.tolist()), row, strict=False):
            if given_up and losses and (losses[-1].node, losses[-1].end_ns) == (name, begin_ns):
                losses[-1] = Loss(name, losses[-1].begin_ns, end_ns)
            elif given_up:
                losses.append(Loss(name, begin_ns, end_ns))
    return tuple(losses)


def rain_entries(
    event: RainEvent,
    plan: Plan,
    user: tuple[Band, Band] = (KU_UP, KU_DOWN),
    feeder: tuple[Band, Band] = (KA_UP, KA_DOWN),
) -> list[dict[str, Any]]:
    """A rain event as entries of a run's faults (docs/faults.md): one per terminal and gateway that it wets and slows.

    A fault knows one rate for both directions of a node's radio links: that of the direction that suffers more. A link
    that cannot close loses every packet.
    """
    entries: list[dict[str, Any]] = []
    for node in plan.nodes:
        bands = {"terminal": user, "gateway": feeder}.get(node.role)
        if bands is None or node.latitude_deg is None or node.longitude_deg is None:
            continue
        if not event.covers(Site(node.name, node.latitude_deg, node.longitude_deg)):
            continue
        fades = [float(scaled_db(event.fade_db, REFERENCE_GHZ, band.dish.frequency_ghz)) for band in bands]
        left = min(float(share(band, fade)) for band, fade in zip(bands, fades, strict=True))
        if left == 1.0:
            continue
        told = ", ".join(f"{fade:.1f} dB {band.name}" for band, fade in zip(bands, fades, strict=True))
        entry = {"kind": "rain", "node": node.name, "at": event.begin_ns / NS_PER_S}
        entry |= {"for": (event.end_ns - event.begin_ns) / NS_PER_S, "cause": f"rain: {told}"}
        entries.append(entry | ({"rate": max(left, _LEAST_RATE)} if left > 0.0 else {"loss": 1.0}))
    return entries
