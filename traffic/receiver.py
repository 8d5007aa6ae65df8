"""The receiving half of a session: taps are emptied in batches, each frame is judged, arrivals and alarms are kept.

Lateness does no harm here: the kernel stamped each frame when it arrived.
"""

from __future__ import annotations

import socket
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from traffic.records import ALARM_DTYPE
from traffic.results import UNSTAMPED
from traffic.timestamps import NO_STAMP, receive, tap_statistics
from traffic.verdicts import Judgement, Verdict

ALARMS_KEPT: Final = 100
"""In words."""
ALARM_ROWS_KEPT: Final = 1_000_000
"""32 MB; a flood beyond is only counted."""

_ALARMS: Final = [verdict for verdict in Verdict if verdict.is_alarm]
_IPV4_BYTES: Final = 4
_FRAME_BYTES: Final = 65_550  # a bundle of TCP segments that the kernel has not cut yet, with its Ethernet header
_BATCH: Final = 64  # frames per tap and turn, so that a backlog cannot hold up the sender


class Judge(Protocol):
    """A host's receiving side: `traffic.verdicts.InboundEndpoint`, or what stands in its place."""

    def judge(self, frame: bytes, time_ns: int, /) -> Judgement | None: ...

    def overdue(self, time_ns: int | None, /) -> list[Judgement]: ...


