"""Where an attacker stands in a plan's network: its taps, its way onwards, and the filters that divert for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.kernel import filters
from testbed.kernel.netlink import Message, Netlink
from testbed.plan.model import Plan
from traffic.adversary import Crossing, diversions, open_router, run_adversary
from traffic.attacks import Action
from traffic.errors import AdversaryError
from traffic.insider import INSIDERS
from traffic.private import write_private
from traffic.selection import Selection
from traffic.threat import Threat, take_threat
from traffic.timestamps import open_tap, open_udp

LEDGER: Final = "adversary.jsonl"
OWN_CODE: Final = "attack.py"
"""In the run directory: a user's own attack, as it was when the plan was made."""

_Way = tuple[str, str, bool]  # node, the neighbour from which packets come, whether they go down


def threat_of(plan: Plan, options: dict[str, Any]) -> Threat | None:
    """The attacker on the path among the options of traffic, which are taken out; None if there is none.

    A faulty endpoint becomes an option of the session. Raises PlanError.
    """
    name, every = options.get("adversary"), options.get("adversary_every", 64)
    try:
        if name in INSIDERS:
            for setting in [setting for setting in options if setting.startswith("adversary")]:
                del options[setting]
            options |= {"insider": name, "insider_every": int(every)}
            return None
        threat = take_threat(options)
    except AdversaryError as error:
        raise PlanError(f"plan of {plan.topology}: {error}") from None
    if threat is not None and not list(ways(plan, threat)):
        raise PlanError(
            f"plan of {plan.topology}: there is no {threat.position} where an attacker could stand: "
            "choose another adversary_position"
        )
    return threat


def ways(plan: Plan, threat: Threat) -> Iterator[_Way]:
    """Where packets come in at the attacker's nodes, each once."""
    found = {
        "satellite": _satellite_ways,
        "gateway": _gateway_ways,
        "fibre": _fibre_ways,
    }[threat.position](plan)
    wanted = {"up": (False,), "down": (True,), "both": (False, True)}[threat.direction]
    yield from dict.fromkeys(way for way in found if way[2] in wanted)


def _satellite_ways(plan: Plan) -> Iterator[_Way]:
    """Up from terminals, down from gateways. Over laser links a packet is met where it comes in."""
    for link in plan.links:
        if plan.node(link.b).role == "satellite" and link.kind in ("user", "feeder"):
            yield link.b, link.a, link.kind == "feeder"


def _gateway_ways(plan: Plan) -> Iterator[_Way]:
    """Up from satellites, or a base station's phones, down from fibre."""
    for link in plan.links:
        if plan.node(link.b).role == "gateway":
            yield link.b, link.a, link.kind == "fibre"


def _fibre_ways(plan: Plan) -> Iterator[_Way]:
    """At the router where the fibre from a PoP ends, so outside the operator's NAT: up from the PoP, down from all
    others. Where no PoP is, at the edge of each data centre: up from the carrier, down from the centre's hosts."""
    if not any(node.role == "pop" for node in plan.nodes):
        yield from _edge_ways(plan)
    for link in plan.links:
        if link.kind == "fibre" and plan.node(link.a).role == "pop" and plan.node(link.b).role == "router":
            yield link.b, link.a, False
            others = [other.a for other in plan.links if other.b == link.b and plan.node(other.a).role != "pop"]
            others += [lan.host for lan in plan.lans if lan.router == link.b]
            for other in others:
                yield link.b, other, True


def _edge_ways(plan: Plan) -> Iterator[_Way]:
    """At the routers of those hosts that audited pairs lead to."""
    centres = {path[0].nodes[-1] for path in plan.paths[::2]}
    homes = {lan.router: lan.host for lan in plan.lans if lan.host in centres}
    for link in plan.links:
        if link.b in homes:
            yield link.b, link.a, False
            yield link.b, homes[link.b], True


def attack(
    wiring: Wiring, threat: Threat, folder: Path, start_realtime_ns: int, hosts: Mapping[str, socket.socket]
) -> None:
    """Attack until this process is killed. `hosts`: a socket in the namespace of each host. Raises TrafficError."""
    actions = _own_actions(threat, folder)
    with ExitStack() as stack:
        crossings: list[Crossing] = []
        diverted: list[tuple[Netlink, int, list[Selection], str]] = []
        for name, neighbour, down in ways(wiring.plan, threat):
            node, arrives = wiring.nodes[name], wiring.interface(name, neighbour)
            with node.namespace.entered():
                read, write = stack.enter_context(open_tap(arrives.name)), stack.enter_context(open_router())
                netlink = stack.enter_context(Netlink())
            crossings.append(Crossing(f"{neighbour}→{name}", read, write, reply=down))
            diverted.append((netlink, arrives.index, diversions(threat, actions, reply=down), crossings[-1].name))

        def divert(on: bool) -> None:
            for netlink, index, selections, what in diverted:
                netlink.send(list(_filters(index, selections, what, on)))

        run_adversary(
            threat,
            crossings,
            lambda: False,
            folder / LEDGER,
            actions=actions,
            divert=divert,
            start_realtime_ns=start_realtime_ns,
            network=[*hosts.values(), *_beyond(wiring, hosts, stack)],
        )


def _filters(index: int, selections: list[Selection], what: str, on: bool) -> Iterator[Message]:
    """Messages that set or take away what diverts these selections at an interface."""
    if on and selections:
        yield filters.ingress(index, what)
    for selection in selections:
        if selection.share is None:
            if on:
                yield filters.divert(index, selection.words, what)
        else:
            program = selection.program()
            yield filters.divert_by(index, program, what) if on else filters.undivert_by(index, what)
    if not on and any(selection.share is None for selection in selections):
        yield filters.undivert(index, what)


def _beyond(wiring: Wiring, hosts: Mapping[str, socket.socket], stack: ExitStack) -> Iterator[socket.socket]:
    """A socket of every other namespace on the ground, for the attacker's leash: an uplink could be there."""
    for planned in wiring.plan.nodes:
        if planned.role != "satellite" and planned.name not in hosts:
            with wiring.nodes[planned.name].namespace.entered():
                yield stack.enter_context(open_udp("127.0.0.1"))


def _own_actions(threat: Threat, folder: Path) -> tuple[Action, ...]:
    """A user's own function, from the text that the plan holds; none where the catalogue's are used."""
    if not threat.code:
        return ()
    from traffic.own_attack import load_action  # it imports Scapy, which takes seconds in the guest

    path = folder / OWN_CODE
    write_private(path, threat.code)
    return (load_action(path, threat.action),)
