"""What an attacker keeps in mind between packets: how it was set, what passed, and what it recorded."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from traffic.caught import Caught

RECORDED: Final = 1_024
"""Assumption: packets kept of each association, its first ones, for the time when it is retired."""

SILENT_S: Final = 5.0
"""Assumption: an association that was replaced and has been silent for so long is past its grace, which is the spread
of delays and 1 s (traffic.rekey)."""

_ASSOCIATIONS: Final = 4_096  # kept at most: whoever sends under ever new SPIs must not fill the memory


@dataclass
class _Heard:
    """Of one association."""

    way: tuple[bytes, int]
    last_s: float
    last: Caught
    before: Caught | None = None
    first: list[bytes] = field(default_factory=list)
    taken: int = 0


@dataclass
class Memory:
    """`late_s`: after which a late copy follows; `hold_s`, `followers`: of the attacks that withhold. `chance`: all
    that is random. `record`: whether packets are kept for later."""

    late_s: float = 10.0
    hold_s: float = 0.2
    followers: int = 32
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - an attack is to be repeatable
    record: bool = False
    silent_s: float = SILENT_S
    clock: Callable[[], float] = time.monotonic
    acts: int = 0
    """How many acts there were before, this one included."""
    _identification: int = 0
    _heard: dict[int, _Heard] = field(default_factory=dict)

    def notice(self, caught: Caught) -> None:
        """Take in an ESP packet that passes, whether it is attacked or not."""
        heard = self._heard.get(caught.spi)
        if heard is None:
            if len(self._heard) == _ASSOCIATIONS:
                del self._heard[next(iter(self._heard))]
            heard = self._heard[caught.spi] = _Heard(caught.way, self.clock(), caught)
        else:
            heard.before, heard.last, heard.last_s = heard.last, caught, self.clock()
        if self.record and len(heard.first) < RECORDED:
            heard.first.append(caught.packet)

    def previous(self, caught: Caught) -> Caught | None:
        """The packet of the same association before this one, if there was one."""
        heard = self._heard.get(caught.spi)
        return None if heard is None else heard.before

    def recorded(self, caught: Caught) -> bytes | None:
        """A recorded packet of the same way, under an association that has been silent since another came; else
        None."""
        now_s = self.clock()
        for spi, heard in self._heard.items():
            silent = spi != caught.spi and now_s - heard.last_s > self.silent_s
            if silent and heard.way == caught.way and heard.taken < len(heard.first):
                heard.taken += 1
                return heard.first[heard.taken - 1]
        return None

    def next_identification(self) -> int:
        """A number for the fragments of one IP packet, never 0."""
        self._identification = self._identification % 0xFFFF + 1
        return self._identification
