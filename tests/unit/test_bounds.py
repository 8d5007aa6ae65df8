"""What the links of a path can do at most, reckoned by hand for a small plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from testbed.emulation.ledger import wanted
from testbed.ground.errors import PlanError
from testbed.plan.bounds import delays_ns, longest_lag_ns, longest_queue_ns
from testbed.plan.model import STEP_DTYPE, Lan, Link, Node, PathStep, Plan

MS = 1_000_000
S = 1_000_000_000


def plan(**changes: Any) -> Plan:
    """host - ut - two satellites - gw - far: user 60 or 20 ms at 10 Mbit/s, later 5; feeder 5 ms at 100 Mbit/s."""
    links = (
        Link("ut", "S1", "user", 40_000),
        Link("S1", "gw", "feeder", 100_000),
        Link("ut", "S2", "user", 40_000),
        Link("S2", "gw", "isl", 100_000),
    )
    steps = [
        (0, 0, True, 60 * MS, 10_000_000, 0.0, np.nan, np.nan),
        (0, S, True, 60 * MS, 5_000_000, 0.0, np.nan, np.nan),
        (1, 0, True, 5 * MS, 100_000_000, 0.0, np.nan, np.nan),
        (2, 0, True, 20 * MS, 10_000_000, 0.0, np.nan, np.nan),
        (3, 0, True, 5 * MS, 100_000_000, 0.0, np.nan, np.nan),
        (3, S, True, 6 * MS, 100_000_000, 0.0, np.nan, np.nan),
    ]
    fields: dict[str, Any] = {
        "topology": "test",
        "start_ns": 0,
        "duration_ns": 2 * S,
        "satellites": 2,
        "nodes": tuple(
            Node(name, role)
            for name, role in (
                ("host", "host"),
                ("far", "host"),
                ("ut", "terminal"),
                ("S1", "satellite"),
                ("S2", "satellite"),
                ("gw", "gateway"),
            )
        ),
        "links": links,
        "lans": (Lan("host", "ut"), Lan("far", "gw")),
        "routes": (),
        "events": (),
        "paths": ((PathStep(0, ("host", "ut", "S1", "gw", "far")), PathStep(S, ("host", "ut", "S2", "gw", "far"))),),
        "steps": np.array(steps, STEP_DTYPE),
    }
    return Plan(**(fields | changes))


def test_full_queues_of_a_path() -> None:
    """User: 40,000 and 3 x 1,000 bytes at 5 Mbit/s are 68.8 ms; feeder: 103,000 at 100 Mbit/s are 8.24 ms."""
    made = plan()
    assert longest_queue_ns(made, made.paths[0], 1_000) == 68_800_000 + 8_240_000


def test_links_between_satellites_have_no_queue() -> None:
    """By S2: 43,000 bytes at 10 Mbit/s."""
    made = plan()
    assert longest_queue_ns(made, made.paths[0][1:], 1_000) == 34_400_000


def test_delays_at_every_change() -> None:
    made = plan()
    assert delays_ns(made, made.paths[0]).tolist() == [65 * MS, 26 * MS]


def test_longest_lag_is_the_largest_delay_with_full_queues_less_the_smallest() -> None:
    assert longest_lag_ns(plan(), 1_000) == (65 - 26) * MS + 77_040_000


def test_a_plan_without_paths_or_with_dead_ones_has_no_lag() -> None:
    assert longest_lag_ns(plan(paths=()), 1_000) == 0
    steps = plan().steps.copy()
    steps["up"] = False
    assert longest_lag_ns(plan(steps=steps), 1_000) == 0


@pytest.mark.parametrize("option", ["hops", "edges", "off", "auto", None])
def test_a_ledger_is_kept_where_an_attacker_is_or_where_it_is_asked_for(option: str | None) -> None:
    for adversary in ({}, {"adversary": "none"}, {"adversary": "bitflip"}):
        options = adversary | ({} if option is None else {"ledger": option})
        by_itself = "edges" if adversary.get("adversary") == "bitflip" else "off"
        assert wanted(options) == (by_itself if option in (None, "auto") else option)
        assert options == adversary


def test_an_unknown_ledger_is_refused() -> None:
    with pytest.raises(PlanError, match="ledger 'all' is unknown: use auto, off, edges, hops"):
        wanted({"ledger": "all"})
