"""How the dashboard's benchmark judges; what it measures takes a guest and minutes."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.bench.web import WORSE, judge


def audit(p50: float, late: int = 0) -> dict[str, Any]:
    """Two paths, one worse than the mean and one better, and one that nothing arrived on."""
    better, worse = ({"p50": share * p50, "p90": 2 * share * p50} for share in (0.8, 1.2))
    return {
        "paths": [{"error_us": better}, {"error_us": worse}, {"error_us": None}],
        "late_ticks": late,
    }


@pytest.mark.parametrize(("times", "met"), [(1.0, True), (WORSE - 0.01, True), (WORSE + 0.01, False)])
def test_a_dashboard_that_disturbs_the_audit_misses_its_target(times: float, met: bool) -> None:
    unseen = [audit(100.0), audit(200.0), audit(150.0)]
    seen = [audit(times * 100.0), audit(times * 200.0), audit(9_000.0, late=3)]  # one round was disturbed
    rows = judge("uml, a page", seen, unseen)
    judged = [row for row in rows if row.target is not None]
    assert [row.value for row in judged] == pytest.approx([times] * 4)  # mean and worst, p50 and p90
    assert [row.met for row in judged] == [met] * 4
    beside = next(row.reference for row in rows if row.reference is not None)
    assert (beside.name, beside.value) == ("µs without a dashboard", 150.0)
    worst = next(row.reference for row in rows if row.name.endswith("p50, worst path"))
    assert worst is not None
    assert worst.value == pytest.approx(180.0)
