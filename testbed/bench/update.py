"""testbed bench update: link changes per second by every method, and a whole shell held to its orbits."""

from __future__ import annotations

import numpy as np

from testbed.bench import drift, updates
from testbed.bench.build import SHELL
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Row
from testbed.ground.constants import NS_PER_S, SPEED_OF_LIGHT_M_S
from testbed.orbits.grid import Grid
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan import model
from testbed.plan.mesh import build_mesh_plan

GRIDS = (Shell("A", 2_000e3, 53.0, 10, 10, 1), Shell("A", 1_200e3, 53.0, 20, 20, 1))
"""400 and 1,600 interfaces."""

_TOLERANCE_NS = 8_000  # below the 10 µs of the target, which the read-back's own instant is compared with
_HELD_US = 10.0
_SECONDS = 300


def run(context: Context) -> list[Row]:
    """The methods natively, the whole shell in the guest."""
    rows: list[Row] = []
    if "native" in context.places:
        rows += _methods(context)
    if "uml" in context.places and not context.quick:
        rows += _held(context)
    return rows


def _methods(context: Context) -> list[Row]:
    seconds = 1.0 if context.quick else 4.0
    rows: list[Row] = []
    for grid in GRIDS:
        folder = context.folder / f"update-{len(grid)}"
        folder.mkdir()
        plan = build_mesh_plan([grid], context.start_ns, NS_PER_S, tolerance_ns=50_000)
        model.save(plan, folder / "plan")
        ours = call(updates.ours, "native", folder, seconds=seconds)["changes_per_s"]
        rows.append(Row(f"{len(plan.links):,} interfaces: changes acknowledged", ours, "/s", "higher", 100_000.0))
        if grid is GRIDS[0]:
            for name, function, times in (
                ("Mininet's TCIntf.config", updates.mininet_tcintf, 500.0),
                ("a tc process each", updates.forked_tc, 30.0),
                ("pyroute2, one socket", updates.pyroute2, 5.0),
            ):
                theirs = call(function, "native", folder, seconds=seconds)["changes_per_s"]
                rows.append(Row(f"times {name} ({theirs:,.0f}/s)", ours / theirs, "×", "higher", times))
    return rows


def _held(context: Context) -> list[Row]:
    """What the kernel holds of 6,336 link ends, against SGP4 at the very instants at which it was read."""
    folder = context.folder / "held"
    folder.mkdir()
    plan = build_mesh_plan([SHELL], context.start_ns, _SECONDS * NS_PER_S, tolerance_ns=_TOLERANCE_NS)
    model.save(plan, folder / "plan")
    told = call(drift.play, "uml", folder, refreshes=3)
    time_ns, link, delay_ns = np.load(folder / drift.SAMPLES).T
    ephemeris = Ephemeris(walker_catalogue([SHELL], context.start_ns, "bench"), context.start_ns, plan.duration_ns)
    couples = Grid(SHELL).links()[link // 2]
    instants = context.start_ns + np.clip(time_ns, 0, plan.duration_ns)
    range_m = np.array(
        [
            np.linalg.norm(np.diff(ephemeris.position_m(instant[None], couple)[0], axis=0))
            for instant, couple in zip(instants, couples, strict=True)
        ]
    )
    error_us = np.abs(delay_ns - range_m * (NS_PER_S / SPEED_OF_LIGHT_M_S)) / 1e3
    what = f"{len(SHELL):,} satellites for {_SECONDS} s in the guest"
    return [
        Row(
            f"{what}: held delay off its orbit, worst of {len(link):,}", float(error_us.max()), "µs", "lower", _HELD_US
        ),
        Row(f"{what}: late ticks of {told['ticks']:,}", told["late_ticks"], "", "lower", 0),
        Row(f"{what}: worst tick late", told["worst_late_ms"], "ms", "lower", 50.0),
        Row(f"{what}: mismatches of {told['read_back']:,} read back", told["mismatches"], "", "lower", 0),
        Row(f"{what}: changes", told["changes"] / _SECONDS, "/s", "lower"),
        Row(f"all {len(plan.links):,} link ends set and compared at once", told["refresh_s"], "s", "lower"),
    ]
