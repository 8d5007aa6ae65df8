"""testbed bench update, natively: every method does change what it says, and ours is faster than a process each."""

from __future__ import annotations

from pathlib import Path

from testbed.bench import update
from testbed.bench.context import Context
from testbed.ground.units import parse_utc_ns


def test_ours_is_measured_beside_the_others(tmp_path: Path) -> None:
    rows = update.run(Context(tmp_path, ["native"], parse_utc_ns("2026-06-14T06:00:00Z"), quick=True))
    values = {row.name: row.value for row in rows}
    assert values["400 interfaces: changes acknowledged"] > 0
    beside = {name.split(" (")[0]: value for name, value in values.items() if name.startswith("times ")}
    assert set(beside) == {"times Mininet's TCIntf.config", "times a tc process each", "times pyroute2, one socket"}
    assert beside["times a tc process each"] > 1
