"""Flows of `traffic.standalone` as they arrive at one host: judged packet by packet, and measured.

One-way delay is from the sender's clock before encryption to the kernel's stamp at arrival. It means something only
where both ends have one clock: the same machine, or the user's word that the clocks are synchronised.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traffic.errors import UsageError
from traffic.esp import split_trailer
from traffic.judge import OpenEndpoint
from traffic.keys import Association
from traffic.measures import measure_all
from traffic.packets import CANARY_BYTES, TAG, UDP_BYTES, parse_ip
from traffic.rates import as_declared
from traffic.receiver import Receiver
from traffic.results import UNSTAMPED, as_json, measure, packet_rows
from traffic.standalone import HEADER, SMALLEST_BYTES, Header, canary, machine
from traffic.timestamps import clock_offset_ns, tap_statistics
from traffic.verdicts import Content, InboundEndpoint, Verdict

LARGEST_CLOCK_STEP_NS: Final = 1_000_000
"""Assumption: CLOCK_REALTIME moving more than this against CLOCK_MONOTONIC was set, not read late."""

_POLL_S: Final = 0.005
_NS_PER_S: Final = 1_000_000_000
_SIOCGIFADDR: Final = 0x8915  # the IPv4 address of an interface (Linux, include/uapi/linux/sockios.h)


def interface_of(address: str) -> str:
    """The interface that bears an IPv4 address as its first; raises UsageError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("16s24x", name.encode()))
            except OSError:
                continue  # it has no address
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    raise UsageError(f"--bind {address}: no interface here has it as its first IPv4 address: name one with --interface")


class LiveEndpoint(OpenEndpoint):
    """The receiving end. It knows its flows by their canaries, and keeps what their packets say of themselves."""

    def __init__(self, associations: Sequence[Association], clear: Collection[int], only_esp: bool) -> None:
        contents = [Content(index, sa.spi, canary(sa), False) for index, sa in enumerate(associations)]
        super().__init__(associations, contents, clear, only_esp)
        self.departures: dict[int, dict[int, int]] = {index: {} for index in range(len(associations))}
        self.heads: dict[int, Header] = {}

    def _identify(self, spi: int, plain: bytes, fresh: bool) -> tuple[int | None, int | None] | None:
        known = InboundEndpoint._identify(self, spi, plain, fresh)
        inside = split_trailer(plain)
        if known is None or inside is None:
            return None
        flow, sequence = known
        if flow is None or sequence is None:
            return known
        inner = inside[1]
        if len(inner) < 20 + UDP_BYTES + SMALLEST_BYTES:
            return None
        head = Header(*HEADER.unpack_from(parse_ip(inner, 4).payload, CANARY_BYTES + TAG.size))
        if sequence >= head.total or self.heads.setdefault(flow, head).total != head.total:
            return None
        self.departures[flow].setdefault(sequence, head.departure_ns)
        return flow, sequence


@dataclass(frozen=True)
class Receiving:
    """How to receive. `most_s`: at the longest; `patience_s`: until the first packet; `waiting_s`: after the last."""

    waiting_s: float = 3.0
    patience_s: float = 60.0
    most_s: float = 86_400.0
    clear_udp_ports: tuple[int, ...] = ()
    only_esp: bool = False


class Reception:
    """Flows as they arrive at one host, from now on until they are over. `tap`: of the interface they arrive at."""

    def __init__(self, associations: Sequence[Association], receiving: Receiving, tap: socket.socket) -> None:
        self._receiving, self._tap = receiving, tap
        self.associations = associations
        self.start_ns = time.time_ns()
        self._offset_ns = clock_offset_ns()
        self.endpoint = LiveEndpoint(associations, receiving.clear_udp_ports, receiving.only_esp)
        taps: Mapping[str, socket.socket] = {"here": tap}
        senders = {sa.spi: sa.src for sa in associations}
        self.receiver = Receiver({"here": self.endpoint}, taps, senders, {}, self.start_ns)
        self.receiver.flush()
        self.drops = 0

    def run(self) -> None:
        """Receive until the flows are over, or time is. May be interrupted."""
        receiving, ends_ns = self._receiving, {}
        began_ns = time.monotonic_ns()
        try:
            while True:
                while self.receiver.drain():
                    pass
                passed_ns = time.monotonic_ns() - began_ns
                for flow, head in self.endpoint.heads.items():
                    if flow not in ends_ns:
                        first = min(self.endpoint.departures[flow])
                        ends_ns[flow] = passed_ns + (head.total - first) * head.interval_ns
                last_ns = max(ends_ns.values()) + receiving.waiting_s * _NS_PER_S if ends_ns else None
                if passed_ns > receiving.most_s * _NS_PER_S or (last_ns is not None and passed_ns > last_ns):
                    break
                if last_ns is None and passed_ns > receiving.patience_s * _NS_PER_S:
                    break
                time.sleep(_POLL_S)
        finally:
            self.receiver.finish()
            self.drops = tap_statistics(self._tap)[1]

    @property
    def clock_step_ns(self) -> int:
        """By how much the clock of the stamps was set while this went on."""
        return abs(clock_offset_ns() - self._offset_ns)


