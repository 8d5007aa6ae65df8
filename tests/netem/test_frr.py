"""FRR in the nodes: OSPF finds the fastest ways in both families, and new ones when a link loses its carrier."""

from __future__ import annotations

import ipaddress
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from netem_line import MS, command

from testbed.emulation.frr.config import Adjacency, Router, cost
from testbed.emulation.frr.convergence import Monitor
from testbed.emulation.frr.daemons import Daemons, Installation
from testbed.ground.errors import RunError
from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace, set_sysctl
from testbed.kernel.netlink import Netlink

ROUTERS = 8
RING_NS, CHORD_NS = 5 * MS, 2 * MS
CHORD = (0, 4)
PATIENCE_S = 60.0


def own(number: int, version: int = 4) -> str:
    return f"10.255.0.{number + 1}" if version == 4 else f"fd09:255::{number + 1}"


@dataclass
class Ring:
    """Eight routers in a ring, and a fast chord across it; addressed, and without one route."""

    spaces: dict[str, Namespace] = field(default_factory=dict)
    netlinks: list[Netlink] = field(default_factory=list)
    adjacencies: list[list[Adjacency]] = field(default_factory=list)
    indices: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(ROUTERS):
            space = Namespace()
            with space.entered():
                for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
                    set_sysctl(name, 1)
                set_sysctl("net/ipv6/conf/default/addr_gen_mode", 1)
                self.netlinks.append(Netlink())
            self.spaces[f"r{number}"] = space
            loopback = [links.set_up(1)]
            loopback += [links.address(1, ipaddress.ip_address(own(number, 4)), 32)]
            loopback += [links.address(1, ipaddress.ip_address(own(number, 6)), 128)]
            self.netlinks[number].send(loopback)
            self.adjacencies.append([Adjacency("lo", 1, passive=True)])
        pairs = [((number, (number + 1) % ROUTERS), RING_NS) for number in range(ROUTERS)]
        for number, ((a, b), delay_ns) in enumerate([*pairs, (CHORD, CHORD_NS)]):
            self._join(number, a, b, delay_ns)

    def _join(self, number: int, a: int, b: int, delay_ns: int) -> None:
        ends = ((a, b), (b, a))
        for here, there in ends:
            self.indices[here, there] = len(self.adjacencies[here]) + 1
        pair = links.veth(
            names=(f"r{a}-r{b}", f"r{b}-r{a}"),
            indices=(self.indices[a, b], self.indices[b, a]),
            macs=(bytes((2, 0, 0, 1, number, 1)), bytes((2, 0, 0, 1, number, 2))),
            namespaces=(self.spaces[f"r{a}"].fd, self.spaces[f"r{b}"].fd),
            mtu=1500,
        )
        self.netlinks[a].send([pair])
        for here, there in ends:
            self.netlinks[here].send([links.set_up(self.indices[here, there])])
        for side, (here, there) in enumerate(ends):
            index = self.indices[here, there]
            plain = ipaddress.ip_address("10.8.0.0") + 2 * number + side
            six = ipaddress.ip_address("fd08::") + 2 * number + side
            link_local = ipaddress.ip_address("fe80::1:0") + 2 * number + side
            messages = [links.address(index, plain, 31), links.address(index, six, 127)]
            messages += [links.address(index, link_local, 64)]
            messages += queues.build(index, queues.Impairment(delay_ns, 0.0, 10_000), None, f"r{here}-r{there}")
            self.netlinks[here].send(messages)
            self.adjacencies[here].append(Adjacency(f"r{here}-r{there}", cost(delay_ns)))

    @property
    def routers(self) -> list[Router]:
        return [
            Router(f"r{number}", ipaddress.IPv4Address(own(number)), tuple(adjacencies))
            for number, adjacencies in enumerate(self.adjacencies)
        ]

    def towards(self, here: int, target: int, version: int = 4) -> str:
        """The interface that the kernel takes."""
        said = command(self.spaces[f"r{here}"], "ip", "route", "get", own(target, version))
        return said.split(" dev ")[1].split()[0]

    def close(self) -> None:
        for netlink, space in zip(self.netlinks, self.spaces.values(), strict=True):
            netlink.close()
            space.close()


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring()
    yield ring
    ring.close()


