"""A plan as a Mininet network: `PlanTopo` names the nodes and links, `Emulation` plays the plan on them.

net = Mininet(topo=PlanTopo(plan), controller=None)
net.start()          # addresses, queues and routes are set, and the schedule plays
net["rome"].cmd("ping -c3 198.51.100.10")
net.stop()
"""

from __future__ import annotations

import threading
import time

from mininet.topo import Topo

from testbed.emulation import addresses
from testbed.emulation.loop import Activity, run_activities
from testbed.emulation.nodes import EmulatedHost, EmulatedLink, EmulatedNode, EmulatedRouter
from testbed.emulation.player import Player
from testbed.emulation.timeline import compile_timeline
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import Clock, ManualClock, RealClock
from testbed.plan.model import Plan


class PlanTopo(Topo):
    """Mininet's topology of a plan: terminals, satellites, gateways and PoPs as switches, endpoints as hosts."""

    def build(self, plan: Plan, *, background: bool = True) -> None:
        self.plan = plan
        self.emulation = Emulation(plan, background=background)
        for node in plan.nodes:
            if node.role == "host":
                self.addHost(node.name, cls=EmulatedHost, emulation=self.emulation)
            else:
                self.addSwitch(node.name, cls=EmulatedRouter, emulation=self.emulation)
        ports: dict[str, int] = {}
        for number, (a, b) in enumerate(self.emulation.wiring.pairs):
            names, numbers = [], []
            for name in (a, b):
                node = plan.node(name)
                port = ports.get(name, 0 if node.role == "host" else 1)
                ports[name] = port + 1
                numbers.append(port)
                names.append(addresses.interface(node, port))
            self.addLink(
                a,
                b,
                port1=numbers[0],
                port2=numbers[1],
                cls=EmulatedLink,
                intfName1=names[0],
                intfName2=names[1],
                addr1=addresses.mac(number, 0),
                addr2=addresses.mac(number, 1),
            )


class Emulation:
    """One plan on one network: what Mininet's nodes belong to.

    `start` and `stop` are called by every node: only the first call of each acts. `background`: play in a thread of
    our own; the runner plays in its own loop instead.
    """

    def __init__(self, plan: Plan, *, background: bool = True) -> None:
        self.wiring = Wiring(plan)
        self.player: Player | None = None
        self._background = background
        self._clock: Clock = ManualClock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def attach(self, node: EmulatedNode) -> None:
        """Called by each node when it has been made."""
        self.wiring.nodes[node.name] = node

    def start(self) -> None:
        """Configure every node and start to play."""
        if self.player is not None:
            return
        self.wiring.configure()
        sockets = {name: node.netlink for name, node in self.wiring.nodes.items()}
        self.player = Player(compile_timeline(self.wiring), sockets)
        if self._background:
            activities: list[Activity] = [self.player]
            self._clock = RealClock(time.monotonic_ns())
            play = (activities, self._clock, self._stopping.is_set)
            self._thread = threading.Thread(target=run_activities, args=play, name="player", daemon=True)
            self._thread.start()

    def now_ns(self) -> int:
        """Schedule time of a plan that plays in the background; 0 before it starts."""
        return self._clock.now_ns()

    def stop(self) -> None:
        """Stop playing; the network keeps its last state."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
