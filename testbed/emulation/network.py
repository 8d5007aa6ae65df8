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

from testbed.emulation import addresses, limits
from testbed.emulation.loop import Activity, run_activities
from testbed.emulation.nodes import EmulatedHost, EmulatedLink, EmulatedNode, EmulatedRouter
from testbed.emulation.player import Player
from testbed.emulation.state import State
from testbed.emulation.timeline import compile_timeline
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import Clock, ManualClock, RealClock
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Message, Netlink
from testbed.plan.model import Plan


class PlanTopo(Topo):
    """Mininet's topology of a plan: terminals, satellites, gateways and PoPs as switches, endpoints as hosts."""

    def build(self, plan: Plan, *, background: bool = True, impaired: bool = True) -> None:
        limits.prepare(plan)
        self.plan = plan
        self.emulation = Emulation(plan, background=background, impaired=impaired)
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
    our own; the runner plays in its own loop instead. `impaired`: see `Wiring`; without, nothing is played.
    """

    def __init__(self, plan: Plan, *, background: bool = True, impaired: bool = True) -> None:
        self.wiring = Wiring(plan, impaired=impaired)
        self.player: Player | None = None
        self._background = background
        self._pairs: list[Message] = []
        self._clock: Clock = ManualClock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def attach(self, node: EmulatedNode) -> None:
        """Called by each node when it has been made."""
        self.wiring.nodes[node.name] = node

    @property
    def started(self) -> bool:
        """Has the network been configured? From then on what is made is made at once."""
        return self.player is not None

    def join(self, pair: Message) -> None:
        """Have the kernel make a veth pair when the network settles next."""
        self._pairs.append(pair)

    def settle(self) -> None:
        """Tell the kernel everything that has been gathered: first the links, then each node's own."""
        pairs, self._pairs = self._pairs, []
        if pairs:
            empty = Namespace()  # an index that the sender's namespace has is refused, wherever the link is to go
            with empty.entered(), Netlink() as netlink:
                netlink.send(pairs)
            empty.close()
        for node in self.wiring.nodes.values():
            node.settle()

    def start(self) -> None:
        """Configure every node and start to play."""
        if self.player is not None:
            return
        wiring = self.wiring
        self.settle()
        wiring.configure()
        wiring.translate()
        sockets = {name: node.netlink for name, node in wiring.nodes.items()}
        ends = [wiring.end(number) for number in range(len(wiring.plan.links))]
        self.player = Player(compile_timeline(wiring), State(wiring.plan, wiring.limits), ends, sockets)
        if self._background:
            activities: list[Activity] = [self.player]
            self._clock = RealClock(time.monotonic_ns())
            play = (activities, self._clock, self._stopping.is_set)
            self._thread = threading.Thread(target=run_activities, args=play, name="player", daemon=True)
            self._thread.start()

    def now_ns(self) -> int:
        """Schedule time of a plan that plays in the background; 0 before it starts."""
        return self._clock.now_ns()

    @property
    def speed(self) -> float:
        """Schedule seconds per real second; 0 while it is paused."""
        return self._clock.speed if isinstance(self._clock, RealClock) else 0.0

    def set_speed(self, speed: float) -> None:
        """Play on at another speed; 0 pauses. Packets and their timers stay in real time."""
        if isinstance(self._clock, RealClock):
            self._clock.set_speed(speed)

    def stop(self) -> None:
        """Stop playing; the network keeps its last state."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
