"""bench traffic: every row is measured, and what is measured is checked packet by packet."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.bench import secured, traffic
from testbed.bench.context import Context
from testbed.ground.errors import RunError

pytestmark = pytest.mark.netns


def test_rows_have_targets_natively_and_scapy_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_FEW_PACKETS", 400)
    rows = {row.name: row for row in traffic.run(Context(tmp_path, ["native"], 0, quick=True))}
    rates = [row for row in rows.values() if row.better == "higher"]
    assert len(rates) == 6
    assert all(row.value > 1_000 for row in rates)
    assert {row.target for row in rates} == {None, 120_000.0, 200_000.0}
    ratios = [row.ratio for row in rates if row.ratio is not None]
    assert len(ratios) == 4
    assert min(ratios) > 5  # many more are measured with more packets
    p50, p99 = (row for row in rows.values() if row.better == "lower")
    assert (p50.target, p99.target) == (20.0, 100.0)
    assert 0 < p50.value <= p99.value
    assert p50.reference is not None
    assert p50.value < p50.reference.value  # ping's half holds its own system calls besides


def test_a_receiver_that_refuses_a_genuine_packet_measures_nothing() -> None:
    with secured._wire(tapped=False) as wire:
        wire.send(5)
        wire.renew(0)
        wire.send(5)
        wire._association = secured._association()  # other keys than the sender's
        with pytest.raises(RunError, match="a genuine packet was refused"):
            wire.verify(5)
    with secured._wire(tapped=True) as wire:
        wire.session_send(5)
        with pytest.raises(RunError, match="5 of 6 packets were judged genuine"):
            wire.session_judge(6)
