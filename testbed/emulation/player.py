"""The player: each tick's messages at its absolute time, and what the kernel holds afterwards read back.

Late ticks are counted and played at once, never skipped: each message carries the full state, so the latest wins. After
each change the kernel's echo is compared with the plan; in between, link ends are read in rotation, because others can
change them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from testbed.emulation.timeline import Timeline
from testbed.ground.clock import Clock
from testbed.kernel import queues
from testbed.kernel.netlink import Netlink
from testbed.kernel.queues import Impairment

LATE_NS: Final = 50_000_000
"""A tick that ends this much after its time is a late tick (half a plan step of 100 ms)."""

_READ_PERIOD_NS: Final = 50_000_000
_READ_SWEEP_NS: Final = 2_000_000_000  # in this time every link end is read once


@dataclass(frozen=True)
class TickRecord:
    """One played tick: when the plan wanted it, how much later it was acknowledged, how many changes it made."""

    time_ns: int
    late_ns: int
    changes: int


@dataclass(frozen=True)
class Mismatch:
    """The kernel held something else than the plan: link number, schedule time, what was planned and held."""

    time_ns: int
    link: int
    planned: Impairment
    held: Impairment | None


class Player:
    """Plays a timeline; an Activity of the loop."""

    def __init__(self, timeline: Timeline, sockets: Mapping[str, Netlink]) -> None:
        self._timeline = timeline
        self._sockets = sockets
        self._next = 0
        self.held = dict(timeline.initial)
        self.ticks: list[TickRecord] = []
        self.mismatches: list[Mismatch] = []
        self.checked = 0

    def due_ns(self) -> int | None:
        ticks = self._timeline.ticks
        return ticks[self._next].time_ns if self._next < len(ticks) else None

    def act(self, clock: Clock) -> None:
        tick = self._timeline.ticks[self._next]
        expected = self._timeline.held[self._next]
        self._next += 1
        self.held.update(expected)
        answers = [(node, self._sockets[node].send(messages)) for node, messages in tick.batches]
        done_ns = clock.now_ns()
        changes = sum(len(messages) for _, messages in tick.batches)
        self.ticks.append(TickRecord(tick.time_ns, done_ns - tick.time_ns, changes))
        for node, echoes in answers:
            for echo in echoes:
                self._compare(done_ns, node, *queues.parse_netem(echo))

    def read(self, now_ns: int, node: str, index: int) -> None:
        """Ask the kernel what one link end holds now: no answer where somebody has removed its queue."""
        link, _ = self.held[node, index]
        answers = self._sockets[node].send([queues.held_netem(index, f"link {link}")])
        self._compare(now_ns, node, index, queues.parse_netem(answers[0])[1] if answers else None)

    def _compare(self, now_ns: int, node: str, index: int, held: Impairment | None) -> None:
        link, planned = self.held[node, index]
        self.checked += 1
        if held is None or not _same(planned, held):
            self.mismatches.append(Mismatch(now_ns, link, planned, held))


class ReadBack:
    """Reads every link end in rotation between ticks; an Activity of the loop."""

    def __init__(self, player: Player, until_ns: int) -> None:
        self._player = player
        self._until_ns = until_ns
        self._ends = sorted(player.held)
        self._per_act = max(1, -(-len(self._ends) * _READ_PERIOD_NS // _READ_SWEEP_NS))
        self._at = 0
        self._due_ns = _READ_PERIOD_NS // 2

    def due_ns(self) -> int | None:
        return self._due_ns if self._ends and self._due_ns < self._until_ns else None

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        for _ in range(self._per_act):
            node, index = self._ends[self._at]
            self._player.read(now_ns, node, index)
            self._at = (self._at + 1) % len(self._ends)
        self._due_ns += _READ_PERIOD_NS


def _same(planned: Impairment, held: Impairment) -> bool:
    """Equal to the nanosecond, to the packet, and in loss to netem's 32 bits."""
    return (
        planned.delay_ns == held.delay_ns and planned.limit == held.limit and abs(planned.loss - held.loss) < 2.0**-31
    )
