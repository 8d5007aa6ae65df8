"""What the netem tests share: namespaces in a row, real queues on every link end, numbered packets."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.kernel import filters, links, queues
from testbed.kernel.links import Address
from testbed.kernel.local import await_local
from testbed.kernel.namespaces import Namespace, set_sysctl
from testbed.kernel.netlink import Netlink
from testbed.kernel.queues import Bottleneck, Impairment
from testbed.kernel.steering import steer
from traffic.timestamps import NO_STAMP, open_udp, receive, tx_stamps

MS = 1_000_000
S = 1_000_000_000
LEFT, RIGHT = 2, 3
"""A node's interface index towards its neighbour on that side."""

SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; a packet in a queue is in its sender's buffer
_BUFFER_BYTES = 32 << 20
_NUMBER = struct.Struct("!I")


class Line:
    """Namespaces 0, 1, … in a row, both families, each link end with the queues of a plan's link end."""

    def __init__(self, nodes: int, impairment: Impairment, bottleneck: Bottleneck) -> None:
        self.spaces = [Namespace() for _ in range(nodes)]
        self.netlinks = []
        for number, space in enumerate(self.spaces):
            with space.entered():
                set_sysctl("net/ipv6/conf/default/addr_gen_mode", 1)
                if 0 < number < nodes - 1:
                    set_sysctl("net/ipv4/ip_forward", 1)
                    set_sysctl("net/ipv6/conf/all/forwarding", 1)
                self.netlinks.append(Netlink())
        self._streams: list[Stream] = []
        for number in range(nodes - 1):
            self._join(number, impairment, bottleneck)
        for number, side, neighbour in ((0, RIGHT, 1), (nodes - 1, LEFT, nodes - 2)):
            gateways = (self.address(neighbour, LEFT + RIGHT - side, version) for version in (4, 6))
            prefixes = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
            routes = [links.route(prefix, side, gateway) for prefix, gateway in zip(prefixes, gateways, strict=True)]
            self.netlinks[number].send(routes)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.close()
        for netlink, space in zip(self.netlinks, self.spaces, strict=True):
            netlink.close()
            space.close()

    def address(self, node: int, side: int, version: int = 4) -> Address:
        """Of a node's interface."""
        link, host = (node, 1) if side == RIGHT else (node - 1, 2)
        return ipaddress.ip_address(f"10.9.{link}.{host}" if version == 4 else f"fd09:{link}::{host}")

    def stream(
        self, version: int = 4, port: int = 5_000, *, dscp: int = 0, payload_bytes: int = 64, stamped: bool = True
    ) -> Stream:
        """Packets from the first node to the last; closed with the line."""
        sink = str(self.address(len(self.spaces) - 1, LEFT, version))
        ends = self.spaces[0], self.spaces[-1]
        stream = Stream(*ends, sink, port, dscp=dscp, payload_bytes=payload_bytes, stamped=stamped)
        self._streams.append(stream)
        return stream

    def change(self, impairment: Impairment, node: int = 0, side: int = RIGHT) -> None:
        """Set netem at a node's interface, as the player does."""
        self.netlinks[node].send([queues.change_netem(side, impairment, f"node {node}")])

    def _join(self, link: int, impairment: Impairment, bottleneck: Bottleneck) -> None:
        ends = ((link, RIGHT), (link + 1, LEFT))
        macs = (bytes((2, 0, 0, 0, link, 1)), bytes((2, 0, 0, 0, link, 2)))
        pair = links.veth(
            names=(f"n{link}-eth1", f"n{link + 1}-eth0"),
            indices=(RIGHT, LEFT),
            macs=macs,
            namespaces=(self.spaces[link].fd, self.spaces[link + 1].fd),
            mtu=1500,
        )
        self.netlinks[link].send([pair])
        steer([(self.spaces[link], [f"n{link}-eth1"], link), (self.spaces[link + 1], [f"n{link + 1}-eth0"], link + 1)])
        for node, side in ends:  # both before the queues: an interface works at once if it gets its queue with carrier
            self.netlinks[node].send([links.set_up(side)])
        for (node, side), (peer, far), mac in zip(ends, ends[::-1], macs[::-1], strict=True):
            messages = []
            for version, length in ((4, 24), (6, 64)):
                messages.append(links.address(side, self.address(node, side, version), length))
                messages.append(links.neighbour(side, self.address(peer, far, version), mac))
            messages += queues.build(side, impairment, bottleneck, f"node {node}")
            messages.append(filters.ingress(side, f"node {node}"))
            # once already here: at the first darkness the kernel loads modules, which takes it a while
            messages += [filters.darken(side, f"node {node}"), filters.relight(side, f"node {node}")]
            self.netlinks[node].send(messages)
            await_local(self.netlinks[node], [self.address(node, side, 6)])


