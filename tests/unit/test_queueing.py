"""The bound on waiting, against a first-in-first-out queue played packet by packet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_fixture import Files, S, make_files

from testbed.report.evidence import read_evidence
from testbed.report.queueing import _burst, _load, longest_wait_ns

RATE = 100_000.0  # bytes/s


def played(arrivals: list[tuple[int, int]]) -> float:
    """The longest that a packet takes through the queue, its own time on the line included, s."""
    free = longest = 0.0
    for time_ns, size in sorted(arrivals):
        free = max(free, time_ns / 1e9) + size / RATE
        longest = max(longest, free - time_ns / 1e9)
    return longest


@settings(max_examples=200, deadline=None)
@given(
    flows=st.lists(
        st.tuples(st.lists(st.integers(0, 5 * S), min_size=2, max_size=60), st.integers(50, 1500)),
        min_size=1,
        max_size=4,
    ),
    shifts=st.lists(st.integers(0, S), min_size=4, max_size=4),
)
def test_no_queue_holds_longer_than_the_bound(flows: list[tuple[list[int], int]], shifts: list[int]) -> None:
    """Whatever the flows send and in whatever phase they meet."""
    sent = [(np.sort(np.array(times)), size) for times, size in flows]
    loads = [_load(tx_ns, size) for tx_ns, size in sent]
    total = sum(loads)
    bound_s = (
        sum(_burst(tx_ns, size, load / total * RATE) for (tx_ns, size), load in zip(sent, loads, strict=True)) / RATE
    )
    arrivals = [
        (int(time_ns) + shift, size) for (tx_ns, size), shift in zip(sent, shifts, strict=False) for time_ns in tx_ns
    ]
    assert played(arrivals) <= bound_s * (1 + 1e-9)


def test_an_even_flow_has_a_burst_of_one_packet() -> None:
    tx_ns = np.arange(100) * 20_000_000
    assert _burst(tx_ns, 300, 300 * 50.0) == pytest.approx(300)
    assert _load(tx_ns, 300) == pytest.approx(15_000)
    tx_ns[50:60] = tx_ns[60]  # held up, then ten at once: eleven are there, and the idle time before is no credit
    assert _burst(tx_ns, 300, 300 * 50.0) == pytest.approx(11 * 300)


def wait_ns(files: Files, folder: Path) -> int:
    evidence = read_evidence(files.write(folder))
    return longest_wait_ns(evidence, evidence.plan.paths[0])


def named(**other: Any) -> tuple[dict[str, Any], ...]:
    return (
        {"name": "voice-rome", "payload_bytes": 172},
        {"name": "web-milano", "payload_bytes": 1200},
        *other.values(),
    )


def test_calm_flows_wait_for_a_packet_or_two(tmp_path: Path) -> None:
    files = make_files()
    files.change_plan(flows=named())
    assert 0.1e6 < wait_ns(files, tmp_path) < 4e6


def test_services_over_sockets_may_fill_every_queue(tmp_path: Path) -> None:
    files = make_files()
    files.change_plan(flows=named(web={"name": "web"}))
    assert wait_ns(files, tmp_path) > 100e6


def test_an_overloaded_link_may_fill_every_queue(tmp_path: Path) -> None:
    files = make_files()
    steps = files.plan.steps.copy()
    steps["rate_bps"] = 100_000
    files.change_plan(flows=named(), steps=steps)
    assert wait_ns(files, tmp_path) > 1e9
