"""Services over TCP beside the encrypted session: page loads over TLS, and bulk transfers by iperf3.

Each runs in a process of its own, in the network namespaces of its hosts. The client is the host behind the NAT.
Left in the run directory: internet.json with what all came to, and in a folder `internet` the server's key, what
Wireshark needs to read the pages, and iperf3's own reports.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from testbed.emulation.children import Child, die_with_parent
from testbed.emulation.tunnel import TUNNEL_PORT, End, Tunnel
from testbed.emulation.wiring import Wiring
from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import MachineError, PlanError, RunError
from testbed.kernel.namespaces import Namespace, set_sysctl
from traffic import bulk, web
from traffic.bulk import TcpFlow, Transfer
from traffic.declared import busy_percent, cpu_ticks
from traffic.errors import ServiceError
from traffic.web import WebFlow

INTERNET: Final = "internet.json"
FOLDER: Final = "internet"
KINDS: Final = (web.KIND, bulk.KIND)
"""Of declared flows: these are ours, all others the encrypted session's."""

WEB_PORT: Final = 8443
"""Of the first flow of page loads, the next ones follow (IANA: an alternative to HTTPS's 443)."""
BULK_PORT: Final = 5201
"""Of the first transfer, the next ones follow: iperf3's own."""

MOST_SERVICES: Final = 50
"""Assumption: more would not fit into one machine, nor their ports into a tap's filter."""

_NICENESS: Final = 5
"""Of all services: TCP adapts to what a processor gives it, the encrypted flows and the player do not."""
_READY_S: Final = 10.0  # for iperf3 to open its port: usual is 0.1 s
_PATIENCE_S: Final = 5.0  # beyond all of iperf3's own time-outs
_BUFFER_BYTES: Final = 64 << 20  # assumption: window enough for any path here (1 Gbit/s over 0.5 s)


