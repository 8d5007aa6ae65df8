"""Streams through a chain of links: TCP by iperf3, UDP in large bundles of our own, ping beside them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.emulation.network import running
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import RunError
from testbed.kernel.namespaces import set_sysctl
from testbed.plan.model import STEP_DTYPE, Kind, Lan, Link, Node, Plan, Role, Route

NEAR, FAR = "near", "far"
"""The hosts at both ends of a chain; they have no netem."""

_UDP_SEGMENT: Final = 103  # linux/udp.h
_SETTLED_S: Final = 1.5  # after that the first bundle has arrived and the link is full
_BUNDLE: Final = 10  # packets that one send hands to the kernel; more hold the processor for longer than TBF's burst
_PAYLOAD_BYTES: Final = 1_200
_WIRE_BYTES: Final = _PAYLOAD_BYTES + 14 + 20 + 8
_BUFFER_BYTES: Final = 64 << 20
_PORT: Final = 5_300

Hop = tuple[Kind, float, int, int, str]
"""Kind, one-way delay in ms, rate in bit/s, buffer in bytes, drop."""


def chain(hops: Sequence[Sequence[Any]]) -> Plan:
    """A host, a router for each end of the hops (`Hop`), a host; the same there and back."""
    roles: list[Role] = ["terminal", *["satellite"] * (len(hops) - 1), "gateway"]  # type: ignore[list-item]
    names = ["ut", *(f"S{number}" for number in range(1, len(hops))), "gw"]
    nodes = [Node(NEAR, "host"), Node(FAR, "host")]
    nodes += [Node(name, role) for name, role in zip(names, roles, strict=True)]
    links: list[Link] = []
    routes: list[Route] = []
    rows: list[tuple[Any, ...]] = []
    for number, (kind, delay_ms, rate_bps, buffer_bytes, drop) in enumerate(hops):
        for a, b in ((names[number], names[number + 1]), (names[number + 1], names[number])):
            rows.append((len(links), 0, True, round(delay_ms * 1e6), rate_bps, 0.0, np.nan, np.nan))
            links.append(Link(a, b, kind, buffer_bytes, drop))
        routes += [Route(0, names[number], FAR, names[number + 1]), Route(0, names[number + 1], NEAR, names[number])]
    return Plan(
        topology="chain",
        start_ns=0,
        duration_ns=10**9,
        satellites=len(hops) - 1,
        nodes=tuple(nodes),
        links=tuple(links),
        lans=(Lan(NEAR, names[0]), Lan(FAR, names[-1])),
        routes=tuple(sorted(routes, key=lambda route: route.node)),
        events=(),
        paths=(),
        steps=np.array(rows, STEP_DTYPE),
    )


@contextmanager
def _chain(hops: Sequence[Sequence[Any]]) -> Iterator[Chain]:
    """A chain as a network, with room for large windows at its hosts."""
    with running(chain(hops)) as net:
        wiring = net.topo.emulation.wiring
        for name in (NEAR, FAR):
            with wiring.nodes[name].namespace.entered():
                _large_windows()
        yield Chain(wiring)


class Chain:
    """What is measured in a chain."""

    def __init__(self, wiring: Wiring) -> None:
        self.lans, self.nodes = wiring.lans, wiring.nodes

    @property
    def target(self) -> str:
        """Address of the far host."""
        return str(self.lans[FAR].host[0])

    def tcp_bps(self, seconds: int, control: str, warm_up_s: int = 2) -> float:
        """Goodput of one TCP stream, bit/s, as iperf3's receiver counts it; `control`: cubic, bbr."""
        server = self.nodes[FAR].popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        command = ["iperf3", "-c", self.target, "-t", str(seconds), "-O", str(warm_up_s), "-J", "-C", control]
        said = json.loads(self.nodes[NEAR].popen(command, stderr=subprocess.DEVNULL).communicate()[0])
        server.wait()
        if "error" in said:
            raise RunError(f"iperf3: {said['error']}")
        return float(said["end"]["sum_received"]["bits_per_second"])

    def ping_ms(self, count: int, interval_s: float = 0.1) -> list[float]:
        """Round trips."""
        command = ["ping", "-n", "-c", str(count), "-i", str(interval_s), self.target]
        said = self.nodes[NEAR].popen(command).communicate()[0].decode()
        return [float(word) for word in re.findall(r"time=([0-9.]+)", said)]

    def udp_bps(self, seconds: float, offered_bps: float) -> float:
        """What arrives of packets sent in bundles, in bit/s as the far host's interface counts them (Ethernet frames).

        Nobody reads them there: a process could not in the guest, and the interface has counted them before.
        """
        with self.nodes[FAR].namespace.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((self.target, _PORT))
        with self.nodes[NEAR].namespace.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD_BYTES)
        sender.connect((self.target, _PORT))
        bundle, gap_s = bytes(_BUNDLE * _PAYLOAD_BYTES), _BUNDLE * _WIRE_BYTES * 8 / offered_bps
        begin = time.monotonic()
        settled = (0.0, 0)
        for number in range(int(seconds / gap_s)):
            wait_s = begin + number * gap_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            sender.send(bundle)
            if not settled[1] and time.monotonic() - begin > _SETTLED_S:
                settled = time.monotonic(), self._received_bytes()
        ended = time.monotonic(), self._received_bytes()
        sender.close()
        receiver.close()
        return (ended[1] - settled[1]) * 8 / (ended[0] - settled[0])

    def _received_bytes(self) -> int:
        """The counter of the far host's interface."""
        node = self.nodes[FAR]
        name = node.emulated_interfaces()[0].name
        with node.namespace.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.strip().startswith(f"{name}:"))


