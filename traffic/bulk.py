"""Declared bulk transfers over TCP, CUBIC or BBR, by iperf3: its command lines, and what its report comes to."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from traffic.declared import check_common, check_range, limited_by, parse_services
from traffic.errors import FlowError, ServiceError

KIND: Final = "tcp"
ALGORITHMS: Final = ("cubic", "bbr")
"""Congestion controls: RFC 9438, and BBR version 1 as Linux has it."""
PROTECTIONS: Final = ("none", "xfrm")
"""In the clear, or in an ESP tunnel of the kernel's."""
CONNECT_TIMEOUT_MS: Final = 5_000
"""Assumption: who does not answer within five seconds is not there."""
IDLE_TIMEOUT_MS: Final = 10_000
"""Assumption: a transfer that stands still this long is over."""

_NS_PER_S: Final = 1_000_000_000
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "kind": (str,),
    "src": (str,),
    "dst": (str,),
    "dscp": (int,),
    "algorithm": (str,),
    "protect": (str,),
    "seconds": (int,),
    "start_ns": (int,),
    "stop_ns": (int,),
}


@dataclass(frozen=True)
class TcpFlow:
    """Host `src` sends to host `dst`, as much as it can, for `seconds` from `start_ns` on."""

    name: str
    kind: str
    src: str
    dst: str
    dscp: int
    algorithm: str  # of ALGORITHMS
    protect: str  # of PROTECTIONS
    seconds: int
    start_ns: int
    stop_ns: int  # it must be over by then

    def __post_init__(self) -> None:
        where = f"flow '{self.name}'"
        check_common(where, self.name, self.src, self.dst, self.dscp, self.start_ns, self.stop_ns)
        if self.algorithm not in ALGORITHMS:
            raise FlowError(f"{where}: algorithm '{self.algorithm}' is unknown: use {' or '.join(ALGORITHMS)}")
        if self.protect not in PROTECTIONS:
            raise FlowError(f"{where}: protect '{self.protect}' is unknown: use {' or '.join(PROTECTIONS)}")
        check_range(where, "seconds", self.seconds, 1, 86_400)
        if self.start_ns + self.seconds * _NS_PER_S > self.stop_ns:
            left_s = (self.stop_ns - self.start_ns) / _NS_PER_S
            raise FlowError(f"{where}: {self.seconds} s do not fit into the {left_s:g} s from start_ns to stop_ns")


def parse_tcp(declarations: Iterable[Mapping[str, Any]], hosts: Collection[str] | None = None) -> tuple[TcpFlow, ...]:
    """The transfers of a list of dictionaries with exactly the fields of `TcpFlow`; raises FlowError."""
    return parse_services(TcpFlow, _TYPES, declarations, hosts)


def server_command(address: str, port: int) -> list[str]:
    """iperf3's end that waits for one transfer and then leaves."""
    return ["iperf3", "--server", "--one-off", "--json", "--bind", address, "--port", str(port)]


def client_command(flow: TcpFlow, address: str, port: int, *, reverse: bool) -> list[str]:
    """iperf3's end that connects to the other one; `reverse`: and then receives."""
    command = ["iperf3", "--json", "--client", address, "--port", str(port), "--time", f"{flow.seconds}"]
    command += ["--congestion", flow.algorithm, "--tos", str(flow.dscp << 2), "--get-server-output"]
    command += ["--connect-timeout", str(CONNECT_TIMEOUT_MS)]
    idle = str(IDLE_TIMEOUT_MS)
    return [*command, "--rcv-timeout", idle, "--reverse"] if reverse else [*command, "--snd-timeout", idle]


@dataclass(frozen=True)
class Transfer:
    """What a transfer came to. Round trips are the sending kernel's own (TCP_INFO); None: iperf3 did not tell."""

    goodput_bps: float  # TCP payload at the receiver, over the time from its first to its last byte
    sent_bytes: int
    received_bytes: int
    retransmits: int | None
    rtt_ms: dict[str, float | None]  # min, mean, max
    algorithm: str  # that the sending kernel had in use
    generator_percent: float  # of one processor: the larger share of iperf3's two ends


def parse_report(text: str | bytes) -> Transfer:
    """The transfer that iperf3's client reports as JSON; raises ServiceError with its reason if there was none."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ServiceError(f"iperf3: its report is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ServiceError("iperf3: its report is no JSON object")
    if "error" in document:
        raise ServiceError(f"iperf3: {document['error']}")
    try:
        return _transfer(document)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ServiceError(f"iperf3: its report lacks what a transfer has: {type(error).__name__} {error}") from error


def _transfer(document: dict[str, Any]) -> Transfer:
    end = document["end"]
    sent, received = end["sum_sent"], end["sum_received"]
    cpu = end["cpu_utilization_percent"]
    # With --reverse the sender is the server, and its own report has its kernel's round trips.
    source = document
    if document["start"]["test_start"]["reverse"]:
        source = document.get("server_output_json", document)
    sender = source["end"]["streams"][0]["sender"]
    trips = {name: sender.get(f"{name}_rtt") or None for name in ("min", "mean", "max")}
    return Transfer(
        goodput_bps=float(received["bits_per_second"]),
        sent_bytes=int(sent["bytes"]),
        received_bytes=int(received["bytes"]),
        retransmits=None if sent.get("retransmits") is None else int(sent["retransmits"]),
        rtt_ms={name: None if value is None else value / 1e3 for name, value in trips.items()},
        algorithm=str(end["sender_tcp_congestion"]),
        generator_percent=round(max(float(cpu["host_total"]), float(cpu["remote_total"])), 1),
    )


def summarise_tcp(
    flow: TcpFlow, transfer: Transfer | None, error: str | None, machine_percent: float | None
) -> dict[str, Any]:
    """What internet.json says of a transfer. `machine_percent`: how busy the machine's processors were meanwhile."""
    document: dict[str, Any] = {"name": flow.name, "kind": KIND, "src": flow.src, "dst": flow.dst}
    document |= {"algorithm": flow.algorithm, "protect": flow.protect, "seconds": flow.seconds}
    if transfer is not None and error is None and transfer.algorithm != flow.algorithm:
        error = f"iperf3: the kernel used {transfer.algorithm} where {flow.algorithm} was asked for"
    if transfer is not None and error is None and not transfer.received_bytes:
        error = "iperf3: nothing arrived"
    document |= {"failed": int(error is not None), "errors": [] if error is None else [error]}
    told = vars(transfer) if transfer is not None else dict.fromkeys(Transfer.__dataclass_fields__)
    document |= {name: value for name, value in told.items() if name != "algorithm"}
    document["machine_percent"] = machine_percent
    limit = limited_by(transfer.generator_percent, machine_percent) if transfer is not None else None
    return document | {"limited_by": limit}
