"""One loop for everything that has its times: the player, the probes, the progress. The earliest due acts first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from testbed.ground.clock import Clock


class Activity(Protocol):
    """Something with due times."""

    def due_ns(self) -> int | None:
        """Schedule time of its next act; None when it is done."""
        ...

    def act(self, clock: Clock) -> None:
        """Do what is due."""
        ...


def run_activities(activities: Sequence[Activity], clock: Clock, stop: Callable[[], bool]) -> None:
    """Run until every activity is done or `stop()` is true. Of two due at once, the first in the list acts first.

    `stop` is asked before every act and at least every fifth of a second.
    """
    while not stop():
        waiting = [(due, place) for place, activity in enumerate(activities) if (due := activity.due_ns()) is not None]
        if not waiting:
            return
        due, place = min(waiting)
        clock.sleep_until_ns(due)
        if clock.now_ns() >= due:
            activities[place].act(clock)
