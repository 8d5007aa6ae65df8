"""Genuine packets over one bad hop, judged by two windows at once: what would be a false alarm, and how often.

The hop is netem's, set by the system's own tc: it loses, copies, and changes its delay like a handover.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from array import array
from pathlib import Path
from typing import Any, Final

import numpy as np

from testbed.bench.secured import FAR, NEAR, joined_spaces
from testbed.ground.errors import RunError
from testbed.kernel.namespaces import Namespace, set_sysctl
from traffic.checker import Bounds, check_flow
from traffic.esp import InboundSa, OutboundSa
from traffic.keys import make_associations
from traffic.packets import NAT_T_PORT, InnerFlow, InnerPackets
from traffic.results import UNSTAMPED, packet_rows
from traffic.timestamps import deafen, open_tap, open_udp, receive, tap_statistics
from traffic.verdicts import Content, InboundEndpoint, Verdict

DELAYS_MS: Final = (80, 20, 60, 30)
"""One after the other: steps of 60, 40 and 30 ms to a shorter path or, of 50, back to the longest."""
LOSS: Final = 0.01
DUPLICATES: Final = 0.001
WINDOWS: Final = (64, 1024)
PAYLOAD_BYTES: Final = 172  # as of a G.711 call

STEP_NS: Final = 60_000_000
"""The largest by which the path becomes shorter."""
_LIMIT: Final = 4_000  # packets in netem: 400 are in flight at 5,000/s, and a machine that stalls adds to them
_WIRE_BYTES: Final = 14 + 28 + 16 + 20 + 8 + PAYLOAD_BYTES + 4 + 16
_BACKLOG: Final = 2 * _LIMIT
_BUFFER_BYTES: Final = 64 << 20
_BATCH: Final = 64
_BEHIND_NS: Final = 50_000_000  # a sender this late gives up its timetable: it is no burst that is to be judged
_SLACK_NS: Final = 20_000_000  # the longest that a busy machine may take to change netem or to hand over a packet
_MOST_AHEAD: Final = 1_500  # packets that may be on their way: where a machine stalls, no queue shall overflow
_STALL_NS: Final = 5_000_000  # a packet that took so long to be sent left nobody knows when
_EPOCH: Final = 1 << 32
_NS_PER_S: Final = 1_000_000_000


def longest_lag_ns(rate_bps: int) -> int:
    """L_max of the hop: the largest delay with a full queue less the smallest; a rate of 0 has no queue."""
    queue_ns = round(_LIMIT * _WIRE_BYTES * 8e9 / rate_bps) if rate_bps else 0
    return STEP_NS + queue_ns + _SLACK_NS


def judged(folder: Path, *, packets: int, pps: int, every_s: float, rate_bps: int) -> dict[str, Any]:  # noqa: ARG001
    """What became of the packets: totals, and for each window the verdicts and the findings of the blind checker.

    With `rate_bps` 0 netem lets packets overtake each other where its delay falls. The ESN passes 2³² half-way.
    """
    if os.environ.get("TESTBED_GUEST"):  # a machine of our own: what a stall lets pile up must not be lost
        set_sysctl("net/core/netdev_max_backlog", _BACKLOG)
    lost_before = _backlog_losses()
    with joined_spaces() as (near, far):
        with near.entered():
            sender = open_udp(NEAR, NAT_T_PORT, no_checksum=True)
        with far.entered():
            closed, tap = open_udp(FAR, NAT_T_PORT), open_tap("far", _BUFFER_BYTES)
        deafen(closed)
        with sender, closed, tap, _Handovers(near, every_s, rate_bps) as handovers:
            hop = _Hop(sender, tap, rate_bps, _EPOCH - packets // 2)
            begin_ns = time.monotonic_ns()
            hop.run(packets, pps)
            seconds = (time.monotonic_ns() - begin_ns) / _NS_PER_S
            hop.drain(until_ns=time.monotonic_ns() + 2 * (max(DELAYS_MS) * 1_000_000 + longest_lag_ns(rate_bps)))
            dropped = tap_statistics(tap)[1] + _backlog_losses() - lost_before
    if dropped:
        raise RunError(f"the machine lost {dropped} packets before they could be judged: this judges nothing")
    windows = {str(window): hop.told(window, handovers, pps, rate_bps) for window in WINDOWS}
    return {"packets": packets, "seconds": seconds, "handovers": len(handovers.log), "windows": windows}


def _backlog_losses() -> int:
    """Packets that this kernel has dropped on their way from any veth to its receiver (/proc/net/softnet_stat)."""
    return sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())


class _Handovers:
    """Changes the delay of `near`, one step after the other, until the block ends. `log`: begin and end of each, ns."""

    def __init__(self, space: Namespace, every_s: float, rate_bps: int) -> None:
        self._space, self._every_s = space, every_s
        self._rate = f" rate {rate_bps}" if rate_bps else ""
        self._over = threading.Event()
        self._failed = ""
        self.log: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> _Handovers:
        with self._space.entered():
            self._tc("add", DELAYS_MS[0])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failed:
            raise RunError(self._failed)

    def _tc(self, verb: str, delay_ms: int) -> None:
        shape = f"delay {delay_ms}ms loss {LOSS:%} duplicate {DUPLICATES:%} limit {_LIMIT}{self._rate}"
        command = f"tc qdisc {verb} dev near root netem {shape}"
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if done.returncode:
            self._failed = f"{command}: {done.stderr.strip()}"
            raise RunError(self._failed)

    def _work(self) -> None:
        with self._space.entered():
            while not self._over.wait(self._every_s):
                begin_ns = time.time_ns()
                self._tc("change", DELAYS_MS[(len(self.log) + 1) % len(DELAYS_MS)])
                self.log.append((begin_ns, time.time_ns()))


class _Hop:
    """The sender, and two endpoints with one key that see the same frames."""

    def __init__(self, sender: Any, tap: Any, rate_bps: int, start: int) -> None:
        (association,) = make_associations([("near", "far", 46)]).values()
        flow = InnerFlow("10.64.0.1", "10.64.1.1", 46, 0, bytes(range(1, 17)), PAYLOAD_BYTES)
        outbound = OutboundSa(association.spi, association.key, association.salt, sequence=start)
        self._encrypt, self._build = outbound.encrypt, InnerPackets(flow).build
        sender.connect((FAR, NAT_T_PORT))
        self._send, self._tap = sender.send, tap
        self._tx_ns = array("q")
        self._highest = 0  # number that has arrived
        content = Content(0, association.spi, flow.canary, False)
        self._endpoints = {}
        self._arrivals = {window: array("q") for window in WINDOWS}
        self._counts = {window: dict.fromkeys(Verdict, 0) for window in WINDOWS}
        for window in WINDOWS:
            inbound = InboundSa(association.spi, association.key, association.salt, window=window, highest=start)
            lag_ns = longest_lag_ns(rate_bps)
            self._endpoints[window] = InboundEndpoint({association.spi: inbound}, [content], longest_lag_ns=lag_ns)

    def run(self, packets: int, pps: int) -> None:
        """Send at an even rate; what has arrived is judged in between."""
        gap_ns = _NS_PER_S // pps
        encrypt, build, send, tx_ns = self._encrypt, self._build, self._send, self._tx_ns
        begin_ns, number = time.monotonic_ns(), 0
        while number < packets:
            due = min((time.monotonic_ns() - begin_ns) // gap_ns + 1, packets, self._highest + _MOST_AHEAD)
            late_ns = time.monotonic_ns() - begin_ns - number * gap_ns
            if late_ns > _BEHIND_NS:
                begin_ns += late_ns
                due = min(due, number + 1)
            while number < due:
                packet = encrypt(build(number))
                before_ns = time.time_ns()
                send(packet)
                stalled = time.time_ns() - before_ns > _STALL_NS
                tx_ns.append(UNSTAMPED if stalled else before_ns)
                number += 1
            if not self._judge():
                time.sleep(1e-3)

    def drain(self, until_ns: int) -> None:
        """Judge what still arrives."""
        while time.monotonic_ns() < until_ns:
            if not self._judge():
                time.sleep(1e-3)

    def _judge(self) -> int:
        frames = receive(self._tap, most=_BATCH)
        for window, endpoint in self._endpoints.items():
            judge, arrivals, counts = endpoint.judge, self._arrivals[window], self._counts[window]
            for frame, _, time_ns in frames:
                judgement = judge(frame, time_ns)
                if judgement is not None:
                    counts[judgement.verdict] += 1
                    if judgement.sequence is not None:
                        self._highest = max(self._highest, judgement.sequence)
                        arrivals.extend((judgement.sequence, time_ns, judgement.verdict))
        return len(frames)

    def told(self, window: int, handovers: _Handovers, pps: int, rate_bps: int) -> dict[str, Any]:
        """Verdicts by name, and what the blind checker finds."""
        tx_ns = np.array(self._tx_ns, np.int64)
        arrivals = np.array(self._arrivals[window], np.int64).reshape(-1, 3)
        rows = packet_rows(0, tx_ns, arrivals)
        found = check_flow(rows, bounds(len(tx_ns), handovers.log, pps, rate_bps))
        return {
            "verdicts": {verdict.name: count for verdict, count in self._counts[window].items() if count},
            "findings": {
                finding.verdict.name: {"alarm": finding.alarm, "count": finding.count, "total": finding.total}
                for finding in found
                if finding.judged
            },
            "alarms": [f"{finding.verdict.name}: {finding.detail}" for finding in found if finding.alarm],
        }


def bounds(sent: int, log: list[tuple[int, int]], pps: int, rate_bps: int) -> Bounds:
    """What the hop can do at most; `log`: begin and end of each command to change it.

    Delays are not judged here: a machine that is busy to its limit makes packets late.
    """
    changes = [time_ns for begin_ns, end_ns in log for time_ns in range(begin_ns, end_ns + STEP_NS, STEP_NS)]
    return Bounds(
        loss=np.full(sent, LOSS * (1 - DUPLICATES)),  # netem draws both: a copy may stand in for what was lost
        explained_ns=np.full(sent, np.nan),
        rate_pps=pps,
        duplicates=DUPLICATES,
        longest_lag_ns=longest_lag_ns(rate_bps),
        changes_ns=np.array(changes, np.int64),
        step_ns=STEP_NS + _SLACK_NS,
        burst=round(pps * _BEHIND_NS / _NS_PER_S),
    )
