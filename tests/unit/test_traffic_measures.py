"""traffic.measures and intervals: examples of the RFCs, tshark on the same packets, SciPy's own intervals."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from traffic.intervals import proportion, quantile_interval, quantile_ranks
from traffic.measures import (
    gaps_ns,
    loss_pattern,
    measure_all,
    named_quantiles,
    quantile,
    reordering,
    rtp_jitter_ns,
    with_lost_as_infinite,
)
from traffic.packets import udp_packet
from traffic.pcapng import PcapngWriter
from traffic.results import packet_rows
from traffic.verdicts import Verdict

MS = 1_000_000
GENUINE, REPLAY, LATE = Verdict.GENUINE, Verdict.REPLAY_IN_WINDOW, Verdict.LATE_OUTSIDE_WINDOW


def ms(*values: float) -> np.ndarray:
    return np.array([round(value * MS) for value in values], np.int64)


def test_rfc_4737_example_with_a_single_packet_reordered() -> None:
    # RFC 4737, 7.1: packet 4 arrives after 8, at 210 ms instead of 128.
    numbers = np.array([1, 2, 3, 5, 6, 7, 8, 4, 9, 10])
    found = reordering(numbers, ms(68, 88, 108, 148, 168, 188, 208, 210, 228, 248))
    assert found.positions.tolist() == [7]
    assert found.extents.tolist() == [4]
    assert found.late_ns.tolist() == [62 * MS]
    assert found.degrees.tolist() == [4]


def test_rfc_4737_example_with_two_packets_reordered() -> None:
    # RFC 4737, 7.2: 5 and 6 arrive after 7. Only 5 has nothing but higher numbers before it.
    numbers = np.array([1, 2, 3, 4, 7, 5, 6, 8, 9, 10])
    found = reordering(numbers, ms(68, 88, 108, 128, 188, 189, 190, 208, 228, 248))
    assert numbers[found.positions].tolist() == [5, 6]
    assert found.extents.tolist() == [1, 2]
    assert found.late_ns.tolist() == [1 * MS, 2 * MS]
    assert found.degrees.tolist() == [1, 0]


def test_reordering_by_its_definition_word_for_word() -> None:
    generator = np.random.default_rng(4737)
    for _ in range(50):
        numbers = np.argsort(np.arange(40) + generator.normal(0, 3, 40))
        found = reordering(numbers, np.arange(40))
        expected = []
        for i, number in enumerate(numbers):
            earlier = [j for j in range(i) if numbers[j] > number]
            if earlier:
                n = next((n for n in range(i + 1) if not all(numbers[j] > number for j in range(i - n, i))), i + 1) - 1
                expected.append((i, i - earlier[0], n))
        assert list(zip(found.positions, found.extents, found.degrees, strict=True)) == expected


def test_rfc_3357_example() -> None:
    # RFC 3357, 5.4.3 and 5.4.4: of ten packets those at 2, 5, 7, 9 and 10 are lost.
    pattern = loss_pattern(np.array([2, 5, 7, 9, 10]))
    assert pattern.distances == (3, 2, 2, 1)
    assert pattern.periods == (1, 1, 1, 2)
    assert pattern.between == (3, 2, 2)


@pytest.mark.parametrize(
    ("lost", "periods", "between"), [([], (), ()), ([4], (1,), ()), ([4, 5, 6], (3,), ()), ([0, 9], (1, 1), (9,))]
)
def test_loss_patterns_at_the_edges(lost: list[int], periods: tuple[int, ...], between: tuple[int, ...]) -> None:
    pattern = loss_pattern(np.array(lost, np.int64))
    assert (pattern.periods, pattern.between) == (periods, between)


def test_jitter_is_what_tshark_computes_from_the_same_packets(tmp_path: Path) -> None:
    tool = shutil.which("tshark")
    if tool is None:
        pytest.skip("tshark is not installed")
    generator = np.random.default_rng(3550)
    count = 400
    media_ns = np.arange(count) * 20 * MS
    arrival_ns = np.sort(media_ns + generator.integers(0, 30 * MS, count)) + 1_800_000_000 * 10**9
    arrival_ns -= arrival_ns % 1000
    with PcapngWriter(tmp_path / "rtp.pcapng") as writer:
        interface = writer.interface("lo")
        for number in range(count):
            rtp = struct.pack(">BBHII", 0x80, 0, number, number * 160, 0x1234) + bytes(160)
            packet = udp_packet("192.0.2.1", "192.0.2.2", 5004, 5004, rtp)
            writer.packet(interface, int(arrival_ns[number]), bytes(12) + b"\x08\x00" + packet)
    command = [tool, "-n", "-r", str(tmp_path / "rtp.pcapng"), "-d", "udp.port==5004,rtp", "-q", "-z", "rtp,streams"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in told.splitlines() if "0x00001234" in line]
    names, figures = re.split(r"\s{2,}", next(row for row in told.splitlines() if "Mean Jitter" in row)), line.split()
    assert "Max Jitter(ms)" in " ".join(names)
    jitter_ms = rtp_jitter_ns(arrival_ns, media_ns) / MS
    mean, top = [float(figure) for figure in figures if re.fullmatch(r"\d+\.\d+", figure)][-2:]
    assert top == pytest.approx(jitter_ms.max(), abs=2e-3)
    assert mean == pytest.approx(np.r_[0, jitter_ms].mean(), rel=0.01)  # tshark's first packet counts with 0


def test_quantiles_are_order_statistics() -> None:
    values = np.arange(1, 101) * MS  # RFC 2330, 11.3: the value that a share of p does not exceed
    assert [quantile(values, share) // MS for share in (0.01, 0.5, 0.501, 0.95, 0.99, 1.0)] == [1, 50, 51, 95, 99, 100]
    assert named_quantiles(values, (0.5,)) == {"min": 1.0, "p50": 50.0, "max": 100.0}
    assert named_quantiles(values[:0], (0.5,)) == {"min": None, "p50": None, "max": None}
    for size in (1, 2, 7, 100, 999):
        ordered = np.sort(np.random.default_rng(size).integers(0, 10**9, size))
        for share in (0.5, 0.9, 0.95, 0.99, 0.999):
            assert quantile(ordered, share) == np.quantile(ordered, share, method="inverted_cdf")


def test_what_is_lost_takes_for_ever() -> None:
    delays = np.arange(1, 91) * MS  # 10 of 100 are lost
    assert with_lost_as_infinite(delays, 100, (0.5, 0.9, 0.91)) == {"p50": 50.0, "p90": 90.0, "p91": None}


def test_a_flow_with_everything() -> None:
    tx = np.arange(10) * 20 * MS
    arrivals = [
        (0, 10, GENUINE), (1, 31, GENUINE), (3, 71, GENUINE), (2, 75, GENUINE), (3, 76, REPLAY),
        (4, 90, GENUINE), (7, 151, GENUINE), (8, 1670, GENUINE), (9, 500, LATE),
    ]  # fmt: skip
    table = packet_rows(0, tx, np.array([(n, t * MS, v) for n, t, v in arrivals], np.int64))
    told = measure_all(table, 10, rate_pps=50, waiting_ns=1500 * MS)
    assert told["loss"] == {
        "sent": 10,
        "lost": 4,  # 5 and 6; 8, which came after the waiting time; 9, which the window refused
        "ratio": 0.4,
        "late": 1,
        "refused_by_window": 1,
        "periods": 2,
        "period_longest": 2,
        "period_mean": 2.0,
        "between_periods_shortest": 2,
        "noticeable_rate": 0.75,
    }
    assert told["one_way_delay_ms"] == {
        "min": 10.0, "p50": 11.0, "p90": 35.0, "p95": 35.0, "p99": 35.0, "p99.9": 35.0, "max": 35.0
    }  # of 10, 10, 11, 11, 11, 35  # fmt: skip
    assert told["one_way_delay_lost_infinite_ms"] == {"p50": 11.0, "p90": None, "p95": None, "p99": None, "p99.9": None}
    assert (told["ipdv_ms"]["min"], told["ipdv_ms"]["max"]) == (-24.0, 24.0)
    assert told["pdv_ms"]["max"] == 25.0
    assert told["reordering"] == {
        "reordered": 1, "ratio": 1 / 6, "extent_max": 1, "late_ms_max": 4.0, "n_reordering": {"1": 1}, "n_max": 1
    }  # fmt: skip
    assert told["duplication"] == {"copies": 1, "fraction": 1 / 8, "replicated_rate": 1 / 8}
    assert told["gaps"] == {"over_ms": 200.0, "count": 0, "longest_ms": None, "total_ms": 0.0}
    patient = measure_all(table, 10, rate_pps=50)
    assert patient["loss"]["lost"] == 3
    assert patient["gaps"]["count"] == 1
    assert measure_all(table, 10, absolute=False)["one_way_delay_ms"] is None


def test_a_flow_of_nothing() -> None:
    told = measure_all(packet_rows(0, np.zeros(0, np.int64), np.zeros((0, 3), np.int64)), 0)
    assert told["loss"]["ratio"] is None
    assert told["rtp_jitter_ms"] == {"mean": None, "max": None, "last": None}
    assert gaps_ns(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 500), (3, 500), (250, 500), (500, 500), (17, 10_000)])
@pytest.mark.parametrize("confidence", [0.95, 0.999])
def test_clopper_pearson_is_scipys(count: int, of: int, confidence: float) -> None:
    theirs = binomtest(count, of).proportion_ci(confidence, "exact")
    assert proportion(count, of, confidence) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_no_loss_in_so_many_packets_bounds_the_loss() -> None:
    # The rule of three at 95 % one-sided, ln(0.025)/n two-sided: integrity's "500 of 500 means at least 99.3 %".
    low_high = proportion(0, 500)
    assert low_high == pytest.approx((0.0, 1 - 0.025 ** (1 / 500)))
    assert proportion(0, 0) is None


@pytest.mark.parametrize("size", [10, 59, 100, 1000, 20_000])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 0.999])
def test_quantile_intervals_cover_with_at_least_their_confidence_and_no_more_than_needed(
    size: int, share: float
) -> None:
    low, high = quantile_ranks(size, share)

    def coverage(low: int, high: int) -> float:  # P(X(low) <= quantile < X(high)) = P(low <= B < high)
        return float(binom.cdf(high - 1, size, share) - binom.cdf(low - 1, size, share))

    assert coverage(low, high) >= 0.95
    # Tails are halved, so each side is as tight as it can be.
    assert low == 0 or binom.cdf(low - 1, size, share) <= 0.025 < binom.cdf(low, size, share)
    assert high == size + 1 or 1 - binom.cdf(high - 1, size, share) <= 0.025 < 1 - binom.cdf(high - 2, size, share)


def test_quantile_interval_without_enough_values_is_open() -> None:
    values = np.arange(1, 60)
    assert quantile_interval(values, 0.5) == (22, 38)
    assert quantile_interval(values, 0.99)[1] is None
    assert quantile_interval(values[:0], 0.5) == (None, None)


def test_median_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        low, high = quantile_interval(np.sort(generator.exponential(1e6, 41).astype(np.int64)), 0.5)
        assert low is not None
        assert high is not None
        hits += low <= np.log(2) * 1e6 < high
    assert binomtest(hits, 2000, 0.95, alternative="less").pvalue > 1e-6
