"""Playing a long plan fast, and watching what the process and the kernel hold meanwhile."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.emulation.loop import Activity, run_activities
from testbed.emulation.network import running
from testbed.emulation.player import LATE_NS, ReadBack
from testbed.ground.clock import Clock, RealClock
from testbed.plan import model

_SAMPLES: Final = 50


class _Watcher:
    """Notes memory, descriptors and threads fifty times over the schedule; an Activity of the loop."""

    def __init__(self, duration_ns: int) -> None:
        self._duration_ns = duration_ns
        self.rows: list[tuple[float, float, int, int]] = []

    def due_ns(self) -> int | None:
        due_ns = (len(self.rows) + 1) * self._duration_ns // (_SAMPLES + 1)
        return due_ns if len(self.rows) < _SAMPLES else None

    def act(self, clock: Clock) -> None:  # noqa: ARG002 - an Activity's signature
        gc.collect()
        status = _fields(Path("/proc/self/status"))
        memory = _fields(Path("/proc/meminfo"))
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        self.rows.append((status["VmRSS"] / 1e3, memory["Slab"] / 1e3, descriptors, status["Threads"]))


def play(folder: Path, *, speed: float) -> dict[str, Any]:
    """Play folder/plan at `speed`; what has grown between the first and the last tenth of the schedule (medians)."""
    plan = model.load(folder / "plan")
    with running(plan) as net:
        player = net.topo.emulation.playing
        watcher = _Watcher(plan.duration_ns)
        begin = time.monotonic()
        activities: list[Activity] = [player, ReadBack(player, len(plan.links), plan.duration_ns, speed), watcher]
        run_activities(activities, RealClock(time.monotonic_ns(), speed), lambda: False)
        real_s = time.monotonic() - begin
    rows = np.array(watcher.rows)
    tenth = _SAMPLES // 10
    grown = np.median(rows[-tenth:], axis=0) - np.median(rows[:tenth], axis=0)
    ticks = player.ticks
    names = ("rss_mb", "slab_mb", "descriptors", "threads")
    return dict(zip(names, grown.tolist(), strict=True)) | {
        "real_s": real_s,
        "ticks": len(ticks),
        "changes": sum(tick.changes for tick in ticks),
        "late_ticks": sum(tick.late_ns > LATE_NS * speed for tick in ticks),  # of real time
        "read_back": player.checked,
        "mismatches": len(player.mismatches),
    }


def _fields(path: Path) -> dict[str, int]:
    """Numbers by name of a /proc file of 'Name: number unit' lines."""
    pairs = (line.split(":") for line in path.read_text().splitlines())
    return {name: int(rest.split()[0]) for name, rest in pairs if rest.split() and rest.split()[0].isdecimal()}
