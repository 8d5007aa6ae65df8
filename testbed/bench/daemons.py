"""FRR in every satellite of a grid, one of them lost and found again: measured in a process of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from testbed.emulation.faults import Faults
from testbed.emulation.frr.watch import Routing
from testbed.emulation.loop import run_activities
from testbed.emulation.network import running
from testbed.ground.clock import RealClock
from testbed.ground.errors import RunError
from testbed.plan import model
from testbed.plan.faults import parse_fault

_QUIET_S: Final = 10.0
"""Two hellos of the calm timers, and the longest wait for an SPF."""


def grid(folder: Path, *, lost_s: float, found_s: float) -> dict[str, Any]:
    """Play folder/plan; the second satellite of the way that OSPF has chosen is lost between two times.

    Leaves what `plan.observed` reads. Raises RunError where the way did not change, or routes still change in the end:
    then nothing was measured.
    """
    plan = model.load(folder / "plan")
    (folder / "inbox").mkdir(exist_ok=True)
    with running(plan) as net:
        emulation = net.topo.emulation
        with Routing(emulation.wiring, folder) as routing:
            first = routing.ways[0] or ()
            entry = {"kind": "satellite", "node": first[1], "at": lost_s, "for": found_s - lost_s}
            faults = Faults(plan, emulation.playing, folder, [parse_fault(entry, plan, where="bench")])
            clock = RealClock(time.monotonic_ns())
            run_activities([faults, emulation.playing, routing], clock, lambda: False)
            routing.finish()
        late = max((tick.late_ns for tick in emulation.playing.ticks), default=0)
    told: dict[str, Any] = json.loads((folder / "routing.json").read_text())
    if all(first[1] in (seen["nodes"] or ()) for seen in told["ways"][0]):
        raise RunError(f"the way over {first[1]} stood when that satellite was lost: {told['ways'][0]}")
    quiet_s = (plan.duration_ns - told["changes"][-1][0]) / 1e9
    if quiet_s < _QUIET_S:
        raise RunError(f"routes still changed {quiet_s:.1f} s before the end: they have not settled")
    return {"late_ms": late / 1e6, "settled_s": told["settled_s"]}
