"""The declared flows of a plan, the attacker on their path and the captures: each in a process beside the player."""

from __future__ import annotations

import importlib
import ipaddress
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final

from testbed.emulation import bfd, probes, tunnels
from testbed.emulation.attack import attack, threat_of
from testbed.emulation.capture import capture
from testbed.emulation.children import Child
from testbed.emulation.exposure import Exposure
from testbed.emulation.internet import Internet, split
from testbed.emulation.ledger import Ledger, wanted
from testbed.emulation.live import Counts
from testbed.emulation.swan import overlay
from testbed.emulation.swan.overlay import Overlay
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError, RunError
from testbed.kernel.queues import PRIORITY_BYTES
from testbed.plan.bounds import longest_lag_ns
from traffic.errors import TrafficError
from traffic.flows import Flow, parse_flows
from traffic.sampling import thin
from traffic.session import WAITING_TIME_NS, HostSockets, SessionOptions, make_canaries, run_session
from traffic.timestamps import open_tap, open_udp

CAPTURES: Final = "pcap"  # folder in the run directory, one file per protected host
MOST_LINKS: Final = 64
"""Assumption: with more tcpdumps than this the captures would starve what they watch."""


class Workload:
    """Everything beside the audit that runs on a plan's network. A context manager: nothing is left running."""

    def __init__(self, wiring: Wiring, folder: Path, *, pcap: bool | str) -> None:
        """Open the sockets; raises PlanError for flows that cannot be sent, or more links than can be captured.

        `pcap`: capture at the protected hosts; "links": on the links as well.
        """
        self._wiring, self._folder = wiring, folder
        self._stack = ExitStack()
        self._session: Child | None = None
        self._listening: Child | None = None
        plan = wiring.plan
        options = dict(plan.traffic)
        kernels = overlay.take(options)
        options.pop("access", None)  # the wiring's
        options.pop("selection", None)  # the run's
        options["duplicated"] = tuple(options.get("duplicated", ()))
        tunnels.check_sizes(plan)
        extent = wanted(options)
        self._threat = threat_of(plan, options)
        if options.get("duplicates"):  # else links make no copies, and every copy is a replay
            options["longest_lag_ns"] = longest_lag_ns(plan, PRIORITY_BYTES)
        asking = (bfd.PORT,) if wiring.uplinks else ()
        try:
            protected, services = split(plan.flows)
            self._flows = parse_flows(protected, wiring.lans)
            self._internet = Internet(wiring, folder, services)
            self._options = SessionOptions(
                clear_udp_ports=(
                    probes.PORT,
                    *asking,
                    *self._internet.clear_udp_ports,
                ),
                clear_tcp_ports=self._internet.clear_tcp_ports,
                **options,
            )
        except TrafficError as error:
            raise PlanError(f"plan of {plan.topology}: {error}") from None
        if self._options.generator == "scapy":
            importlib.import_module("traffic.scapy_generator")  # now: it takes seconds in the guest
        self._stack.callback(self._internet.close)
        try:
            self._internet.prepare()
        except TrafficError as error:
            self._stack.close()
            raise RunError(str(error)) from None
        except BaseException:
            self._stack.close()
            raise
        self._overlay: Overlay | None = None
        if kernels is not None:
            self._overlay = Overlay(wiring, folder, self._flows, kernels)
            self._stack.callback(self._overlay.close)
        self._hosts = {name: self._open(name) for name in _endpoints(self._flows)}
        self._canaries = make_canaries(self._flows)
        self.flows = tuple(flow.name for flow in self._flows)
        self.counts = Counts(len(self.flows))
        self._exposure = Exposure(wiring, self._flows, self._canaries)
        self._ledger = Ledger(wiring, self._flows, folder, extent) if extent != "off" and self._flows else None
        if self._ledger is not None:
            self._stack.callback(self._ledger.kill)
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
        self._internet.start(realtime_ns)
        if not self._flows:
            return
        threat = self._threat
        if threat is not None:
            sockets = {name: host.udp for name, host in self._hosts.items()}
            attacker = Child("adversary", lambda: attack(self._wiring, threat, self._folder, realtime_ns, sockets))
            self._stack.callback(attacker.kill)
        stop_ns = self._wiring.plan.duration_ns
        if self._ledger is not None:
            self._ledger.start(realtime_ns, stop_ns)
        work = (self._flows, self._options, self._hosts, realtime_ns, stop_ns, self._folder)
        self._session = Child("traffic", lambda: run_session(*work, self.counts.take, self._canaries))
        self._stack.callback(self._session.kill)
        end_ns = realtime_ns + stop_ns + WAITING_TIME_NS
        self._listening = Child("exposure", lambda: self._exposure.listen(realtime_ns, end_ns, self._folder))
        self._stack.callback(self._listening.kill)

    def finish(self, *, interrupted: bool) -> None:
        """Wait for the stragglers and the results; an interrupted run has none."""
        for child in (self._session, self._listening):
            if child is not None and not interrupted:
                child.wait()
        if not interrupted:
            if self._ledger is not None and self._session is not None:
                self._ledger.finish()
            if self._overlay is not None:
                self._overlay.finish()
            self._internet.finish()

    def _open(self, name: str) -> HostSockets:
        node, lan = self._wiring.nodes[name], self._wiring.lans[name]
        outer = self._wiring.outer(name) if self._overlay is None else ipaddress.ip_address(lan.inner)
        with node.namespace.entered():
            clear, port = self._options.clear, self._options.port
            udp = open_udp(str(outer), port, tx_stamps=True, no_checksum=not clear and outer.version == 4)
            tap = open_tap(node.intfList()[0].name)
        thin(tap, self._internet.crowded_ports)
        inside = self._overlay is None and self._wiring.plan.node(name).inside
        found = HostSockets(name=name, address=str(outer), inner=lan.inner, inside=inside, udp=udp, tap=tap)
        return self._twofold(found) if self._options.duplicated else found

    def _twofold(self, host: HostSockets) -> HostSockets:
        """With what it takes to send and receive second copies."""
        other = str(self._wiring.uplinks.other(self._wiring.lans[host.name]))
        with self._wiring.nodes[host.name].namespace.entered():
            second = open_udp(other, self._options.port, no_checksum=True)
        return replace(host, second=second, other=other)

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


def _endpoints(flows: tuple[Flow, ...]) -> list[str]:
    return sorted({name for flow in flows for name in (flow.src, flow.dst)})
