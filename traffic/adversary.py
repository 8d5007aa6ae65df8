"""An attacker on the path, for the emulated network only: it tests that every attack is noticed and rightly named.

It sits at a router, sees what arrives at an interface, and sends through that router's own routes: so it works
wherever the way leads on, also after a handover. A kernel filter diverts from forwarding what it takes away; which
packets these are, the filter and the attacker decide alike (traffic.selection). What it does to them: traffic.attacks.
"""

from __future__ import annotations

import heapq
import itertools
import json
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from traffic.attacks import Action, Sending
from traffic.caught import Caught, caught
from traffic.enclosure import refuse_way_out
from traffic.errors import AdversaryError, SocketError
from traffic.memory import Memory
from traffic.selection import Selection
from traffic.threat import Threat
from traffic.timestamps import NO_STAMP, receive

_IP_NODEFRAG: Final = 22  # linux/in.h: an attacker's fragments leave as they are, also past a NAT
_IDLE_S: Final = 0.1  # how often `stop` is asked at least
_BATCH: Final = 64
_REMEMBERED: Final = 1 << 16  # Assumption: no more packets are attacked while one travels from router to router
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True)
class Crossing:
    """One way into a router: `read` taps the interface where packets arrive (`open_tap`), `write` is `open_router` in
    the same namespace. `reply`: here port 4500 is the source of what passes, as towards hosts behind a NAT."""

    name: str
    read: socket.socket
    write: socket.socket
    reply: bool = False


def open_router(buffer_bytes: int = 1 << 20) -> socket.socket:
    """A socket that sends whole IPv4 packets, with whatever addresses, by the routes of the namespace it is made in.

    Needs CAP_NET_RAW. Raises SocketError.
    """
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)  # which sends only, headers included
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        sock.setsockopt(socket.IPPROTO_IP, _IP_NODEFRAG, 1)
    except OSError as error:
        raise SocketError(f"raw IP socket: {error.strerror or error}; it needs CAP_NET_RAW") from error
    return sock


def diversions(threat: Threat, actions: Sequence[Action] = (), *, reply: bool = False) -> list[Selection]:
    """What a kernel filter must divert for these actions, or for the threat's own: ESP, key exchanges, both or neither.

    `reply` as of the crossing.
    """
    chosen = actions or threat.actions()
    found = [threat.selection(reply=reply)] if any(a.takes and not a.exchange for a in chosen) else []
    return found + ([threat.exchanges(reply=reply)] if any(a.takes and a.exchange for a in chosen) else [])


def run_adversary(
    threat: Threat,
    crossings: Sequence[Crossing],
    stop: Callable[[], bool],
    ledger_path: Path,
    *,
    actions: Sequence[Action] = (),
    divert: Callable[[bool], None] = lambda _: None,
    start_realtime_ns: int = 0,
    network: Iterable[socket.socket] = (),
) -> None:
    """Attack until `stop()` says so, which is asked ten times a second; `ledger_path`: one JSON line per act.

    `actions`: instead of the threat's own, which are done in turn. `divert(True)` takes the selected packets out of
    forwarding from then on, `divert(False)` no more; it is called only if an action takes packets.
    `start_realtime_ns`: CLOCK_REALTIME of schedule time 0. A packet that crosses several routers is attacked once; what
    is not due when it ends is not sent. `network`: a socket of each further namespace that packets may reach, for
    `refuse_way_out`. Raises AdversaryError.
    """
    refuse_way_out([*(sock for crossing in crossings for sock in (crossing.read, crossing.write)), *network])
    chosen = tuple(actions) or threat.actions()
    if not chosen:
        raise AdversaryError(f"attack '{threat.action}' has no function")
    with ledger_path.open("w", buffering=1) as ledger, selectors.DefaultSelector() as selector:
        attacker = _Attacker(chosen, threat, ledger)
        window = _Window(threat, start_realtime_ns, divert if attacker.takes else lambda _: None)
        for crossing in crossings:
            selector.register(crossing.read, selectors.EVENT_READ, crossing)
        try:
            window.update()
            while not stop():
                for key, _ in selector.select(attacker.send_due()):
                    for frame, _, time_ns in receive(key.data.read, most=_BATCH):
                        attacker.see(frame, key.data, active=window.holds(time_ns))
                window.update()
        finally:
            window.close()


