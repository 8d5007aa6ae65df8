"""The player: each tick's changes at its absolute time, and what the kernel holds afterwards read back.

A tick changes what has moved, and only that: one send per namespace, with the full state of every link end in it, so
that the latest always wins and nothing is ever merged. Late ticks are counted and played at once, in order, never
skipped. After each change the kernel's echo is compared with what was wanted; in between, link ends are read in
rotation, because others can change them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation.shared import shared
from testbed.emulation.state import Links, State
from testbed.emulation.timeline import Tick
from testbed.emulation.wiring import LinkEnd
from testbed.ground.clock import Clock
from testbed.ground.errors import KernelError
from testbed.ground.records import TICK_DTYPE
from testbed.kernel import filters, queues, rows
from testbed.kernel.links import signal
from testbed.kernel.netlink import Message, Netlink
from testbed.kernel.queues import Impairment

LATE_NS: Final = 50_000_000
"""A tick that ends this much after its time is a late tick (half a plan step of 100 ms)."""

_SLACK: Final = {"delay_ns": 0, "loss": 2.0**-31, "limit": 0}  # netem holds 32 bits of a loss
_READ_PERIOD_NS: Final = 50_000_000
_READ_SWEEP_NS: Final = 2_000_000_000  # in this time every link end is read once,
_READ_MOST: Final = 20  # but no more than these in one act, which takes the guest about 4 ms,
_READ_TIME_NS: Final = 5_000_000  # nor longer than this: ticks wait meanwhile


@dataclass(frozen=True)
class TickRecord:
    """One played tick: when the plan wanted it, how much later it was acknowledged, how many changes it made."""

    time_ns: int
    late_ns: int
    changes: int


@dataclass(frozen=True)
class Mismatch:
    """The kernel held something else than was wanted of a link at a schedule time.

    field: delay_ns, loss, limit, rate_bps, or 'qdisc' where another queue stood there, or none.
    """

    time_ns: int
    link: int
    field: str
    planned: float | str
    held: float | str


class Player:
    """Plays ticks; an Activity of the loop. `ends` by link number, `sockets` by node name."""

    def __init__(
        self, ticks: Sequence[Tick], state: State, ends: Sequence[LinkEnd], sockets: Mapping[str, Netlink]
    ) -> None:
        self._ticks = ticks
        self.state = state
        self._ends = ends
        self._sockets = sockets
        self._next = 0
        everything = np.arange(len(ends))
        self._held = shared(state.wanted(everything))  # for `testbed inspect`, which a process beside us answers
        self._lit = state.up(everything)
        self._rows = rows.changes([end.index for end in ends])
        names = sorted({end.node for end in ends})
        numbers = {name: number for number, name in enumerate(names)}
        self._names = names
        self._room = [end.room for end in ends]
        self._narrow = np.array([end.narrow for end in ends], bool)
        self._nodes = np.array([numbers[end.node] for end in ends], np.intp)
        self._places = {(end.node, end.index): link for link, end in enumerate(ends)}
        self._records = np.zeros(len(ticks), TICK_DTYPE)  # made once: a run of days needs no more than one of minutes
        self.mismatches: list[Mismatch] = []
        self.checked = 0

    @property
    def ticks(self) -> list[TickRecord]:
        """What has been played."""
        return [TickRecord(*row) for row in self._records[: self._next].tolist()]

    def due_ns(self) -> int | None:
        return self._ticks[self._next].time_ns if self._next < len(self._ticks) else None

    def act(self, clock: Clock) -> None:
        tick = self._ticks[self._next]
        self._next += 1
        changes = self._apply(clock, self.state.step(tick.steps), tick.routes)
        self._records[self._next - 1] = (tick.time_ns, clock.now_ns() - tick.time_ns, changes)

    def refresh(self, clock: Clock, links: Iterable[int]) -> None:
        """Put what faults now do to these links into effect."""
        self._apply(clock, np.fromiter(links, np.intp), ())

    def renew(self, clock: Clock) -> None:
        """Set every link end anew, moved or not, and compare all echoes."""
        now_ns = clock.now_ns()
        for node, echo in self._change(np.arange(len(self._ends))):
            self._compare(now_ns, node, *queues.parse_netem(echo))

    def wanted(self, link: int) -> Impairment:
        """What netem is to hold now at the sending end of a link."""
        held = self._held[link]
        return Impairment(int(held["delay_ns"]), int(held["loss"]) / queues.LOSS_MAX, int(held["limit"]))

    def wanted_rate_bps(self, link: int) -> int:
        """The rate that its bottleneck is to have now."""
        return int(self._held[link]["rate_bps"])

    def _apply(self, clock: Clock, links: Links, routes: Iterable[tuple[str, list[Message]]]) -> int:
        """First what must be there before packets come, then the routes, then what goes; returns how many messages."""
        wanted, up = self.state.wanted(links), self.state.up(links)
        before = self._held[links]
        moved = np.zeros(len(links), bool)
        for name in ("delay_ns", "loss", "limit"):
            moved |= wanted[name] != before[name]
        other_rate = self._narrow[links] & (wanted["rate_bps"] != before["rate_bps"])
        comes, goes = up & ~self._lit[links], ~up & self._lit[links]
        self._held[links], self._lit[links] = wanted, up
        answers = self._change(links[moved & ~goes])
        for link in links[other_rate]:
            self._set_rate(int(link))
        for link in links[comes]:
            end = self._ends[link]
            lit = [filters.relight(end.far_index, end.what), signal(end.far_index, present=True)]
            self._sockets[end.far_node].send(lit)
        routed = 0
        for node, messages in routes:
            self._sockets[node].send(messages)
            routed += len(messages)
        answers += self._change(links[moved & goes])
        for link in links[goes]:
            end = self._ends[link]
            if not self._room[link]:
                self._sockets[end.far_node].send([filters.ingress(end.far_index, end.what)])
                self._room[link] = True
            dark = [filters.darken(end.far_index, end.what), signal(end.far_index, present=False)]
            self._sockets[end.far_node].send(dark)
        now_ns = clock.now_ns()
        for node, echo in answers:
            self._compare(now_ns, node, *queues.parse_netem(echo))
        return int(np.sum(moved) + np.sum(other_rate) + np.sum(comes) + np.sum(goes)) + routed

    def _change(self, links: Links) -> list[tuple[str, bytes]]:
        """One send per namespace; returns the echoes with their nodes."""
        nodes = self._nodes[links]
        order = np.argsort(nodes, kind="stable")
        links, nodes = links[order], nodes[order]
        packed = self._rows[links]
        rows.fill(packed, self._held[links])
        answers: list[tuple[str, bytes]] = []
        for begin, end in _runs(nodes):
            node = self._names[nodes[begin]]
            what = partial(self._what, links[begin:end])
            echoes = self._sockets[node].send_rows(packed[begin:end], what)
            answers += [(node, echo) for echo in echoes]
        return answers

    def _what(self, links: Links, row: int) -> str:
        return f"netem of {self._ends[links[row]].what}"

    def _set_rate(self, link: int) -> None:
        end, rate_bps = self._ends[link], int(self._held[link]["rate_bps"])
        bottleneck = queues.Bottleneck(rate_bps, end.buffer_bytes)
        self._sockets[end.node].send([queues.change_rate(end.index, bottleneck, end.what)])

    def read(self, now_ns: int, link: int) -> None:
        """Ask the kernel what one link end holds now: no answer where somebody has removed its queue."""
        end = self._ends[link]
        answers = self._sockets[end.node].send([queues.held_netem(end.index, end.what)])
        self._compare(now_ns, end.node, end.index, queues.parse_netem(answers[0])[1] if answers else None)
        if self._narrow[link]:
            self._read_rate(now_ns, link, end)

    def _read_rate(self, now_ns: int, link: int, end: LinkEnd) -> None:
        try:
            answers = self._sockets[end.node].send([queues.held_rate(end.index, end.what)])
        except KernelError:  # no such queue
            answers = []
        held = queues.parse_rate(answers[0]) if answers else None
        planned = int(self._held[link]["rate_bps"]) // 8 * 8  # the kernel counts bytes
        self.checked += 1
        if held is None:
            self.mismatches.append(Mismatch(now_ns, link, "qdisc", "tbf", "another"))
        elif held != planned:
            self.mismatches.append(Mismatch(now_ns, link, "rate_bps", planned, held))

    def _compare(self, now_ns: int, node: str, index: int, held: Impairment | None) -> None:
        link = self._places[node, index]
        planned = self.wanted(link)
        self.checked += 1
        if held is None:
            self.mismatches.append(Mismatch(now_ns, link, "qdisc", "netem", "another"))
            return
        for name, slack in _SLACK.items():
            ours, theirs = getattr(planned, name), getattr(held, name)
            if abs(ours - theirs) > slack:
                self.mismatches.append(Mismatch(now_ns, link, name, ours, theirs))
                return


class ReadBack:
    """Reads every link end in rotation; an Activity of the loop. `speed`: the clock's, so as to read as often."""

    def __init__(self, player: Player, links: int, until_ns: int, speed: float = 1.0) -> None:
        self._player = player
        self._links = links
        self._until_ns = until_ns
        self._per_act = min(max(1, -(-links * _READ_PERIOD_NS // _READ_SWEEP_NS)), _READ_MOST)
        self._at = 0
        self._period_ns = round(_READ_PERIOD_NS * speed)
        self._most_ns = round(_READ_TIME_NS * speed)
        self._due_ns = self._period_ns // 2

    def due_ns(self) -> int | None:
        return self._due_ns if self._links and self._due_ns < self._until_ns else None

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        for _ in range(self._per_act):
            self._player.read(now_ns, self._at)
            self._at = (self._at + 1) % self._links
            if clock.now_ns() - now_ns >= self._most_ns:
                break
        self._due_ns = max(self._due_ns + self._period_ns, now_ns)  # a turn that was missed stays missed


def _runs(nodes: NDArray[np.intp]) -> Iterable[tuple[int, int]]:
    """Begin and end of each run of equal values."""
    if not len(nodes):
        return ()
    cuts = np.flatnonzero(np.diff(nodes)) + 1
    return zip([0, *cuts.tolist()], [*cuts.tolist(), len(nodes)], strict=True)
