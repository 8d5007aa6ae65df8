"""Topology parameters that people write freely: a text, a length of time. Beside those of `scenario`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from testbed.ground.errors import InputError
from testbed.ground.units import parse_duration_ns


@dataclass(frozen=True)
class Text:
    """A topology parameter that is any text: a file, or a column's name. `written`: how help shows it."""

    name: str
    default: str
    meaning: str
    written: str

    @property
    def choices(self) -> tuple[str, ...]:
        """How it is written."""
        return (self.written,)

    def parse(self, text: str) -> str:
        """The text itself."""
        return text


@dataclass(frozen=True)
class Time:
    """A topology parameter that is a length of time; its value is in ns."""

    name: str
    default: str
    meaning: str

    @property
    def choices(self) -> tuple[str, ...]:
        """How it is written."""
        return ("DURATION",)

    def parse(self, text: str) -> int:
        """Nanoseconds; raises ValueError with what is wrong."""
        try:
            found_ns = parse_duration_ns(text)
        except InputError:
            found_ns = -1
        if found_ns < 0:
            raise ValueError("is not a length of time like 10s or 5min")
        return found_ns


def nearest(word: str, known: Iterable[str]) -> str:
    """Behind a word that is not known: which one may have been meant, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""
