"""Mininet's command line over a run directory's network, the schedule playing.

python -m testbed.emulation.shell RUN [SCRIPT]
"""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import Popen
from typing import Any

from mininet.cli import CLI
from mininet.log import error, info
from mininet.net import Mininet

from testbed.emulation.capture import capture
from testbed.emulation.channel import Channel
from testbed.emulation.network import Emulation, running
from testbed.ground.errors import TestbedError
from testbed.plan import model


class TestbedCLI(CLI):
    """Mininet's commands (`rome ping dc-rome`, `pingall`, `xterm`), and the testbed's own."""

    prompt = "testbed> "

    def __init__(self, net: Mininet, **options: Any) -> None:
        self._captures: list[Popen[bytes]] = []
        self._emulation: Emulation = net.topo.emulation
        self._speed = 1.0  # before a pause
        try:
            super().__init__(net, **options)
        finally:
            for process in self._captures:
                process.terminate()
                process.wait()

    def do_sats(self, _line: str) -> None:
        """sats: which satellite serves each terminal now."""
        for node in self._emulation.wiring.plan.nodes:
            if node.role == "terminal":
                info(f"{node.name} → {self._routes(node.name).get('default', 'none')}\n")

    def do_time(self, _line: str) -> None:
        """time: schedule time, in seconds; after the plan's end the network keeps its last state."""
        now_s, end_s = self._emulation.now_ns() / 1e9, self._emulation.wiring.plan.duration_ns / 1e9
        info(f"{now_s:.3f} s of {end_s:g} s, speed {self._emulation.speed:g}\n")

    def do_pause(self, _line: str) -> None:
        """pause: hold the schedule; again: go on. Packets stay in real time."""
        if self._emulation.speed:
            self._speed = self._emulation.speed
            self._emulation.set_speed(0.0)
        else:
            self._emulation.set_speed(self._speed)
        self.do_time("")

    def do_speed(self, line: str) -> None:
        """speed X: schedule seconds per real second, 0.01 to 1000; without X, what it is. Packets stay in real time."""
        if line.strip():
            try:
                speed = float(line)
            except ValueError:
                speed = 0.0
            if not 0.01 <= speed <= 1000:
                error(f"speed '{line.strip()}' is not a number from 0.01 to 1000\n")
                return
            self._emulation.set_speed(speed)
        self.do_time("")

    def do_step(self, line: str) -> None:
        """step S: go S seconds of schedule ahead at once, 0.001 to 86400; also in a pause, which goes on."""
        try:
            seconds = float(line)
        except ValueError:
            seconds = 0.0
        if not 0.001 <= seconds <= 86_400:
            error(f"step '{line.strip()}' is not a number from 0.001 to 86400\n")
            return
        self._emulation.advance_ns(round(seconds * 1e9))
        self.do_time("")

    def do_links(self, line: str) -> None:
        """links [NODE]: every direction with netem, or those of a node: up or down, delay, loss, as it is set now."""
        plan, player = self._emulation.wiring.plan, self._emulation.player
        if player is None:
            return
        for number, link in enumerate(plan.links):
            if line.strip() in ("", link.a, link.b):
                held = player.wanted(number)
                state = "up  " if held.loss < 1 else "down"
                info(f"{link.a} → {link.b}: {state} {held.delay_ns / 1e6:.3f} ms, loss {held.loss:.4g}\n")

    def do_route(self, line: str) -> None:
        """route NODE: where the plan sends what for which destination, now."""
        name = line.strip()
        if name not in self.mn:
            error(f"route '{name}': no such node: 'nodes' lists them\n")
            return
        for destination, via in sorted(self._routes(name).items()):
            info(f"{destination} → {via}\n")

    def do_capture(self, line: str) -> None:
        """capture NODE INTERFACE FILE: write what passes there to a pcap file, until the shell ends."""
        words = line.split()
        if len(words) != 3 or words[0] not in self.mn or words[1] not in self.mn[words[0]].intfNames():
            error(f"capture '{line.strip()}': write node, interface and file, like 'capture rome rome-eth0 a.pcap'\n")
            return
        try:
            self._captures.append(capture(self.mn[words[0]], words[1], Path(words[2])))
        except OSError as problem:
            error(f"capture: {words[2]}: {problem.strerror}\n")

    def _routes(self, name: str) -> dict[str, str]:
        """The plan's routes of a node at this instant: neighbour by destination."""
        now_ns = self._emulation.now_ns()
        routes = self._emulation.wiring.plan.routes
        return {route.destination: route.via for route in routes if route.node == name and route.time_ns <= now_ns}


def main() -> int:
    """Build, hand over to the person, take down."""
    try:
        with running(model.load(Path(sys.argv[1]) / "plan"), background=True, level="info") as net:
            Channel().tell(stage="ready")
            TestbedCLI(net, script=sys.argv[2] if len(sys.argv) > 2 else None)
    except TestbedError as error:
        sys.stderr.write(f"testbed: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
