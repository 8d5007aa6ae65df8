"""Where a run keeps its ledger: taps at the edges of protected paths, or at each interface where packets arrive there.

The edges tell what became of each packet; the hops between them also where. In the guest a frame costs some 0.1 ms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, get_args

from testbed.emulation.children import Child
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.kernel import queues
from testbed.plan.expected import pair_path
from traffic.flows import Flow
from traffic.ledger import POINTS_FILE, Points, keep_ledger, listen_for_esp
from traffic.session import WAITING_TIME_NS
from traffic.timestamps import open_tap

MOST_TAPS: Final = 500
"""Assumption: one process reads so many; beyond, a plan's paths are too many to watch each packet."""

_TAP_BYTES: Final = 4 << 20  # two seconds of a thousand large packets


Extent = Literal["off", "edges", "hops"]


def wanted(options: dict[str, Any]) -> Extent:
    """The ledger that a plan's options of traffic ask for, which is taken out of them: 'off', 'edges' or 'hops'.

    Without a word the edges are watched where an attacker is at work. Raises PlanError.
    """
    told = options.pop("ledger", "auto")
    if told == "auto":
        return "edges" if options.get("adversary", "none") != "none" else "off"
    if told not in get_args(Extent):
        raise PlanError(f"ledger '{told}' is unknown: use auto, {', '.join(get_args(Extent))}")
    extent: Extent = told
    return extent


class Ledger:
    """A run's ledger: open from the beginning, kept by a process of its own."""

    def __init__(self, wiring: Wiring, flows: Sequence[Flow], folder: Path, extent: Extent) -> None:
        """Open the taps. Raises PlanError if they were too many."""
        self._wiring, self._folder = wiring, folder
        every_hop = dict.fromkeys(_hops(wiring, flows))
        hops = [(a, b) for a, b in every_hop if extent == "hops" or a in wiring.lans or b in wiring.lans]
        self._links = [number for number, link in enumerate(wiring.plan.links) if (link.a, link.b) in every_hop]
        self._extent = extent
        self._dropped_before: dict[str, int] = {}
        if len(hops) > MOST_TAPS:
            raise PlanError(
                f"plan of {wiring.plan.topology}: a ledger would need {len(hops)} taps, of {MOST_TAPS} at most: use "
                "ledger=edges, or plan a shorter time"
            )
        taps, entrances, exits = {}, set(), set()
        for a, b in hops:
            name = f"{a}→{b}"
            with wiring.nodes[b].namespace.entered():
                taps[name] = open_tap(wiring.interface(b, a).name, _TAP_BYTES)
            listen_for_esp(taps[name])
            if a in wiring.lans:
                entrances.add(name)
            if b in wiring.lans:
                exits.add(name)
        self._points = Points(taps, entrances, exits)
        self._child: Child | None = None

    def start(self, start_realtime_ns: int, stop_ns: int) -> None:
        """Keep it until all stragglers of a session that stops at `stop_ns` are there."""
        self._dropped_before = self._dropped()
        work = (self._points, start_realtime_ns, stop_ns + WAITING_TIME_NS, self._folder)
        self._child = Child("ledger", lambda: keep_ledger(*work))

    def finish(self) -> None:
        """Wait for it, and add what queues have dropped, link by link: packets of all kinds."""
        if self._child is None:
            return
        self._child.wait()
        file = self._folder / POINTS_FILE
        document = json.loads(file.read_text())
        document["extent"] = self._extent
        dropped = {name: count - self._dropped_before.get(name, 0) for name, count in self._dropped().items()}
        document["queue_drops"] = {name: count for name, count in dropped.items() if count > 0}
        file.write_text(json.dumps(document, indent=1) + "\n")

    def _dropped(self) -> dict[str, int]:
        """What the queues along the flows' paths have dropped since they were made, by link."""
        found = {}
        for number in self._links:
            end = self._wiring.end(number)
            for answer in self._wiring.nodes[end.node].netlink.send([queues.held_netem(end.index, end.what)]):
                found[end.what] = queues.parse_drops(answer)
        return found

    def kill(self) -> None:
        """At once, if it is still at work."""
        if self._child is not None:
            self._child.kill()
        for tap in self._points.taps.values():
            tap.close()


def _hops(wiring: Wiring, flows: Sequence[Flow]) -> Iterator[tuple[str, str]]:
    """Each hop that packets of the flows may take; all there are, where the plan does not know or not decide it."""
    plan = wiring.plan
    for flow in flows:
        path = pair_path(plan, flow.src, flow.dst) if plan.routing == "plan" else None
        if path is None:
            for a, b in wiring.pairs:
                yield from ((a, b), (b, a))
            return
        for step in path:
            yield from pairwise(step.nodes)
