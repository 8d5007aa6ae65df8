"""The runner: plays one run directory from start to end, natively and in the guest alike.

    python -m testbed.emulation.run RUN

reads RUN/plan and RUN/job.json, and leaves what `testbed.ground.records` lists. It imports no topologies, pyarrow,
scapy or sgp4: inside the guest an import costs seconds. Exit code: 0 the run is complete, whatever it found; 130
interrupted; else the error's own.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from testbed.emulation import targets
from testbed.emulation.audit import Evidence, judge, sample_table, tick_table
from testbed.emulation.channel import Channel
from testbed.emulation.faults import Faults
from testbed.emulation.frr.watch import Routing
from testbed.emulation.join.agent import Joining
from testbed.emulation.live import Live
from testbed.emulation.loop import Activity, run_activities
from testbed.emulation.network import Emulation, running
from testbed.emulation.player import ReadBack
from testbed.emulation.probes import Prober, open_socket
from testbed.emulation.selection import Selection
from testbed.emulation.workload import Workload
from testbed.ground.clock import Clock, RealClock
from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import TestbedError
from testbed.ground.joining import LIVE
from testbed.ground.units import format_utc
from testbed.plan import model
from testbed.plan.expected import longest_flight_ns
from testbed.plan.faults import FAULTS, read_faults, with_faults
from testbed.plan.observed import with_routing
from traffic.timestamps import clock_offset_ns

_LEAD_NS = NS_PER_S  # between "everything is ready" and schedule time 0
_STRAGGLERS_NS = 100_000_000  # how late the last probe may be
_PRIORITY = -10  # nice value of the player: before everything else on the machine that runs at 0


class Progress:
    """Tells the other end of the channel how the run is getting on, and watches the clock for steps; an Activity."""

    def __init__(self, channel: Channel, live: Live, duration_ns: int) -> None:
        self._channel = channel
        self._live = live
        self._duration_ns = duration_ns
        self._due_ns = 0
        self._offset_ns = clock_offset_ns()
        self.clock_steps_ns: list[int] = []

    def due_ns(self) -> int | None:
        return self._due_ns if self._due_ns <= self._duration_ns else None

    def act(self, clock: Clock) -> None:
        now_ns = clock.now_ns()
        self._channel.tell(progress=now_ns / 1e9, of=self._duration_ns / 1e9, live=self._live.record(now_ns))
        offset_ns = clock_offset_ns()
        self.clock_steps_ns.append(offset_ns - self._offset_ns)
        self._offset_ns = offset_ns
        self._due_ns += NS_PER_S


def play(folder: Path, channel: Channel) -> dict[str, Any]:
    """Build, play, measure, take down; returns what `run.json` says. Raises TestbedError."""
    plan = model.load(folder / "plan")
    job = json.loads((folder / "job.json").read_text())
    with ExitStack() as stack:
        channel.tell(stage="building")
        emulation: Emulation = stack.enter_context(running(plan)).topo.emulation
        wiring, player = emulation.wiring, emulation.playing
        routing = [stack.enter_context(Routing(wiring, folder))] if plan.routing == "frr" else []
        control = targets.ControlChain()
        stack.callback(control.close)
        sockets = control.sockets() | {name: open_socket(node) for name, node in wiring.nodes.items()}
        aims = [*targets.link_targets(wiring), *targets.path_targets(wiring), *targets.control_targets()]
        prober = Prober(aims, sockets, plan.duration_ns)
        selecting = [stack.enter_context(Selection(wiring, folder, plan.duration_ns))] if plan.uplinks else []
        workload = stack.enter_context(Workload(wiring, folder, pcap=job["pcap"]))
        nodes = {name: node.namespace.fd for name, node in wiring.nodes.items()}
        joining = stack.enter_context(Joining(wiring, player, folder))
        (folder / LIVE).write_text(json.dumps({"pid": os.getpid(), "namespaces": nodes}))
        stack.callback((folder / LIVE).unlink)

        gc.collect()
        gc.freeze()  # nothing made so far is ever garbage: collections during play stay short
        monotonic_ns, realtime_ns = time.monotonic_ns() + _LEAD_NS, time.time_ns() + _LEAD_NS
        joining.started(realtime_ns)
        workload.start(realtime_ns)
        for selection in selecting:
            selection.start(realtime_ns)
        clock = RealClock(monotonic_ns)
        channel.tell(stage="playing")
        live = Live(plan, player, prober, workload.flows, workload.counts, realtime_ns)
        progress = Progress(channel, live, plan.duration_ns)
        faults = Faults(plan, player, folder, read_faults(folder / FAULTS, plan))
        read_back = [ReadBack(player, len(plan.links), plan.duration_ns)] if job["readback"] else []
        playing: list[Activity] = [faults, player, *selecting, prober, *routing, *read_back, progress]
        run_activities(playing, clock, channel.interrupted.is_set)
        interrupted = channel.interrupted.is_set()
        played_ns = min(clock.now_ns(), plan.duration_ns)

        channel.tell(stage="judging")
        workload.finish(interrupted=interrupted)
        time.sleep((longest_flight_ns(plan) + _STRAGGLERS_NS) / 1e9)
        evidence = Evidence(
            raw=prober.raw(),
            start_realtime_ns=realtime_ns,
            ticks=player.ticks,
            mismatches=player.mismatches,
            checked=player.checked,
            clock_steps_ns=progress.clock_steps_ns,
        )
        for watched in routing:
            watched.finish()
        for selection in selecting:
            selection.finish()
        plan = with_routing(with_faults(plan, folder), folder)
        samples = sample_table(plan, evidence)
        np.save(folder / "samples.npy", samples)
        np.save(folder / "ticks.npy", tick_table(evidence.ticks))
        (folder / "audit.json").write_text(json.dumps(judge(plan, evidence, samples), indent=1))
    return {
        "ended": "interrupted" if interrupted else "complete",
        "error": None,
        "started_utc": format_utc(realtime_ns, 3),
        "played_ns": played_ns,
    }


def main() -> int:
    """Play the run directory named on the command line; returns the exit code."""
    folder = Path(sys.argv[1])
    channel = Channel()
    signal.signal(signal.SIGTERM, lambda *_: channel.interrupted.set())
    signal.signal(signal.SIGINT, lambda *_: channel.interrupted.set())
    if os.geteuid() == 0:
        with suppress(PermissionError):  # a container's root may lack CAP_SYS_NICE
            os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    began = time.monotonic()
    outcome: dict[str, Any]
    code = 0
    try:
        outcome = play(folder, channel)
        if outcome["ended"] == "interrupted":
            code = 130
    except TestbedError as error:
        outcome = {"ended": "failed", "error": str(error), "started_utc": None, "played_ns": 0}
        code = error.exit_code
    outcome |= {
        "where": "uml" if os.environ.get("TESTBED_GUEST") else "native",
        "kernel": platform.release(),
        "wall_s": round(time.monotonic() - began, 3),
    }
    (folder / "run.json").write_text(json.dumps(outcome, indent=1))
    return code


if __name__ == "__main__":
    sys.exit(main())
