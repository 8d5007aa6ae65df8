"""The measures of a flow, on cases worked out by hand and on the examples of the RFCs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.records import NOT_RECEIVED
from traffic.results import UNSTAMPED, as_json, measure, packet_rows, percentiles_ms, reordered
from traffic.verdicts import Verdict

MS = 1_000_000
GENUINE, REPLAY, LATE = Verdict.GENUINE, Verdict.REPLAY_IN_WINDOW, Verdict.LATE_OUTSIDE_WINDOW


def rows(tx_ms: list[float], arrivals: list[tuple[int, float, int]]) -> np.ndarray:
    """Of a flow whose packets left at tx_ms; arrivals: number, ms, verdict."""
    tx = np.array([UNSTAMPED if time < 0 else time * MS for time in tx_ms], np.int64)
    arrived = [(number, UNSTAMPED if time < 0 else time * MS, verdict) for number, time, verdict in arrivals]
    return packet_rows(3, tx, np.array(arrived, np.int64).reshape(-1, 3))


def test_a_flow_without_trouble() -> None:
    table = rows([0, 20, 40, 60], [(0, 10, GENUINE), (1, 32, GENUINE), (2, 50, GENUINE), (3, 73, GENUINE)])
    result = as_json(measure(4, table))
    assert result == {
        "sent": 4,
        "received": 4,
        "lost": 0,
        "duplicated": 0,
        "reordered": 0,
        "one_way_delay_ms": {"p50": 11.0, "p95": 12.85, "p99": 12.97},  # of 10, 10, 12, 13
        "ipdv_ms": {"p50": 2.0, "p99": 2.98},  # of 2, 2, 3
        "gaps_over_200ms": 0,
    }
    assert table["flow"].tolist() == [3] * 4
    assert table["delay_ns"].tolist() == [10 * MS, 12 * MS, 10 * MS, 13 * MS]


def test_loss_is_no_delay_and_breaks_the_variation() -> None:
    table = rows([0, 20, 40], [(0, 10, GENUINE), (2, 60, GENUINE)])
    result = measure(3, table)
    assert (result.sent, result.received, result.lost) == (3, 2, 1)
    assert result.one_way_delay_ms["p50"] == 15.0
    assert result.ipdv_ms == {"p50": None, "p99": None}  # no two consecutive packets arrived
    assert table["verdict"].tolist() == [GENUINE, NOT_RECEIVED, GENUINE]
    assert table["delay_ns"].tolist() == [10 * MS, -1, 20 * MS]


def test_copies_are_rows_of_their_own_and_not_received_twice() -> None:
    table = rows([0, 20], [(0, 10, GENUINE), (0, 60, REPLAY), (1, 30, GENUINE), (0, 90, REPLAY)])
    result = measure(2, table)
    assert (result.received, result.lost, result.duplicated) == (2, 0, 2)
    assert table["sequence"].tolist() == [0, 1, 0, 0]
    assert table["delay_ns"].tolist() == [10 * MS, 10 * MS, 60 * MS, 90 * MS]
    assert table["tx_ns"].tolist() == [0, 20 * MS, 0, 0]
    assert table["verdict"].tolist() == [GENUINE, GENUINE, REPLAY, REPLAY]
    assert result.one_way_delay_ms["p99"] == 10.0


def test_what_anti_replay_refuses_is_lost() -> None:
    result = measure(2, rows([0, 20], [(1, 30, GENUINE), (0, 500, LATE)]))
    assert (result.received, result.lost, result.duplicated, result.reordered) == (1, 1, 0, 0)


def test_packets_without_stamps_count_but_are_not_timed() -> None:
    table = rows([0, -1, 40], [(0, 10, GENUINE), (1, 30, GENUINE), (2, -1, GENUINE)])
    result = measure(3, table)
    assert (result.received, result.lost) == (3, 0)
    assert result.one_way_delay_ms["p99"] == 10.0
    assert table["delay_ns"].tolist() == [10 * MS, -1, -1]


def test_gaps_are_silences_of_more_than_200_ms_between_arrivals() -> None:
    tx = [float(20 * number) for number in range(60)]
    arrivals = [(number, tx[number] + 10, GENUINE) for number in range(60) if not 10 <= number < 20]  # 220 ms apart
    arrivals = [arrival for arrival in arrivals if not 40 <= arrival[0] < 49]  # exactly 200 ms apart
    assert measure(60, rows(tx, arrivals)).gaps_over_200ms == 1


def test_nothing_sent_and_nothing_received() -> None:
    nothing = measure(0, rows([], []))
    assert (nothing.sent, nothing.received, nothing.reordered, nothing.gaps_over_200ms) == (0, 0, 0, 0)
    assert nothing.one_way_delay_ms == {"p50": None, "p95": None, "p99": None}
    all_lost = measure(3, rows([0, 20, 40], []))
    assert (all_lost.sent, all_lost.lost) == (3, 3)


@pytest.mark.parametrize(
    ("numbers", "count"),
    [  # RFC 4737, 4.2.3 and appendix: packets that arrive when a larger number has already arrived
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0),
        ([1, 2, 3, 5, 6, 7, 8, 4, 9, 10], 1),
        ([1, 4, 2, 3, 5], 2),
        ([1, 2, 9, 10, 3, 4, 5, 6, 7, 8], 6),
        ([5, 4, 3, 2, 1], 4),
        ([1, 3, 5, 9], 0),  # losses are not reordering
        ([], 0),
    ],
)
def test_reordering(numbers: list[int], count: int) -> None:
    assert reordered(np.array(numbers, np.int64)) == count


def test_reordering_follows_the_times_of_arrival() -> None:
    arrivals = [(0, 10, GENUINE), (1, 90, GENUINE), (2, 50, GENUINE)]  # as judged; by time 0, 2, 1
    assert measure(3, rows([0, 20, 40], arrivals)).reordered == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10**6), st.sampled_from([0, 1, 2, 3])), max_size=80))
def test_counts_always_add_up(arrivals: list[tuple[int, int, int]]) -> None:
    table = rows([float(number) for number in range(31)], [(n, float(t), v) for n, t, v in arrivals])
    result = measure(31, table)
    assert len(table) == 31 + result.duplicated
    assert result.received + result.lost == 31
    assert np.count_nonzero(table["verdict"] != NOT_RECEIVED) == len(arrivals)
    assert sorted(table["verdict"][table["verdict"] != NOT_RECEIVED]) == sorted(v for _, _, v in arrivals)


def test_percentiles_are_in_ms() -> None:
    assert percentiles_ms(np.array([1_000_000, 3_000_000], np.int64), (50, 99)) == {"p50": 2.0, "p99": 2.98}
