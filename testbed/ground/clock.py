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
        """Return at schedule time `time_ns`, at once if it is past; or after LONGEST_SLEEP_NS, if that is sooner.

        Whoever sleeps looks at the time again afterwards: meanwhile the clock may have been paused.
        """
        ...


LONGEST_SLEEP_NS = 200_000_000
"""A sleeper looks up this often, real time: for a stop, a pause, a new speed."""


class RealClock:
    """Schedule time tied to the machine's monotonic clock, at a speed that may be changed from any thread.

    `start_monotonic_ns`: the instant of CLOCK_MONOTONIC at which schedule time is 0. `speed`: schedule seconds per real
    second; 0 is a pause.
    """

    def __init__(self, start_monotonic_ns: int, speed: float = 1.0) -> None:
        self._line = (start_monotonic_ns, 0, speed)  # from this instant and schedule time on, at this speed

    @property
    def speed(self) -> float:
        """Schedule seconds per real second."""
        return self._line[2]

    def set_speed(self, speed: float) -> None:
        """From now on; schedule time does not jump."""
        self._line = (time.monotonic_ns(), self.now_ns(), speed)

    def now_ns(self) -> int:
        begin_ns, time_ns, speed = self._line
        passed_ns = time.monotonic_ns() - begin_ns
        return time_ns + (passed_ns if speed == 1.0 else round(passed_ns * speed))

    def advance_ns(self, delta_ns: int) -> None:
        """Jump ahead; what is due meanwhile is due at once."""
        self._line = (time.monotonic_ns(), self.now_ns() + delta_ns, self.speed)

    def sleep_until_ns(self, time_ns: int) -> None:
        remaining_ns = time_ns - self.now_ns()
        if remaining_ns > 0:
            speed = self._line[2]
            real_ns = min(remaining_ns / speed, LONGEST_SLEEP_NS) if speed else LONGEST_SLEEP_NS
            time.sleep(real_ns / 1e9)


class ManualClock:
    """A clock that moves only when slept upon or told to: for tests."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until_ns(self, time_ns: int) -> None:
        self._now_ns = max(self._now_ns, min(time_ns, self._now_ns + LONGEST_SLEEP_NS))

    def advance_ns(self, delta_ns: int) -> None:
        """Let time pass, as slow work would."""
        self._now_ns += delta_ns
