"""testbed.emulation.targets: every link is probed where there is time, and a fair choice of them where there is not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from emulated import S, wire
from plan_data import small_plan

from testbed.emulation.probes import LEAST_GAP_NS
from testbed.emulation.targets import link_targets
from testbed.orbits.walker import Shell
from testbed.plan.mesh import build_mesh_plan
from testbed.plan.model import Plan

START_NS = 1_781_000_000_000_000_000


def mesh(seconds: int) -> Plan:
    return build_mesh_plan([Shell("A", 1_200e3, 53.0, 12, 12, 1)], START_NS, seconds * S, tolerance_ns=20_000)


def test_a_small_plan_has_every_link_probed() -> None:
    plan = small_plan("hold")
    plan = replace(plan, nodes=tuple(replace(node, nat=False) for node in plan.nodes))
    probed = {target.index for target in link_targets(wire(plan))}
    ever_up = {number for number in range(len(plan.links)) if plan.link_steps(number)["up"].any()}
    assert probed <= set(range(len(plan.links)))
    assert {plan.links[number].kind for number in ever_up - probed} <= {"user", "feeder"}  # up for less than a probe


def test_of_a_constellation_as_many_as_can_be_judged_evenly_chosen() -> None:
    plan = mesh(10)
    probed = [target.index for target in link_targets(wire(plan))]
    assert len(plan.links) == 576
    assert len(probed) == 10 * S // (40 * LEAST_GAP_NS) == 100
    gaps = [after - before for before, after in pairwise(probed)]
    assert max(gaps) - min(gaps) <= 1


def test_a_longer_run_covers_all() -> None:
    plan = mesh(60)
    assert len(link_targets(wire(plan))) == len(plan.links)
