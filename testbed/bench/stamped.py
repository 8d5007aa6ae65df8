"""How far apart the kernel's two stamps of a packet are on a bare veth: the floor of every delay measured."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import numpy as np

from testbed.bench.secured import FAR, NEAR, joined_spaces
from testbed.ground.errors import RunError
from testbed.kernel.namespaces import Namespace
from traffic.measures import quantile
from traffic.timestamps import NO_STAMP, open_udp, receive, tx_stamps

_PORT: Final = 5_000
_PAYLOAD_BYTES: Final = 172  # as of a G.711 call
_INTERVAL_S: Final = 0.001
_WAIT_S: Final = 10.0  # the longest that the kernel may take to begin to stamp
_NS_PER_US: Final = 1_000


def latency(folder: Path, *, packets: int) -> dict[str, float]:  # noqa: ARG001 - every measuring function has it
    """TX_SCHED to RX, one packet a millisecond: `p50`, `p99`; `ping`: half of its median round trip. In us."""
    with joined_spaces() as (near, far):
        with near.entered():
            sender = open_udp(NEAR, tx_stamps=True)
        with far.entered():
            receiver = open_udp(FAR, _PORT, rx_stamps=True)
        with sender, receiver:
            _wake(sender, receiver)
            sent, arrived = [], []
            for _ in range(packets):
                sender.sendto(bytes(_PAYLOAD_BYTES), (FAR, _PORT))
                time.sleep(_INTERVAL_S)
                sent += tx_stamps(sender)
                arrived += receive(receiver)
        if not len(sent) == len(arrived) == packets:
            raise RunError(f"of {packets} packets {len(sent)} were stamped and {len(arrived)} arrived")
        stamps = zip(sent, arrived, strict=True)
        delays_ns = np.sort(np.array([rx_ns - tx_ns for (_, tx_ns), (_, _, rx_ns) in stamps], np.int64))
        told = {name: quantile(delays_ns, share) / _NS_PER_US for name, share in (("p50", 0.5), ("p99", 0.99))}
        return told | {"ping": _half_of_ping_us(near, packets)}


def _wake(sender: socket.socket, receiver: socket.socket) -> None:
    """Until arrivals are stamped: the kernel begins a little after the first socket has asked for it."""
    deadline_s = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline_s:
        sender.sendto(b"", (FAR, _PORT))
        time.sleep(_INTERVAL_S)
        if any(rx_ns != NO_STAMP for *_, rx_ns in receive(receiver)):
            tx_stamps(sender)
            return
    raise RunError(f"no arrival was stamped within {_WAIT_S:.0f} s")


def _half_of_ping_us(space: Namespace, count: int) -> float:
    command = ["ping", "-n", "-c", str(count), "-i", str(2 * _INTERVAL_S), FAR]
    said = subprocess.run(command, preexec_fn=space.enter, capture_output=True, text=True, check=False).stdout
    trips_ms = sorted(float(word) for word in re.findall(r"time=([\d.]+) ms", said))
    if not trips_ms:
        raise RunError(f"{' '.join(command)} told no round trip")
    return trips_ms[len(trips_ms) // 2] * _NS_PER_US / 2
