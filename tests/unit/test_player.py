"""testbed.emulation.player: absolute times, nothing skipped, and no difference between plan and kernel overlooked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from emulated import MS, FakeKernel, S
from hypothesis import given
from hypothesis import strategies as st

from testbed.emulation.loop import run_activities
from testbed.emulation.player import LATE_NS, Player, ReadBack, TickRecord
from testbed.emulation.state import State
from testbed.emulation.timeline import Tick
from testbed.emulation.wiring import LinkEnd
from testbed.ground.clock import ManualClock
from testbed.kernel import queues
from testbed.kernel.netlink import Message
from testbed.kernel.queues import NOMINAL_RATE_BPS, Bottleneck, Impairment
from testbed.plan.model import STEP_DTYPE

LIMIT = 1_000
LOSS = 42_949_673 / 0xFFFFFFFF  # netem holds 32 bits


def impairment(delay_ns: int) -> Impairment:
    return Impairment(delay_ns, LOSS, LIMIT)


def change(index: int, delay_ns: int) -> Message:
    return queues.change_netem(index, impairment(delay_ns), f"interface {index}")


def steps(
    time_ns: int, delays_ns: dict[int, int], *, loss: float = LOSS, up: bool = True, rate_bps: int = NOMINAL_RATE_BPS
) -> Any:
    """One step for each link, with that delay."""
    rows = [(link, time_ns, up, delay_ns, rate_bps, loss, 0.0, 0.0) for link, delay_ns in delays_ns.items()]
    return np.array(rows, STEP_DTYPE)


def end(link: int, *, narrow: bool = False) -> LinkEnd:
    """At node 'a' interfaces 2, 3, … are links 0, 1, …"""
    return LinkEnd("a", link + 2, "a", link + 2, f"link {link}", 10**5, "tail", room=True, narrow=narrow)


def ticks(times_ns: list[int], ends: int = 1) -> list[Tick]:
    """Tick number k gives all links a delay of k + 1 ns."""
    return [
        Tick(time_ns, steps(time_ns, dict.fromkeys(range(ends), number + 1)), ())
        for number, time_ns in enumerate(times_ns)
    ]


def player_of(played: list[Tick], kernel: FakeKernel, ends: int = 1) -> Player:
    first = steps(0, dict.fromkeys(range(ends), 0))
    plan: Any = SimpleNamespace(steps=first, links=range(ends))
    state = State(plan, np.full(ends, LIMIT))
    return Player(played, state, [end(link) for link in range(ends)], {"a": kernel})  # type: ignore[dict-item]


def started(played: list[Tick], clock: ManualClock, cost_ns: int = 0, ends: int = 1) -> tuple[Player, FakeKernel]:
    """A player whose kernel holds what the plan begins with."""
    kernel = FakeKernel(clock)
    kernel.send([change(link + 2, 0) for link in range(ends)])
    kernel.log.clear()
    kernel.cost_ns = cost_ns
    return player_of(played, kernel, ends), kernel


def never() -> bool:
    return False


@given(st.lists(st.integers(1, 300 * MS), max_size=20), st.integers(0, 400 * MS))
def test_every_tick_is_played_in_order_and_its_lateness_is_told(gaps_ns: list[int], cost_ns: int) -> None:
    times_ns = [sum(gaps_ns[: number + 1]) for number in range(len(gaps_ns))]
    clock = ManualClock()
    player, kernel = started(ticks(times_ns), clock, cost_ns)
    run_activities([player], clock, never)
    assert [message.data for message in kernel.log] == [change(2, number + 1).data for number in range(len(times_ns))]
    end_ns = 0
    for record, time_ns in zip(player.ticks, times_ns, strict=True):
        end_ns = max(end_ns, time_ns) + cost_ns  # absolute: what is late does not move what follows
        assert record == TickRecord(time_ns, end_ns - time_ns, 1)
    assert (player.checked, player.mismatches) == (len(times_ns), [])


def test_after_a_pause_all_ticks_are_caught_up_with_at_once() -> None:
    clock = ManualClock()
    player, kernel = started(ticks([100 * MS, 200 * MS, 300 * MS, 900 * MS]), clock)
    clock.advance_ns(500 * MS)
    run_activities([player], clock, never)
    assert [tick.late_ns // MS for tick in player.ticks] == [400, 300, 200, 0]
    assert sum(tick.late_ns > LATE_NS for tick in player.ticks) == 3
    assert len(kernel.log) == 4


def test_changes_count_every_message() -> None:
    clock = ManualClock()
    player, _ = started(ticks([MS], 3), clock, ends=3)
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
        Impairment(2, LOSS, 1_000),  # a nanosecond
        Impairment(1, LOSS, 999),
        Impairment(1, 0.02, 1_000),
        Impairment(1, 0.01 + 2**-30, 1_000),
    ],
)
def test_an_acknowledged_change_that_is_not_held_is_a_mismatch(wrong: Impairment) -> None:
    clock = ManualClock()
    kernel = Stubborn(clock)
    kernel.wrong = wrong
    player = player_of(ticks([MS]), kernel)
    run_activities([player], clock, never)
    (found,) = player.mismatches
    assert (found.time_ns, found.link) == (MS, 0)
    assert found.planned == getattr(impairment(1), found.field)
    assert found.held == pytest.approx(getattr(wrong, found.field), abs=2**-32)
    assert found.held != found.planned


@given(st.floats(0, 1))
def test_a_loss_is_compared_as_finely_as_netem_holds_it(loss: float) -> None:
    clock = ManualClock()
    player, kernel = started([Tick(MS, steps(MS, {0: 1}, loss=loss), ())], clock)
    run_activities([player], clock, never)
    packed, written = kernel.log[0].data, queues.change_netem(2, replace(impairment(1), loss=loss), "").data
    assert packed == written
    assert (player.checked, player.mismatches) == (1, [])


@pytest.mark.parametrize("ends", [1, 7, 40, 41, 397])
def test_the_read_back_sees_every_link_end_in_two_seconds(ends: int) -> None:
    clock = ManualClock()
    player, kernel = started([], clock, ends=ends)
    run_activities([ReadBack(player, ends, 2 * S)], clock, never)
    seen = [queues.parse_netem(message.data[16:])[0] for message in kernel.log]
    assert set(seen) == set(range(2, 2 + ends))
    assert max(seen.count(index) for index in seen) - min(seen.count(index) for index in seen) <= 1
    assert (player.checked, player.mismatches) == (len(seen), [])


@pytest.mark.parametrize("held", [impairment(5_000_000), None])
def test_the_read_back_finds_what_others_change_or_remove(held: Impairment | None) -> None:
    clock = ManualClock()
    player, kernel = started([], clock, ends=3)
    if held is None:
        del kernel.queues[3]
    else:
        kernel.queues[3] = change(3, held.delay_ns).data[16:]
    run_activities([ReadBack(player, 3, 160 * MS)], clock, never)  # at 25, 75 and 125 ms
    (found,) = player.mismatches
    assert (found.link, found.time_ns) == (1, 75 * MS)
    told = ("qdisc", "netem", "another") if held is None else ("delay_ns", 0, held.delay_ns)
    assert (found.field, found.planned, found.held) == told


@pytest.mark.parametrize("foreign", [80_000_000, None])
def test_a_rate_is_set_in_place_and_read_back(foreign: int | None) -> None:
    clock, kernel = ManualClock(), FakeKernel()
    kernel.send([change(2, 0), queues.change_rate(2, Bottleneck(10**8, 10**5), "")])
    kernel.log.clear()
    first = steps(0, {0: 0}, rate_bps=10**8)
    plan: Any = SimpleNamespace(steps=first, links=range(1))
    played = [Tick(MS, steps(MS, {0: 0}, rate_bps=4 * 10**7), ())]
    player = Player(played, State(plan, np.full(1, LIMIT)), [end(0, narrow=True)], {"a": kernel})  # type: ignore[dict-item]
    player.act(clock)
    assert [message.data for message in kernel.log] == [queues.change_rate(2, Bottleneck(4 * 10**7, 10**5), "").data]
    player.read(MS, 0)
    assert player.mismatches == []
    if foreign is None:
        del kernel.bottlenecks[2]
    else:
        kernel.send([queues.change_rate(2, Bottleneck(foreign, 10**5), "")])
    player.read(2 * MS, 0)
    (found,) = player.mismatches
    told = ("qdisc", "tbf", "another") if foreign is None else ("rate_bps", 4 * 10**7, foreign)
    assert (found.field, found.planned, found.held) == told


def test_the_read_back_compares_with_the_last_tick_and_not_with_the_first_state() -> None:
    clock = ManualClock()
    player, _ = started(ticks([50 * MS, 90 * MS]), clock)
    run_activities([player, ReadBack(player, 1, S)], clock, never)
    assert player.checked == 2 + 20
    assert player.mismatches == []


def test_a_slow_kernel_is_read_less_and_ticks_do_not_wait_for_it() -> None:
    """An answer takes 2 ms here, so that the twenty of a turn would take 40 of its 50 ms."""
    clock, ends = ManualClock(), 800
    player, _ = started(
        [Tick(number * 90 * MS, steps(number * 90 * MS, {0: 1}), ()) for number in (1, 2, 3)], clock, 2 * MS, ends
    )
    run_activities([ReadBack(player, ends, 400 * MS), player], clock, never)
    assert all(tick.late_ns <= 8 * MS for tick in player.ticks)
    assert player.checked == 1 + 8 * 3  # of the ticks one has a change; three reads are more than 5 ms
    assert player.mismatches == []


def test_a_plan_without_links_has_nothing_to_read() -> None:
    player = player_of([], FakeKernel(), ends=0)
    assert ReadBack(player, 0, S).due_ns() is None
    assert player.due_ns() is None


def test_what_has_not_moved_is_not_sent() -> None:
    clock = ManualClock()
    player, kernel = started([Tick(MS, steps(MS, {0: 0, 1: 7, 2: 0}), ())], clock, ends=3)
    run_activities([player], clock, never)
    assert [queues.parse_netem(message.data[16:])[0] for message in kernel.log] == [3]
    assert player.ticks[0].changes == 1


@given(st.lists(st.sampled_from(["step", "begin", "end"]), max_size=12))
def test_a_fault_outlives_every_step_and_ends_by_its_own_end_only(acts: list[str]) -> None:
    """The plan's delays go on beneath a fault that adds a second and loses half, and come out as if it had not been."""
    clock = ManualClock()
    played = [Tick(number, steps(number, {0: number}), ()) for number, act in enumerate(acts, 1) if act == "step"]
    player, kernel = started(played, clock)
    overlay, faulty, last = player.state.overlay, False, 0
    for number, act in enumerate(acts, 1):
        if act == "step":
            player.act(clock)
            last = number
        else:
            faulty = act == "begin"
            overlay.extra_ns[0], overlay.kept[0] = (S, 0.5) if faulty else (0, 1.0)
            player.refresh(clock, [0])
        held = queues.parse_netem(kernel.queues[2])[1]
        assert held is not None
        assert held.delay_ns == last + (S if faulty else 0)
        assert held.loss == pytest.approx(1 - (1 - LOSS) * (0.5 if faulty else 1), abs=1e-9)
    assert player.mismatches == []


def test_links_that_go_down_are_dark_until_the_plan_and_all_faults_let_them_up() -> None:
    clock = ManualClock()
    downs = [(100, False), (300, True)]
    played = [Tick(time_ns, steps(time_ns, {0: 0}, up=up), ()) for time_ns, up in downs]
    player, kernel = started(played, clock)
    lit = []
    for act in ("fault", "tick", "heal", "tick", "fault", "heal"):
        if act == "tick":
            player.act(clock)
        else:
            player.state.overlay.down[0] += 1 if act == "fault" else -1
            player.refresh(clock, [0])
        lit.append([message.what.split()[0] for message in kernel.log if "netem" not in message.what])
    changes = [len(after) - len(before) for before, after in pairwise([[], *lit])]
    assert changes == [
        2,
        0,
        0,
        2,
        2,
        2,
    ]  # its filter and its signal: dark once by the fault, light once when the plan lets it, and again
