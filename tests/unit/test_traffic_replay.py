"""traffic.replay held against RFC 4303: section 3.4.3 and the cases of appendix A."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.errors import ConfigurationError
from traffic.replay import IvMemory, Position, ReplayWindow, SeenSet

EPOCH = 1 << 32
SIZES = [32, 64, 128, 1024, 4096]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("top", [5000, EPOCH - 1, EPOCH, EPOCH + 10, 7 * EPOCH + 31])
def test_last_slot_of_the_window_is_accepted_and_the_next_refused(size: int, top: int) -> None:
    window = ReplayWindow(size, top - 1)
    window.accept(top)
    assert window.position(top - size + 1) is Position.NEW
    assert window.position(top - size) is Position.OLD
    window.accept(top - size + 1)
    assert window.position(top - size + 1) is Position.SEEN
    assert window.highest == top


def test_number_zero_is_never_new() -> None:
    assert ReplayWindow(64).position(0) is Position.OLD
    assert ReplayWindow(64).position(1) is Position.NEW


def test_asking_does_not_move_the_window() -> None:
    window = ReplayWindow(64, 100)
    for sequence in (0, 37, 100, 101, 10**9):
        window.position(sequence)
    assert window.highest == 100
    assert window.position(101) is Position.NEW


@given(
    size=st.integers(32, 200),
    start=st.integers(0, 3 * EPOCH),
    steps=st.lists(st.integers(-250, 250), max_size=150),
)
def test_window_agrees_with_a_list_of_all_accepted_numbers(size: int, start: int, steps: list[int]) -> None:
    window, accepted, top = ReplayWindow(size, start), set(), start
    for step in steps:
        sequence = max(top + step, 0)
        if sequence > top:
            expected = Position.NEW
        elif sequence <= top - size or sequence == 0:
            expected = Position.OLD
        else:
            expected = Position.SEEN if sequence in accepted else Position.NEW
        assert window.position(sequence) is expected
        if expected is Position.NEW:
            window.accept(sequence)
            accepted.add(sequence)
            top = max(top, sequence)
        assert window.highest == top


@pytest.mark.parametrize(
    ("high", "top_low", "low", "inferred"),
    [  # RFC 4303, A2.2, with W = 64. Case A: the window lies in one sub-space, its bottom is T - 63.
        (5, 1000, 937, 5),  # the bottom itself
        (5, 1000, 936, 6),  # below it: of the next sub-space
        (5, 1000, 1000, 5),
        (5, 1000, 0xFFFFFFFF, 5),
        (5, 63, 0, 5),  # Tl = W - 1: the bottom is 0, nothing is below it
        (5, 0xFFFFFFFF, 0, 6),  # the rollover
        (5, 0xFFFFFFFF, 0xFFFFFFC0, 5),
        # Case B: it spans two; its bottom is 2³² + Tl - 63 of the sub-space before.
        (5, 62, 0xFFFFFFFF, 4),  # exactly the bottom
        (5, 10, 0xFFFFFFFF, 4),
        (5, 10, 0xFFFFFFCB, 4),  # the bottom
        (5, 10, 0xFFFFFFCA, 5),  # below it: ahead in this sub-space
        (5, 10, 11, 5),
        (5, 10, 0, 5),
        (0, 10, 0xFFFFFFFF, 0),  # there is no sub-space before the first
    ],
)
def test_inference_of_the_upper_half(high: int, top_low: int, low: int, inferred: int) -> None:
    assert ReplayWindow(64, high * EPOCH + top_low).infer_high(low) == inferred


@given(
    size=st.sampled_from(SIZES),
    top=st.integers(4096, 5 * EPOCH),
    ahead=st.one_of(st.integers(0, EPOCH - 1), st.integers(0, 10_000), st.integers(EPOCH - 10_000, EPOCH - 1)),
)
def test_inference_is_right_from_the_bottom_of_the_window_for_2_to_the_32_numbers(
    size: int, top: int, ahead: int
) -> None:
    sequence = top - size + 1 + ahead
    assert ReplayWindow(size, top).infer_high(sequence % EPOCH) == sequence >> 32


@pytest.mark.parametrize("size", [0, 1, 31, 4097, -64])
def test_windows_that_protect_too_little_or_too_dearly_are_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"anti-replay window {size} is refused: choose 32 to 4096"):
        ReplayWindow(size)


@given(st.lists(st.one_of(st.integers(0, 100), st.integers(0, (1 << 64) - 1)), max_size=200))
def test_seen_set_is_a_set(sequences: list[int]) -> None:
    seen, expected = SeenSet(), set()
    for sequence in sequences:
        assert seen.add(sequence) is (sequence in expected)
        expected.add(sequence)


@given(st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.integers(1, 9)), max_size=200))
def test_iv_memory_forgets_only_for_another_iv_in_the_same_place(entries: list[tuple[int, int]]) -> None:
    memory, expected = IvMemory(4096), dict[int, tuple[int, int, int]]()
    for time_ns, (iv, digest) in enumerate(entries):
        memory.put(iv, digest, time_ns)
        expected[iv % 4096] = iv, digest, time_ns
        for known, *found in expected.values():
            assert memory.find(known) == tuple(found)
            assert memory.find(known ^ 1 << 63) is None


def test_an_empty_place_is_not_taken_for_iv_0() -> None:
    memory = IvMemory(4096)
    assert memory.find(0) is None
    memory.put(1, 7, 7)
    assert memory.find(0) is None


def test_of_counters_it_knows_exactly_the_last_ones() -> None:
    memory = IvMemory(8192)
    for iv in range(EPOCH - 5000, EPOCH + 10_000):
        memory.put(iv, 7, iv)
    known = [iv for iv in range(EPOCH - 5000, EPOCH + 11_000) if memory.find(iv)]
    assert known == list(range(EPOCH + 10_000 - 8192, EPOCH + 10_000))


def test_its_memory_grows_with_use_up_to_24_bytes_an_iv() -> None:
    memory, sizes = IvMemory(), []
    tracemalloc.start()
    try:
        for ivs in (range(4096), range(4096, 1 << 23, 4096)):
            for iv in ivs:
                memory.put(iv, 1, 1)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert 96 << 10 <= sizes[0] < 100 << 10
    assert 24 << 20 <= sizes[1] < 24.1 * (1 << 20)


@pytest.mark.parametrize("size", [0, 2048, 5000, -4096])
def test_iv_memories_of_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"a memory of {size} IVs is refused"):
        IvMemory(size)
