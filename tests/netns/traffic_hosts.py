"""Two protected hosts and a router between them, for tests of sessions and of the attacker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from traffic_lab import Lab

from traffic.flows import parse_flows
from traffic.packets import NAT_T_PORT
from traffic.session import HostSockets, Progress, SessionOptions, run_session
from traffic.timestamps import open_tap, open_udp

S = 1_000_000_000
ROME, MILAN = "10.0.1.2", "10.0.2.2"


def routed(lab: Lab) -> None:
    """rome - router - milan; the router's interfaces are r-eth0 (to rome) and r-eth1 (to milan)."""
    for name in ("rome", "milan", "router"):
        lab.add(name, forward=name == "router")
    lab.link("rome", "h-eth0", f"{ROME}/24", "router", "r-eth0", "10.0.1.1/24")
    lab.link("milan", "h-eth0", f"{MILAN}/24", "router", "r-eth1", "10.0.2.1/24")
    lab.ip("rome", "route add default via 10.0.1.1")
    lab.ip("milan", "route add default via 10.0.2.1")


def hosts(
    lab: Lab, *, rome_inside: bool = False, ipv6: bool = False, port: int = NAT_T_PORT, **milan_tap: int
) -> dict[str, HostSockets]:
    """Open the sockets of both hosts in their namespaces."""
    opened = {}
    for number, (name, address) in enumerate((("rome", ROME), ("milan", MILAN)), start=1):
        udp = lab.within(name, open_udp, address, port, tx_stamps=True, no_checksum=port == NAT_T_PORT)
        tap = lab.within(name, open_tap, "h-eth0", **(milan_tap if name == "milan" else {}))
        inner = f"fd77::{number}" if ipv6 else f"10.77.0.{number}"
        opened[name] = HostSockets(name, address, inner, rome_inside and name == "rome", udp, tap)
    return opened


def flow(name: str, src: str, dst: str, rate_pps: float, payload_bytes: int, dscp: int, kind: str = "bulk") -> dict:
    return {
        "name": name,
        "kind": kind,
        "src": src,
        "dst": dst,
        "dscp": dscp,
        "rate_pps": rate_pps,
        "payload_bytes": payload_bytes,
        "start_ns": 0,
        "stop_ns": 3600 * S,
    }


WORKLOAD = [  # 350 packets/s
    flow("call", "rome", "milan", 50, 172, 46, "voice"),
    flow("answer", "milan", "rome", 50, 172, 46, "voice"),
    flow("upload", "rome", "milan", 125, 1200, 0),
    flow("download", "milan", "rome", 125, 1200, 0),
]


def play(
    flows: list[dict],
    opened: dict[str, HostSockets],
    folder: Path,
    seconds: float,
    options: SessionOptions | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
    """Run a session and read what it wrote."""
    declared = parse_flows(flows, opened)
    start_ns = time.time_ns() + S // 2
    run_session(declared, options or SessionOptions(), opened, start_ns, round(seconds * S), folder, progress)
    return json.loads((folder / "flows.json").read_text()), np.load(folder / "flows.npy")


def reasons_beyond_pacing(document: dict[str, Any]) -> list[str]:
    """A busy test machine may starve the sender; nothing else may make these sessions invalid."""
    return [reason for reason in document["invalid_reasons"] if "starved" not in reason]
