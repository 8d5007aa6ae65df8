"""What it costs to meet over a hub, from a plan made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from testbed.plan.model import STEP_DTYPE, Lan, Link, Node, PathStep, Plan
from testbed.report.meeting import meetings, sentence

MS = 1_000_000
HOPS_MS = {("ut-a", "pop"): 10, ("ut-b", "pop"): 12, ("pop", "ce"): 4}


def plan() -> Plan:
    links, rows = [], []
    for (a, b), delay_ms in HOPS_MS.items():
        for ends in ((a, b), (b, a)):
            rows.append((len(links), 0, True, delay_ms * MS, 10**9, 0.0, np.nan, np.nan))
            links.append(Link(*ends, "fibre", 10**6))
    ways = [("a", "ut-a", "pop", "ce", "dc"), ("b", "ut-b", "pop", "ce", "dc")]
    return Plan(
        topology="by-hand",
        start_ns=0,
        duration_ns=10**9,
        satellites=0,
        nodes=(
            Node("a", "host"), Node("b", "host"), Node("dc", "host", inside=False), Node("ut-a", "terminal"),
            Node("ut-b", "terminal"), Node("pop", "pop", nat=True), Node("ce", "router", inside=False),
        ),
        links=tuple(links),
        lans=(Lan("a", "ut-a"), Lan("b", "ut-b"), Lan("dc", "ce")),
        routes=(),
        events=(),
        paths=tuple((PathStep(0, way[::step]),) for way in ways for step in (1, -1)),
        steps=np.array(rows, STEP_DTYPE),
    )  # fmt: skip


def flow(src: str, dst: str, via: list[str], p50: float | None = 31.2) -> dict[str, Any]:
    return {"name": f"call-{src}-{dst}", "src": src, "dst": dst, "via": via, "one_way_delay_ms": {"p50": p50}}


def test_over_the_hub_it_is_both_ways_and_directly_it_turns_at_the_pop() -> None:
    (row,) = meetings(plan(), [flow("a", "b", ["dc"]), flow("a", "dc", [])])
    assert (row["planned_via_hub_ms"], row["planned_direct_ms"]) == pytest.approx((10 + 4 + 4 + 12, 10 + 12))
    assert sentence(row) == (
        "a → b: 31.2 ms measured (p50), through dc, which decrypts and encrypts again; planned 30.0 ms that way, "
        "22.0 ms directly: the NAT costs 8.0 ms"
    )


def test_without_a_nat_it_says_what_a_hub_would_cost() -> None:
    (row,) = meetings(plan(), [flow("b", "a", [], None)])
    assert sentence(row) == "b → a: directly; planned 22.0 ms, over a hub 30.0 ms"


def test_flows_of_plans_without_such_paths_are_told_of_without_a_comparison() -> None:
    bare = plan()
    object.__setattr__(bare, "paths", ())
    (row,) = meetings(bare, [flow("a", "b", [])])
    assert sentence(row).endswith("no planned way to compare with")
