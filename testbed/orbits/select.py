"""Filters on a catalogue: which of its satellites a plan is made with.

A filter is conditions that all must hold, joined by commas:

    altitude=500..600     mean altitude above the equatorial radius, km; either end may be left out
    inclination=52..54    degrees
    number=44714..45000   catalogue number; also a single one
    name=STARLINK-1*      shell-style pattern, capital or small letters alike
    shell=A               shell-style pattern on the shell of built-in satellites ('GEO' for geostationary ones)
    count=100             so many of those for which the rest holds

`count` takes them evenly from the order of their numbers, the lowest first, so that a Walker shell gets thinner
everywhere instead of losing planes. Of several filters a satellite must pass one.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.ground.errors import InputError
from testbed.orbits.catalogue import Catalogue

_RANGE = re.compile(r"([0-9.]*)\.\.([0-9.]*)")
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?|\.[0-9]+")

_Quantity = Callable[[Catalogue], NDArray[Any]]

_RANGES: dict[str, tuple[_Quantity, str, str]] = {  # the quantity, its unit, how to write a range of it
    "altitude": (lambda catalogue: catalogue.mean_altitude_m / 1000.0, " km", "500..600"),
    "inclination": (lambda catalogue: catalogue.inclination_deg, "°", "52..54"),
    "number": (lambda catalogue: catalogue.numbers, "", "44714..45000"),
}
_PATTERNS: dict[str, Callable[[Catalogue], tuple[str, ...]]] = {
    "name": lambda catalogue: catalogue.names,
    "shell": lambda catalogue: catalogue.shells or ("",) * len(catalogue),
}
KEYS = (*_RANGES, *_PATTERNS, "count")
_SHOWN = 8  # names or shells that an error lists


def select(catalogue: Catalogue, filters: Sequence[str]) -> Catalogue:
    """The satellites of `catalogue` that pass one of `filters`, in its order; all of them without a filter.

    Raises InputError for a filter that is malformed, or that no satellite passes.
    """
    if not filters:
        return catalogue
    kept = np.zeros(len(catalogue), dtype=bool)
    for text in filters:
        kept[_passing(catalogue, text)] = True
    return catalogue.take(np.flatnonzero(kept), tuple(filters))


def _passing(catalogue: Catalogue, text: str) -> NDArray[np.int64]:
    """Indices of the satellites that pass one filter."""
    left = np.arange(len(catalogue))
    conditions = _parse(text)
    for key, value in conditions.items():
        if key == "count":
            continue
        where = _where(text, conditions, key)
        if key in _RANGES:
            passed = _in_range(catalogue, left, key, value, where)
        else:
            passed = _like(catalogue, left, key, value, where)
        left = left[passed]
    if "count" in conditions:
        left = _evenly(catalogue, left, conditions["count"], _where(text, conditions, "count"))
    return left


def _where(text: str, conditions: dict[str, str], key: str) -> str:
    """How an error begins: the filter, and its condition where it has several."""
    return f"--select '{text}'" + (f": {key}={conditions[key]}" if len(conditions) > 1 else "")


def _parse(text: str) -> dict[str, str]:
    conditions: dict[str, str] = {}
    for condition in text.split(","):
        key, equals, value = (part.strip() for part in condition.partition("="))
        if not equals or not value:
            raise InputError(f"--select '{text}': '{condition}' is not KEY=VALUE; the keys are {', '.join(KEYS)}")
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InputError(f"--select '{text}': unknown key '{key}': {hint}the keys are {', '.join(KEYS)}")
        if key in conditions:
            raise InputError(f"--select '{text}': '{key}' comes twice: write another --select for the other")
        conditions[key] = value
    return conditions


def _in_range(catalogue: Catalogue, left: NDArray[np.int64], key: str, value: str, where: str) -> NDArray[np.bool_]:
    quantity, unit, example = _RANGES[key]
    match = _RANGE.fullmatch(value)
    if match is None and key == "number" and value.isdecimal():
        ends = [value, value]
    elif match is not None and (match[1] or match[2]):
        ends = [match[1], match[2]]
    else:
        raise InputError(f"{where} is not a range: write it like {key}={example}")
    for end in ends:
        if end and not _DECIMAL.fullmatch(end):
            raise InputError(f"{where}: '{end}' is not a number: write it like {key}={example}")
    low, high = (float(end) if end else default for end, default in zip(ends, (-np.inf, np.inf), strict=True))
    if low > high:
        raise InputError(f"{where}: {low:g} is above {high:g}: write the lower one first")
    values = quantity(catalogue)[left]
    passed: NDArray[np.bool_] = (values >= low) & (values <= high)
    if not passed.any():
        digits = "" if key == "number" else ".1f"
        there = f"{min(values):{digits}} to {max(values):{digits}}{unit}"
        raise InputError(f"{where} matches none of the {_them(catalogue, left)}: {key}s there are {there}")
    return passed


def _like(catalogue: Catalogue, left: NDArray[np.int64], key: str, value: str, where: str) -> NDArray[np.bool_]:
    words = [_PATTERNS[key](catalogue)[i] for i in left]
    matches = re.compile(fnmatch.translate(value.upper())).match
    passed = np.array([bool(word) and matches(word.upper()) is not None for word in words])
    if not passed.any():
        known = sorted({word for word in words if word})
        there = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else "")
        raise InputError(f"{where} matches none of the {_them(catalogue, left)}: {key}s there are {there or 'unknown'}")
    return passed


def _evenly(catalogue: Catalogue, left: NDArray[np.int64], value: str, where: str) -> NDArray[np.int64]:
    if not value.isdecimal() or int(value) == 0:
        raise InputError(f"{where} is not a whole number of satellites: write it like count=100")
    count = int(value)
    if count > len(left):
        raise InputError(f"{where} is more than the {_them(catalogue, left)}: take {len(left)} at most")
    by_number = left[np.argsort(catalogue.numbers[left])]
    return by_number[np.arange(count) * len(left) // count]


def _them(catalogue: Catalogue, left: NDArray[np.int64]) -> str:
    of_all = f" of {len(catalogue):,}" if len(left) < len(catalogue) else ""
    return f"satellites of {catalogue.source} ({len(left):,}{of_all})"
