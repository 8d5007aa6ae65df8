"""testbed bench build: whole shells as real networks, and stock Mininet beside them."""

from __future__ import annotations

import math
from pathlib import Path

from testbed.bench import networks
from testbed.bench.context import Context
from testbed.bench.inside import Answer, call
from testbed.bench.rows import Reference, Row
from testbed.emulation.audit import BUDGET
from testbed.lab.place import Place
from testbed.orbits.presets import STARLINK_GEN1
from testbed.orbits.walker import Shell
from testbed.plan import model
from testbed.plan.mesh import build_mesh_plan

SHELL = STARLINK_GEN1[0]
"""72 × 22: 1,584 satellites, 3,168 links."""

RECORD = Shell("A", 550e3, 53.0, planes=146, per_plane=72, phasing=73)
"""Assumption: one shell with as many satellites as Starlink had at work in June 2026, 10,512; 21,024 links."""

SMALL = {"native": Shell("A", 2_000e3, 53.0, 10, 10, 1), "uml": Shell("A", 8_000e3, 53.0, 3, 4, 1)}
"""What stock Mininet can build in a bench's time: 100 nodes and 200 links; in the guest 12 and 24."""

_RECORD_MB = 6_144
_PINGS = 3
_HOP_US = BUDGET["path_p50_us_per_hop"]  # what the audit allows a path
_REACH = 120  # half of planes and slots together must be below 64 hops, Linux' time to live


def run(context: Context) -> list[Row]:
    """Ours natively and in the guest, then stock Mininet; with `record` the whole constellation in the guest alone."""
    if context.record:
        return _whole(context, "uml", RECORD, memory_mb=_RECORD_MB)
    rows: list[Row] = []
    for place in context.places:
        if not context.quick:
            rows += _whole(context, place, SHELL, memory_mb=2048)
        rows += _beside_stock(context, place)
    return rows


def _whole(context: Context, place: Place, shell: Shell, *, memory_mb: int) -> list[Row]:
    """A shell up, addressed and routed, a ping across it, and down again."""
    folder = _planned(context, shell, f"{place}-{len(shell)}")
    told = call(networks.ours, place, folder, memory_mb=memory_mb, impaired=context.impaired(place), pings=_PINGS)
    record = len(shell) == len(RECORD)
    seconds = 360.0 if record else {"native": 10.0, "uml": 35.0}[place]
    links = "netem on every link" if context.impaired(place) else "this kernel has no netem: links without"
    what = f"{len(shell):,} satellites, {place}"
    rows = [
        Row(f"{what}: build ({links})", told["build_s"], "s", "lower", seconds),
        Row(f"{what}: memory per node", told["bytes_per_node"] / 1e6, "MB", "lower", 0.5),
        Row(f"{what}: torn down in", told["gone_s"], "s", "lower", None if record else 5.0),
        Row(f"{what}: pings across answered", told["received"], f"of {told['pings']}", "higher", told["pings"]),
    ]
    if record:
        rows.insert(1, Row(f"{what}: memory of the guest", memory_mb / 1024, "GiB", "lower", 6.0))
    if context.impaired(place):
        error_us = abs(told["rtt_ms"] - told["planned_rtt_ms"]) * 1e3 / told["hops"]
        planned = Reference("ms planned", told["planned_rtt_ms"])
        rows.append(Row(f"{what}: ping across, least", told["rtt_ms"], "ms", "lower", None, planned))
        rows.append(Row(f"{what}: ping's error per hop, {told['hops']} hops", error_us, "µs", "lower", _HOP_US))
    return rows


def _beside_stock(context: Context, place: Place) -> list[Row]:
    folder = _planned(context, SMALL[place], f"{place}-small")
    impaired = context.impaired(place)
    ours = _total(call(networks.ours, place, folder, impaired=impaired))
    stock = _total(call(networks.stock, place, folder, shaped=impaired))
    plan = model.load(folder / "plan")
    what = f"{len(plan.nodes)} nodes, {len(plan.links) // 2} links, {place}: start and stop"
    times = {"native": 20.0, "uml": 60.0}[place]
    beside = Reference("s, stock Mininet", stock)
    return [
        Row(what, ours, "s", "lower", None, beside),
        Row(f"{what}: times faster", stock / ours if ours else math.inf, "×", "higher", times),
    ]


def _total(told: Answer) -> float:
    return float(told["build_s"] + told["stop_s"])


def _planned(context: Context, shell: Shell, name: str) -> Path:
    """A folder with the shell's plan for a second, and a path half-way round it, or a quarter where that is too far."""
    folder = context.folder / name
    folder.mkdir()
    width, depth = (max(2, len(str(count))) for count in (shell.planes, shell.per_plane))
    part = 2 if shell.planes + shell.per_plane < _REACH else 4
    far = f"{shell.name}{shell.planes // part + 1:0{width}}-{shell.per_plane // part + 1:0{depth}}"
    near = f"{shell.name}{1:0{width}}-{1:0{depth}}"
    plan = build_mesh_plan([shell], context.start_ns, 10**9, tolerance_ns=50_000, pairs=[(near, far)])
    model.save(plan, folder / "plan")
    return folder
