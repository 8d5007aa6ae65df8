"""Faults at work: each begins and ends at its time, however often the plan changes the same links meanwhile.

Those of the run directory's faults.json are known before; more come as files in its `inbox` while it runs.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.emulation.player import Player
from testbed.emulation.state import UNLIMITED_BPS
from testbed.ground.clock import Clock
from testbed.ground.errors import PlanError
from testbed.plan.faults import INBOX, LOG, Fault, parse_fault
from testbed.plan.model import Plan

_POLL_NS: Final = 200_000_000


class Faults:
    """The faults of a run; an Activity of the loop."""

    def __init__(self, plan: Plan, player: Player, folder: Path, known: Sequence[Fault]) -> None:
        self._plan, self._player, self._folder = plan, player, folder
        self._first_bps = np.array([plan.link_steps(number)["rate_bps"][0] for number in range(len(plan.links))])
        self._order = count()
        self._waiting: list[tuple[int, int, str, str, Fault]] = []  # when, order, begin or end, id, fault
        self._active: dict[str, Fault] = {}
        self._poll_ns = 0
        for number, fault in enumerate(known, 1):
            self._await(str(number), fault)

    def due_ns(self) -> int | None:
        due_ns = min(self._poll_ns, self._waiting[0][0]) if self._waiting else self._poll_ns
        return due_ns if due_ns < self._plan.duration_ns else None

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        if now_ns >= self._poll_ns:
            self._poll_ns = now_ns + _POLL_NS
            self._read_inbox(now_ns)
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, what, name, fault = heapq.heappop(self._waiting)
            if what == "begin":
                self._active[name] = fault
            else:
                del self._active[name]
            self._lay_over(fault)
            self._player.refresh(clock, fault.links)
            time_ns = now_ns if what == "begin" else clock.now_ns()  # what lies between belongs to the fault
            self._log({"act": what, "id": name, "time_ns": time_ns} | fault.summary)

    def _await(self, name: str, fault: Fault) -> None:
        for when, what in ((fault.begin_ns, "begin"), (fault.end_ns, "end")):
            heapq.heappush(self._waiting, (when, next(self._order), what, name, fault))

    def _read_inbox(self, now_ns: int) -> None:
        for path in sorted((self._folder / INBOX).glob("*.json")):
            name = path.stem
            try:
                fault = parse_fault(json.loads(path.read_text()), self._plan, where="event", now_ns=now_ns)
            except (PlanError, ValueError) as error:  # what is no JSON is a ValueError
                self._log({"act": "refused", "id": name, "time_ns": now_ns, "why": str(error)})
            else:
                self._await(name, fault)
            path.unlink()

    def _lay_over(self, changed: Fault) -> None:
        """All that is active on the links of the one that begins or ends."""
        overlay = self._player.state.overlay
        for link in changed.links:
            mine = [fault for fault in self._active.values() if link in fault.links]
            overlay.down[link] = sum(fault.down for fault in mine)
            overlay.extra_ns[link] = sum(fault.extra_ns for fault in mine)
            overlay.kept[link] = np.prod([1.0 - fault.loss for fault in mine])
            share = float(np.prod([fault.rate for fault in mine]))
            overlay.rate_bps[link] = UNLIMITED_BPS if share == 1.0 else max(1, round(self._first_bps[link] * share))

    def _log(self, entry: dict[str, Any]) -> None:
        with (self._folder / LOG).open("a") as log:
            log.write(json.dumps(entry) + "\n")
