"""What is probed: every direction with netem while it is up, every audited path, and a link that never changes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation import probes
from testbed.emulation.probes import Target
from testbed.emulation.wiring import Wiring
from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from testbed.plan.model import Plan

CONTROL_DELAY_NS: Final = 10_000_000
"""Delay of the control link: its error is the host's and the kernel's alone, since nothing is ever changed on it."""

_SETTLED_NS: Final = 200_000_000  # a link is probed while it is up and will be for this long
_CONTROL: Final = ("control-a", "control-b")
_CONTROL_ADDRESSES: Final = (ipaddress.ip_address("192.0.2.0"), ipaddress.ip_address("192.0.2.1"))
_CONTROL_MACS: Final = (bytes.fromhex("020000ffff00"), bytes.fromhex("020000ffff01"))


class ControlLink:
    """Two namespaces and one constant delay, apart from the plan's network."""

    def __init__(self) -> None:
        self._namespaces = (Namespace(), Namespace())
        sockets: list[Netlink] = []
        for namespace in self._namespaces:
            with namespace.entered():
                sockets.append(Netlink())
        index = links.LOOPBACK_INDEX + 1
        pair = links.veth(
            names=_CONTROL,
            indices=(index, index),
            macs=_CONTROL_MACS,
            namespaces=(self._namespaces[0].fd, self._namespaces[1].fd),
            mtu=1500,
        )
        sockets[0].send([pair])
        impairment = queues.Impairment(CONTROL_DELAY_NS, 0.0, 1000)
        for end, netlink in enumerate(sockets):
            own, peer = _CONTROL_ADDRESSES[end], _CONTROL_ADDRESSES[1 - end]
            netlink.send([links.set_up(index), links.address(index, own, 31)])
            netlink.send([links.neighbour(index, peer, _CONTROL_MACS[1 - end])])
            netlink.send(queues.build(index, impairment, queues.Bottleneck(10**9, 10**6), "the control link"))
            netlink.close()

    def sockets(self) -> dict[str, socket.socket]:
        """A probing socket at each end."""
        return {name: probes.open_socket(space) for name, space in zip(_CONTROL, self._namespaces, strict=True)}

    def close(self) -> None:
        """Let go of both namespaces."""
        for namespace in self._namespaces:
            namespace.close()


def control_target() -> Target:
    """The control link, one direction."""
    return Target(probes.CONTROL, 0, _CONTROL[0], (str(_CONTROL_ADDRESSES[1]), probes.PORT), lambda _: True)


def link_targets(wiring: Wiring) -> list[Target]:
    """Every direction with netem, probed from its own end to the address of the other."""
    found = []
    for number, link in enumerate(wiring.plan.links):
        far = wiring.interface(link.b, link.a)
        up = _settled(wiring.plan, number)
        if len(up):
            address = (str(far.addresses[0]), probes.PORT)
            found.append(Target(probes.LINK, number, link.a, address, _within(up)))
    return found


def path_targets(wiring: Wiring) -> list[Target]:
    """Every audited path from host to host; hosts behind the NAT are reached at the address their own probes show."""
    found = []
    plan = wiring.plan
    for number, path in enumerate(plan.paths):
        source, destination = path[0].nodes[0], path[0].nodes[-1]
        behind = plan.node(destination).inside and not plan.node(source).inside
        address = ("", 0) if behind else (str(wiring.lans[destination].host[0]), probes.PORT)
        always = _within(np.array([[0, plan.duration_ns]]))
        found.append(Target(probes.PATH, number, source, address, always, destination if behind else ""))
    return found


def _settled(plan: Plan, number: int) -> NDArray[np.int64]:
    """Intervals [begin, end) of schedule time in which a probe meets a link that is up and stays so, shape (n, 2)."""
    steps = plan.link_steps(number)
    changes = np.flatnonzero(np.diff(np.r_[False, steps["up"], False].astype(int)))
    edges = np.r_[steps["time_ns"], plan.duration_ns][changes].reshape(-1, 2)
    edges[:, 1] -= _SETTLED_NS
    settled: NDArray[np.int64] = edges[edges[:, 1] > edges[:, 0]]
    return settled


def _within(intervals: NDArray[np.int64]) -> Callable[[int], bool]:
    bounds = [(int(begin), int(end)) for begin, end in intervals]
    return lambda now_ns: any(begin <= now_ns < end for begin, end in bounds)
