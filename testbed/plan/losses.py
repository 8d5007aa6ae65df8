"""Gateways and PoPs that the plan knows to be lost: it avoids them from that instant on.

Unlike a fault (`plan.faults`), which strikes a plan that knows nothing of it, a loss is part of the plan: terminals are
assigned anew after the time that it takes to notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from testbed.ground.constants import NS_PER_S

NO_LOSS = "none"
"""Written where nothing is lost."""

_WRITTEN = re.compile(r"(?P<node>(gw|pop)-[a-z0-9-]+)(@(?P<begin>[0-9]+(\.[0-9]+)?)(-(?P<end>[0-9]+(\.[0-9]+)?))?)?")


@dataclass(frozen=True)
class Loss:
    """A gateway or PoP is out of service in [begin_ns, end_ns) of the plan's time; without `end_ns`, to its end."""

    node: str
    begin_ns: int = 0
    end_ns: int | None = None

    def covers(self, time_ns: int) -> bool:
        """Is the node out of service then?"""
        return self.begin_ns <= time_ns < (inf if self.end_ns is None else self.end_ns)


def parse_losses(text: str) -> tuple[Loss, ...]:
    """Losses as people write them: 'none', or a list of NODE, NODE@BEGIN and NODE@BEGIN-END with seconds of the plan.

    Raises ValueError with what is wrong, to be put behind the parameter's name and value.
    """
    return tuple(_parse(part.strip()) for part in text.split(",")) if text != NO_LOSS else ()


def lost(losses: Iterable[Loss], node: str, time_ns: int) -> bool:
    """Is the node out of service at that time of the plan?"""
    return any(loss.node == node and loss.covers(time_ns) for loss in losses)


def pop_at(pops: Sequence[str], losses: Sequence[Loss], time_ns: int) -> str | None:
    """The PoP that a gateway with these, in order of preference, uses at that time; None when all are lost.

    A gateway does not return by itself to a PoP that was lost before: sessions would break twice.
    """
    alive = [pop for pop in pops if not lost(losses, pop, time_ns)]
    spared = [pop for pop in alive if not any(loss.node == pop and loss.begin_ns <= time_ns for loss in losses)]
    return next(iter([*spared, *alive]), None)


def _parse(written: str) -> Loss:
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise ValueError(
            "is not understood: write gw-SITE or pop-SITE, @BEGIN or @BEGIN-END in seconds behind it, commas between"
        )
    begin, end = match["begin"], match["end"]
    if end is not None and float(end) <= float(begin):
        raise ValueError(f"has a window that ends before it begins: write {match['node']}@{end}-{begin}")
    return Loss(match["node"], _ns(begin or "0"), None if end is None else _ns(end))


def _ns(seconds: str) -> int:
    return round(float(seconds) * NS_PER_S)
