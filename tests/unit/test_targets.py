"""When a link may be probed: once the tick that lights it has been played for sure, and not shortly before its end."""

from __future__ import annotations

from itertools import pairwise

from plan_data import MS, small_plan

from testbed.emulation.player import LATE_NS
from testbed.emulation.targets import _settled, _within


def test_a_link_is_probed_only_while_it_is_lit_for_sure() -> None:
    plan = small_plan()
    changing = 0
    for number in range(len(plan.links)):
        usable = _within(_settled(plan, number))
        steps = plan.link_steps(number)
        for before, after in pairwise(steps):
            if before["up"] == after["up"]:
                continue
            changing += 1
            edge_ns = int(after["time_ns"])
            if after["up"]:  # comes up: even a tick that ends as late as it may has been played
                assert not any(usable(edge_ns + late_ns) for late_ns in (0, MS, LATE_NS - 1))
                assert usable(edge_ns + LATE_NS)
            else:  # goes down: nothing is in flight any more
                assert not any(usable(edge_ns - ahead_ns) for ahead_ns in (1, 100 * MS, 200 * MS))
                assert usable(edge_ns - 201 * MS)
    assert changing > 4