def document(reception: Reception, *, synchronised: bool, waiting_s: float) -> dict[str, Any]:
    """What arrived, with the keys of flows.json (docs/standalone.md)."""
    receiver, endpoint = reception.receiver, reception.endpoint
    reasons = []
    if reception.drops:
        reasons.append(f"the tap lost {reception.drops} packets")
    if reception.clock_step_ns > LARGEST_CLOCK_STEP_NS:
        reasons.append(f"the clock was set meanwhile, by {reception.clock_step_ns / 1e6:.1f} ms")
    if receiver.unstamped:
        reasons.append(f"{receiver.unstamped} packets lack a kernel time stamp")
    if not endpoint.heads:
        reasons.append("nothing authentic arrived: do both ends have the same key file, and does a way lead here?")
    arrivals = np.array(receiver.arrivals, np.int64).reshape(-1, 4)
    flows = []
    for index, head in sorted(endpoint.heads.items()):
        flow = _flow(reception, index, head, arrivals[arrivals[:, 0] == index, 1:], synchronised)
        counts = receiver.by_association[reception.associations[index].spi]
        flow["integrity"] = {"verdict": _verdict(counts, bool(reasons)), "counts": _names(counts)}
        flows.append(flow)
    silent = [sa for index, sa in enumerate(reception.associations) if index not in endpoint.heads]
    other = Counter(receiver.unattributed["here"])
    for association in silent:
        other.update(receiver.by_association[association.spi])
    return {
        "role": "receive",
        "verdict": "attacked" if receiver.alarm_count else "invalid" if reasons else "intact",
        "valid": not reasons,
        "invalid_reasons": reasons,
        "waiting_time_s": waiting_s,
        "percentiles_over": "received packets",
        "flows": flows,
        "alarms": receiver.alarms,
        "alarm_count": receiver.alarm_count,
        "unattributed": _names(other) if other else {},
    }


def _flow(
    reception: Reception, index: int, head: Header, arrivals: NDArray[np.int64], synchronised: bool
) -> dict[str, Any]:
    association = reception.associations[index]
    departures = reception.endpoint.departures[index]
    numbers = np.fromiter(departures.keys(), np.int64, len(departures))
    left_ns = np.fromiter(departures.values(), np.int64, len(departures))
    tx_ns = np.full(head.total, UNSTAMPED, np.int64)
    tx_ns[numbers] = left_ns - reception.start_ns
    same = head.machine == machine()
    rows = packet_rows(index, tx_ns, arrivals)
    if not (same or synchronised) and (known := rows["verdict"] != 255).any():
        stamped = known & (rows["tx_ns"] != UNSTAMPED)
        rows["delay_ns"][stamped] -= rows["delay_ns"][stamped].min()  # of unlike clocks only the variation counts
    result = as_json(measure(head.total, rows))
    if not (same or synchronised):
        result["one_way_delay_ms"] = dict.fromkeys(result["one_way_delay_ms"])
    due_ns = numbers * head.interval_ns
    due_ns += int((left_ns - reception.start_ns - due_ns).min())
    declared_pps = _NS_PER_S / head.interval_ns
    rate = as_declared(declared_pps, len(numbers), due_ns, left_ns - reception.start_ns)
    return {
        "name": f"{association.src}-{association.dst}-{association.dscp}",
        "kind": "bulk",
        "src": association.src,
        "dst": association.dst,
        "dscp": association.dscp,
        "rate_pps": round(declared_pps, 6),
        "clocks": "the same machine" if same else "synchronised, by the user's word" if synchronised else "unlike",
        **result,
        "measures": measure_all(rows, head.total, absolute=same or synchronised),
        "rate": {key: rate[key] for key in ("declared_pps", "achieved_pps", "limited_by")},
    }


def _verdict(counts: Counter[Verdict], invalid: bool) -> str:
    if any(verdict.is_alarm for verdict, count in counts.items() if count):
        return "attacked"
    return "invalid" if invalid else "intact"


def _names(counts: Counter[Verdict]) -> dict[str, int]:
    return {verdict.name: count for verdict, count in sorted(counts.items()) if count}
