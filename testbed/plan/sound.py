"""Is a scenario sound? Names, what hangs together, and rules that leave something to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import ScenarioError
from testbed.plan.texts import nearest

if TYPE_CHECKING:
    from testbed.plan.scenario import Carrier, Centre, Gateway, Pop, Scenario, Terminal

NAME_LENGTH = 9
"""Characters of a site's or host's name: Linux allows 15 for an interface, `-eth` and a port number take the rest."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")


def check(scenario: Scenario) -> None:
    """Refuse a scenario that cannot be planned; raises ScenarioError with the place and what to do."""
    _names(scenario)
    _joints(scenario)
    _rules(scenario)


def check_names(where: str, short: Sequence[str], nodes: Sequence[str]) -> None:
    """Names of hosts and sites fit into interface names, and no two nodes share one; raises ScenarioError."""
    for name in short:
        if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH or name == "default":
            raise ScenarioError(
                f"{where}: '{name}' is not a name: write at most {NAME_LENGTH} of a-z, 0-9 and '-', a letter first"
            )
    for name in nodes:
        if nodes.count(name) > 1:
            raise ScenarioError(f"{where}: two nodes are named '{name}'")


def _names(scenario: Scenario) -> None:
    """Names fit into interface names, have the prefix of their role, and no two nodes share one."""
    where = f"topology {scenario.name}"
    hosts = [terminal.host for terminal in scenario.terminals] + [centre.host for centre in scenario.centres]
    parts: Sequence[Terminal | Gateway | Pop | Carrier | Centre] = (
        *scenario.terminals,
        *scenario.gateways,
        *scenario.pops,
        *scenario.carriers,
        *scenario.centres,
    )
    prefixed = [
        *(("gw-", gateway.name) for gateway in scenario.gateways),
        *(("pop-", pop.name) for pop in scenario.pops),
        *(("pe-", carrier.router) for carrier in scenario.carriers),
        *(("ce-", centre.router) for centre in scenario.centres),
    ]
    for prefix, name in prefixed:
        if not name.startswith(prefix):
            raise ScenarioError(f"{where}: node '{name}' must be named {prefix}<site>")
    short = [*hosts, *(part.site.name for part in parts), *(name.removeprefix(prefix) for prefix, name in prefixed)]
    nodes = [*hosts, *(terminal.name for terminal in scenario.terminals), *(name for _, name in prefixed)]
    check_names(where, short, nodes)


def _joints(scenario: Scenario) -> None:
    """Terminals, gateways, one PoP, centres and audited pairs hang together."""
    where = f"topology {scenario.name}"
    if not scenario.terminals or not scenario.gateways or not scenario.centres:
        raise ScenarioError(f"{where}: it needs a terminal, a gateway and a data centre at least")
    pops = [pop.name for pop in scenario.pops]
    for name, its_pops in [(g.name, g.pops) for g in scenario.gateways] + [
        (c.host, (c.pop,)) for c in scenario.centres
    ]:
        if not its_pops:
            raise ScenarioError(f"{where}: '{name}' leads to no PoP; give it one of {', '.join(pops)}")
        for its_pop in its_pops:
            if its_pop not in pops:
                raise ScenarioError(
                    f"{where}: '{name}' is at PoP '{its_pop}', which is not declared; there is {', '.join(pops)}"
                )
    if scenario.carriers and len(pops) > 1:
        raise ScenarioError(
            f"{where}: a carrier behind {len(pops)} PoPs is not modelled: declare one PoP, or no carrier"
        )
    if 0 < sum(centre.carrier is not None for centre in scenario.centres) < len(scenario.centres):
        raise ScenarioError(f"{where}: give every data centre a carrier, or none of them")
    terminals = {terminal.host for terminal in scenario.terminals}
    centres = {centre.host for centre in scenario.centres}
    for host, centre in scenario.pairs:
        if host not in terminals or centre not in centres:
            raise ScenarioError(f"{where}: audited pair {host}-{centre} is not a terminal's host and a centre's host")
    unpaired = sorted(terminals - {host for host, _ in scenario.pairs})
    if unpaired:
        raise ScenarioError(f"{where}: '{unpaired[0]}' is in no audited pair; add ('{unpaired[0]}', <centre host>)")


def _rules(scenario: Scenario) -> None:
    """Rules of landing leave a gateway, what is lost exists, and FRR is not asked for what it cannot do here."""
    where = f"topology {scenario.name}"
    if not scenario.open_gateways:
        there = ", ".join(sorted({gateway.country for gateway in scenario.gateways}))
        raise ScenarioError(
            f"{where}: no gateway in {', '.join(scenario.access.landing)}, where alone satellites may land; "
            f"gateways stand in {there}"
        )
    for terminal in scenario.terminals:
        if terminal.cell and terminal.cell not in scenario.cells:
            raise ScenarioError(f"{where}: '{terminal.host}' is at cell '{terminal.cell}', which is not declared")
    if scenario.backup is not None and scenario.backup.gateway not in [one.name for one in scenario.gateways]:
        raise ScenarioError(f"{where}: there is no gateway '{scenario.backup.gateway}' for the backup")
    known = [*(gateway.name for gateway in scenario.gateways), *(pop.name for pop in scenario.pops)]
    for loss in scenario.lost:
        if loss.node not in known:
            raise ScenarioError(
                f"{where}: lost '{loss.node}' is no gateway and no PoP{nearest(loss.node, known)}; "
                f"there is {', '.join(known)}"
            )
        if loss.end_ns is not None and loss.end_ns <= loss.begin_ns:
            raise ScenarioError(
                f"{where}: the loss of {loss.node} ends at {loss.end_ns / NS_PER_S:g} s, before it begins "
                f"at {loss.begin_ns / NS_PER_S:g} s"
            )
    if scenario.routing == "frr" and len(scenario.pops) > 1:
        raise ScenarioError(
            f"{where}: routing=frr with {len(scenario.pops)} PoPs: OSPF cannot choose between their NATs"
        )
