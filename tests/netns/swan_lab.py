"""Two hosts with a tunnel by strongSwan's charon: rome behind the NAT of one of two PoPs, milan with a public address.

rome ── ut ──┬── pop-a ──┬── ce ── milan
             └── pop-b ──┘
"""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from netem_line import Stream, command

from testbed.emulation.swan.config import End, Options, Tunnel
from testbed.emulation.swan.daemons import Charons, Installation
from testbed.ground.errors import MachineError
from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace, set_sysctl
from testbed.kernel.netlink import Netlink
from testbed.kernel.queues import Impairment

PAIRS: Final = (("rome", "ut"), ("ut", "pop-a"), ("ut", "pop-b"), ("pop-a", "ce"), ("pop-b", "ce"), ("ce", "milan"))
NETWORKS: Final = ("100.64.0", "10.0.0", "10.0.1", "10.0.2", "10.0.3", "198.51.100")
POPS: Final = ("pop-a", "pop-b")
ROME, MILAN = End("rome", "100.64.0.1", "10.64.0.1"), End("milan", "198.51.100.2", "10.64.1.1")
TUNNEL_NAME: Final = "rome-milan"
PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.5
_SOON_S: Final = 0.3
_ENOUGH: Final = 50  # packets in a row: it flows again
_QUEUE_PACKETS: Final = 10_000  # of a TUN interface, so that a charon that does not get its turn loses nothing


def unpacked() -> Installation:
    """strongSwan; where it is missing the test is skipped, in CI failed."""
    try:
        return Installation.find()
    except MachineError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"strongSwan is missing in CI: {error}", pytrace=False)
        pytest.skip(str(error))


class Network:
    """The six nodes, addressed and routed; rome's way out is pop-a. `impairment`: of every link end, if any."""

    def __init__(self, impairment: Impairment | None = None) -> None:
        self.spaces = {name: Namespace() for name in ("rome", "ut", "pop-a", "pop-b", "ce", "milan")}
        self.netlinks: dict[str, Netlink] = {}
        for name, space in self.spaces.items():
            with space.entered():
                set_sysctl("net/ipv4/ip_forward", int(name not in ("rome", "milan")))
                set_sysctl("net/ipv4/conf/all/rp_filter", 0)
                set_sysctl("net/ipv4/conf/default/rp_filter", 0)
                self.netlinks[name] = Netlink()
        self.ends: dict[tuple[str, str], tuple[int, str]] = {}
        """Index of an interface and its address, by node and neighbour."""
        for number, pair in enumerate(PAIRS):
            self._join(number, pair, impairment)
        for name in self.spaces:
            self.netlinks[name].send([links.set_up(1)])
        for name, gateway in (("rome", "ut"), ("ut", "pop-a"), ("pop-a", "ce"), ("pop-b", "ce"), ("milan", "ce")):
            self.route(name, "0.0.0.0/0", gateway)
        for name in POPS:
            self.route(name, "100.64.0.0/24", "ut")
            self._translate(name)

    def close(self) -> None:
        for name, space in self.spaces.items():
            self.netlinks[name].close()
            space.close()

    def route(self, name: str, destination: str, gateway: str) -> None:
        """In place of any earlier one."""
        index, _ = self.ends[name, gateway]
        _, address = self.ends[gateway, name]
        route = links.route(ipaddress.ip_network(destination), index, ipaddress.ip_address(address))
        self.netlinks[name].send([route])

    def fail_over(self) -> None:
        """A PoP is lost, the other takes over: rome's packets come out of another NAT, from another address."""
        for neighbour in ("ut", "ce"):
            index, _ = self.ends["pop-a", neighbour]
            self.netlinks["pop-a"].send([links.set_up(index, up=False)])
        self.route("ut", "0.0.0.0/0", "pop-b")

    def forget(self) -> None:
        """Take the link from pop-a to ce down and up: the kernel forgets its masquerades, and picks new ports."""
        index, _ = self.ends["pop-a", "ce"]
        self.netlinks["pop-a"].send([links.set_up(index, up=False)])
        self.netlinks["pop-a"].send([links.set_up(index)])
        self.route("pop-a", "0.0.0.0/0", "ce")

    def change(self, impairment: Impairment) -> None:
        """Of the link between rome's terminal and pop-a, both ways, as a handover does."""
        for here, there in (("ut", "pop-a"), ("pop-a", "ut")):
            index, _ = self.ends[here, there]
            self.netlinks[here].send([queues.change_netem(index, impairment, f"{here}-{there}")])

    def _join(self, number: int, pair: tuple[str, str], impairment: Impairment | None) -> None:
        indices = tuple(2 + sum(known[0] == name for known in self.ends) for name in pair)
        macs = bytes((2, 0, 0, 2, number, 1)), bytes((2, 0, 0, 2, number, 2))
        fds = self.spaces[pair[0]].fd, self.spaces[pair[1]].fd
        names = f"{pair[0]}-{number}", f"{pair[1]}-{number}"
        veth = links.veth(names=names, indices=(indices[0], indices[1]), macs=macs, namespaces=fds, mtu=1500)
        self.netlinks[pair[0]].send([veth])
        for name, index in zip(pair, indices, strict=True):
            self.netlinks[name].send([links.set_up(index)])
        for side, (name, peer) in enumerate((pair, pair[::-1])):
            address = f"{NETWORKS[number]}.{1 + side}"
            if name == "ut" and peer == "rome":
                address = f"{NETWORKS[number]}.2"
            self.ends[name, peer] = indices[side], address
            messages = [links.address(indices[side], ipaddress.ip_address(address), 24)]
            if impairment is not None:
                messages += queues.build(indices[side], impairment, None, f"{name}-{peer}")
            self.netlinks[name].send(messages)

    def _translate(self, name: str) -> None:
        """To its own address towards ce, with a port by chance. Nobody outside knows the way to rome's own."""
        outside = f"-A POSTROUTING -s 100.64.0.0/24 -o {name}-{PAIRS.index((name, 'ce'))}"
        subprocess.run(
            ["iptables-legacy-restore"],
            input=f"*nat\n{outside} -j MASQUERADE --random\nCOMMIT\n",
            text=True,
            preexec_fn=self.spaces[name].enter,
            check=True,
        )


