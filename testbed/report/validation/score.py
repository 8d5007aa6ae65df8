"""Models are fitted on one part of what was measured and scored on another, simple rivals beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc, parse_utc_ns
from testbed.plan.fit import DAY_NS, Fit, fit
from testbed.report.validation.cells import Cells, Observed, cells_of
from testbed.report.validation.statistics import LAG_S, autocorrelation, describe, distances, quantiles_ms

LIMIT_W1_MS: Final = 3.7
"""Wasserstein-1 to the part held out, ms. Three real days of one ship's terminal are 1.4, 3.7 and 5.0 ms apart
(FjordLink): a model may be as far from a day as the middle pair of days from each other."""

LIMIT_AUTOCORRELATION: Final = 0.1
"""From the whole file's autocorrelation at 15 s (FjordLink: 0.58; its days: 0.51, 0.57, 0.53)."""

MODEL_S: Final = 108_000
"""Assumption: a model is drawn for 30 hours at least, 7,200 slots; its autocorrelation then scatters by some 0.01."""

LAGS_S: Final = (1, 2, 3, 5, 8, 11, 15, 20, 25, 30, 45, 60, 90, 120)
"""Lags at which the autocorrelation is drawn."""


PARTS_SHOWN: Final = 4
"""Days of the fitted part that get a row of their own."""


@dataclass(frozen=True)
class Limits:
    """What a model must keep to: distance from the part held out, and difference of autocorrelation from the file."""

    wasserstein_ms: float = LIMIT_W1_MS
    autocorrelation: float = LIMIT_AUTOCORRELATION


@dataclass(frozen=True, eq=False)
class Split:
    """What a model is fitted to, what it is scored on, and how the two were told apart. `parts`: of the fitted part,
    day by day, or the whole where it is of one day."""

    fitted: Observed
    held: Observed
    parts: tuple[Observed, ...]
    how: str


def split(measured: Observed, held_out: str | None = None) -> Split:
    """Part a series. `held_out`: a day (UTC) like 2025-03-13, which is scored on; None: the last day where there are
    several, else the second half. Raises PlanError."""
    if not measured.absolute:
        if held_out is not None:
            raise PlanError(f"{measured.name}: its times are not UTC: it has no day {held_out}, leave out --held-out")
        return _halves(measured)
    day = measured.time_ns // DAY_NS
    days = np.unique(day)
    if held_out is None and len(days) == 1:
        return _halves(measured)
    wanted = int(days[-1]) if held_out is None else _day(held_out)
    names = {int(one): format_utc(int(one) * DAY_NS)[:10] for one in days}
    if wanted not in names or len(days) == 1:
        raise PlanError(f"{measured.name}: cannot hold out {held_out}: its days are {', '.join(names.values())}")
    others = [one for one in names if one != wanted]
    parts = tuple(measured.part(day == one, names[one]) for one in others)
    how = f"fitted on {', '.join(names[one] for one in others)}, scored on {names[wanted]}"
    return Split(measured.part(day != wanted, "fitted"), measured.part(day == wanted, names[wanted]), parts, how)


def _halves(measured: Observed) -> Split:
    middle_ns = int(measured.time_ns[0] + measured.time_ns[-1]) // 2
    first = measured.time_ns < middle_ns
    if not first.any() or first.all():
        raise PlanError(f"{measured.name}: {len(first)} samples cannot be parted: give a longer series")
    part = measured.part(first, "first half")
    return Split(part, measured.part(~first, "second half"), (part,), "fitted on the first half, scored on the second")


def _day(text: str) -> int:
    try:
        if len(text) != 10:
            raise ValueError
        return parse_utc_ns(f"{text}T00:00:00Z") // DAY_NS
    except (ValueError, PlanError):
        raise PlanError(f"--held-out {text} is no day: write it like 2025-03-13") from None


def fitted_to(one: Observed) -> Fit:
    """The fit to a series, on slots of UTC, or of the series' own zero. Raises PlanError."""
    came = one.came
    try:
        return fit(one.time_ns[came], one.rtt_ms[came], round(one.averaged_s * NS_PER_S))
    except PlanError as error:
        raise PlanError(f"{one.name}: {error}") from None


def model_series(found: Fit, like: Observed, seed: int = 0) -> Observed:
    """The fitted model at the instants of a measured series, and on as many days more as MODEL_S asks for."""
    time_ns = _often(like.time_ns)
    note = "quantiles and memory of the fitted part's slots, about its median"
    return _model("fitted model", like, time_ns, found.round_trip_ms(seed, time_ns), note)


def gaussian_series(found: Fit, like: Observed, seed: int = 0) -> Observed:
    """The rival: independent normal draws with the fitted part's mean and standard deviation, shown as they are."""
    time_ns = _often(like.time_ns)
    drawn = _generator(seed).normal(found.shown_mean_ms, found.shown_deviation_ms, len(time_ns))
    one = _model("fitted Gaussian", like, time_ns, drawn, "mean and deviation of the samples, each drawn alone")
    return replace(one, averaged_s=like.averaged_s)


