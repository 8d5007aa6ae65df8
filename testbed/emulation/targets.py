"""What is probed: every direction with netem while it is up, every audited path, and a chain that never changes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation import addresses, probes
from testbed.emulation.player import LATE_NS
from testbed.emulation.probes import Target
from testbed.emulation.wiring import Wiring
from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace, set_sysctl
from testbed.kernel.netlink import Netlink
from testbed.kernel.steering import steer
from testbed.plan.model import Plan

CONTROL_DELAY_NS: Final = 5_000_000
"""Delay of each control link: its error is the host's and the kernel's alone, since nothing is ever changed on it."""

CONTROL_HOPS: Final = 4
"""Links of the control chain: as many as a bent pipe's path has with netem."""

_JUDGED: Final = 40  # probes for each link: twice what the audit asks for before it judges
_SETTLED_NS: Final = 200_000_000  # a link is probed while it is up and will be for this long
_CONTROL_BASE: Final = ipaddress.IPv4Address("192.0.2.0")  # documentation space, RFC 5737
_AHEAD, _BEHIND = links.LOOPBACK_INDEX + 1, links.LOOPBACK_INDEX + 2  # interface indices in every control node


class ControlChain:
    """Namespaces in a row with a constant delay from each to the next, apart from the plan's network.

    The first link alone stands beside the plan's links, the whole chain beside its paths.
    """

    def __init__(self) -> None:
        self._namespaces = [Namespace() for _ in range(CONTROL_HOPS + 1)]
        sockets: list[Netlink] = []
        for namespace in self._namespaces:
            with namespace.entered():
                set_sysctl("net/ipv4/ip_forward", 1)
                sockets.append(Netlink())
        for hop in range(CONTROL_HOPS):
            self._join(hop, sockets[hop], sockets[hop + 1])
        for netlink in sockets:
            netlink.close()

    def _join(self, hop: int, near: Netlink, far: Netlink) -> None:
        """The link from node `hop` to the next, with everything it takes to send forward through it."""
        ends = _control_address(hop, 0), _control_address(hop, 1)
        macs = bytes.fromhex(f"020000ff{hop:02x}00"), bytes.fromhex(f"020000ff{hop:02x}01")
        fds = self._namespaces[hop].fd, self._namespaces[hop + 1].fd
        names, indices = (f"ahead{hop}", f"behind{hop}"), (_AHEAD, _BEHIND)
        near.send([links.veth(names=names, indices=indices, macs=macs, namespaces=fds, mtu=1500)])
        impairment = queues.Impairment(CONTROL_DELAY_NS, 0.0, 1000)
        near.send(
            [
                links.set_up(_AHEAD),
                links.address(_AHEAD, ends[0], 31),
                links.neighbour(_AHEAD, ends[1], macs[1]),
                links.route(addresses.default(0), _AHEAD, ends[1]),
                *queues.build(_AHEAD, impairment, queues.Bottleneck(10**9, 10**6), f"control link {hop}"),
            ]
        )
        far.send([links.set_up(_BEHIND), links.address(_BEHIND, ends[1], 31)])
        steer([(self._namespaces[hop + end], [names[end]], hop + end) for end in (0, 1)])

    def sockets(self) -> dict[str, socket.socket]:
        """A probing socket at the first node, the second and the last."""
        return {f"control-{node}": probes.open_socket(self._namespaces[node]) for node in (0, 1, CONTROL_HOPS)}

    def close(self) -> None:
        """Let go of the namespaces."""
        for namespace in self._namespaces:
            namespace.close()


def control_targets() -> list[Target]:
    """The first link of the control chain (index 0), and the chain (index 1), one direction."""
    found = []
    for index, last in enumerate((0, CONTROL_HOPS - 1)):
        address = (str(_control_address(last, 1)), probes.PORT)
        found.append(Target(probes.CONTROL, index, "control-0", address, lambda _: True))
    return found


def _control_address(hop: int, end: int) -> links.Address:
    return _CONTROL_BASE + 2 * hop + end


def link_targets(wiring: Wiring) -> list[Target]:
    """Directions with netem, each probed from its own end to the address of the other.

    All of them where there is time to judge all; of more, all that are not between satellites, and of those every so
    many, evenly over the constellation. The read-back covers every one in any case.
    """
    found = []
    for number in _affordable(wiring.plan):
        link = wiring.plan.links[number]
        far = wiring.interface(link.b, link.a)
        up = _settled(wiring.plan, number)
        if len(up):
            address = (str(far.addresses[0]), probes.PORT)
            found.append(Target(probes.LINK, number, link.a, address, _within(up)))
    return found


def _affordable(plan: Plan) -> list[int]:
    """Links that can each get enough probes to be judged while the plan lasts."""
    everything = range(len(plan.links))
    most = plan.duration_ns // (_JUDGED * probes.LEAST_GAP_NS)
    if len(everything) <= most:
        return list(everything)
    ground = [number for number in everything if plan.links[number].kind != "isl"]
    between = [number for number in everything if plan.links[number].kind == "isl"]
    room = max(most - len(ground), 0)
    chosen = np.linspace(0, len(between), min(room, len(between)), endpoint=False).astype(int)
    return sorted([*ground, *(between[place] for place in chosen)])


def path_targets(wiring: Wiring) -> list[Target]:
    """Every audited path from host to host; hosts behind the NAT are reached at the address their own probes show."""
    found = []
    plan = wiring.plan
    for number, path in enumerate(plan.paths):
        source, destination = path[0].nodes[0], path[0].nodes[-1]
        behind = plan.node(destination).inside and not plan.node(source).inside
        address = ("", 0) if behind else (str(wiring.target(path)), probes.PORT)
        always = _within(np.array([[0, plan.duration_ns]]))
        found.append(Target(probes.PATH, number, source, address, always, destination if behind else ""))
    return found


def _settled(plan: Plan, number: int) -> NDArray[np.int64]:
    """Intervals [begin, end) of schedule time in which a probe meets a link that is up and stays so, shape (n, 2)."""
    steps = plan.link_steps(number)
    changes = np.flatnonzero(np.diff(np.r_[False, steps["up"], False].astype(int)))
    edges = np.r_[steps["time_ns"], plan.duration_ns][changes].reshape(-1, 2)
    edges[:, 0] += LATE_NS  # a probe that was due just before may be sent before the tick that lights the link
    edges[:, 1] -= _SETTLED_NS
    settled: NDArray[np.int64] = edges[edges[:, 1] > edges[:, 0]]
    return settled


def _within(intervals: NDArray[np.int64]) -> Callable[[int], bool]:
    bounds = [(int(begin), int(end)) for begin, end in intervals]
    return lambda now_ns: any(begin <= now_ns < end for begin, end in bounds)