def _large_windows() -> None:
    for name in ("rmem", "wmem"):
        descriptor = Path(f"/proc/sys/net/ipv4/tcp_{name}")
        descriptor.write_text(f"4096 131072 {_BUFFER_BYTES}")
    set_sysctl("net/ipv4/tcp_no_metrics_save", 1)


def throughput(
    folder: Path,  # noqa: ARG001 - every measuring function has it
    *,
    hops: Sequence[Sequence[Any]],
    seconds: int,
    control: str,
    warm_up_s: int = 2,
) -> dict[str, float]:
    """TCP through a chain, bit/s."""
    _load(control)
    with _chain(hops) as made:
        return {"bps": made.tcp_bps(seconds, control, warm_up_s)}


def plain_throughput(folder: Path, *, hops: Sequence[Sequence[Any]], seconds: int) -> dict[str, float]:  # noqa: ARG001
    """The same chain with queues as one types them: `tc … netem delay … rate … limit …` and nothing else."""
    with _chain(hops) as made:
        for node in made.nodes.values():
            for interface in node.intfList():
                shown = node.popen(["tc", "qdisc", "show", "dev", interface.name]).communicate()[0].decode()
                delay = re.search(r"netem .* delay (\S+)", shown)
                if delay:
                    queue = f"tc qdisc replace dev {interface.name} root netem delay {delay[1]} rate 1gbit limit 20000"
                    node.popen(queue.split()).wait()
        return {"bps": made.tcp_bps(seconds, "cubic")}


def datagrams(folder: Path, *, hops: Sequence[Sequence[Any]], seconds: float, offered_bps: float) -> dict[str, float]:  # noqa: ARG001
    """UDP through a chain, bit/s."""
    with _chain(hops) as made:
        return {"bps": made.udp_bps(seconds, offered_bps)}


def loaded(folder: Path, *, hops: Sequence[Sequence[Any]], seconds: int, control: str) -> dict[str, float]:  # noqa: ARG001
    """Round trips in ms of an idle chain and of one that a TCP stream fills."""
    _load(control)
    with _chain(hops) as made:
        idle = made.ping_ms(20)
        stream = threading.Thread(target=made.tcp_bps, args=(seconds, control, 0))
        stream.start()
        time.sleep(seconds / 2)
        busy = made.ping_ms(int(seconds / 2 / 0.1) - 10)
        stream.join()
    return {"idle_ms": float(np.median(idle)), "p50_ms": float(np.median(busy)), "max_ms": float(np.max(busy))}


def _load(control: str) -> None:
    subprocess.run(["modprobe", "-q", f"tcp_{control}"], check=False)
