"""The lab book: all exercises, in order."""

from __future__ import annotations

from typing import Final

from testbed.lab.exercises import missions, orbits

BOOK: Final = (
    orbits.FIRST_RUN,
    orbits.READING_A_PLAN,
    orbits.HANDOVER,
    missions.BREAK_IN,
    missions.EARTHQUAKE,
    missions.FRIGATE,
    missions.SIDE_BY_SIDE,
    missions.OWN_TOPOLOGY,
)
