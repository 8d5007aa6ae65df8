"""Building a planned network and taking it down, ours and stock Mininet's: measured in a process of its own."""

from __future__ import annotations

import gc
import resource
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mininet.link import Link, TCLink
from mininet.net import Mininet
from mininet.node import Node
from mininet.topo import Topo

from testbed.emulation import addresses
from testbed.emulation.network import prepare_mininet, running
from testbed.ground.errors import RunError
from testbed.kernel import links
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from testbed.plan import model
from testbed.plan.model import Plan

_GONE_TIMEOUT_S = 120.0
_MODULES = [
    "veth",
    "sch_netem",
    "sch_tbf",
    "sch_htb",
    "sch_prio",
    "sch_ingress",
    "cls_bpf",
    "cls_matchall",
    "act_gact",
    "ipv6",
]


def ours(folder: Path, *, impaired: bool, pings: int = 0) -> dict[str, Any]:
    """The network of folder/plan: seconds to build, bytes per node, ping along its first path, seconds to tear down.

    `build_s`: from the loaded plan to everything up, addressed and routed. `gone_s`: until the kernel has taken down
    the last of our namespaces.
    """
    plan = model.load(folder / "plan")
    gc.collect()
    gc.disable()
    _load_modules()
    before_kb, sentinel = _available_kb(), _Sentinel()
    begin = time.monotonic()
    with running(plan, impaired=impaired) as net:
        told: dict[str, Any] = {"build_s": time.monotonic() - begin}
        used_bytes = 1024 * (before_kb - _available_kb())
        told |= {"bytes_per_node": used_bytes / len(plan.nodes), "total_bytes": used_bytes}
        if pings:
            told |= _ping(net, plan, pings)
        begin = time.monotonic()
    told["stop_s"] = time.monotonic() - begin
    del net
    sentinel.wait()
    told["gone_s"] = time.monotonic() - begin
    told["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return told


def _ping(net: Mininet, plan: Plan, count: int) -> dict[str, Any]:
    """Round trips along the plan's first path, the least of them, and what they should be; both in ms."""
    path = plan.paths[0][0].nodes
    target = str(net.topo.emulation.wiring.address(path[-1]))
    command = ["ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", "5", target]
    said = net[path[0]].popen(command).communicate()[0].decode()
    received = int(said.split(" received")[0].split()[-1])
    if not received:
        raise RunError(f"none of {count} pings from {path[0]} to {path[-1]} was answered")
    least = float(said.split("= ")[1].split("/")[0])
    hops = sum(len(one_way[0].nodes) - 1 for one_way in plan.paths[:2])
    return {"pings": count, "received": received, "rtt_ms": least, "planned_rtt_ms": _round_trip_ms(plan), "hops": hops}


def ping_errors(folder: Path, *, count: int) -> dict[str, float]:
    """Round trips of `ping` along the first path of folder/plan at its first instant, less the planned one, in ms."""
    plan = model.load(folder / "plan")
    path = plan.paths[0][0].nodes
    with running(plan) as net:
        target = str(net.topo.emulation.wiring.address(path[-1]))
        command = ["ping", "-n", "-q", "-c", "1", target]  # its summary alone has all digits
        told = [net[path[0]].popen(command).communicate()[0].decode() for _ in range(count)]
    trips_ms = [float(said.split("= ")[1].split("/")[0]) for said in told if "= " in said]
    if not trips_ms:
        raise RunError(f"none of {count} pings from {path[0]} to {target} was answered")
    p50, p99 = np.percentile(np.array(trips_ms) - _round_trip_ms(plan), [50, 99])
    return {"p50": float(p50), "p99": float(p99), "received": len(trips_ms)}


def _round_trip_ms(plan: Plan) -> float:
    """Sum of the first path's delays, there and back, at schedule time 0."""
    numbers = {(link.a, link.b): number for number, link in enumerate(plan.links)}
    there, back = (path[0].nodes for path in plan.paths[:2])
    hops = [numbers[hop] for nodes in (there, back) for hop in pairwise(nodes)]
    return sum(int(plan.link_steps(hop)["delay_ns"][0]) for hop in hops) / 1e6


def stock(folder: Path, *, shaped: bool) -> dict[str, Any]:
    """The same nodes and links as a user of plain Mininet makes them: routers with a shell each, addressed by ifconfig.

    IPv4 only, no routes. `shaped`: with TCLink and the delays of the plan's first instant.
    """
    plan = model.load(folder / "plan")
    prepare_mininet("warning")
    _load_modules()
    begin = time.monotonic()
    net = Mininet(topo=_StockTopo(plan=plan, shaped=shaped), controller=None)
    net.start()
    built = time.monotonic()
    net.stop()
    return {"build_s": built - begin, "stop_s": time.monotonic() - built}


class _Router(Node):
    """Mininet's own idiom for a router (its examples/linuxrouter.py)."""

    def config(self, **params: Any) -> dict[str, Any]:
        done: dict[str, Any] = super().config(**params)
        self.cmd("sysctl net.ipv4.ip_forward=1")
        return done


class _StockTopo(Topo):
    def build(self, plan: Plan, *, shaped: bool) -> None:
        short = {node.name: f"n{number}" for number, node in enumerate(plan.nodes)}
        for name in short.values():
            self.addNode(name, cls=_Router, ip=None)
        for number, link in enumerate(plan.links[::2]):
            first, second = addresses.link_ends(number)
            delay_ns = int(plan.link_steps(2 * number)["delay_ns"][0])
            shape: dict[str, Any] = {"cls": TCLink, "delay": f"{delay_ns / 1e6:.3f}ms"} if shaped else {"cls": Link}
            ends = {"params1": {"ip": f"{first[0]}/31"}, "params2": {"ip": f"{second[0]}/31"}}
            self.addLink(short[link.a], short[link.b], **ends, **shape)


def _load_modules() -> None:
    """The kernel's modules, if they are modules here: their loading is no network's cost."""
    subprocess.run(["modprobe", "-qa", *_MODULES], check=False)


def _available_kb() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


class _Sentinel:
    """Tells when the kernel has taken down every namespace that was let go before: it does so in their order.

    A namespace with a link to another one, let go last: with it goes the link's other end.
    """

    def __init__(self) -> None:
        self._watched, self._last = Namespace(), Namespace()
        with self._watched.entered(), Netlink() as netlink:
            fds = self._watched.fd, self._last.fd
            macs = bytes.fromhex("020000fffe00"), bytes.fromhex("020000fffe01")
            netlink.send([links.veth(names=("near", "far"), indices=(2, 2), macs=macs, namespaces=fds, mtu=1500)])

    def wait(self) -> None:
        """Let go, and wait; raises RunError after two minutes."""
        self._last.close()
        deadline = time.monotonic() + _GONE_TIMEOUT_S
        with self._watched.entered():
            while "near" in (name for _, name in socket.if_nameindex()):
                if time.monotonic() > deadline:
                    raise RunError(f"the kernel still holds namespaces {_GONE_TIMEOUT_S:g} s after they were let go")
                time.sleep(0.05)
        self._watched.close()
