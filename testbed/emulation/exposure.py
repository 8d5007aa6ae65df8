"""A tap at every node of the network, and what it could read of the flows, written to `exposure.json`."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from testbed.emulation import tunnels
from testbed.emulation.wiring import Wiring
from testbed.ground.records import EXPOSURE
from testbed.plan.model import Node, Plan
from traffic.exposure import Listeners, Watched, open_ears
from traffic.flows import Flow

MOST_TAPS: Final = 100
"""Nodes that are tapped: a whole constellation has thousands, of which flows cross few. Assumption."""

_NICE: Final = 5  # frames wait in the tap's buffer; the senders' times must not suffer
_OPERATED_BY: Final = {"router": "government"}  # where the plan names no domains; all else is the operator's


class Exposure:
    """The taps of one run. They are opened at once, and read in a process of its own."""

    def __init__(self, wiring: Wiring, flows: Sequence[Flow], canaries: Sequence[bytes]) -> None:
        self._plan, self._wiring = wiring.plan, wiring
        self._encryption = str(wiring.plan.traffic.get("encryption", "overlay"))
        self._nodes, self._untapped = tapped(wiring.plan)
        self._watched = [_watched(wiring, flow, canary) for flow, canary in zip(flows, canaries, strict=True)]
        self._inner = {_packed(lan.inner) for lan in wiring.lans.values()}
        self._socks = {}
        for name in self._nodes if flows else ():
            with wiring.nodes[name].namespace.entered():
                self._socks[name] = open_ears()

    def listen(self, start_ns: int, end_ns: int, folder: Path) -> None:
        """Look at every frame until `end_ns`, then write the matrix; `start_ns` is schedule time 0, CLOCK_REALTIME."""
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        listeners = Listeners(self._socks, self._watched)
        listeners.listen(lambda: time.time_ns() >= end_ns)
        (folder / EXPOSURE).write_text(json.dumps(self._document(listeners, start_ns), indent=1) + "\n")

    def _document(self, listeners: Listeners, start_ns: int) -> dict[str, Any]:
        matrix = listeners.matrix(start_ns)
        rows = []
        for name, tap in listeners.taps.items():
            node = self._plan.node(name)
            rows.append(
                {
                    "node": name,
                    "role": node.role,
                    "operated_by": operated_by(node),
                    "may_read": may_read(node, self._encryption),
                    "frames": tap.frames,
                    "lost": tap.lost,
                    "flows": matrix[name],
                }
            )
        return {
            "encryption": self._encryption,
            "nodes": rows,
            "inner_addresses": listeners.inner_addresses(self._inner),
            "tunnels_refused": self._refused(),
            "untapped": self._untapped,
        }

    def _refused(self) -> dict[str, dict[str, int]]:
        """By node what came to an end of the operator's tunnels and did not authenticate, or was none of theirs."""
        if not tunnels.wanted(self._encryption):
            return {}
        ends = [node.name for node in self._plan.nodes if node.role in ("terminal", "pop")]
        counts = {name: tunnels.refused(self._wiring.nodes[name]) for name in ends}
        return {name: found for name, found in counts.items() if found}


def tapped(plan: Plan) -> tuple[list[str], int]:
    """Nodes to tap, in the order of the plan, and how many are left out: all that are no hosts, if they are few; else
    those on audited paths."""
    everything = [node.name for node in plan.nodes if node.role != "host"]
    if len(everything) <= MOST_TAPS:
        return everything, 0
    crossed = {name for path in plan.paths for step in path for name in step.nodes}
    chosen = [name for name in everything if name in crossed][:MOST_TAPS]
    return chosen, len(everything) - len(chosen)


def operated_by(node: Node) -> str:
    """Who runs a node: whoever does hears what it hears. Satellites are the operator's too, but in space."""
    if node.role == "satellite":
        return "space"
    return node.domain or _OPERATED_BY.get(node.role, "operator")


def may_read(node: Node, encryption: str) -> bool:
    """Whether the payload may be read at a node: with the operator's encryption alone, wherever the operator's tunnel
    ends and beyond it."""
    return encryption == "operator" and node.role not in ("satellite", "gateway")


def _watched(wiring: Wiring, flow: Flow, canary: bytes) -> Watched:
    plan = wiring.plan
    users = {lan.host for lan in plan.lans if plan.node(lan.router).role == "terminal"}
    hub = str(plan.traffic.get("hub", ""))
    hosts = [flow.src, flow.dst]
    if hub and hub not in hosts and all(plan.node(name).inside for name in hosts):
        hosts.insert(1, hub)
    legs = list(pairwise(hosts))
    ends = set()
    if tunnels.wanted(plan.traffic.get("encryption")):
        pop = tunnels.CONCENTRATOR.packed
        ends |= {(tunnels.tunnel_end(wiring.lans[name]).packed, pop) for name, _ in legs if name in users}
        ends |= {(pop, tunnels.tunnel_end(wiring.lans[name]).packed) for _, name in legs if name in users}
    outer = tuple((wiring.outer(source).packed, wiring.outer(destination).packed) for source, destination in legs)
    return Watched(flow.name, canary, outer, flow.dscp, frozenset(ends))


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed
