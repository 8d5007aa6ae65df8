"""Which of the satellites that could serve a terminal does: policies, each a pure function of what is in view.

Candidates come in ascending order of their numbers, and every tie goes to the lowest. How Starlink's controller chooses
is not published; it prefers high satellites (Tanveer et al., CoNEXT Companion 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

PolicyName = Literal["highest", "longest", "least-handover", "random", "sticky", "measured", "least-delay"]

STICKY_DEG: Final = 10.0
"""Assumption: a satellite is left for another that stands at least this much higher in mid-slot."""

MEASURED_E_FOLD_DEG: Final = 15.0
"""Assumption: with 'measured' a satellite that stands this much lower is chosen e times less often. How far levels then
move from slot to slot is a matter of this and of the delay model's offsets together."""

LOOK_AHEAD_SLOTS: Final = 40
"""Assumption: nobody looks further ahead than ten minutes; above 25° no satellite below 1,200 km stays longer."""


@dataclass(frozen=True)
class Candidates:
    """Satellites that could serve one terminal, arrays of shape (n,), n ≥ 1, ordered by number.

    elevation_deg: in mid-slot. stays: for how many whole slots from this one on each remains above the terminal's mask,
    at most LOOK_AHEAD_SLOTS; only for policies that look ahead. draws: uniform in (0, 1); only for those that draw.
    serving: column of the satellite that served last, -1 when it is none of these. delay_ns: one-way flight over each
    to the PoP in mid-slot.
    """

    numbers: NDArray[np.int64]
    elevation_deg: NDArray[np.float64]
    serving: int = -1
    stays: NDArray[np.int64] | None = None
    draws: NDArray[np.float64] | None = None
    delay_ns: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Policy:
    """How to choose, and what it needs to know."""

    choose: Callable[[Candidates], int]
    meaning: str
    looks_ahead: bool = False
    draws: bool = False
    keeps: bool = False  # whatever still can serve goes on to serve


def highest(candidates: Candidates) -> int:
    """The one that is highest in mid-slot."""
    return int(np.argmax(candidates.elevation_deg))


def longest(candidates: Candidates) -> int:
    """The one that stays above the mask for longest, among equals the highest."""
    assert candidates.stays is not None
    order = np.lexsort((candidates.numbers, -candidates.elevation_deg, -candidates.stays))
    return int(order[0])


def least_handover(candidates: Candidates) -> int:
    """The serving one until it sets, then the one that stays for longest."""
    return candidates.serving if candidates.serving >= 0 else longest(candidates)


def sticky(candidates: Candidates) -> int:
    """The serving one, unless another stands higher by STICKY_DEG."""
    best = highest(candidates)
    if candidates.serving < 0:
        return best
    gain_deg = candidates.elevation_deg[best] - candidates.elevation_deg[candidates.serving]
    return best if gain_deg >= STICKY_DEG else candidates.serving


def least_delay(candidates: Candidates) -> int:
    """The one with the least delay to the PoP."""
    assert candidates.delay_ns is not None
    return int(np.argmin(candidates.delay_ns))


def at_random(candidates: Candidates) -> int:
    """Any of them, each as likely."""
    return _weighted(candidates, np.zeros(len(candidates.numbers)))


def measured(candidates: Candidates) -> int:
    """At random, high ones more often: by a factor e for each MEASURED_E_FOLD_DEG."""
    return _weighted(candidates, candidates.elevation_deg / MEASURED_E_FOLD_DEG)


def draws(seed: int, who: str, instant_ns: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """A number in (0, 1) for each satellite, a stable hash of seed, name, instant (UTC) and satellite.

    It depends on nothing else: neither on the order of terminals, nor on how long the plan is, nor on other candidates.
    BLAKE2b for what they share, and SplitMix64's output function (Steele et al., OOPSLA 2014) for each satellite.
    """
    context = blake2b(f"{seed}/{who}/{instant_ns}".encode(), digest_size=8).digest()
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(int.from_bytes(context, "little"))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(12)).astype(np.float64) + 0.5) / float(1 << 52)


def _weighted(candidates: Candidates, log_weight: NDArray[np.float64]) -> int:
    """One of them, with chances in proportion to exp(log_weight): the first of exponential clocks to ring.

    When a candidate goes, only the choices that fell on it change (weighted rendezvous hashing).
    """
    assert candidates.draws is not None
    ring = np.log(-np.log(candidates.draws)) - log_weight
    return int(np.argmin(ring))


POLICIES: Final[Mapping[PolicyName, Policy]] = {
    "highest": Policy(highest, "the satellite that is highest in mid-slot"),
    "longest": Policy(longest, "the satellite that stays above the mask for longest", looks_ahead=True),
    "least-handover": Policy(
        least_handover,
        "the same satellite until it sets, then the one that stays longest",
        looks_ahead=True,
        keeps=True,
    ),
    "random": Policy(at_random, "a satellite at random, each as likely", draws=True),
    "sticky": Policy(sticky, f"the same satellite, unless another stands {STICKY_DEG:g}° higher in mid-slot"),
    "measured": Policy(
        measured,
        f"a satellite at random, e times more often for each {MEASURED_E_FOLD_DEG:g}° that it stands higher",
        draws=True,
    ),
    "least-delay": Policy(least_delay, "the satellite with the least delay to the PoP"),
}

assert set(POLICIES) == set(get_args(PolicyName))
