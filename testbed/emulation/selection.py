"""Which system carries, where a host has several: the first in order of preference that answers.

Between the hosts of each audited pair runs a BFD session over every system (`emulation.bfd`), to the address that is
bound to that system (`emulation.uplinks`). Each end judges by its own sessions and moves its own edge's route.
"""

from __future__ import annotations

import json
import random
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from testbed.emulation import bfd
from testbed.emulation.bfd import Session
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import Clock
from testbed.kernel.netlink import Message
from testbed.plan.chosen import CHOSEN, GRACE_NS, Change, Terms
from testbed.plan.model import Plan
from traffic.timestamps import deafen, open_udp, receive

DSCP_CS6: Final = 48
"""Network control (RFC 4594): before all traffic, so that a full link is not taken for one that is down."""

_SOURCE_PORT: Final = 49_152  # RFC 5881, 4: of the range from here on
_READ_NS: Final = 50_000_000  # sockets are read at least this often
_STALL_NS: Final = 25_000_000  # Assumption: a loop that is so late was held up, and so were both ends' packets


@dataclass
class Choice:
    """What one host chooses among for what it sends to a peer: sessions by system, in order of preference."""

    host: str
    peer: str
    sessions: dict[str, Session]
    restore_ns: int
    system: str = ""
    other: str = ""

    def __post_init__(self) -> None:
        self.system, self.other = list(self.sessions)[:2]

    def choose(self, now_ns: int) -> str:
        """The system to use from now on: not one that is down, nor, while another answers, one that was just down."""
        up = {name for name, session in self.sessions.items() if session.is_up}
        trusted = [name for name in self.sessions if name in up and self._lasts(name, now_ns)]
        holds = self.system in up or self._unproven(self.system, now_ns)
        for name in trusted:
            if not holds or self._rank(name) < self._rank(self.system):
                return name
        if holds:
            return self.system
        return next((name for name in self.sessions if name in up), self.system)

    def choose_other(self) -> str:
        """The system for second copies: one that answers and is not the one in use."""
        rest = [name for name in self.sessions if name != self.system]
        return next((name for name in rest if self.sessions[name].is_up), rest[0])

    def next_ns(self, now_ns: int) -> Iterator[int]:
        """When time alone may change the choice."""
        for name, session in self.sessions.items():
            if session.is_up and self._rank(name) < self._rank(self.system):
                yield session.changed_ns + self.restore_ns
        if self._unproven(self.system, now_ns):
            yield GRACE_NS

    def _rank(self, system: str) -> int:
        return list(self.sessions).index(system)

    def _lasts(self, system: str, now_ns: int) -> bool:
        """Has it answered for long enough, if it ever failed?"""
        return not self.sessions[system].fell or now_ns >= self.sessions[system].changed_ns + self.restore_ns

    def _unproven(self, system: str, now_ns: int) -> bool:
        session = self.sessions[system]
        return not session.is_up and not session.fell and now_ns < GRACE_NS


@dataclass(frozen=True)
class _End:
    """One end of a session: who sends to whom, over which system, to which address."""

    host: str
    peer: str
    system: str
    address: tuple[str, int]
    session: Session