class Receiver:
    """All hosts' arrivals. `start_realtime_ns`: CLOCK_REALTIME of schedule time 0.

    `peers`: outer address per (receiving host, sending host). Those not given are learned, as NAT traversal does
    (RFC 3948, RFC 7296 2.23), from authenticated packets, the newest of their association: a NAT may change. A replay
    changes nothing.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Judge],
        taps: Mapping[str, socket.socket],
        senders: Mapping[int, str],
        peers: dict[tuple[str, str], tuple[str, int]],
        start_realtime_ns: int,
        passing: frozenset[tuple[str, int]] = frozenset(),
    ) -> None:
        self.arrivals = array("q")  # flow, number, schedule time, verdict; and so on
        self.by_association: dict[int, Counter[Verdict]] = {spi: Counter() for spi in senders}
        self.unattributed: dict[str, Counter[Verdict]] = {host: Counter() for host in endpoints}
        self.alarms: list[dict[str, Any]] = []
        self.alarm_count = 0
        self._alarmed = array("q")  # as ALARM_DTYPE
        self.unstamped = 0
        self._counted = 0  # how much of `arrivals` is in `_counts`
        self._counts: dict[int, list[int]] = {}  # by flow: arrived intact, alarms
        self._endpoints = endpoints
        self._taps = taps
        self._senders = dict(senders)  # by SPI
        self._carries: dict[int, int] = {}  # of later associations the first
        self._peers = peers
        self._given = frozenset(peers)
        self._taught: dict[int, int] = {}  # by SPI the sequence number that last told where its sender is
        self._start_realtime_ns = start_realtime_ns
        self._passing = passing

    def admit(self, spi: int, instead_of: int) -> None:
        """A new association carries what another does: count it beside that one."""
        self.by_association[spi] = Counter()
        self._senders[spi] = self._senders[instead_of]
        self._carries[spi] = instead_of

    def add_up(self) -> None:
        """At the end: count what came under later associations with the one whose traffic they carried."""
        for spi, first in self._carries.items():
            self.by_association[first].update(self.by_association[spi])

    def raise_alarm(self, host: str, verdict: Verdict, time_ns: int, detail: str) -> None:
        """Keep an alarm; `time_ns` is schedule time."""
        self.alarm_count += 1
        if len(self.alarms) < ALARMS_KEPT:
            self.alarms.append({"host": host, "verdict": verdict.name, "time_ns": time_ns, "detail": detail})

    def counts(self, flows: int) -> list[list[int]]:
        """Of each flow: packets that arrived intact, and alarms that name it. What was counted is not counted again."""
        new = np.array(self.arrivals[self._counted :], np.int64).reshape(-1, 4)
        self._counted = len(self.arrivals)
        for column, verdicts in enumerate(([Verdict.GENUINE], _ALARMS)):
            numbers, times = np.unique(new[np.isin(new[:, 3], verdicts), 0], return_counts=True)
            for flow, count in zip(numbers.tolist(), times.tolist(), strict=True):
                self._counts.setdefault(flow, [0, 0])[column] += count
        return [self._counts.get(flow, [0, 0]) for flow in range(flows)]

    def alarm_rows(self) -> NDArray[np.void]:
        """The packets that raised an alarm, shape (n,), of ALARM_DTYPE."""
        table = np.array(self._alarmed, np.int64).reshape(-1, 4)
        rows = np.zeros(len(table), ALARM_DTYPE)
        for column, name in enumerate(ALARM_DTYPE.names or ()):
            rows[name] = table[:, column]
        return rows

    def flush(self) -> None:
        """Forget what arrived before the session."""
        for tap in self._taps.values():
            while receive(tap, _FRAME_BYTES, most=_BATCH):
                pass
            tap_statistics(tap)

    def drops(self) -> dict[str, int]:
        """Frames that each tap lost since `flush`."""
        return {host: tap_statistics(tap)[1] for host, tap in self._taps.items()}

    def drain(self) -> bool:
        """Judge one batch of each tap; says whether there may be more."""
        more = False
        for host, tap in self._taps.items():
            frames = receive(tap, _FRAME_BYTES, most=_BATCH)
            more |= len(frames) == _BATCH
            judge = self._endpoints[host].judge
            for frame, _, realtime_ns in frames:
                judgement = judge(frame, realtime_ns)
                if judgement is not None:
                    self._record(host, judgement, realtime_ns)
            if frames:
                self._give_up(host, frames[-1][2])
        return more

    def finish(self) -> None:
        """Empty the taps, and give up what is still waiting for fragments."""
        while self.drain():
            pass
        for host in self._endpoints:
            self._give_up(host, None)

    def _give_up(self, host: str, realtime_ns: int | None) -> None:
        for judgement in self._endpoints[host].overdue(realtime_ns):
            self._record(host, judgement, NO_STAMP if realtime_ns is None else realtime_ns)

    def _record(self, host: str, judgement: Judgement, realtime_ns: int) -> None:
        verdict, spi = judgement.verdict, judgement.spi
        time_ns = UNSTAMPED if realtime_ns == NO_STAMP else realtime_ns - self._start_realtime_ns
        if verdict.is_alarm:
            detail = judgement.detail if spi is None else f"SPI {spi:#010x}: {judgement.detail}"
            self.raise_alarm(host, verdict, time_ns, detail)
            if len(self._alarmed) < 4 * ALARM_ROWS_KEPT:
                number = judgement.esp_sequence
                self._alarmed.extend((time_ns, -1 if spi is None else spi, -1 if number is None else number, verdict))
        if spi is None:
            self.unattributed[host][verdict] += 1
            return
        self.by_association[spi][verdict] += 1
        flow, sequence = judgement.flow, judgement.sequence
        if sequence is not None and flow is not None and (host, flow) not in self._passing:
            self.unstamped += time_ns == UNSTAMPED
            self.arrivals.extend((flow, sequence, time_ns, verdict))
        if verdict is Verdict.GENUINE and judgement.source is not None and judgement.esp_sequence is not None:
            self._learn((host, self._senders[spi]), spi, judgement.esp_sequence, judgement.source)

    def _learn(self, peer: tuple[str, str], spi: int, number: int, source: tuple[bytes, int]) -> None:
        """Packets to this peer go to where its newest packet came from."""
        address, port = source
        if peer not in self._given and number > self._taught.get(spi, -1) and len(address) == _IPV4_BYTES:
            self._taught[spi] = number
            self._peers[peer] = (socket.inet_ntoa(address), port)
