"""Mininet's command line over a run directory's network, the schedule playing.

python -m testbed.emulation.shell RUN [SCRIPT]
"""

from __future__ import annotations

import sys
from pathlib import Path

from mininet.cli import CLI
from mininet.log import info, setLogLevel
from mininet.net import Mininet

from testbed.emulation.channel import Channel
from testbed.emulation.network import PlanTopo
from testbed.ground.errors import TestbedError
from testbed.plan import model


class TestbedCLI(CLI):
    """Mininet's commands (`rome ping dc-rome`, `pingall`, `links`, `xterm`), and the testbed's own."""

    prompt = "testbed> "

    def do_sats(self, _line: str) -> None:
        """sats: which satellite serves each terminal now."""
        emulation = self.mn.topo.emulation
        now_ns = emulation.now_ns()
        for terminal in (node.name for node in emulation.wiring.plan.nodes if node.role == "terminal"):
            serving = [
                route.via
                for route in emulation.wiring.plan.routes
                if route.node == terminal and route.time_ns <= now_ns
            ]
            info(f"{terminal} → {serving[-1] if serving else 'none'}\n")

    def do_time(self, _line: str) -> None:
        """time: schedule time, in seconds; after the plan's end the network keeps its last state."""
        emulation = self.mn.topo.emulation
        info(f"{emulation.now_ns() / 1e9:.3f} s of {emulation.wiring.plan.duration_ns / 1e9:g} s\n")


def main() -> int:
    """Build, hand over to the person, take down."""
    Mininet.inited = True  # its own initialisation changes limits of the whole machine
    setLogLevel("info")
    try:
        net = Mininet(topo=PlanTopo(model.load(Path(sys.argv[1]) / "plan")), controller=None)
    except TestbedError as error:
        sys.stderr.write(f"testbed: {error}\n")
        return error.exit_code
    try:
        net.start()
        Channel().tell(stage="ready")
        TestbedCLI(net, script=sys.argv[2] if len(sys.argv) > 2 else None)
    finally:
        net.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