class Selection:
    """Asks all paths and moves routes; an Activity of the loop, and a context manager: its sockets are closed."""

    def __init__(self, wiring: Wiring, folder: Path, until_ns: int) -> None:
        self._wiring, self._folder, self._until_ns = wiring, folder, until_ns
        self._uplinks = wiring.uplinks
        self._terms = Terms(**wiring.plan.traffic["selection"])
        self.changes: list[Change] = []
        self._told: list[dict[str, Any]] = []
        self._start_realtime_ns = 0
        self._due_ns = 0
        self._stalls_ns: list[int] = []
        self._ends: list[_End] = []
        self._hearers: dict[int, _End] = {}  # by the discriminator of the end that it hears
        self._choices: list[Choice] = []
        self._senders: dict[str, socket.socket] = {}
        self._listeners: dict[str, socket.socket] = {}
        drawn = random.Random(2).random  # noqa: S311 - jitter, no secret; the same in every run
        for host, peer in _pairs(wiring.plan):
            self._join(host, peer, drawn)
        for host in self._uplinks.hosts:
            with wiring.nodes[host].namespace.entered():
                self._senders[host] = open_udp("0.0.0.0", _SOURCE_PORT, dscp=DSCP_CS6)  # noqa: S104
                self._listeners[host] = open_udp("0.0.0.0", bfd.PORT, rx_stamps=True)  # noqa: S104
            deafen(self._senders[host])
        self._poll = select.poll()
        for sock in self._listeners.values():
            self._poll.register(sock, select.POLLIN)
        self._by_descriptor = {sock.fileno(): sock for sock in self._listeners.values()}

    def __enter__(self) -> Selection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (*self._senders.values(), *self._listeners.values()):
            sock.close()

    def start(self, realtime_ns: int) -> None:
        """Schedule time 0 is `realtime_ns` on CLOCK_REALTIME."""
        self._start_realtime_ns = realtime_ns

    def due_ns(self) -> int | None:
        return self._due_ns if self._due_ns < self._until_ns else None

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        late_ns = now_ns - self._due_ns
        self._read()
        if late_ns > _STALL_NS:  # the machine's fault, of which the report tells
            self._stalls_ns.append(late_ns)
            for end in self._ends:
                end.session.excuse(late_ns)
        for end in self._ends:
            if end.session.expire(now_ns):
                self._tell(end, now_ns)
        for choice in self._choices:
            self._steer(choice, clock)
        for end in self._ends:
            if end.session.due_ns <= now_ns:
                self._senders[end.host].sendto(end.session.send(now_ns), end.address)
        self._due_ns = min([now_ns + _READ_NS, *self._times(now_ns)])  # asked for often, and only acts change it

    def finish(self) -> None:
        """Leave what was chosen and why in the run directory."""
        document = {
            "systems": list(self._uplinks.systems),
            "terms": asdict(self._terms),
            "changes": [asdict(change) for change in self.changes],
            "sessions": self._told,
            "mptcp": _multipath_tcp(),
            "stalls": {"count": len(self._stalls_ns), "worst_ms": max(self._stalls_ns, default=0) / 1e6},
        }
        (self._folder / CHOSEN).write_text(json.dumps(document, indent=1))

    def _join(self, host: str, peer: str, drawn: Callable[[], float]) -> None:
        """The sessions between two hosts, one over each system, and both ends' choice."""
        terms, systems = self._terms, self._uplinks.systems
        for here, there in ((host, peer), (peer, host)):
            numbers = range(len(self._ends) + 1, len(self._ends) + 1 + len(systems))
            sessions = [Session(number, terms.hello_ns, terms.misses, drawn) for number in numbers]
            choice = Choice(here, there, dict(zip(systems, sessions, strict=True)), terms.restore_ns)
            self._choices.append(choice)
            for system, session in choice.sessions.items():
                address = str(self._uplinks.address(self._wiring.lans[there], system)), bfd.PORT
                self._ends.append(_End(here, there, system, address, session))
        both = self._ends[-2 * len(systems) :]
        for one in both:
            (far,) = (end for end in both if (end.host, end.system) == (one.peer, one.system))
            self._hearers[one.session.number] = far

    def _times(self, now_ns: int) -> Iterator[int]:
        for end in self._ends:
            yield end.session.due_ns
            if end.session.expires_ns is not None:
                yield end.session.expires_ns
        for choice in self._choices:
            yield from choice.next_ns(now_ns)

    def _read(self) -> None:
        """Take in all that has arrived, at the times that the kernel stamped."""
        for descriptor, _ in self._poll.poll(0):
            for data, _, realtime_ns in receive(self._by_descriptor[descriptor]):
                packet = bfd.parse(data)
                end = None if packet is None else self._hearers.get(packet.mine)
                if packet is not None and end is not None:
                    time_ns = realtime_ns - self._start_realtime_ns
                    if end.session.receive(packet, time_ns):
                        self._tell(end, time_ns)

    def _tell(self, end: _End, time_ns: int) -> None:
        session = end.session
        told = {"host": end.host, "peer": end.peer, "system": end.system}
        state = {"state": session.state.name, "diagnostic": session.diagnostic.name}
        self._told.append({"time_ns": time_ns} | told | state)

    def _steer(self, choice: Choice, clock: Clock) -> None:
        """Move the edge's routes to what is chosen; the time of a change is when the kernel had acknowledged it."""
        before, host, peer = choice.system, choice.host, choice.peer
        choice.system = choice.choose(clock.now_ns())
        if choice.system != before:
            self._move(host, self._uplinks.move(self._wiring, host, peer, choice.system))
            self.changes.append(Change(clock.now_ns(), host, peer, before, choice.system))
        before, choice.other = choice.other, choice.choose_other()
        if choice.other != before:
            self._move(host, self._uplinks.move_other(self._wiring, host, peer, choice.other))
            self.changes.append(Change(clock.now_ns(), host, peer, before, choice.other, second=True))

    def _move(self, host: str, messages: Sequence[Message]) -> None:
        router = self._uplinks.find(host, self._uplinks.systems[0]).router
        self._wiring.nodes[router].netlink.send(messages)


def _multipath_tcp() -> str | None:
    """What this kernel says of Multipath TCP (net.mptcp.enabled); None where it has none."""
    try:
        return Path("/proc/sys/net/mptcp/enabled").read_text().strip()
    except OSError:
        return None


def _pairs(plan: Plan) -> list[tuple[str, str]]:
    """Each audited pair once."""
    ends = dict.fromkeys((path[0].nodes[0], path[0].nodes[-1]) for path in plan.paths)
    return [pair for number, pair in enumerate(ends) if pair[::-1] not in list(ends)[:number]]