class Stream:
    """Numbered UDP packets from one namespace to an address in another; `stamped` by the kernel at both ends."""

    def __init__(
        self,
        source: Namespace,
        sink: Namespace,
        address: str,
        port: int,
        *,
        dscp: int = 0,
        payload_bytes: int = 64,
        stamped: bool = True,
    ) -> None:
        with source.entered():
            self._tx = open_udp("::" if ":" in address else "0.0.0.0", dscp=dscp, tx_stamps=stamped)
        self._tx.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, _BUFFER_BYTES)
        with sink.entered():
            self._rx = open_udp(address, port, rx_stamps=stamped)
        self._rx.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._stamped = stamped
        self._to = (address, port)
        self._padding = bytes(payload_bytes - _NUMBER.size)
        self.wire_bytes = payload_bytes + 8 + (40 if ":" in address else 20) + 14
        self.sent = 0
        self.arrived: list[int] = []
        """Numbers in the order of arrival."""
        self._sent_ns: dict[int, int] = {}
        self.arrived_ns: list[int] = []

    def send(self) -> None:
        self._tx.sendto(_NUMBER.pack(self.sent) + self._padding, self._to)
        self.sent += 1

    def drain(self) -> None:
        """Take in what has arrived."""
        self._sent_ns.update(tx_stamps(self._tx))
        for payload, _, time_ns in receive(self._rx):
            assert time_ns != NO_STAMP or not self._stamped
            self.arrived.append(_NUMBER.unpack_from(payload)[0])
            self.arrived_ns.append(time_ns)

    @property
    def sent_ns(self) -> NDArray[np.int64]:
        """Send times by number, CLOCK_REALTIME."""
        return np.array([self._sent_ns[number] for number in range(self.sent)])

    @property
    def delays_ns(self) -> NDArray[np.int64]:
        """One-way delays in the order of arrival."""
        return np.array(self.arrived_ns) - self.sent_ns[self.arrived]

    @property
    def lost(self) -> list[int]:
        return sorted(set(range(self.sent)) - set(self.arrived))

    @property
    def reordered(self) -> int:
        """How many arrive after one that was sent later (RFC 4737, 3.3)."""
        return int(np.count_nonzero(self.arrived < np.maximum.accumulate(self.arrived)))

    @property
    def duplicated(self) -> int:
        return len(self.arrived) - len(set(self.arrived))

    def close(self) -> None:
        self._tx.close()
        self._rx.close()


def read_number(frame: bytes) -> tuple[int, int] | None:
    """Destination port and number of a stream's packet in a captured frame; None for what is not UDP."""
    six = frame[14] >> 4 == 6
    if frame[20 if six else 23] != socket.IPPROTO_UDP:
        return None
    port, _, _, number = struct.unpack_from("!HHHI", frame, 36 + 20 * six)
    return port, number


def send_on_time(schedule: Iterable[tuple[int, Stream]]) -> None:
    """Send a packet of each stream at its time, ns from now on."""
    start_ns = time.monotonic_ns()
    for due_ns, stream in sorted(schedule, key=lambda pair: pair[0]):
        wait_ns = start_ns + due_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        stream.send()


def every(gap_ns: int, duration_ns: int, stream: Stream, phase_ns: int = 0) -> list[tuple[int, Stream]]:
    """A schedule of evenly spaced packets."""
    return [(due_ns, stream) for due_ns in range(phase_ns, duration_ns, gap_ns)]


def wait_until(ready: Callable[[], object]) -> None:
    """Until it is so; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline, "it did not come about in ten seconds"
        time.sleep(0.005)


def settle(streams: Iterable[Stream], wait_ns: int) -> None:
    """Let what is in flight arrive, and take it in."""
    time.sleep(wait_ns / 1e9)
    for stream in streams:
        stream.drain()


def command(space: Namespace, *words: str) -> str:
    """What a program of the system says in a namespace."""
    return subprocess.run(words, preexec_fn=space.enter, capture_output=True, text=True, check=True).stdout


def tc(space: Namespace, *words: str) -> list[dict[str, Any]]:
    """What the system's own tc reads."""
    found: list[dict[str, Any]] = json.loads(command(space, "tc", "-j", "-d", "-s", *words))
    return found
