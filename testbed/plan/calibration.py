"""The delay model held against published medians: fitted on Italy, frozen, and asked about other countries.

How a terminal comes to its delay, slot by slot (`Rule`):
- a satellite: any that is in view for the whole slot and has a gateway, each as likely as `e_fold_deg` says;
- a gateway: of those in view of the satellite for the whole slot each has an antenna free with the chance `share`;
  among these the one with the least delay to the user's PoP, fibre included.
A gateway sees some 70 satellites above 25° and has 8 antennas, large ones 32 to 40 (the community map's legend), so it
cannot serve all of them. Any gateway may lead to any PoP.

Chances are summed, not drawn: a town's round trips are the values of all ways in all slots with their weights. This is
what `plan.access` tends to over many slots, without its noise, so that few slots suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import sites_teme_m
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site, great_circle_m
from testbed.orbits.visibility import range_elevation
from testbed.plan.calibration_sites import COUNTRIES, GATEWAYS, ITALY, ITALY_QUANTILES_MS, POPS
from testbed.plan.delays import Overheads, gateway_fibre, propagation_ns, total_ns, user_link

MASK_DEG = 25.0
"""Least elevation at terminal and gateway (FCC filings for the first shell)."""

MINIMUM_ALTITUDE_M = 440_000.0
"""Satellites below serve phones, or are on their way (335-375 km on 2026-06-14)."""

_ALL = (ITALY, *COUNTRIES)
_TOWNS = [town for country in _ALL for town in country.towns]
_MIDDLE = Site("middle", 45.0, 12.0)
_NEAR = np.cos(np.radians(28.0))  # every satellite above 25° at a site of this calibration is within 28° of the middle


@dataclass(frozen=True)
class Rule:
    """How satellite and gateway are chosen.

    e_fold_deg: a satellite that stands this much lower is chosen e times less often; None: the highest; inf: all alike.
    share: chance that a gateway has an antenna for a satellite in a slot. by_delay: the gateway with the least delay to
    the PoP, otherwise the one that the satellite sees highest. gateways: names; all when empty.
    """

    e_fold_deg: float | None = 15.0  # Assumption: Starlink's controller prefers high satellites; not fitted
    share: float = 0.52  # fitted on Italy
    by_delay: bool = True
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sights:
    """What is seen in one slot: (n_sites, n_satellites), towns first, then gateways.

    stays: above the mask at begin, middle and end, which is above it throughout; range_m, elevation_deg: in the middle.
    """

    stays: NDArray[np.bool_]
    range_m: NDArray[np.float64]
    elevation_deg: NDArray[np.float64]


def look(catalogue: Catalogue, towns: Sequence[Site], slots_ns: Sequence[int]) -> list[Sights]:
    """What towns and gateways see in the slots that begin at `slots_ns` (UTC)."""
    eligible = np.flatnonzero(catalogue.mean_altitude_m >= MINIMUM_ALTITUDE_M)
    sites = [*towns, *GATEWAYS]
    found: list[Sights] = []
    for hour in _windows(slots_ns):
        ephemeris = Ephemeris(catalogue, hour[0], hour[-1] - hour[0] + SLOT_NS)
        for begin_ns in hour:
            times = begin_ns + np.array([SLOT_NS // 2, 0, SLOT_NS], dtype=np.int64)
            up = sites_teme_m([_MIDDLE], times[:1])[0, 0]
            position_m = ephemeris.position_m(times[:1], eligible)[0]
            across = position_m @ up / (np.linalg.norm(position_m, axis=1) * np.linalg.norm(up))
            range_m, elevation_deg = range_elevation(sites, ephemeris, times, eligible[across > _NEAR])
            found.append(Sights(np.all(elevation_deg >= MASK_DEG, axis=0), range_m[0], elevation_deg[0]))
    return found


def round_trips_ms(
    sights: Sequence[Sights], town: int, towns: int, pop: Site, rule: Rule, overheads: Overheads
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All round trips from a town to its PoP, ms, and each one's chance within its slot: (n,) and (n,).

    town: its row in the sights; towns: how many rows are towns. Slots without a way add nothing.
    """
    rows = [row for row, site in enumerate(GATEWAYS) if not rule.gateways or site.name in rule.gateways]
    fibre_ns = np.array([2 * int(total_ns(gateway_fibre(GATEWAYS[row], pop, overheads))) for row in rows])
    gateways = towns + np.array(rows)
    access_ns = sum(int(total_ns(user_link(np.zeros(1), upward, overheads))[0]) for upward in (True, False))
    values, weights = [], []
    for sight in sights:
        columns = np.flatnonzero(sight.stays[town] & sight.stays[gateways].any(axis=0))
        if not len(columns):
            continue
        seen = sight.stays[np.ix_(gateways, columns)]
        flight_ns = 2 * propagation_ns(sight.range_m[town, columns] + sight.range_m[np.ix_(gateways, columns)])
        delay_ns = flight_ns + fibre_ns[:, None] + access_ns
        badness = delay_ns if rule.by_delay else -sight.elevation_deg[np.ix_(gateways, columns)]
        order = np.argsort(np.where(seen, badness, np.inf), axis=0, kind="stable")
        ranked = np.take_along_axis(seen, order, axis=0)
        turn = np.arange(len(rows))[:, None]
        chance = ranked * rule.share * (1.0 - rule.share) ** turn  # all better ones busy, this one free
        chance *= _preference(sight.elevation_deg[town, columns], rule.e_fold_deg, seen, rule.share)
        values.append(np.take_along_axis(delay_ns, order, axis=0)[ranked] / (NS_PER_S / 1000))
        weights.append(chance[ranked] / chance.sum())
    return np.concatenate(values), np.concatenate(weights)


def weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], at: float) -> float:
    """The least value below or at which `at` of the weight lies."""
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order][np.searchsorted(mass, at * mass[-1])])


@dataclass(frozen=True)
class Result:
    """A calibration's outcome, ms: residuals of Italy's quantiles, and each country's predicted median."""

    quantiles_ms: dict[float, float]
    predicted_ms: dict[str, float]

    @property
    def residuals_ms(self) -> dict[float, float]:
        """Model less measurement for Italy."""
        return {at: value - ITALY_QUANTILES_MS[at] for at, value in self.quantiles_ms.items()}

    @property
    def error_ms(self) -> float:
        """Mean absolute error of the other countries' medians."""
        return float(np.mean([abs(self.predicted_ms[one.name] - one.median_ms) for one in COUNTRIES]))


class Calibration:
    """Italy and the other countries above one catalogue; made once, asked for many rules.

    begin_ns: UTC at which a slot begins; every_ns: from one slot judged to the next, a multiple of the slot's length.
    A slot takes 3 MB: for all slots of a day there is `judge_all`.
    """

    def __init__(self, catalogue: Catalogue, begin_ns: int, duration_ns: int, every_ns: int) -> None:
        self._sights = look(catalogue, _TOWNS, range(begin_ns, begin_ns + duration_ns, every_ns))

    def medians_ms(self, country: str, rule: Rule, overheads: Overheads) -> NDArray[np.float64]:
        """The median round trip of each of the country's towns, (n_towns,)."""
        return np.array(
            [
                weighted_quantile(*round_trips_ms(self._sights, row, len(_TOWNS), pop, rule, overheads), 0.5)
                for row, pop in _rows(country)
            ]
        )

    def judge(self, rule: Rule | None = None, overheads: Overheads | None = None, *, italy: bool = False) -> Result:
        """Quantiles of Italy's towns, and the other countries' medians unless only `italy` is asked."""
        names = [one.name for one in _ALL[: 1 if italy else None]]
        return _result({name: self.medians_ms(name, rule or Rule(), overheads or Overheads()) for name in names})


def judge_all(catalogue: Catalogue, begin_ns: int, duration_ns: int) -> Result:
    """The frozen model over every slot, half an hour after the other; a day takes some two minutes and 2 GB."""
    rule, overheads, block_ns = Rule(), Overheads(), 1_800 * NS_PER_S
    parts: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = [[] for _ in _TOWNS]
    for first_ns in range(begin_ns, begin_ns + duration_ns, block_ns):
        sights = look(catalogue, _TOWNS, range(first_ns, min(first_ns + block_ns, begin_ns + duration_ns), SLOT_NS))
        for country in _ALL:
            for row, pop in _rows(country.name):
                values, weights = round_trips_ms(sights, row, len(_TOWNS), pop, rule, overheads)
                parts[row].append((values.astype(np.float32), weights.astype(np.float32)))
    medians = [
        weighted_quantile(np.concatenate([v for v, _ in part]), np.concatenate([w for _, w in part]), 0.5)
        for part in parts
    ]
    return _result({one.name: np.array([medians[row] for row, _ in _rows(one.name)]) for one in _ALL})


def constant_error_ms() -> float:
    """The error of who says Italy's median for every country."""
    return float(np.mean([abs(ITALY.median_ms - country.median_ms) for country in COUNTRIES]))


def _rows(country: str) -> list[tuple[int, Site]]:
    """Row among all towns, and PoP, of each of the country's towns; raises KeyError."""
    first = 0
    for one in _ALL:
        if one.name == country:
            pops = [POPS[name] for name in one.pops]
            return [(first + number, _nearest(pops, town)) for number, town in enumerate(one.towns)]
        first += len(one.towns)
    raise KeyError(country)


def _nearest(sites: Sequence[Site], town: Site) -> Site:
    return min(sites, key=lambda site: great_circle_m(site, town))


def _result(medians_ms: dict[str, NDArray[np.float64]]) -> Result:
    quantiles = {at: float(np.quantile(medians_ms[ITALY.name], at)) for at in ITALY_QUANTILES_MS}
    others = {name: float(np.median(values)) for name, values in medians_ms.items() if name != ITALY.name}
    return Result(quantiles, others)


def _windows(slots_ns: Sequence[int]) -> list[list[int]]:
    """Slots in groups of at most ten minutes: a group needs one ephemeris."""
    groups: list[list[int]] = []
    for begin_ns in slots_ns:
        if groups and begin_ns - groups[-1][0] < 600 * NS_PER_S:
            groups[-1].append(begin_ns)
        else:
            groups.append([begin_ns])
    return groups


def _preference(
    elevation_deg: NDArray[np.float64], e_fold_deg: float | None, seen: NDArray[np.bool_], share: float
) -> NDArray[np.float64]:
    """How likely each candidate is to be chosen where it has a gateway, (n,), up to a factor.

    The highest serves when it has one, the next when not, and so on; with draws, each that has one counts alike.
    """
    if e_fold_deg is not None:
        wanted: NDArray[np.float64] = np.exp((elevation_deg - 90.0) / e_fold_deg)
        return wanted
    lands = 1.0 - (1.0 - share) ** seen.sum(axis=0)
    order = np.argsort(-elevation_deg, kind="stable")
    missed = np.concatenate([[1.0], np.cumprod(1.0 - lands[order])[:-1]])
    reached = np.empty(len(order))
    reached[order] = missed
    return reached
