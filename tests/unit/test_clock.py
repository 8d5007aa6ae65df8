"""testbed.ground.clock: schedule time, of the machine and by hand."""

from __future__ import annotations

import time

from testbed.ground.clock import ManualClock, RealClock

MS = 1_000_000


def test_a_manual_clock_moves_only_when_told_and_never_back():
    clock = ManualClock(5)
    assert clock.now_ns() == 5
    clock.sleep_until_ns(100)
    clock.sleep_until_ns(50)
    assert clock.now_ns() == 100
    clock.advance_ns(7)
    assert clock.now_ns() == 107


def test_a_real_clock_is_the_machines_since_the_start():
    before = time.monotonic_ns()
    now_ns = RealClock(before - 1_000 * MS).now_ns()
    assert 1_000 * MS <= now_ns <= 1_000 * MS + time.monotonic_ns() - before


def test_a_real_clock_is_negative_before_the_start_and_sleeps_until_it():
    clock = RealClock(time.monotonic_ns() + 20 * MS)
    assert clock.now_ns() < 0
    clock.sleep_until_ns(0)
    assert clock.now_ns() >= 0


def test_sleeping_until_the_past_is_no_sleep(monkeypatch):
    def asleep(_: float) -> None:
        raise AssertionError("slept")

    monkeypatch.setattr(time, "sleep", asleep)
    RealClock(time.monotonic_ns()).sleep_until_ns(-1)
