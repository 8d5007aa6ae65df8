"""Playing a whole constellation's plan, and reading back at random what the kernel holds of it meanwhile."""

from __future__ import annotations

import gc
import random
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.emulation.loop import run_activities
from testbed.emulation.network import Emulation, running
from testbed.emulation.player import LATE_NS, ReadBack
from testbed.emulation.wiring import LinkEnd
from testbed.ground.clock import Clock, RealClock
from testbed.ground.constants import NS_PER_S
from testbed.kernel import queues
from testbed.kernel.netlink import Netlink
from testbed.plan import model

SAMPLES: Final = "held.npy"
"""Rows (schedule time in ns, link, delay in ns), shape (n, 3)."""

_PERIOD_NS: Final = 100_000_000
_PER_ACT: Final = 10


class _Sampler:
    """Reads ten link ends, chosen at random, ten times a second; an Activity of the loop."""

    def __init__(self, ends: list[LinkEnd], sockets: dict[str, Netlink], until_ns: int) -> None:
        self._ends, self._sockets, self._until_ns = ends, sockets, until_ns
        self._random = random.Random(1)  # noqa: S311 - which to read, not a secret
        self._due_ns = _PERIOD_NS // 3
        self.rows: list[tuple[int, int, int]] = []

    def due_ns(self) -> int | None:
        return self._due_ns if self._due_ns < self._until_ns else None

    def act(self, clock: Clock) -> None:
        self._due_ns += _PERIOD_NS
        for _ in range(_PER_ACT):
            link = self._random.randrange(len(self._ends))
            end = self._ends[link]
            (answer,) = self._sockets[end.node].send([queues.held_netem(end.index, end.what)])
            held = queues.parse_netem(answer)[1]
            if held is not None:
                self.rows.append((clock.now_ns(), link, held.delay_ns))


def play(folder: Path, *, refreshes: int = 1) -> dict[str, Any]:
    """Play folder/plan in real time; leaves SAMPLES. `refreshes`: afterwards, full refreshes of all ends to time."""
    plan = model.load(folder / "plan")
    with running(plan) as net:
        return _play(net.topo.emulation, folder, refreshes)


def _play(emulation: Emulation, folder: Path, refreshes: int) -> dict[str, Any]:
    wiring, player, plan = emulation.wiring, emulation.playing, emulation.wiring.plan
    ends = [wiring.end(number) for number in range(len(plan.links))]
    sampler = _Sampler(ends, {name: node.netlink for name, node in wiring.nodes.items()}, plan.duration_ns)
    gc.collect()
    gc.freeze()
    read_back = ReadBack(player, len(ends), plan.duration_ns)
    run_activities([player, sampler, read_back], RealClock(time.monotonic_ns() + NS_PER_S), lambda: False)
    np.save(folder / SAMPLES, np.array(sampler.rows, np.int64).reshape(-1, 3))
    late = [tick.late_ns for tick in player.ticks]
    told = {
        "ticks": len(late),
        "late_ticks": sum(late_ns > LATE_NS for late_ns in late),
        "worst_late_ms": max(late, default=0) / 1e6,
        "changes": sum(tick.changes for tick in player.ticks),
        "read_back": player.checked,
        "mismatches": len(player.mismatches),
    }
    begin = time.monotonic()
    for _ in range(refreshes):
        player.renew(RealClock(time.monotonic_ns()))
    told["refresh_s"] = (time.monotonic() - begin) / refreshes
    return told
