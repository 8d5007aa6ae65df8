"""The declared flows of a plan, the attacker on their path and the captures: each in a process beside the player."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from testbed.emulation import probes
from testbed.emulation.capture import capture
from testbed.emulation.children import Child
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.kernel import filters
from traffic.adversary import Crossing, run_adversary, selection
from traffic.errors import TrafficError
from traffic.flows import Flow, parse_flows
from traffic.packets import NAT_T_PORT
from traffic.session import HostSockets, SessionOptions, run_session
from traffic.timestamps import open_tap, open_udp

CAPTURES: Final = "pcap"  # folder in the run directory, one file per protected host
MOST_LINKS: Final = 64
"""Assumption: with more tcpdumps than this the captures would starve what they watch."""
LEDGER: Final = "adversary.jsonl"


class Workload:
    """Everything beside the audit that runs on a plan's network. A context manager: nothing is left running."""

    def __init__(self, wiring: Wiring, folder: Path, *, pcap: bool | str) -> None:
        """Open the sockets; raises PlanError for flows that cannot be sent, or more links than can be captured.

        `pcap`: capture at the protected hosts; "links": on the links as well.
        """
        self._wiring, self._folder = wiring, folder
        self._stack = ExitStack()
        self._session: Child | None = None
        plan = wiring.plan
        options = dict(plan.traffic)
        self._action = options.pop("adversary", "none")
        self._every = int(options.pop("adversary_every", 64))
        try:
            self._flows = parse_flows(plan.flows, wiring.lans)
            self._options = SessionOptions(clear_udp_ports=(probes.PORT,), **options)
        except TrafficError as error:
            raise PlanError(f"plan of {plan.topology}: {error}") from None
        if self._options.generator == "scapy":
            importlib.import_module("traffic.scapy_generator")  # now: it takes seconds in the guest
        self._hosts = {name: self._open(name) for name in _endpoints(self._flows)}
        if pcap:
            (folder / CAPTURES).mkdir()
            for name in self._hosts:
                self._capture(name, wiring.nodes[name].intfList()[0].name, name)
            for a, b in self._captured_links() if pcap == "links" else ():
                self._capture(a, wiring.interface(a, b).name, f"{a}~{b}")

    def __enter__(self) -> Workload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, realtime_ns: int) -> None:
        """Send from schedule time 0 on, which is `realtime_ns` on CLOCK_REALTIME; the attacker is there before."""
        if not self._flows:
            return
        if self._action != "none":
            crossings = self._crossings()
            attacker = Child("adversary", lambda: self._attack(crossings))
            self._stack.callback(attacker.kill)
        stop_ns = self._wiring.plan.duration_ns
        work = (self._flows, self._options, self._hosts, realtime_ns, stop_ns, self._folder)
        self._session = Child("traffic", lambda: run_session(*work))
        self._stack.callback(self._session.kill)

    def finish(self, *, interrupted: bool) -> None:
        """Wait for the stragglers and the results; an interrupted run has none."""
        if self._session is not None and not interrupted:
            self._session.wait()

    def _open(self, name: str) -> HostSockets:
        node, lan = self._wiring.nodes[name], self._wiring.lans[name]
        address = str(lan.host[0])
        with node.namespace.entered():
            udp = open_udp(address, NAT_T_PORT, tx_stamps=True, no_checksum=True)
            tap = open_tap(node.intfList()[0].name)
        inside = self._wiring.plan.node(name).inside
        return HostSockets(name=name, address=address, inner=lan.inner, inside=inside, udp=udp, tap=tap)

    def _capture(self, node: str, interface: str, name: str) -> None:
        """What arrives and leaves at an interface, until the run ends."""
        files = (self._folder / CAPTURES / f"{name}.{kind}" for kind in ("pcap", "log"))
        tcpdump = capture(self._wiring.nodes[node], interface, *files)
        self._stack.callback(tcpdump.wait)
        self._stack.callback(tcpdump.terminate)

    def _captured_links(self) -> list[tuple[str, str]]:
        """Each link once, at the end that its first direction leaves from."""
        links: dict[frozenset[str], tuple[str, str]] = {}
        for link in self._wiring.plan.links:
            links.setdefault(frozenset((link.a, link.b)), (link.a, link.b))
        if len(links) > MOST_LINKS:
            raise PlanError(f"--pcap-links: {len(links)} links are too many, {MOST_LINKS} at most: use --pcap")
        return list(links.values())

    def _crossings(self) -> list[Crossing]:
        """At every satellite, on the way up: what comes from a terminal and goes to the gateway.

        Made before the fork: a child that spoke on the nodes' netlink sockets would take the player's answers.
        """
        wiring = self._wiring
        crossings = []
        for link in wiring.plan.links:
            if link.kind != "user" or wiring.plan.node(link.b).role != "satellite":
                continue
            feeders = [other for other in wiring.plan.links if other.kind == "feeder" and other.a == link.b]
            if len(feeders) != 1:
                continue  # a satellite that changes its gateway: its way on is not one crossing
            node = wiring.nodes[link.b]
            arrives = wiring.interface(link.b, link.a)
            leaves, onward = wiring.interface(link.b, feeders[0].b), wiring.interface(feeders[0].b, link.b)
            if self._action == "bitflip":
                what = f"{link.a}→{link.b}"
                node.netlink.send([filters.divert(arrives.index, selection(self._every), what)])
            with node.namespace.entered():
                crossing = Crossing(
                    name=link.b,
                    read=open_tap(arrives.name),
                    write=open_tap(leaves.name),
                    source_mac=_mac(leaves.mac),
                    destination_mac=_mac(onward.mac),
                )
            crossings.append(crossing)
        return crossings

    def _attack(self, crossings: list[Crossing]) -> None:
        network = [host.udp for host in self._hosts.values()]
        run_adversary(self._action, self._every, crossings, lambda: False, self._folder / LEDGER, network=network)


def _endpoints(flows: tuple[Flow, ...]) -> list[str]:
    return sorted({name for flow in flows for name in (flow.src, flow.dst)})


def _mac(written: str) -> bytes:
    return bytes.fromhex(written.replace(":", ""))
