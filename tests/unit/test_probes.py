"""testbed.emulation.probes: every target in every phase; what a slow machine keeps from being probed delays no tick."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from emulated import MS, S

from testbed.emulation.loop import run_activities
from testbed.emulation.probes import LEAST_GAP_NS, LINK, Prober, Target
from testbed.ground.clock import Clock, ManualClock

TARGETS = 200  # as many as a whole shell has: a probe every 2.5 ms


class Sender:
    """A socket whose sends take their time."""

    def __init__(self, clock: ManualClock, cost_ns: int, descriptor: int) -> None:
        self.clock, self.cost_ns, self.descriptor = clock, cost_ns, descriptor
        self.sent: list[tuple[str, int]] = []
        self.times_ns: list[int] = []

    def fileno(self) -> int:
        return self.descriptor

    def sendto(self, payload: bytes, address: tuple[str, int]) -> None:
        self.clock.advance_ns(self.cost_ns)
        self.sent.append(address)
        self.times_ns.append(self.clock.now_ns())


class Ticks:
    """Something due every 100 ms, and how late it came."""

    def __init__(self, until_ns: int) -> None:
        self.until_ns, self.next_ns = until_ns, 0
        self.late_ns: list[int] = []

    def due_ns(self) -> int | None:
        return self.next_ns if self.next_ns < self.until_ns else None

    def act(self, clock: Clock) -> None:
        self.late_ns.append(clock.now_ns() - self.next_ns)
        self.next_ns += 100 * MS


@pytest.fixture
def descriptor() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        yield silent.fileno()


def probed(cost_ns: int, descriptor: int, until_ns: int = 5 * S) -> tuple[Sender, Ticks]:
    clock = ManualClock()
    sender: Any = Sender(clock, cost_ns, descriptor)
    targets = [Target(LINK, number, "a", (str(number), 1), lambda _: True) for number in range(TARGETS)]
    ticks = Ticks(until_ns)
    run_activities([ticks, Prober(targets, {"a": sender}, until_ns)], clock, lambda: False)
    return sender, ticks


def test_every_target_has_its_turn_on_a_machine_that_keeps_up(descriptor: int) -> None:
    sender, ticks = probed(0, descriptor)
    assert len(sender.sent) == 5 * S // LEAST_GAP_NS
    assert {sender.sent.count((str(number), 1)) for number in range(TARGETS)} == {10}
    assert max(ticks.late_ns) == 0


def test_no_target_keeps_to_a_phase_of_the_ticks(descriptor: int) -> None:
    """Five rounds to a whole number of ticks: in a fixed order each target would see one hundredth of them for ever."""
    sender, _ = probed(0, descriptor, until_ns=50 * S)
    for number in range(TARGETS):
        mine = [time for time, address in zip(sender.times_ns, sender.sent, strict=True) if address[0] == str(number)]
        assert len(mine) == 100
        quarters = [sum(time % (100 * MS) // (25 * MS) == quarter for time in mine) for quarter in range(4)]
        assert min(quarters) >= 8  # of 25 on average; fewer would be one chance in 20,000 for each


def test_turns_that_a_slow_machine_misses_stay_missed_and_no_tick_waits_for_them(descriptor: int) -> None:
    """A probe takes four turns' time: caught up with, the last tick would come 15 s late."""
    sender, ticks = probed(4 * LEAST_GAP_NS, descriptor)
    assert len(ticks.late_ns) == 50
    assert max(ticks.late_ns) <= 5 * LEAST_GAP_NS + 20 * MS
    assert 0.2 * S < len(sender.sent) * LEAST_GAP_NS <= 5 * S / 4 + 4 * LEAST_GAP_NS
    assert len(set(sender.sent)) > TARGETS / 2  # not always the same ones
