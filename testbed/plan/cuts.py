"""Spans of a terrestrial network that the plan knows to be cut, as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbed.ground.constants import NS_PER_S
from testbed.plan.losses import NO_LOSS

_WRITTEN = re.compile(r"([a-z]+)-([a-z]+)@([0-9]+(?:\.[0-9]+)?)(?:-([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True)
class Cut:
    """The span between two sites is cut in [begin_ns, end_ns) of the plan's time; without `end_ns`, to its end."""

    a: str
    b: str
    begin_ns: int
    end_ns: int | None = None


@dataclass(frozen=True)
class Cuts:
    """A topology parameter that says which spans are cut; its value stays the text (`parse_cuts`)."""

    name: str
    default: str
    meaning: str

    @property
    def choices(self) -> tuple[str, ...]:
        """How it is written."""
        return (NO_LOSS, "SITE-SITE@BEGIN_S[-END_S],…")

    def parse(self, text: str) -> str:
        """The text itself; raises ValueError with what is wrong."""
        parse_cuts(text)
        return text


def parse_cuts(text: str) -> tuple[Cut, ...]:
    """Cuts as people write them: 'none', or a list of SITE-SITE@BEGIN and SITE-SITE@BEGIN-END, seconds of the plan.

    Raises ValueError with what is wrong, to be put behind the parameter's name and value.
    """
    return tuple(_parse(part.strip()) for part in text.split(",")) if text != NO_LOSS else ()


def _parse(written: str) -> Cut:
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise ValueError("is not understood: write SITE-SITE@BEGIN or SITE-SITE@BEGIN-END in seconds, commas between")
    a, b, begin, end = match.groups()
    if end is not None and float(end) <= float(begin):
        raise ValueError(f"has a window that ends before it begins: write {a}-{b}@{end}-{begin}")
    return Cut(a, b, round(float(begin) * NS_PER_S), None if end is None else round(float(end) * NS_PER_S))
