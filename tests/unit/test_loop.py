"""testbed.emulation.loop: everything at its time, the earliest first, and never deaf to a stop."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from testbed.emulation.loop import run_activities
from testbed.ground.clock import Clock, ManualClock

MS = 1_000_000


@dataclass
class Recorder:
    """Acts at its times, each act taking a while, and writes down when."""

    name: str
    times_ns: list[int]
    diary: list[tuple[str, int, int]]
    cost_ns: int = 0
    done: int = field(default=0, init=False)

    def due_ns(self) -> int | None:
        return self.times_ns[self.done] if self.done < len(self.times_ns) else None

    def act(self, clock: Clock) -> None:
        self.diary.append((self.name, self.times_ns[self.done], clock.now_ns()))
        self.done += 1
        assert isinstance(clock, ManualClock)
        clock.advance_ns(self.cost_ns)


def never() -> bool:
    return False


@given(st.lists(st.lists(st.integers(-MS, 10_000 * MS), max_size=8).map(sorted), max_size=4), st.integers(0, 500 * MS))
def test_everything_is_done_in_order_and_never_early(times: list[list[int]], cost_ns: int) -> None:
    diary: list[tuple[str, int, int]] = []
    activities = [Recorder(str(number), own, diary, cost_ns) for number, own in enumerate(times)]
    run_activities(activities, ManualClock(), never)
    assert [(due, name) for name, due, _ in diary] == sorted(
        (due, activity.name) for activity in activities for due in activity.times_ns
    )
    free_ns = 0
    for _, due_ns, acted_ns in diary:
        assert acted_ns == max(due_ns, free_ns, 0)  # at its time, or as soon as the one before is done
        free_ns = acted_ns + cost_ns


def test_of_two_due_at_once_the_first_in_the_list_acts_first() -> None:
    diary: list[tuple[str, int, int]] = []
    run_activities([Recorder("player", [5], diary), Recorder("prober", [5, 5], diary)], ManualClock(), never)
    assert [name for name, _, _ in diary] == ["player", "prober", "prober"]


def test_a_stop_is_heard_within_a_fifth_of_a_second() -> None:
    clock, diary = ManualClock(), []
    run_activities([Recorder("late", [3_600_000 * MS], diary)], clock, lambda: clock.now_ns() >= 1_000 * MS)
    assert diary == []
    assert clock.now_ns() <= 1_200 * MS


def test_a_stop_comes_before_what_is_due() -> None:
    diary: list[tuple[str, int, int]] = []
    run_activities([Recorder("due", [0], diary)], ManualClock(), lambda: True)
    assert diary == []
