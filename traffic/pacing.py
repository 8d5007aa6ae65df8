"""A session's clock and its one loop: what is due is sent on time, and what has arrived is taken in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from traffic.keying import Keying
from traffic.receiver import Receiver
from traffic.relay import Relay
from traffic.sender import Sender
from traffic.timestamps import clock_offset_ns

_NS_PER_S: Final = 1_000_000_000
_SENT_AT_ONCE: Final = 16  # packets that are due, before taps are looked at again: a full tap must not delay them
_DRAIN_INTERVAL_NS: Final = 20_000_000  # how long arrivals wait at most while there is nothing to send


class Clock:
    """Schedule time on CLOCK_REALTIME, the clock of the kernel's stamps; it notices if that clock is set."""

    def __init__(self, start_realtime_ns: int) -> None:
        self.start_realtime_ns = start_realtime_ns
        self._offset_ns = clock_offset_ns()

    def now_ns(self) -> int:
        return time.time_ns() - self.start_realtime_ns

    def step_ns(self) -> int:
        """How far CLOCK_REALTIME has moved against CLOCK_MONOTONIC since the beginning."""
        return abs(clock_offset_ns() - self._offset_ns)


def run(
    sender: Sender,
    receiver: Receiver,
    keying: Keying | None,
    relay: Relay | None,
    clock: Clock,
    end_ns: int,
    progress: Callable[[Mapping[str, Any]], None] | None,
) -> None:
    """Send what is due; else empty taps and stamps if there is time or it is high time; else sleep.

    A hub's arrivals do not wait: they are to go on.
    """
    now_ns = clock.now_ns()
    drained_ns = reported_ns = now_ns
    while now_ns < end_ns:
        due_ns = sender.next_ns
        for _ in range(_SENT_AT_ONCE):
            if due_ns is None or due_ns > now_ns:
                break
            sender.send_next()
            due_ns = sender.next_ns
        if now_ns - drained_ns >= _DRAIN_INTERVAL_NS:
            sender.collect_stamps(clock.start_realtime_ns)
            if not receiver.drain():
                drained_ns = now_ns
            if keying is not None:
                keying.poll()
        elif due_ns is None or due_ns > now_ns:
            wake_ns = min(drained_ns + _DRAIN_INTERVAL_NS, end_ns if due_ns is None else due_ns)
            pause_s = max(wake_ns - now_ns, 0) / _NS_PER_S
            if relay is None:
                time.sleep(pause_s)
            elif relay.wait(pause_s):
                receiver.drain()
        if progress is not None and now_ns - reported_ns >= _NS_PER_S:
            reported_ns = now_ns
            progress(_told(now_ns, sender, receiver))
        now_ns = clock.now_ns()
    sender.collect_stamps(clock.start_realtime_ns)
    receiver.finish()


def _told(now_ns: int, sender: Sender, receiver: Receiver) -> dict[str, Any]:
    sent = [len(state.tx_ns) for state in sender.flows]
    return {
        "time_ns": now_ns,
        "sent": sum(sent),
        "arrived": len(receiver.arrivals) // 4,
        "alarms": receiver.alarm_count,
        "flows": [(number, *counts) for number, counts in zip(sent, receiver.counts(len(sent)), strict=True)],
    }