class _Window:
    """When the attacker is at work, on CLOCK_REALTIME, the clock of the tap's stamps."""

    def __init__(self, threat: Threat, start_ns: int, divert: Callable[[bool], None]) -> None:
        self._from_ns = start_ns + round(threat.from_s * _NS_PER_S) if threat.from_s else 0
        self._to_ns = start_ns + round(threat.to_s * _NS_PER_S) if threat.to_s else None
        self._divert = divert
        self._opened_ns: int | None = None
        self._closed_ns: int | None = None

    def update(self) -> None:
        """Open and close as time demands.

        A packet that arrives in the instant in which the filter is set or taken away may be lost; it is never doubled,
        which would look like a replay.
        """
        now_ns = time.time_ns()
        if self._opened_ns is None and now_ns >= self._from_ns:
            self._divert(True)
            self._opened_ns = time.time_ns()
        if self._to_ns is not None and now_ns >= self._to_ns:
            self.close()

    def close(self) -> None:
        """Divert nothing any more."""
        if self._opened_ns is not None and self._closed_ns is None:
            self._closed_ns = time.time_ns()
            self._divert(False)

    def holds(self, time_ns: int) -> bool:
        """Whether a packet that arrived then is to be attacked."""
        if self._opened_ns is None:
            return False
        if time_ns == NO_STAMP:
            return self._closed_ns is None
        return self._opened_ns <= time_ns and (self._closed_ns is None or time_ns < self._closed_ns)


@dataclass
class _Act:
    """An act under way: its line in the ledger is written when its last packet has left."""

    crossing: Crossing
    entry: dict[str, Any]
    left: int
    sent: list[int] = field(default_factory=list)  # bytes of each packet


@dataclass
class _Due:
    """A packet that waits for its time, or for `followers` more of its association."""

    act: _Act
    packet: bytes
    followers: int
    done: bool = False