class Tunnelled:
    """The network with the tunnel up, and a stream of numbered UDP packets each way between the inner addresses."""

    def __init__(self, network: Network, folder: Path, options: Options, *, stamped: bool = False) -> None:
        self.network = network
        hosts = {name: network.spaces[name] for name in ("rome", "milan")}
        self.tunnel = Tunnel(ROME, MILAN)
        self.charons = Charons(unpacked(), folder / "swan", [self.tunnel], hosts, options)
        if options.kernel == "libipsec":
            for space in hosts.values():
                command(space, "ip", "link", "set", "ipsec0", "txqueuelen", str(_QUEUE_PACKETS))
        self.hosts = hosts
        self.up = Stream(hosts["rome"], hosts["milan"], MILAN.inner, 5_000, stamped=stamped)
        self.down = Stream(hosts["milan"], hosts["rome"], ROME.inner, 5_000, stamped=stamped)
        self.streams = (self.up, self.down)
        self.times_s: list[float] = []
        """When packet number n of each stream was sent, monotonic."""

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        self.charons.close()

    def kill(self, host: str) -> None:
        """A charon, without a word to anybody."""
        os.kill(int((self.charons.folder / host / "charon.pid").read_text()), signal.SIGKILL)

    def renew_ike(self) -> None:
        """Have rome renew the keys of IKE itself, soon and while packets flow."""
        words = ("rome", "--rekey", "--ike", TUNNEL_NAME)
        threading.Timer(_SOON_S, self.charons.swanctl, words).start()

    def send(self, rate_pps: float, done: Callable[[], bool]) -> None:
        """Both ways at that rate until it is so, which is asked twice a second; then take in what is in flight."""
        gap_s, deadline = 1 / rate_pps, time.monotonic() + PATIENCE_S
        due_s, look_s = time.monotonic(), 0.0
        while True:
            now_s = time.monotonic()
            if now_s >= look_s:
                self.drain()
                if done():
                    break
                assert now_s < deadline, "it did not come about in a minute"
                look_s = now_s + _LOOK_S
            if now_s < due_s:
                time.sleep(due_s - now_s)
            self.times_s.append(time.monotonic())
            for stream in self.streams:
                try:
                    stream.send()
                except PermissionError:  # while charon moves its peer it has a policy that drops: lost
                    stream.sent += 1
            due_s = max(due_s + gap_s, time.monotonic() - 0.05)  # after a stall a burst of 50 ms at most
        time.sleep(0.5)
        self.drain()

    def drain(self) -> None:
        for stream in self.streams:
            stream.drain()

    def flowing(self, since: int = 0) -> bool:
        """Did the last _ENOUGH that arrived, each way, come without a gap, and were they sent after `since`?"""
        for stream in self.streams:
            last = stream.arrived[-_ENOUGH:]
            if len(last) < _ENOUGH or last != list(range(last[0], last[0] + _ENOUGH)) or last[0] < since:
                return False
        return True

    def outage_s(self, stream: Stream, since: int) -> float:
        """From the first packet lost that was sent after `since` until the first that arrived after the last lost."""
        lost = [number for number in stream.lost if number >= since]
        return self.times_s[lost[-1] + 1] - self.times_s[lost[0]] if lost else 0.0

    def starved(self) -> int:
        """Packets that the hosts' own queues have lost because nobody took them out in time: the machine is busy."""
        found = 0
        for space in self.hosts.values():
            snmp = command(space, "cat", "/proc/net/snmp")
            names, values = (line.split()[1:] for line in snmp.splitlines() if line.startswith("Udp:"))
            found += int(dict(zip(names, values, strict=True))["RcvbufErrors"])
            for line in command(space, "cat", "/proc/net/dev").splitlines():
                if line.strip().startswith("ipsec0:"):
                    fields = line.split(":")[1].split()
                    found += int(fields[3]) + int(fields[11])  # dropped, in and out
        return found

    def associations(self, host: str) -> str:
        """As strongSwan's own tool lists them."""
        return self.charons.swanctl(host, "--list-sas")

    def identity(self) -> str:
        """The IKE_SA's two SPIs: the same as long as it was neither renewed nor made anew."""
        listed = self.associations("rome")
        found = re.search(r"IKEv2, (\w+_i)\*? (\w+_r)\*?", listed)
        assert found, listed
        return f"{found[1]} {found[2]}"

    def peer(self) -> tuple[str, int]:
        """Where milan sends to: address and port of a NAT."""
        listed = self.associations("milan")
        found = re.search(r"remote 'rome' @ (\S+)\[(\d+)\]", listed)
        assert found, listed
        return found[1], int(found[2])


@contextmanager
def tunnelled(
    folder: Path, options: Options, impairment: Impairment | None = None, **keywords: bool
) -> Iterator[Tunnelled]:
    """All of it, and nothing of it afterwards."""
    network = Network(impairment)
    try:
        lab = Tunnelled(network, folder, options, **keywords)
        try:
            yield lab
        finally:
            lab.close()
    finally:
        network.close()
