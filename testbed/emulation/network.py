"""A plan as a Mininet network: `PlanTopo` names the nodes and links, `Emulation` plays the plan on them.

net = Mininet(topo=PlanTopo(plan), controller=None)
net.start()          # addresses, queues and routes are set, and the schedule plays
net["rome"].cmd("ping -c3 198.51.100.10")
net.stop()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.topo import Topo

from testbed.emulation import addresses, limits, tunnels
from testbed.emulation.loop import Activity, run_activities
from testbed.emulation.nodes import EmulatedHost, EmulatedLink, EmulatedNode, EmulatedRouter
from testbed.emulation.player import Player
from testbed.emulation.state import State
from testbed.emulation.timeline import compile_timeline
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import Clock, ManualClock, RealClock
from testbed.ground.errors import InputError, RunError
from testbed.kernel.local import await_local
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Message, Netlink
from testbed.kernel.steering import steer
from testbed.plan.model import Plan


class PlanTopo(Topo):
    """Mininet's topology of a plan: terminals, satellites, gateways and PoPs as switches, endpoints as hosts."""

    def build(self, plan: Plan, *, background: bool = True, impaired: bool = True) -> None:
        if plan.routing == "frr" and background:
            raise InputError("routing=frr is for 'testbed run' alone: here leave it out, and the plan sets the routes")
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


@contextmanager
def running(
    plan: Plan, *, background: bool = False, impaired: bool = True, level: str = "warning"
) -> Iterator[Mininet]:
    """The plan's network, configured, for the time of the block: its `topo` is a `PlanTopo`. level: of the log."""
    prepare_mininet(level)
    net = Mininet(topo=PlanTopo(plan, background=background, impaired=impaired), controller=None)
    try:
        net.start()
        yield net
    finally:
        net.stop()


def prepare_mininet(level: str) -> None:
    """Have Mininet log at `level`, and leave the whole machine's limits alone, which it would raise."""
    Mininet.inited = True
    setLogLevel(level)


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
        node.number = len(self.wiring.nodes)
        self.wiring.nodes[node.name] = node

    @property
    def started(self) -> bool:
        """Has the network been configured? From then on what is made is made at once."""
        return self.player is not None

    @property
    def playing(self) -> Player:
        """The player of a network that has been started; raises RunError where nothing starts it."""
        if self.player is None:
            raise RunError("the network has no routers: nothing to play")
        return self.player

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
            new = [(node.namespace, node.take_unsteered(), node.number) for node in self.wiring.nodes.values()]
            steer([(space, names, number) for space, names, number in new if names])
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
        tunnels.build(wiring)
        for node in wiring.nodes.values():  # all told first: the kernel's worker comes to them in that order
            await_local(node.netlink, [interface.addresses[1] for interface in node.emulated_interfaces()])
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

    def advance_ns(self, delta_ns: int) -> None:
        """Step the schedule ahead, also while it is paused; its changes on the way are made one after the other."""
        if isinstance(self._clock, RealClock):
            self._clock.advance_ns(delta_ns)

    def stop(self) -> None:
        """Stop playing; the network keeps its last state."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
