"""What a live run is made of, and what its kernel holds beside what it is to hold."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from testbed.emulation.player import Player
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import KernelError
from testbed.kernel import queues
from testbed.kernel.netlink import Netlink
from testbed.kernel.queues import Impairment

MOST_LINKS: Final = 2_000
"""Assumption: who wants to look at more directions at once wants a node of them; each takes the guest some 0.2 ms."""

_TURNS: Final = 6
_PAUSE_S: Final = 0.05
_LOSS_SLACK: Final = 2.0**-31  # netem holds 32 bits of a loss


class Look:
    """Answers about one run's network."""

    def __init__(self, wiring: Wiring, player: Player) -> None:
        self._wiring, self._player = wiring, player
        self._neighbours: dict[str, list[str]] = {name: [] for name in wiring.nodes}
        for a, b in wiring.pairs:
            self._neighbours[a].append(b)
            self._neighbours[b].append(a)

    def interfaces(self, name: str) -> list[dict[str, Any]]:
        """Of a node, in their order: name, neighbour, addresses."""
        found = []
        for there in self._neighbours[name]:
            interface = self._wiring.interface(name, there)
            addresses = [str(address) for address in interface.addresses]
            found.append({"name": interface.name, "to": there, "addresses": addresses})
        return sorted(found, key=lambda row: str(row["name"]))

    def document(self, only: str | None) -> dict[str, Any]:
        """Nodes with their interfaces, and directions with netem: what is held, what is wanted. `only`: of one node."""
        nodes = [
            {"name": node.name, "role": node.role, "interfaces": self.interfaces(node.name)}
            for node in self._wiring.plan.nodes
            if only in (None, node.name)
        ]
        links = self._wiring.plan.links
        numbers = [number for number, link in enumerate(links) if only is None or only in (link.a, link.b)]
        return {"nodes": nodes, "links": self._links(numbers[:MOST_LINKS]), "links_left_out": len(numbers[MOST_LINKS:])}

    def _links(self, numbers: list[int]) -> list[dict[str, Any]]:
        """What disagrees is read again: the player may just have been changing it."""
        sockets: dict[str, Netlink] = {}
        rows: dict[int, dict[str, Any]] = {}
        try:
            for turn in range(_TURNS):
                wrong = [number for number in numbers if number not in rows or not rows[number]["agrees"]]
                if wrong and turn:
                    time.sleep(_PAUSE_S)
                for number in wrong:
                    rows[number] = self._link(number, sockets)
        finally:
            for netlink in sockets.values():
                netlink.close()
        return [rows[number] for number in numbers]

    def _link(self, number: int, sockets: dict[str, Netlink]) -> dict[str, Any]:
        link, end = self._wiring.plan.links[number], self._wiring.end(number)
        if link.a not in sockets:
            with self._wiring.nodes[link.a].namespace.entered():
                sockets[link.a] = Netlink()
        netlink = sockets[link.a]
        answers = netlink.send([queues.held_netem(end.index, end.what)])
        held = queues.parse_netem(answers[0])[1] if answers else None
        wanted, rate_bps = self._player.wanted(number), None
        if end.narrow and held is not None:
            with suppress(KernelError, ValueError):  # else somebody has taken it away
                (answer,) = netlink.send([queues.held_rate(end.index, end.what)])
                rate_bps = queues.parse_rate(answer)
        return {
            "from": link.a,
            "to": link.b,
            "kind": link.kind,
            "interface": self._wiring.interface(link.a, link.b).name,
            "held": None if held is None else _described(held) | {"rate_bps": rate_bps},
            "planned": _described(wanted) | {"rate_bps": self._player.wanted_rate_bps(number) if end.narrow else None},
            "agrees": held is not None and _agree(held, wanted),
        }


def _agree(held: Impairment, wanted: Impairment) -> bool:
    same = (held.delay_ns, held.limit) == (wanted.delay_ns, wanted.limit)
    return same and abs(held.loss - wanted.loss) <= _LOSS_SLACK


def _described(impairment: Impairment) -> dict[str, Any]:
    return {
        "up": impairment.loss < 1,
        "delay_ms": impairment.delay_ns / 1e6,
        "loss": round(impairment.loss, 9),
        "limit": impairment.limit,
    }