def gaussian_slots(found: Fit, like: Observed, seed: int = 0) -> Observed:
    """A rival that knows of slots: a normal level for each, with the mean and deviation of the fitted part's levels."""
    time_ns = _often(like.time_ns)
    slots, which = np.unique((time_ns - SLOT_PHASE_NS) // SLOT_NS, return_inverse=True)
    drawn = _generator(seed).normal(found.mean_ms, found.deviation_ms, len(slots))[which]
    return _model("Gaussian slots", like, time_ns, drawn, "mean and deviation of the slots' levels, each drawn alone")


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed % 2**63))


def _often(time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The instants, again on later days until they cover MODEL_S: a model is not to be judged by its luck."""
    seconds = len(np.unique(time_ns // NS_PER_S))
    days = 1 + int(time_ns[-1] - time_ns[0]) // DAY_NS
    again = np.arange(-(-MODEL_S // seconds)) * days * DAY_NS
    return (again[:, None] + time_ns).ravel()


def _model(name: str, like: Observed, time_ns: NDArray[np.int64], rtt_ms: NDArray[np.float64], note: str) -> Observed:
    return Observed(name, "model", time_ns, np.maximum(rtt_ms, 0.0), np.zeros(len(rtt_ms)), like.absolute, note=note)


def validate(
    measured: Observed,
    others: Sequence[Observed] = (),
    held_out: str | None = None,
    seed: int = 0,
    limits: Limits | None = None,
) -> tuple[dict[str, Any], list[Observed]]:
    """The document, JSON types only, and its series in the same order. `others`: emulated, planned, propagation only.

    The first row is the part held out; the days fitted on, PARTS_SHOWN of them, or the first half, follow as a
    yardstick: reality against itself.
    Raises PlanError.
    """
    limits = limits or Limits()
    parted = split(measured, held_out)
    found = fitted_to(parted.fitted)
    series = [
        parted.held,
        *parted.parts[-PARTS_SHOWN:],
        model_series(found, parted.held, seed),
        gaussian_series(found, parted.held, seed),
        gaussian_slots(found, parted.held, seed),
        *others,
    ]
    whole = autocorrelation(cells_of(measured), LAG_S)
    document = {
        "schema": 1,
        "measured": {
            "name": measured.name,
            "samples": len(measured.time_ns),
            "autocorrelation": whole,
            "averaged_s": measured.averaged_s,
            "utc": measured.absolute,
        },
        "split": parted.how,
        "fit": asdict(found),
        "seed": seed,
        "limits": asdict(limits),
        "series": [_row(one, parted.held, whole, limits) for one in series],
    }
    return document, series


def shown(one: Observed, held: Observed) -> Cells:
    """A series as the instrument would show it that measured the part held out. Raises PlanError if it is too short."""
    cells = cells_of(one)
    cells = cells if one.averaged_s else cells.averaged(held.averaged_s)
    if not len(cells.second):
        raise PlanError(f"{one.name}: too short for an average over {held.averaged_s:g} s: a longer one is needed")
    return cells


def _row(one: Observed, held: Observed, whole: float | None, limits: Limits) -> dict[str, Any]:
    """Distribution and autocorrelation are of what the instrument would show, all else of the series itself."""
    cells = shown(one, held)
    row: dict[str, Any] = {"name": one.name, "kind": one.kind, "note": one.note}
    row |= {"quantiles_ms": quantiles_ms(cells), "autocorrelation": autocorrelation(cells, LAG_S)}
    row |= {"correlation": [[lag, autocorrelation(cells, lag)] for lag in LAGS_S]}
    row |= describe(one)
    if one is held:
        return row | {"distance": None, "checks": [], "passed": None}
    row["distance"] = distances(cells, cells_of(held))
    row["checks"] = checks(row["distance"]["wasserstein_ms"], row["autocorrelation"], whole, limits)
    row["passed"] = all(check["passed"] for check in row["checks"])
    return row


def checks(w1_ms: float, found: float | None, whole: float | None, limits: Limits) -> list[dict[str, Any]]:
    """The suite: is the distribution as near as a real day, are neighbouring slots as alike as in the file?"""
    apart = None if found is None or whole is None else abs(found - whole)
    return [
        {
            "name": "wasserstein",
            "value": w1_ms,
            "limit": limits.wasserstein_ms,
            "passed": w1_ms <= limits.wasserstein_ms,
        },
        {
            "name": "autocorrelation",
            "value": apart,
            "limit": limits.autocorrelation,
            "passed": apart is not None and apart <= limits.autocorrelation,
        },
    ]
