"""FRR in every satellite of a grid, one of them lost and found again: measured in a process of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from testbed.emulation.faults import Faults
from testbed.emulation.frr.watch import Routing
from testbed.emulation.loop import run_activities
from testbed.emulation.network import running
from testbed.ground.clock import RealClock
from testbed.plan import model
from testbed.plan.faults import parse_fault


def grid(folder: Path, *, lost_s: float, found_s: float) -> dict[str, Any]:
    """Play folder/plan, whose path's second satellite is lost between two times; leaves what `plan.observed` reads."""
    plan = model.load(folder / "plan")
    entry = {"kind": "satellite", "node": plan.paths[0][0].nodes[1], "at": lost_s, "for": found_s - lost_s}
    (folder / "inbox").mkdir(exist_ok=True)
    with running(plan) as net:
        emulation = net.topo.emulation
        with Routing(emulation.wiring, folder) as routing:
            faults = Faults(plan, emulation.playing, folder, [parse_fault(entry, plan, where="bench")])
            clock = RealClock(time.monotonic_ns())
            run_activities([faults, emulation.playing, routing], clock, lambda: False)
            routing.finish()
        late = max((tick.late_ns for tick in emulation.playing.ticks), default=0)
    told: dict[str, Any] = json.loads((folder / "routing.json").read_text())
    return {"late_ms": late / 1e6, "settled_s": told["settled_s"]}
