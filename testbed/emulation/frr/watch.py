"""FRR in a run: the daemons started, the routes awaited, and every change of theirs kept with its time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from testbed.emulation.frr.convergence import Monitor
from testbed.emulation.frr.daemons import Daemons, Installation
from testbed.emulation.frr.domains import learned
from testbed.emulation.frr.routers import routers
from testbed.emulation.frr.ways import Way, Ways
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import Clock
from testbed.ground.errors import RunError
from testbed.plan.observed import ROUTING

RESOLUTION_NS: Final = 20_000_000
"""How often the kernels' notices are taken in: a change is known to lie within this time before it was seen."""

_SETTLED_HELLOS: Final = 2  # without a notice for so many hellos: longer than all waits of the first SPF
_NAMED: Final = 5  # of what is missing, in an error
_PATIENCE_S: Final = 240.0  # for sixty routers on two cores


class Routing:
    """Daemons in every router of a network that is up; an Activity of the loop while it plays. A context manager."""

    def __init__(self, wiring: Wiring, folder: Path) -> None:
        """Start, and wait until every path has its way. Raises RunError, MachineError."""
        plan = wiring.plan
        self._folder, self._duration_ns = folder, plan.duration_ns
        self._domains = {node.name: node.domain for node in plan.nodes}
        self._ends = [(path[0].nodes[0], path[0].nodes[-1]) for path in plan.paths]
        self._ways = Ways(wiring)
        speakers = routers(wiring)
        self._edges = {router.name: router.bgp for router in speakers if router.bgp}
        self._to_learn = learned(self._edges)
        self._quiet_s = _SETTLED_HELLOS * speakers[0].timers.hello_s
        spaces = {router.name: wiring.nodes[router.name].namespace for router in speakers}
        installation = Installation.find()
        began = time.monotonic()
        self._monitor = Monitor(spaces)
        try:
            self._daemons = Daemons(installation, folder / "frr", speakers, spaces)
            started = time.monotonic()
            try:
                settled = self._settle()
            except BaseException:
                self._daemons.close()
                raise
        except BaseException:
            self._monitor.close()
            raise
        self._told: dict[str, Any] = {
            "routers": len(speakers),
            "daemons": self._daemons.count,
            "started_s": round(started - began, 3),
            "settled_s": round(settled - started, 3),
            "memory_bytes": self._daemons.memory_bytes,
            "resolution_ns": RESOLUTION_NS,
        }
        self._seen = self._monitor.changes
        self._changes: list[tuple[int, int]] = []
        self._taken: list[list[tuple[int, int, Way]]] = [[(0, 0, way)] for way in self.ways]
        self._last_ns = 0
        self._due_ns = 0

    def __enter__(self) -> Routing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemons.close()
        self._monitor.close()

    def due_ns(self) -> int | None:
        return self._due_ns if self._due_ns < self._duration_ns else None

    def act(self, clock: Clock) -> None:
        self._monitor.listen(0)
        now_ns = clock.now_ns()
        if self._monitor.changes != self._seen:
            self._changes.append((now_ns, self._monitor.changes - self._seen))
            self._seen = self._monitor.changes
            for taken, way in zip(self._taken, self.ways, strict=True):
                if way != taken[-1][2]:
                    taken.append((self._last_ns, now_ns, way))
        self._last_ns = now_ns
        self._due_ns = max(self._due_ns + RESOLUTION_NS, now_ns)

    def finish(self) -> None:
        """Keep what was seen, as `plan.observed` reads it. Raises RunError where a daemon has died meanwhile."""
        self._daemons.check()
        ways = [
            [{"after_ns": after, "by_ns": by, "nodes": way and list(way)} for after, by, way in taken]
            for taken in self._taken
        ]
        told = self._told | {"changes": self._changes, "ways": ways, "edges": self._announcements()}
        (self._folder / ROUTING).write_text(json.dumps(told, indent=1))

    def _announcements(self) -> list[dict[str, Any]]:
        """What each domain's edge was to learn by BGP, and all that its kernel ever got by it."""
        return [
            {
                "router": name,
                "domain": self._domains[name],
                "as": speaker.system,
                "announces": [str(network) for network in speaker.announced],
                "expected": sorted(self._to_learn[name]),
                "learned": sorted(prefix for node, prefix in self._monitor.ever_by_bgp if node == name),
            }
            for name, speaker in self._edges.items()
        ]

    @property
    def ways(self) -> Sequence[Way]:
        """Of each path of the plan, as the kernels would forward now."""
        return [self._ways.follow(self._monitor.routes, *ends) for ends in self._ends]

    def _missing(self) -> list[str]:
        """Paths without a way, and announcements that have not come."""
        found = [f"{a}→{b}" for (a, b), way in zip(self._ends, self.ways, strict=True) if way is None]
        for name, prefixes in self._to_learn.items():
            there = {prefix for node, prefix in self._monitor.by_bgp if node == name}
            found += [f"{prefix} at {name}" for prefix in sorted(prefixes - there)]
        return found

    def _settle(self) -> float:
        """Until every path has its way, every edge its announcements, and no notice has come for a while; returns when
        the last one came."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self._monitor.listen(0.2)
            now = time.monotonic()
            if now - self._monitor.changed_s > self._quiet_s and self._monitor.changes and not self._missing():
                return self._monitor.changed_s
            if now > deadline:
                missing = ", ".join(self._missing()[:_NAMED])
                why = f"no {missing}" if missing else "it changes still"
                raise RunError(f"routing has not settled in {_PATIENCE_S:g} s: {why}; see {self._folder / 'frr'}")
            self._daemons.check()