class _Attacker:
    def __init__(self, actions: tuple[Action, ...], threat: Threat, ledger: TextIO) -> None:
        self._actions = {kind: [action for action in actions if action.exchange is kind] for kind in (False, True)}
        replies = (False, True)
        self._diverted = {reply: diversions(threat, actions, reply=reply) for reply in replies}
        self._selected = {
            kind: {reply: (threat.exchanges if kind else threat.selection)(reply=reply) for reply in replies}
            for kind in (False, True)
        }
        self.takes = bool(self._diverted[False])
        self._ledger = ledger
        self._memory: Memory = threat.memory()
        self._attacked: dict[bytes, None] = {}  # SPI and sequence number, in order
        self._acts = {action.name: 0 for action in actions}
        self._turns = {False: 0, True: 0}
        self._later: list[tuple[float, int, _Due]] = []
        self._waiting: dict[int, list[_Due]] = {}  # by SPI
        self._numbers = itertools.count()

    def see(self, frame: bytes, crossing: Crossing, *, active: bool) -> None:
        """Take in a frame, and act on it if it is selected."""
        packet = caught(frame)
        if packet is None:
            return
        if packet.is_esp:
            self._memory.notice(packet)
        exchange = not packet.is_esp and packet.payload[:4] == bytes(4)
        diverted = active and any(chosen.matches(packet.packet) for chosen in self._diverted[crossing.reply])
        selected = active and self._selected[exchange][crossing.reply].matches(packet.packet)
        if not (selected and (exchange or packet.is_esp) and self._actions[exchange]):
            if diverted:  # by a filter that knows no better
                self._forward(packet, crossing, log=False)
            elif packet.is_esp:
                self._passed(packet.spi)
        elif not exchange and self._known(packet):
            if diverted:  # at a second router: it must go on, and what was flipped must stay flipped
                self._forward(packet, crossing, log=True)
        else:
            self._act(packet, crossing, exchange, diverted)

    def send_due(self) -> float:
        """Send what is due; returns how long one may wait, s."""
        while self._later:
            wait_s = self._later[0][0] - time.monotonic()
            if self._later[0][2].done:
                wait_s = 0
            if wait_s > 0:
                return min(wait_s, _IDLE_S)
            self._send(heapq.heappop(self._later)[2])
        return _IDLE_S

    def _known(self, packet: Caught) -> bool:
        identity = packet.payload[:8]
        if identity in self._attacked:
            return True
        self._attacked[identity] = None
        if len(self._attacked) > _REMEMBERED:
            del self._attacked[next(iter(self._attacked))]
        return False

    def _act(self, packet: Caught, crossing: Crossing, exchange: bool, diverted: bool) -> None:
        actions = self._actions[exchange]
        action = actions[self._turns[exchange] % len(actions)]
        self._turns[exchange] += 1
        self._acts[action.name] += 1
        self._memory.acts = self._acts[action.name]
        wanted = action.function(packet, self._memory)
        if diverted and (wanted is None or not action.takes):
            self._forward(packet, crossing, log=False)
        if wanted is None:
            self._acts[action.name] -= 1
            if not exchange:
                self._passed(packet.spi)
            return
        sendings = [Sending(*sending) for sending in wanted]
        what = (
            {"message": packet.payload[5:6].hex()}
            if exchange
            else {"spi": f"0x{packet.spi:08x}", "sequence": packet.sequence}
        )
        entry = {"action": action.name, "crossing": crossing.name, **what}
        entry |= {"bytes": len(packet.packet), "dscp": packet.dscp}
        after_s = max((sending.delay_s for sending in sendings), default=0)
        if after_s:
            entry["after_s"] = after_s
        act = _Act(crossing, entry, len(sendings))
        if not sendings:
            self._write(act)
        for sending in sendings:
            self._schedule(act, sending, packet.spi)

    def _schedule(self, act: _Act, sending: Sending, spi: int) -> None:
        due = _Due(act, sending.packet, sending.followers)
        if sending.followers:
            self._waiting.setdefault(spi, []).append(due)
        elif sending.delay_s <= 0:
            self._send(due)
            return
        heapq.heappush(self._later, (time.monotonic() + sending.delay_s, next(self._numbers), due))

    def _passed(self, spi: int) -> None:
        """A packet of that association went by: release what waited for it."""
        waiting = self._waiting.get(spi)
        if not waiting:
            return
        for due in waiting:
            due.followers -= 1
            if due.followers <= 0:
                self._send(due)
        self._waiting[spi] = [due for due in waiting if not due.done]

    def _forward(self, packet: Caught, crossing: Crossing, *, log: bool) -> None:
        """Send a diverted packet on as it is; in the ledger if that is asked for, or if it failed."""
        what = {"spi": f"0x{packet.spi:08x}", "sequence": packet.sequence}
        act = _Act(crossing, {"action": "forward", "crossing": crossing.name, **what}, 1)
        self._transmit(act, packet.packet)
        if log or "error" in act.entry:
            self._write(act)

    def _send(self, due: _Due) -> None:
        if due.done:
            return
        due.done = True
        self._transmit(due.act, due.packet)
        due.act.left -= 1
        if due.act.left == 0:
            self._write(due.act)

    def _transmit(self, act: _Act, packet: bytes) -> None:
        act.entry.setdefault("time_ns", time.time_ns())
        try:
            act.crossing.write.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
            act.sent.append(len(packet))
        except OSError as error:  # no route, or no room: the act came to nothing, and the ledger says so
            act.entry["error"] = error.strerror

    def _write(self, act: _Act) -> None:
        entry = {"time_ns": time.time_ns()} | act.entry | {"sent": act.sent}
        self._ledger.write(json.dumps(entry) + "\n")
