"""The session-sender of STAMP (traffic.stamp), and what it concludes from the replies.

    T1  the probe leaves: TX_SCHED of the sender's kernel
    T2  it arrives: RX of the reflector's kernel
    T3  the reply leaves: the reflector's clock, before it sends
    T4  the reply arrives: RX of the sender's kernel

Round trip: (T4 − T1) − (T3 − T2), of no clock but the sender's and the difference of two readings of the reflector's.
One way: T2 − T1 and T4 − T3, which mean something only if both clocks agree.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traffic.errors import SessionError
from traffic.measures import named_quantiles
from traffic.stamp import Probe, Reply, clock_error, ntp, pack_probe, parse_reply, receive_one, unix_ns
from traffic.timestamps import tx_stamps

QUANTILES: Final = (0.5, 0.95, 0.99)

_NS_PER_S: Final = 1_000_000_000
_MISSING: Final = -1


@dataclass(frozen=True)
class StampResult:
    """One row per probe, shape (sent,); _MISSING where no reply came. Times are CLOCK_REALTIME, ns."""

    t1_ns: NDArray[np.int64]
    t2_ns: NDArray[np.int64]
    t3_ns: NDArray[np.int64]
    t4_ns: NDArray[np.int64]
    reflected_as: NDArray[np.int64]  # the reflector's own number
    ttl: NDArray[np.int64]  # of the probe when it arrived
    copies: int  # replies that came twice
    foreign: int  # datagrams that are no reply of this session
    synchronised: bool  # both ends say that their clocks follow UTC

    @property
    def answered(self) -> NDArray[np.bool_]:
        answered: NDArray[np.bool_] = self.t4_ns != _MISSING
        return answered

    @property
    def stateful(self) -> bool:
        """Whether the reflector counts by itself: then its numbers fall behind where probes were lost."""
        got = self.answered
        return bool(np.any(self.reflected_as[got] != np.flatnonzero(got)))


def run_sender(
    sock: socket.socket,
    to: tuple[str, int],
    *,
    count: int,
    interval_s: float,
    waiting_s: float = 3.0,
    key: bytes | None = None,
    session: int = 0,
    padding_bytes: int = 0,
) -> StampResult:
    """Send `count` probes and wait for the replies. `sock`: from `open_stamp(tx_stamps=True)`, fresh.

    `waiting_s`: after the last probe; what has not come then is lost. Raises SessionError.
    """
    columns = {name: np.full(count, _MISSING, np.int64) for name in ("t1", "t2", "t3", "t4", "own", "ttl")}
    state = _Collector(columns, key, session)
    error = clock_error()
    begin_ns = time.monotonic_ns()
    for number in range(count):
        due_ns = begin_ns + round(number * interval_s * _NS_PER_S)
        state.collect(sock, due_ns)
        left_ns = time.time_ns()
        columns["t1"][number] = left_ns  # until the kernel's stamp is there
        data = pack_probe(Probe(number, ntp(left_ns), error, session), key) + bytes(padding_bytes)
        try:
            sock.sendto(data, to)
        except OSError as problem:
            raise SessionError(f"STAMP to {to[0]} port {to[1]}: {problem.strerror}") from problem
    deadline_ns = time.monotonic_ns() + round(waiting_s * _NS_PER_S)
    state.collect(sock, deadline_ns, count)
    for counter, time_ns in tx_stamps(sock):
        columns["t1"][counter] = time_ns
    return StampResult(
        t1_ns=columns["t1"],
        t2_ns=columns["t2"],
        t3_ns=columns["t3"],
        t4_ns=columns["t4"],
        reflected_as=columns["own"],
        ttl=columns["ttl"],
        copies=state.copies,
        foreign=state.foreign,
        synchronised=bool(error & 0x8000) and state.reflector_synchronised,
    )


class _Collector:
    """Takes replies as they come."""

    def __init__(self, columns: dict[str, NDArray[np.int64]], key: bytes | None, session: int) -> None:
        self._columns, self._key, self._session = columns, key, session
        self._answers = self.copies = self.foreign = 0
        self.reflector_synchronised = True

    def collect(self, sock: socket.socket, until_ns: int, enough: int | None = None) -> None:
        """Until CLOCK_MONOTONIC `until_ns`, or until there are `enough` answers."""
        while (left_ns := until_ns - time.monotonic_ns()) > 0 and (enough is None or self._answers < enough):
            select.select([sock], [], [], min(left_ns / _NS_PER_S, 0.05))
            for counter, time_ns in tx_stamps(sock):
                self._columns["t1"][counter] = time_ns
            while (arrived := receive_one(sock)) is not None:
                self._take(arrived[0], arrived[2])

    def _take(self, data: bytes, received_ns: int) -> None:
        reply = parse_reply(data, self._key)
        columns = self._columns
        if reply is None or reply.session != self._session or reply.sender_sequence >= len(columns["t4"]):
            self.foreign += 1
            return
        if columns["t4"][reply.sender_sequence] != _MISSING:
            self.copies += 1
            return
        self._answers += 1
        self._note(reply, received_ns)

    def _note(self, reply: Reply, received_ns: int) -> None:
        number, columns = reply.sender_sequence, self._columns
        columns["t2"][number], columns["t3"][number] = unix_ns(reply.received), unix_ns(reply.time)
        columns["t4"][number], columns["own"][number] = received_ns, reply.sequence
        columns["ttl"][number] = reply.sender_ttl
        self.reflector_synchronised &= bool(reply.error & 0x8000)


def document(result: StampResult, *, stateful: bool | None, waiting_s: float) -> dict[str, Any]:
    """What the replies say, as JSON types (docs/standalone.md). `stateful`: the reflector's way; None: as it looks.

    Loss by direction needs a stateful reflector. Its numbers count what it has reflected: of the probes up to the last
    one answered, those that it did not count were lost on the way there, the others on the way back. What was lost
    after the last answer cannot be told apart.
    """
    got = result.answered
    t1, t2, t3, t4 = (column[got] for column in (result.t1_ns, result.t2_ns, result.t3_ns, result.t4_ns))
    loss: dict[str, Any] = {"sent": len(got), "answered": int(got.sum()), "lost": int((~got).sum())}
    if (result.stateful if stateful is None else stateful) and got.any():
        last = int(np.flatnonzero(got)[-1])
        reflected = int(result.reflected_as[got].max()) + 1
        loss |= {
            "lost_there": max(last + 1 - reflected, 0),
            "lost_back": reflected - int(got.sum()),
            "undetermined": len(got) - 1 - last,
        }
    return {
        "role": "stamp",
        "waiting_time_s": waiting_s,
        "loss": loss,
        "copies": result.copies,
        "foreign": result.foreign,
        "round_trip_ms": named_quantiles((t4 - t1) - (t3 - t2), QUANTILES),
        "there_ms": named_quantiles(t2 - t1, QUANTILES),
        "back_ms": named_quantiles(t4 - t3, QUANTILES),
        "clocks": "both ends follow UTC" if result.synchronised else "not known to agree: one-way delays need that",
        "hops": int(255 - result.ttl[got].max()) if got.any() else None,
    }