def split(flows: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The declared flows of the encrypted session, and those of services over TCP."""
    declared = [dict(flow) for flow in flows]
    ours = [flow for flow in declared if flow.get("kind") in KINDS]
    return [flow for flow in declared if flow.get("kind") not in KINDS], ours


class Internet:
    """The services of a plan. Close it in the end: nothing is left running."""

    def __init__(self, wiring: Wiring, folder: Path, flows: Iterable[Mapping[str, Any]]) -> None:
        """Raises FlowError for flows that make no sense, PlanError for those that cannot reach their server."""
        declared = list(flows)
        if len(declared) > MOST_SERVICES:
            raise PlanError(
                f"plan of {wiring.plan.topology}: {len(declared)} services over TCP: declare {MOST_SERVICES} at most"
            )
        pages = web.parse_web([flow for flow in declared if flow["kind"] == web.KIND], wiring.lans)
        transfers = bulk.parse_tcp([flow for flow in declared if flow["kind"] == bulk.KIND], wiring.lans)
        self._wiring, self._folder = wiring, folder
        self._pages = list(enumerate(pages, WEB_PORT))
        self._transfers = list(enumerate(transfers, BULK_PORT))
        self._stack = ExitStack()
        self._clients: list[Child] = []
        self._work: list[tuple[str, Callable[[int], None]]] = []
        for flow in pages:
            if not self._reaches(flow.src, flow.dst):
                raise PlanError(
                    f"plan of {wiring.plan.topology}: flow '{flow.name}': its server {flow.dst} is behind a NAT and "
                    f"cannot be reached from {flow.src}: let {flow.dst} be the source"
                )

    @property
    def clear_tcp_ports(self) -> tuple[int, ...]:
        """Of all services: what a host's policy must let in."""
        return tuple(port for port, _ in (*self._pages, *self._transfers))

    @property
    def crowded_ports(self) -> tuple[int, ...]:
        """Of TCP and UDP: what passes there is too much to be looked at frame by frame."""
        return (*self.clear_tcp_ports, *self.clear_udp_ports)

    @property
    def clear_udp_ports(self) -> tuple[int, ...]:
        """Of the kernel's own tunnels, which a host's taps cannot judge."""
        ports = (TUNNEL_PORT + port - BULK_PORT for port, flow in self._transfers if flow.protect == "xfrm")
        return tuple(ports)

    def prepare(self) -> None:
        """All that takes time: programs, keys, pages, servers. Raises MachineError, RunError."""
        if not self._pages and not self._transfers:
            return
        (self._folder / FOLDER).mkdir()
        for flow in self._services():
            for name in (flow.src, flow.dst):
                with self._namespace(name).entered():
                    _large_windows()
        if self._pages:
            self._prepare_pages()
        for port, transfer in self._transfers:
            self._prepare_transfer(port, transfer)

    def start(self, realtime_ns: int) -> None:
        """Schedule time 0 is `realtime_ns` on CLOCK_REALTIME."""
        for name, work in self._work:
            child = Child(name, partial(_modestly, partial(work, realtime_ns)))
            self._stack.callback(child.kill)
            self._clients.append(child)

    def finish(self) -> None:
        """Wait for the last results and write them down; raises RunError."""
        if not self._work:
            return
        for child in self._clients:
            child.wait()
        told = [json.loads(self._result(flow.name).read_text()) for flow in self._services()]
        (self._folder / INTERNET).write_text(json.dumps({"services": told}, indent=1) + "\n")

    def close(self) -> None:
        """End all servers and clients."""
        self._stack.close()

    def _services(self) -> list[WebFlow | TcpFlow]:
        return [*(flow for _, flow in self._pages), *(flow for _, flow in self._transfers)]

    def _reaches(self, name: str, other: str) -> bool:
        plan = self._wiring.plan
        return plan.node(name).inside or not plan.node(other).inside

    def _namespace(self, name: str) -> Namespace:
        return self._wiring.nodes[name].namespace

    def _address(self, name: str) -> str:
        return str(self._wiring.lans[name].host[0])

    def _tunnel_end(self, name: str) -> End:
        interface, router = self._wiring.nodes[name].emulated_interfaces()[0], self._wiring.lans[name].router[0]
        return End(name, self._namespace(name), self._address(name), interface.name, str(router))

    def _result(self, name: str) -> Path:
        return self._folder / FOLDER / f"{name}.json"

    def _prepare_pages(self) -> None:
        from traffic import pages, tls  # here: pyOpenSSL takes a second in the guest, and most runs load no pages

        credentials = {
            name: tls.make_credentials(name, self._folder / FOLDER)
            for name in sorted({flow.dst for _, flow in self._pages})
        }
        for port, flow in self._pages:
            site = web.Site.of(flow, secrets.token_bytes(32))
            mine, address = credentials[flow.dst], (self._address(flow.dst), port)
            with self._namespace(flow.dst).entered():
                listener = pages.open_listener(*address, flow.dscp)
            self._stack.callback(listener.close)
            lines: list[bytes] = []
            contexts = tls.server_context(mine), tls.client_context(mine.certificate, key_log=lines)
            tls.rehearse(*contexts)  # the first handshake of all costs a second in the guest
            lines.clear()
            server = pages.Server(listener, contexts[0], site, flow.dst)
            client = pages.Client(
                flow,
                site.digests,
                contexts[1],
                mine.certificate,
                partial(pages.open_stream, flow.dscp),
                address,
            )

            def browse(realtime_ns: int, client: pages.Client = client, lines: list[bytes] = lines) -> None:
                self._namespace(client.flow.src).enter()
                told = web.summarise_web(client.flow, client.run(realtime_ns))
                tls.save_key_log(lines, self._folder / FOLDER / f"{client.flow.name}.keys")
                self._result(client.flow.name).write_text(json.dumps(told))

            process = Child(f"{flow.name} server", partial(_modestly, partial(server.run, _never)))
            self._stack.callback(process.kill)
            self._work.append((flow.name, browse))

    def _prepare_transfer(self, port: int, flow: TcpFlow) -> None:
        if shutil.which("iperf3") is None:
            raise MachineError(f"flow '{flow.name}': iperf3 is not installed: run 'sudo apt-get install iperf3'")
        subprocess.run(["modprobe", "-q", f"tcp_{flow.algorithm}"], check=False)
        reverse = not self._reaches(flow.src, flow.dst)
        client, server = (flow.dst, flow.src) if reverse else (flow.src, flow.dst)
        tunnel = None
        address = self._address(server)
        if flow.protect == "xfrm":
            tunnel = Tunnel(port - BULK_PORT, self._tunnel_end(client), self._tunnel_end(server))
            tunnel.prepare()
            self._stack.callback(tunnel.close)
            address = tunnel.server_inner
        process = self._spawn(server, bulk.server_command(address, port))
        self._stack.callback(_end, process)
        _wait_until_open(self._namespace(server), port, server)
        command = bulk.client_command(flow, address, port, reverse=reverse)

        def transfer(realtime_ns: int) -> None:
            report = self._folder / FOLDER / f"{flow.name}.iperf3.json"
            told = _transfer(flow, self._namespace(client), command, tunnel, realtime_ns, report)
            self._result(flow.name).write_text(json.dumps(told))

        self._work.append((flow.name, transfer))

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        return _spawn(self._namespace(name), command, subprocess.DEVNULL)


def _transfer(
    flow: TcpFlow, namespace: Namespace, command: list[str], tunnel: Tunnel | None, realtime_ns: int, report: Path
) -> dict[str, Any]:
    """Wait until it is time, transfer, and say what it came to."""
    outcome: Transfer | None = None
    error: str | None = None
    machine: float | None = None
    protected: dict[str, Any] | None = None
    try:
        time.sleep(max(0, realtime_ns + flow.start_ns - time.time_ns()) / NS_PER_S)
        if tunnel is not None:
            tunnel.connect()
        ticks = cpu_ticks()
        process = _spawn(namespace, command, subprocess.PIPE)
        limit_s = flow.seconds + (bulk.CONNECT_TIMEOUT_MS + bulk.IDLE_TIMEOUT_MS) / 1_000 + _PATIENCE_S
        try:
            text = process.communicate(timeout=limit_s)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            text = process.communicate()[0]
            raise ServiceError(f"iperf3: it did not end within {limit_s:g} s") from None
        finally:
            machine = busy_percent(ticks, cpu_ticks())
        report.write_bytes(text)
        outcome = bulk.parse_report(text)
        if tunnel is not None:
            protected = tunnel.counters()
            error = tunnel.complaint(protected, outcome.received_bytes)
    except (ServiceError, RunError) as failure:
        error = str(failure)
    told = bulk.summarise_tcp(flow, outcome, error, machine)
    return told | {"tunnel": protected}


def _spawn(namespace: Namespace, command: list[str], stdout: int) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def enter() -> None:
        namespace.enter()
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
        die_with_parent(parent)

    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL, preexec_fn=enter
    )


def _modestly(work: Callable[[], None]) -> None:
    """At the services' priority."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    work()


def _never() -> bool:
    """A page's server runs until it is killed."""
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def _wait_until_open(namespace: Namespace, port: int, name: str) -> None:
    """Until a process listens on a TCP port; raises RunError. A connection to find out would use iperf3 up."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with namespace.entered():
            tables = [Path(f"/proc/thread-self/net/{name}").read_text() for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table.splitlines()[1:]]
        if any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows):  # 0A: LISTEN (proc(5))
            return
        time.sleep(0.02)
    raise RunError(f"iperf3 at {name} has not opened TCP port {port} within {_READY_S:g} s")


def _large_windows() -> None:
    for name in ("rmem", "wmem"):
        Path(f"/proc/sys/net/ipv4/tcp_{name}").write_text(f"4096 131072 {_BUFFER_BYTES}")
    set_sysctl("net/ipv4/tcp_no_metrics_save", 1)
