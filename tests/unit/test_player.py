"""testbed.emulation.player: absolute times, nothing skipped, and no difference between plan and kernel overlooked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from emulated import MS, FakeKernel, S
from hypothesis import given
from hypothesis import strategies as st

from testbed.emulation.loop import run_activities
from testbed.emulation.player import LATE_NS, Player, ReadBack, TickRecord
from testbed.emulation.timeline import Tick, Timeline
from testbed.ground.clock import ManualClock
from testbed.kernel import queues
from testbed.kernel.netlink import Message
from testbed.kernel.queues import Impairment

Ends = dict[tuple[str, int], tuple[int, Impairment]]


def impairment(delay_ns: int) -> Impairment:
    return Impairment(delay_ns, 0.01, 1_000)


def change(index: int, delay_ns: int) -> Message:
    return queues.change_netem(index, impairment(delay_ns), f"interface {index}")


def timeline(times_ns: list[int], ends: int = 1) -> Timeline:
    """At node 'a' interfaces 2, 3, …, which are links 0, 1, …; tick number k gives all of them a delay of k + 1 ns."""
    ticks, held = [], []
    for number, time_ns in enumerate(times_ns):
        messages = [change(index, number + 1) for index in range(2, 2 + ends)]
        ticks.append(Tick(time_ns, [("a", messages)]))
        held.append({("a", index): (index - 2, impairment(number + 1)) for index in range(2, 2 + ends)})
    initial: Ends = {("a", index): (index - 2, impairment(0)) for index in range(2, 2 + ends)}
    return Timeline(tuple(ticks), tuple(held), initial)


def started(plan: Timeline, clock: ManualClock, cost_ns: int = 0) -> tuple[Player, FakeKernel]:
    """A player whose kernel holds what the plan begins with."""
    kernel = FakeKernel(clock)
    kernel.send([queues.change_netem(index, wanted, "") for (_, index), (_, wanted) in plan.initial.items()])
    kernel.log.clear()
    kernel.cost_ns = cost_ns
    return Player(plan, {"a": kernel}), kernel  # type: ignore[dict-item]


def never() -> bool:
    return False


@given(st.lists(st.integers(1, 300 * MS), max_size=20), st.integers(0, 400 * MS))
def test_every_tick_is_played_in_order_and_its_lateness_is_told(gaps_ns: list[int], cost_ns: int) -> None:
    times_ns = [sum(gaps_ns[: number + 1]) for number in range(len(gaps_ns))]
    plan, clock = timeline(times_ns), ManualClock()
    player, kernel = started(plan, clock, cost_ns)
    run_activities([player], clock, never)
    assert [message.data for message in kernel.log] == [change(2, number + 1).data for number in range(len(times_ns))]
    end_ns = 0
    for record, time_ns in zip(player.ticks, times_ns, strict=True):
        end_ns = max(end_ns, time_ns) + cost_ns  # absolute: what is late does not move what follows
        assert record == TickRecord(time_ns, end_ns - time_ns, 1)
    assert (player.checked, player.mismatches) == (len(times_ns), [])


def test_after_a_pause_all_ticks_are_caught_up_with_at_once() -> None:
    clock = ManualClock()
    player, kernel = started(timeline([100 * MS, 200 * MS, 300 * MS, 900 * MS]), clock)
    clock.sleep_until_ns(500 * MS)
    run_activities([player], clock, never)
    assert [tick.late_ns // MS for tick in player.ticks] == [400, 300, 200, 0]
    assert sum(tick.late_ns > LATE_NS for tick in player.ticks) == 3
    assert len(kernel.log) == 4


def test_changes_count_every_message() -> None:
    clock = ManualClock()
    player, _ = started(timeline([MS], ends=3), clock)
    run_activities([player], clock, never)
    assert (player.ticks[0].changes, player.checked) == (3, 3)


class Stubborn(FakeKernel):
    """A kernel that acknowledges and holds something else."""

    wrong: Impairment

    def send(self, messages: list[Message]) -> list[bytes]:  # type: ignore[override]
        return super().send([queues.change_netem(2, self.wrong, "") for _ in messages])


@pytest.mark.parametrize(
    "wrong",
    [
        Impairment(2, 0.01, 1_000),  # a nanosecond
        Impairment(1, 0.01, 999),
        Impairment(1, 0.02, 1_000),
        Impairment(1, 0.01 + 2**-30, 1_000),
    ],
)
def test_an_acknowledged_change_that_is_not_held_is_a_mismatch(wrong: Impairment) -> None:
    clock = ManualClock()
    kernel = Stubborn(clock)
    kernel.wrong = wrong
    player = Player(timeline([MS]), {"a": kernel})  # type: ignore[dict-item]
    run_activities([player], clock, never)
    (found,) = player.mismatches
    assert (found.time_ns, found.link, found.planned) == (MS, 0, impairment(1))
    assert found.held is not None
    assert (found.held.delay_ns, found.held.limit) == (wrong.delay_ns, wrong.limit)


@given(st.floats(0, 1))
def test_a_loss_is_compared_as_finely_as_netem_holds_it(loss: float) -> None:
    clock, plan = ManualClock(), timeline([MS])
    lossy = replace(impairment(1), loss=loss)
    plan.ticks[0].batches[:] = [("a", [queues.change_netem(2, lossy, "")])]
    plan.held[0]["a", 2] = (0, lossy)
    player, _ = started(plan, clock)
    run_activities([player], clock, never)
    assert (player.checked, player.mismatches) == (1, [])


@pytest.mark.parametrize("ends", [1, 7, 40, 41, 397])
def test_the_read_back_sees_every_link_end_in_two_seconds(ends: int) -> None:
    clock = ManualClock()
    player, kernel = started(timeline([], ends), clock)
    run_activities([ReadBack(player, 2 * S)], clock, never)
    seen = [queues.parse_netem(message.data[16:])[0] for message in kernel.log]
    assert set(seen) == set(range(2, 2 + ends))
    assert max(seen.count(index) for index in seen) - min(seen.count(index) for index in seen) <= 1
    assert (player.checked, player.mismatches) == (len(seen), [])


@pytest.mark.parametrize("held", [impairment(5_000_000), None])
def test_the_read_back_finds_what_others_change_or_remove(held: Impairment | None) -> None:
    clock = ManualClock()
    player, kernel = started(timeline([], ends=3), clock)
    if held is None:
        del kernel.queues[3]
    else:
        kernel.queues[3] = change(3, held.delay_ns).data[16:]
    run_activities([ReadBack(player, 160 * MS)], clock, never)  # at 25, 75 and 125 ms
    (found,) = player.mismatches
    assert (found.link, found.planned, found.time_ns) == (1, impairment(0), 75 * MS)
    assert found.held is None if held is None else found.held is not None and found.held.delay_ns == held.delay_ns


def test_the_read_back_compares_with_the_last_tick_and_not_with_the_first_state() -> None:
    clock = ManualClock()
    player, _ = started(timeline([50 * MS, 90 * MS]), clock)
    run_activities([player, ReadBack(player, S)], clock, never)
    assert player.checked == 2 + 20
    assert player.mismatches == []


def test_a_plan_without_links_has_nothing_to_read() -> None:
    player = Player(timeline([], ends=0), {})
    assert ReadBack(player, S).due_ns() is None
    assert player.due_ns() is None
