"""testbed bench routing: FRR's OSPF in sixty satellites, and how long it takes to find a way round a lost one."""

from __future__ import annotations

from dataclasses import replace

from testbed.bench import daemons
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Reference, Row
from testbed.ground.constants import NS_PER_S
from testbed.orbits.walker import Shell
from testbed.plan import model
from testbed.plan.faults import with_faults
from testbed.plan.mesh import build_mesh_plan
from testbed.plan.observed import read_routing
from testbed.report.routing import summarise

GRIDS = {False: Shell("A", 2_000e3, 53.0, 6, 10, 1), True: Shell("A", 8_000e3, 53.0, 2, 4, 1)}
"""60 satellites with 120 links; quick: eight."""

_LOST_S, _FOUND_S, _DURATION_S = 10.0, 50.0, 140
_DEAD_MS = 40_000.0  # RFC 2328, C.3: what a router takes that is not told of a lost signal
_MEMORY_MB = 4_096
_ENDS = {False: ("A01-01", "A04-04"), True: ("A01-01", "A02-03")}


def run(context: Context) -> list[Row]:
    """Where there is netem: daemons started, routes settled, memory; a satellite lost on the way, and found again."""
    rows: list[Row] = []
    for place in context.places:
        if not context.impaired(place):
            continue
        folder = context.folder / place
        folder.mkdir()
        shell, ends = GRIDS[context.quick], _ENDS[context.quick]
        plan = build_mesh_plan([shell], context.start_ns, _DURATION_S * NS_PER_S, pairs=[ends], tolerance_ns=50_000)
        plan = replace(plan, routing="frr")
        model.save(plan, folder / "plan")
        told = call(daemons.grid, place, folder, memory_mb=_MEMORY_MB, lost_s=_LOST_S, found_s=_FOUND_S)
        report = summarise(with_faults(plan, folder), read_routing(folder) or {})
        lost, found = report["changes"]
        what = f"{len(shell)} routers, {place}"
        dead = Reference("ms, OSPF's dead interval (RFC 2328)", _DEAD_MS)
        rows += [
            Row(f"{what}: {report['daemons']} daemons started in", report["started_s"], "s", "lower"),
            Row(f"{what}: routes settled after the start in", report["settled_s"], "s", "lower"),
            Row(f"{what}: memory, shared pages counted for each", report["memory_mb"], "MB", "lower"),
            Row(f"{what}: a satellite lost: without a way", lost["without_way_ms"], "ms", "lower", None, dead),
            Row(f"{what}: a satellite lost: routes settled", lost["settled_ms"], "ms", "lower", None, dead),
            Row(f"{what}: a satellite lost: routes changed", lost["routes"], "", "lower"),
            Row(f"{what}: found again: without a way", found["without_way_ms"], "ms", "lower", None, dead),
            Row(f"{what}: found again: routes settled", found["settled_ms"], "ms", "lower", None, dead),
            Row(f"{what}: latest tick meanwhile", told["late_ms"], "ms", "lower"),
        ]
    return rows
