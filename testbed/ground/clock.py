"""Time comes from a clock object; nothing else sleeps.

A schedule's time is nanoseconds since its start. `RealClock` follows the machine, `ManualClock` lets a test live
through hours in no time.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the player needs to know of time."""

    def now_ns(self) -> int:
        """Schedule time, nanoseconds since the start of the schedule; negative before it."""
        ...

    def sleep_until_ns(self, time_ns: int) -> None:
        """Return at schedule time `time_ns`, at once if it is past."""
        ...


class RealClock:
    """Schedule time tied to the machine's monotonic clock.

    `start_monotonic_ns`: the instant of CLOCK_MONOTONIC at which schedule time is 0.
    """

    def __init__(self, start_monotonic_ns: int) -> None:
        self.start_monotonic_ns = start_monotonic_ns

    def now_ns(self) -> int:
        return time.monotonic_ns() - self.start_monotonic_ns

    def sleep_until_ns(self, time_ns: int) -> None:
        remaining = time_ns - self.now_ns()
        if remaining > 0:
            time.sleep(remaining / 1e9)


class ManualClock:
    """A clock that moves only when slept upon or told to: for tests."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until_ns(self, time_ns: int) -> None:
        self._now_ns = max(self._now_ns, time_ns)

    def advance_ns(self, delta_ns: int) -> None:
        """Let time pass, as slow work would."""
        self._now_ns += delta_ns