def everybody_knows_everybody(monitor: Monitor) -> bool:
    wanted = ROUTERS * (ROUTERS - 1)
    found = [key for key in monitor.routes if key[1].startswith(("10.255.", "fd09:255:"))]
    return len(found) == 2 * wanted


BETWEEN_MS = 22.0
"""The way by the chord takes 14 ms and the other 30: netem is never early, and a busy machine may be late."""


def rtt_ms(ring: Ring, here: int, target: int, version: int) -> float:
    """The least of ten, none lost: the way back may still be in the making when the way there is."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ping = ["ping", f"-{version}", "-c10", "-i0.1", "-q", own(target, version)]
        enter = ring.spaces[f"r{here}"].enter
        said = subprocess.run(ping, preexec_fn=enter, stdout=-1, stderr=-2, text=True, check=False).stdout
        if " 0% packet loss" in said:
            return float(said.split("= ")[1].split("/")[0])
    raise AssertionError(f"{ping}: {said}")


def test_ospf_takes_the_fastest_way_and_another_when_the_carrier_goes(
    installation: Installation,
    ring: Ring,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    with pytest.raises(subprocess.CalledProcessError):  # nothing here comes from anywhere but FRR
        ring.towards(1, 4)
    with Monitor(ring.spaces) as monitor:
        begin = time.monotonic()
        with Daemons(installation, tmp_path / "frr", ring.routers, ring.spaces) as daemons:
            started = time.monotonic()
            settled = monitor.wait(everybody_knows_everybody, PATIENCE_S)
            for version in (4, 6):
                assert ring.towards(1, 4, version) == "r1-r0"  # 5 + 2 ms by the chord; 15 along the ring
                assert ring.towards(2, 4, version) == "r2-r3"  # 10 along the ring; 12 by the chord
                assert 14.0 <= rtt_ms(ring, 1, 4, version) < BETWEEN_MS
            cut = time.monotonic()
            ring.netlinks[0].send([links.set_up(ring.indices[CHORD], up=False)])
            nexts = {("r1", f"{own(4)}/32"), ("r1", f"{own(4, 6)}/128")}
            before = {key: monitor.routes[key] for key in nexts}
            monitor.wait(lambda now: all(now.routes.get(key) not in (None, before[key]) for key in nexts), PATIENCE_S)
            healed = monitor.changed_s
            for version in (4, 6):
                assert ring.towards(1, 4, version) == "r1-r2"
                assert rtt_ms(ring, 1, 4, version) >= 30.0
            daemons.check()
            record_property("started_s", round(started - begin, 2))
            record_property("settled_s", round(settled - started, 2))
            record_property("around_the_cut_s", round(healed - cut, 2))
            record_property("memory_mb", round(daemons.memory_bytes / 1e6))


def test_a_daemon_that_does_not_start_is_told_with_its_words(
    installation: Installation, ring: Ring, tmp_path: Path
) -> None:
    broken = Router("r0", ipaddress.IPv4Address("10.0.0.1"), (Adjacency("lo", 1),))
    spaces = {"r0": ring.spaces["r0"]}
    (tmp_path / "frr" / "r0").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        Daemons(installation, tmp_path / "frr", [broken], spaces)
    missing = Installation.__new__(Installation)
    missing.programs, missing.libraries = installation.programs, "/nowhere"
    if installation.programs.parts[1] != "usr":  # an unpacked one finds no library there
        with pytest.raises(RunError, match=r"^zebra of r0 ended with code 127: .*error while loading shared libraries"):
            Daemons(missing, tmp_path / "other", [broken], spaces)
