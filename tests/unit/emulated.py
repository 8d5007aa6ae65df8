"""What the emulation's unit tests share: a kernel that is a dictionary, and nodes wired to it without root."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.emulation import addresses
from testbed.emulation.wiring import Wiring
from testbed.ground.clock import ManualClock
from testbed.kernel.netlink import ECHO, Message
from testbed.plan.model import Plan

MS = 1_000_000
S = 1_000_000_000
NEWQDISC, GETQDISC = 36, 38  # linux/rtnetlink.h
_ROOT, _TBF = 0xFFFFFFFF, 0x20000


@dataclass
class FakeKernel:
    """One node's routing socket as the player knows it: it keeps each netem's and TBF's last message, and echoes it."""

    clock: ManualClock = field(default_factory=ManualClock)
    cost_ns: int = 0  # of each send
    queues: dict[int, bytes] = field(default_factory=dict)
    bottlenecks: dict[int, bytes] = field(default_factory=dict)
    log: list[Message] = field(default_factory=list)

    def send_rows(self, rows: NDArray[np.uint8], what: Callable[[int], str]) -> list[bytes]:
        return self.send([Message(row.tobytes(), what(number)) for number, row in enumerate(rows)])

    def send(self, messages: Sequence[Message]) -> list[bytes]:
        self.clock.advance_ns(self.cost_ns)
        self.log += messages
        echoes = []
        for message in messages:
            kind, flags = struct.unpack_from("=HH", message.data, 4)
            payload = message.data[16:]
            if kind not in (NEWQDISC, GETQDISC):
                continue
            _, index, handle, parent, _ = struct.unpack_from("=BxxxiIII", payload)
            held = self.queues if parent == _ROOT else self.bottlenecks
            if kind == NEWQDISC and (parent == _ROOT or handle == _TBF):
                held[index] = payload
            if flags & ECHO and index in held:
                echoes.append(held[index])
        return echoes


@dataclass
class FakeNode:
    name: str
    netlink: FakeKernel = field(default_factory=FakeKernel)
    interfaces: list[Any] = field(default_factory=list)

    def intfList(self) -> list[Any]:
        return self.interfaces

    def emulated_interfaces(self) -> list[Any]:
        return self.interfaces

    def tell(self, messages: list[Message]) -> None:
        self.netlink.send(messages)

    def settle(self) -> None:
        """Everything has been told."""


def wire(plan: Plan) -> Wiring:
    """The plan's wiring between fake nodes, configured."""
    wiring = Wiring(plan)
    nodes = {node.name: FakeNode(node.name) for node in plan.nodes}
    for number, names in enumerate(wiring.pairs):
        link = SimpleNamespace()
        ends = [
            SimpleNamespace(
                node=nodes[name],
                link=link,
                name=f"{name}-eth{len(nodes[name].interfaces)}",
                index=len(nodes[name].interfaces) + 2,
                mac=addresses.mac(number, end),
                link_local=None,
            )
            for end, name in enumerate(names)
        ]
        link.intf1, link.intf2 = ends
        for end in ends:
            end.node.interfaces.append(end)
    wiring.nodes = nodes  # type: ignore[assignment]
    wiring.configure()
    return wiring
