"""testbed bench soak: a day of schedule at sixty times its speed; nothing may grow."""

from __future__ import annotations

from testbed.bench import endurance
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Row
from testbed.ground.constants import NS_PER_S
from testbed.lab.place import Place
from testbed.orbits.walker import Shell
from testbed.plan import model
from testbed.plan.mesh import build_mesh_plan

SHELL = Shell("A", 8_000e3, 53.0, planes=3, per_plane=4, phasing=1)
SPEED = 60.0
_HOURS = 24
_QUICK_HOURS = 1
_GROWTH_MB = 2.0  # Assumption: an allocator's own slack; a descriptor or a namespace that leaks is seen by its count


def run(context: Context) -> list[Row]:
    """At each place that has netem: memory, descriptors, threads in the last tenth of the time, less the first's."""
    return [row for place in context.places if context.impaired(place) for row in _at(place, context)]


def _at(place: Place, context: Context) -> list[Row]:
    hours = _QUICK_HOURS if context.quick else _HOURS
    folder = context.folder / f"soak-{place}"
    folder.mkdir()
    plan = build_mesh_plan(
        [SHELL], context.start_ns, hours * 3600 * NS_PER_S, step_ns=NS_PER_S, tolerance_ns=100_000, name="soak"
    )
    model.save(plan, folder / "plan")
    told = call(endurance.play, place, folder, speed=SPEED)
    what = f"{place}, {hours} h of schedule at ×{SPEED:g}"
    return [
        Row(f"{what}: real time", told["real_s"] / 60, "min", "lower"),
        Row(f"{what}: changes", told["changes"], "", "higher"),
        Row(f"{what}: memory of the runner grew by", told["rss_mb"], "MB", "lower", _GROWTH_MB),
        Row(f"{what}: memory of the kernel grew by", told["slab_mb"], "MB", "lower", _GROWTH_MB),
        Row(f"{what}: descriptors, namespaces among them, grew by", told["descriptors"], "", "lower", 0),
        Row(f"{what}: threads grew by", told["threads"], "", "lower", 0),
        Row(f"{what}: late ticks of {told['ticks']:,}", told["late_ticks"], "", "lower"),
        Row(f"{what}: mismatches of {told['read_back']:,} read back", told["mismatches"], "", "lower", 0),
    ]
