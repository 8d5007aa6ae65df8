"""What a run tells of itself once a second while it plays: for a terminal, a page, another program.

Nothing is judged by it, and it costs some tens of microseconds for each path: what the player holds anyway, the newest
probe of each path, and counts that the traffic's process leaves in memory that both share.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from testbed.emulation.player import Player
from testbed.emulation.probes import Prober
from testbed.emulation.shared import shared
from testbed.ground.constants import SLOT_NS, SLOT_PHASE_NS
from testbed.ground.units import format_utc
from testbed.plan.model import PathStep, Plan

MOST_PATHS: Final = 64
"""Assumption: nobody follows more at once; those beyond are counted, and in the report."""

_STALE_NS: Final = 3_000_000_000  # an older probe says nothing of now


class Counts:
    """Packets of each flow as the traffic's process counts them, in memory shared with those who forked it."""

    def __init__(self, flows: int) -> None:
        self._table = shared(np.zeros(3 * flows + 1, np.int64))

    def take(self, progress: Mapping[str, Any]) -> None:
        """What `traffic.session` tells: called in its process."""
        self._table[:-1] = np.ravel(progress["flows"])
        self._table[-1] = progress["alarms"]

    @property
    def flows(self) -> list[list[int]]:
        """Sent, received intact, alarms that name the flow; of each flow."""
        rows: list[list[int]] = self._table[:-1].reshape(-1, 3).tolist()
        return rows

    @property
    def alarms(self) -> int:
        """All of them: most name no flow, since nothing in a forged packet can be believed."""
        return int(self._table[-1])


class Live:
    """The state of a run that plays. `start_realtime_ns`: CLOCK_REALTIME of schedule time 0."""

    def __init__(
        self, plan: Plan, player: Player, prober: Prober, flows: Sequence[str], counts: Counts, start_realtime_ns: int
    ) -> None:
        self._plan, self._player, self._prober = plan, player, prober
        self._flows, self._counts, self._start_realtime_ns = flows, counts, start_realtime_ns
        numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
        satellites = {node.name for node in plan.nodes if node.role == "satellite"}
        self._paths = [_Path(path, numbers, satellites) for path in plan.paths[:MOST_PATHS]]
        self._event_ns = [event.time_ns for event in plan.events]
        self._slotted = any(event.cause == "slot" for event in plan.events)

    def record(self, now_ns: int) -> dict[str, Any]:
        """As docs/live.md says; JSON types. Delays are None where there is none: no way, or no probe of late."""
        plan = self._plan
        return {
            "time_s": round(now_ns / 1e9, 3),
            "of_s": plan.duration_ns / 1e9,
            "utc": format_utc(plan.start_ns + round(now_ns * plan.speed), 3),
            "speed": plan.speed,
            "paths": [self._path(number, path, now_ns) for number, path in enumerate(self._paths)],
            "paths_left_out": len(plan.paths) - len(self._paths),
            "flows": [
                {"name": name, "sent": sent, "received": received, "alarms": alarms}
                for name, (sent, received, alarms) in zip(self._flows, self._counts.flows, strict=True)
            ],
            "alarms": self._counts.alarms,
            "next_slot_s": self._next_slot_s(now_ns) if self._slotted else None,
            "next_event": self._next_event(now_ns),
        }

    def _path(self, number: int, path: _Path, now_ns: int) -> dict[str, Any]:
        step = path.at(now_ns)
        held = [self._player.wanted(link) for link in step.links]
        up = all(impairment.loss < 1 for impairment in held)
        probe = self._prober.newest(number)
        measured_ns = None
        if probe is not None:
            sent_ns = probe[0] - self._start_realtime_ns
            if sent_ns >= max(step.time_ns, now_ns - _STALE_NS):
                measured_ns = probe[1]
        return {
            "name": f"{step.nodes[0]} → {step.nodes[-1]}",
            "way": step.nodes,
            "satellites": step.satellites,
            "hops": len(step.links),
            "up": up,
            "planned_ms": round(sum(impairment.delay_ns for impairment in held) / 1e6, 3) if up else None,
            "measured_ms": None if measured_ns is None else round(measured_ns / 1e6, 3),
        }

    def _next_slot_s(self, now_ns: int) -> float:
        """Real seconds to the next of :12 :27 :42 :57 UTC of the schedule."""
        utc_ns = self._plan.start_ns + round(now_ns * self._plan.speed)
        return round((SLOT_NS - (utc_ns - SLOT_PHASE_NS) % SLOT_NS) / self._plan.speed / 1e9, 3)

    def _next_event(self, now_ns: int) -> dict[str, Any] | None:
        place = bisect_right(self._event_ns, now_ns)
        if place == len(self._event_ns):
            return None
        event = self._plan.events[place]
        in_s = round((event.time_ns - now_ns) / 1e9, 3)
        return {"in_s": in_s, "kind": event.kind, "node": event.node, "cause": event.cause}


class _Step:
    """A way in force from `time_ns` on: its nodes, its satellites, the numbers of its links with netem."""

    def __init__(self, step: PathStep, numbers: Mapping[tuple[str, str], int], satellites: set[str]) -> None:
        self.time_ns, self.nodes = step.time_ns, step.nodes
        self.satellites = [name for name in step.nodes if name in satellites]
        self.links = [numbers[hop] for hop in pairwise(step.nodes) if hop in numbers]


class _Path:
    """An audited path: its ways, by when they begin."""

    def __init__(
        self, path: tuple[PathStep, ...], numbers: Mapping[tuple[str, str], int], satellites: set[str]
    ) -> None:
        self._steps = [_Step(step, numbers, satellites) for step in path]
        self._begins = [step.time_ns for step in path]

    def at(self, now_ns: int) -> _Step:
        """The way in force; before the first, the first."""
        return self._steps[max(bisect_right(self._begins, now_ns) - 1, 0)]
