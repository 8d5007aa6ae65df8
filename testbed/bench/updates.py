"""Link changes per second by every method, one after the other in one process: ours, and what others do.

Each changes the rate of a TBF (Mininet's own: of an HTB), which every kernel has; netem costs the same messages.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from mininet.link import TCLink
from mininet.net import Mininet
from mininet.node import Node

from testbed.emulation.network import prepare_mininet, running
from testbed.emulation.nodes import EmulatedNode
from testbed.emulation.wiring import LinkEnd, Wiring
from testbed.ground.errors import RunError
from testbed.kernel import queues
from testbed.kernel.queues import Bottleneck
from testbed.plan import model

_RATES_BPS: Final = (100_000_000, 90_000_000)
_BUFFER_BYTES: Final = 100_000


def ours(folder: Path, *, seconds: float) -> dict[str, float]:
    """Acknowledged changes per second over all link ends of the network of folder/plan, one send per namespace."""
    with _network(folder) as (ends, nodes):
        packed = [
            np.frombuffer(b"".join(_change(end.index, rate_bps).data for end in ends), np.uint8).reshape(len(ends), -1)
            for rate_bps in _RATES_BPS
        ]
        cuts = [0, *(np.flatnonzero([a.node != b.node for a, b in pairwise(ends)]) + 1), len(ends)]
        sends = [
            [(nodes[ends[begin].node].netlink, rows[begin:end].copy()) for begin, end in pairwise(cuts)]
            for rows in packed
        ]

        def work(turn: int) -> int:
            for netlink, rows in sends[turn % 2]:
                netlink.send_rows(rows, str)
            return len(ends)

        rate = _per_second(work, seconds)
        for turn, sent_bps in enumerate(_RATES_BPS):
            work(turn)
            for end in ends:
                (answer,) = nodes[end.node].netlink.send([queues.held_rate(end.index, end.what)])
                held_bps = queues.parse_rate(answer)
                if held_bps != sent_bps:
                    raise RunError(f"{end.what}: the kernel holds {held_bps} bit/s, {sent_bps} were sent")
    return {"changes_per_s": rate, "interfaces": len(ends)}


def forked_tc(folder: Path, *, seconds: float) -> dict[str, float]:
    """A `tc` process for each change, as most emulators do it."""
    with _network(folder) as (ends, nodes):

        def work(turn: int) -> int:
            end = ends[turn % len(ends)]
            node = nodes[end.node]
            device = next(name for name, index in node.indices.items() if index == end.index)
            rate = f"{_RATES_BPS[turn % 2]}bit"
            command = f"tc qdisc change dev {device} root tbf rate {rate} burst 12500 limit 100000"
            subprocess.run(command.split(), preexec_fn=node.namespace.enter, check=True)
            return 1

        return {"changes_per_s": _per_second(work, seconds)}


def pyroute2(folder: Path, *, seconds: float) -> dict[str, float]:
    """pyroute2 as its users write it: one socket kept open, the interface's index known, a call for each change."""
    from pyroute2 import IPRoute

    with _network(folder) as (all_ends, nodes):
        name = all_ends[0].node
        ends = [end for end in all_ends if end.node == name]
        with nodes[name].namespace.entered(), IPRoute() as route:

            def work(turn: int) -> int:
                index = ends[turn % len(ends)].index
                rate = f"{_RATES_BPS[turn % 2]}bit"
                route.tc("change", "tbf", index, 0x20000, rate=rate, burst=12_500, limit=100_000, parent=0xFFFFFFFF)
                return 1

            return {"changes_per_s": _per_second(work, seconds)}


def mininet_tcintf(folder: Path, *, seconds: float) -> dict[str, float]:  # noqa: ARG001 - the others' signature
    """Mininet's own way, `TCIntf.config(bw=…)`, on a link between two plain nodes."""
    prepare_mininet("critical")
    net = Mininet(controller=None)
    a, b = (net.addHost(name, cls=Node) for name in ("a", "b"))
    link = net.addLink(a, b, cls=TCLink, bw=100)
    try:

        def work(turn: int) -> int:
            link.intf1.config(bw=100 - 10 * (turn % 2))
            return 1

        return {"changes_per_s": _per_second(work, seconds)}
    finally:
        net.stop()


@contextmanager
def _network(folder: Path) -> Iterator[tuple[list[LinkEnd], dict[str, EmulatedNode]]]:
    """The network of folder/plan with a TBF at every link end: the ends by node, and the nodes."""
    plan = model.load(folder / "plan")
    with running(plan, impaired=False) as net:
        wiring: Wiring = net.topo.emulation.wiring
        ends = sorted((wiring.end(number) for number in range(len(plan.links))), key=lambda end: (end.node, end.index))
        for end in ends:
            first = Bottleneck(_RATES_BPS[0], _BUFFER_BYTES)
            wiring.nodes[end.node].netlink.send([queues.add_bottleneck(end.index, first, end.what)])
        yield ends, wiring.nodes


def _change(index: int, rate_bps: int) -> Any:
    return queues.change_bottleneck(index, Bottleneck(rate_bps, _BUFFER_BYTES), f"interface {index}")


def _per_second(work: Callable[[int], int], seconds: float) -> float:
    """Repeat `work(turn)` for about `seconds`; it returns how many changes it has made."""
    work(0)
    done, turn = 0, 1
    begin = time.monotonic()
    while time.monotonic() - begin < seconds or turn < 4:
        done += work(turn)
        turn += 1
    return done / (time.monotonic() - begin)
