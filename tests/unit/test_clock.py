"""testbed.ground.clock: schedule time, of the machine and by hand."""

from __future__ import annotations

import time

import pytest

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


def test_a_real_clock_runs_at_its_speed_and_never_jumps_when_that_changes(monkeypatch):
    now_ns = 5_000 * MS
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    clock = RealClock(5_000 * MS, 60.0)
    now_ns += 100 * MS
    assert clock.now_ns() == 6_000 * MS
    clock.set_speed(0)
    now_ns += 700 * MS
    assert (clock.now_ns(), clock.speed) == (6_000 * MS, 0)
    clock.set_speed(0.5)
    assert clock.now_ns() == 6_000 * MS
    now_ns += 10 * MS
    assert clock.now_ns() == 6_005 * MS
    clock.advance_ns(1_000 * MS)
    now_ns += 10 * MS
    assert (clock.now_ns(), clock.speed) == (7_010 * MS, 0.5)


@pytest.mark.parametrize(
    ("speed", "asked_ms", "slept_ms"), [(1.0, 50, 50), (60.0, 600, 10), (1.0, 9_000, 200), (0.0, 1, 200)]
)
def test_a_sleep_is_as_long_as_its_speed_makes_it_and_never_longer_than_a_fifth_of_a_second(
    monkeypatch, speed, asked_ms, slept_ms
):
    slept = []
    monkeypatch.setattr(time, "monotonic_ns", lambda: 0)
    monkeypatch.setattr(time, "sleep", slept.append)
    RealClock(0, speed).sleep_until_ns(asked_ms * MS)
    assert slept == [pytest.approx(slept_ms / 1e3)]
