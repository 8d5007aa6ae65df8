"""`profile=strongswan` in a run: a tunnel between the hosts of every flow, into which the session sends in the clear.

The session's packets go from inner address to inner address, and each host's kernel encrypts them; its tap sees what
comes in both ways, as ESP and then as what was in it. So a session measures as ever, and judges no ESP: what the
kernels refuse is counted by themselves, and what charon did is in its log. Both are kept in strongswan.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from testbed.emulation.internet import split
from testbed.emulation.swan.config import End, Options, Tunnel
from testbed.emulation.swan.daemons import Charons, Installation
from testbed.emulation.swan.watch import renewals, sources, version
from testbed.emulation.wiring import Wiring
from testbed.ground.errors import PlanError
from testbed.kernel.namespaces import Namespace
from traffic.flows import Flow

PROFILE: Final = "strongswan"
FILE: Final = "strongswan.json"
_FOLDER: Final = "strongswan"
_FITTING: Final = {
    "encryption": ("overlay",),
    "access": ("cgnat", "public"),
    "generator": ("struct",),
    "adversary": ("none",),
    "ledger": ("auto", "off"),
}
"""What else a plan's `traffic` may ask for, by name; the first is usual."""
_REFUSED: Final = Path("/proc/thread-self/net/xfrm_stat")  # linux/Documentation/networking/xfrm_proc.rst


def take(traffic: dict[str, Any]) -> Options | None:
    """The options of tunnels, if a plan's `traffic` asks for them; it is then left as a session in the clear needs it.

    Raises PlanError for what does not go with it.
    """
    if traffic.get("profile") != PROFILE:
        return None
    for name, fitting in _FITTING.items():
        if traffic.get(name, fitting[0]) not in fitting:
            raise PlanError(f"profile={PROFILE} with {name}={traffic[name]} is refused: use {name}={fitting[0]}")
    traffic |= {"profile": "manual", "encryption": "operator"}
    return Options(rekey_s=float(traffic["rekey_s"]), window=int(traffic["window"]), esn=bool(traffic["esn"]))


class Overlay:
    """The tunnels of a network that is up. A context: `close` ends them."""

    def __init__(self, wiring: Wiring, folder: Path, flows: Sequence[Flow], options: Options) -> None:
        """Start, and wait until every tunnel is up. Raises PlanError, MachineError, RunError."""
        self._folder = folder
        self._tunnels = tunnels(wiring, flows)
        hosts = {end.host for tunnel in self._tunnels for end in (tunnel.initiator, tunnel.responder)}
        self._spaces = {host: wiring.nodes[host].namespace for host in sorted(hosts)}
        self._charons = Charons(Installation.find(), folder / _FOLDER, self._tunnels, self._spaces, options)
        self._refused = {host: refused(space) for host, space in self._spaces.items()}

    def finish(self) -> None:
        """Keep what the charons did and what the kernels refused; raises RunError where one has died meanwhile."""
        self._charons.check()
        told = {
            "version": version(self._charons.log(self._tunnels[0].initiator.host)) if self._tunnels else "",
            "tunnels": [self._told(tunnel) for tunnel in self._tunnels],
            "refused": {
                host: {name: count - self._refused[host].get(name, 0) for name, count in refused(space).items()}
                for host, space in self._spaces.items()
            },
        }
        (self._folder / FILE).write_text(json.dumps(told, indent=1) + "\n")

    def close(self) -> None:
        """End the charons."""
        self._charons.close()

    def _told(self, tunnel: Tunnel) -> dict[str, Any]:
        began, answered = self._charons.log(tunnel.initiator.host), self._charons.log(tunnel.responder.host)
        name = tunnel.name
        return {
            "name": name,
            "initiator": asdict(tunnel.initiator),
            "responder": asdict(tunnel.responder),
            "renewals": [asdict(each) for each in renewals(began) if each.name.startswith((f"{name}[", f"{name}{{"))],
            "heard_from": [list(place) for place in sources(answered, name)],
        }


def tunnels(wiring: Wiring, flows: Sequence[Flow]) -> list[Tunnel]:
    """One for each pair of hosts between which something flows; the host behind the NAT begins. Raises PlanError."""
    plan = wiring.plan
    if split(plan.flows)[1]:
        raise PlanError(f"plan of {plan.topology}: profile={PROFILE} with services over TCP is refused: leave them out")
    found: dict[frozenset[str], Tunnel] = {}
    for flow in flows:
        if flow.srtp or flow.templates:
            raise PlanError(
                f"plan of {plan.topology}: flow '{flow.name}': profile={PROFILE} carries no SRTP and no templates"
            )
        # behind the NAT first; else in the order of their names, so that both directions make one tunnel
        ends = sorted((flow.src, flow.dst), key=lambda name: (not plan.node(name).inside, name))
        if plan.node(ends[1]).inside:
            raise PlanError(
                f"plan of {plan.topology}: flow '{flow.name}': {ends[0]} and {ends[1]} are both behind a NAT: "
                f"profile={PROFILE} has no tunnel between them"
            )
        initiator, responder = (_end(wiring, name) for name in ends)
        found.setdefault(frozenset(ends), Tunnel(initiator, responder))
    return list(found.values())


def refused(space: Namespace) -> Mapping[str, int]:
    """What the kernel of a host has refused of ESP so far, by reason."""
    with space.entered():
        lines = _REFUSED.read_text().splitlines()
    return {name: int(count) for name, count in map(str.split, lines) if count != "0"}


def _end(wiring: Wiring, host: str) -> End:
    return End(host, str(wiring.outer(host)), wiring.lans[host].inner)
