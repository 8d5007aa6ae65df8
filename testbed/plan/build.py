"""From a scenario and a catalogue to the frozen plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue, stale_warning
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Place, Track
from testbed.plan.access import Leg, assign, ephemeris_window
from testbed.plan.denial import denial_events
from testbed.plan.geometry import Geometry
from testbed.plan.handover import Handovers, find_handovers, held_ns
from testbed.plan.jamming import jam_events, jammed
from testbed.plan.manifest import provenance
from testbed.plan.model import Event, Lan, Node, Plan, Role
from testbed.plan.routing import paths, routes
from testbed.plan.scenario import Scenario
from testbed.plan.schedule import Schedule

MINIMUM_STEP_NS = 1_000_000
"""Assumption: a shorter step changes a delay by less than 0.1 ns and only loads the player."""

COVERAGE_NS = 30 * 86_400 * NS_PER_S
"""Assumption: beyond 30 days from its epoch an element set of a low orbit says nothing (80 km off after 6 days)."""

NAMED_FAILURES = 5
"""Satellites that a warning names before it stops counting them out."""


def build_plan(
    scenario: Scenario,
    catalogue: Catalogue,
    start_ns: int,
    duration_ns: int,
    step_ns: int = 100_000_000,
    seed: int = 0,
    extras: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of `scenario` under the satellites of `catalogue` from `start_ns` (UTC since 1970) on.

    step_ns: how often the delays of links in use are renewed. seed: for policies that draw. extras: more
    entries for the manifest, JSON types only. The same arguments give the same plan, byte for byte.
    Raises PlanError when a time is unfit, nothing can be propagated, or a terminal never has a satellite.
    """
    scenario = scenario.starting_at(start_ns)
    _check_times(scenario, duration_ns, step_ns)
    _check_coverage(catalogue, start_ns, duration_ns)
    ephemeris = Ephemeris(catalogue, *ephemeris_window(start_ns, duration_ns, scenario))
    if len(ephemeris.failed) == len(catalogue):
        raise PlanError(
            f"{catalogue.source}: none of its {len(catalogue):,} satellites can be propagated to "
            f"{format_utc(start_ns)} ({next(iter(ephemeris.failed.values()))}): choose a start near the newest epoch, "
            f"{format_utc(catalogue.newest_epoch_ns)}"
        )
    legs = assign(scenario, catalogue, ephemeris, start_ns, duration_ns, seed)
    geometry = Geometry(scenario, ephemeris, start_ns, seed)
    handovers = find_handovers(geometry, legs)
    names = catalogue.node_names
    serving = {satellite for its_legs in legs for leg in its_legs if not leg.outage for satellite in leg.chain}
    used = sorted(serving, key=catalogue.numbers.__getitem__)
    schedule = Schedule(geometry, legs, handovers.raises, names, duration_ns, step_ns)
    schedule.add_user_links(used)
    schedule.add_cell_links()
    schedule.add_isl_links(used)
    schedule.add_feeder_links(used)
    schedule.add_fibres()
    spared = {names[satellite] for satellite in used if geometry.backup_of(satellite)} | set(scenario.cells)
    stands = {user.name: _stands(user.site, start_ns) for user in scenario.terminals}
    places, jams = {user.name: user.site for user in scenario.terminals}, scenario.jams
    tracks = {name: asdict(place) for name, place in places.items() if isinstance(place, Track)}
    return Plan(
        topology=scenario.name,
        start_ns=start_ns,
        duration_ns=duration_ns,
        satellites=len(catalogue) - len(ephemeris.failed),
        nodes=_nodes(scenario, stands, [names[satellite] for satellite in used]),
        links=tuple(schedule.links),
        lans=(
            *(Lan(terminal.host, terminal.name) for terminal in scenario.terminals),
            *(Lan(centre.host, centre.router) for centre in scenario.centres),
        ),
        routes=routes(scenario, legs, names),
        events=_in_order(
            _events(geometry, legs, handovers, names, duration_ns),
            jam_events(stands, jams, duration_ns),
            denial_events(places, scenario.denied, start_ns, duration_ns),
        ),
        paths=paths(scenario, legs, names),
        steps=jammed(schedule.links, schedule.steps(), stands, jams, duration_ns, spared),
        flows=scenario.flows(duration_ns),
        routing=scenario.routing,
        traffic=dict(scenario.traffic),
        warnings=_warnings(catalogue, ephemeris, start_ns, names),
        assumptions=scenario.assumptions,
        manifest={
            **provenance(scenario.name, catalogue, start_ns, duration_ns, step_ns),
            "title": scenario.title,
            **({"sovereignty": asdict(scenario.sovereignty)} if scenario.sovereignty else {}),
            **({"tracks": tracks} if tracks else {}),
            "parameters": dict(scenario.parameters),
            "overheads": asdict(scenario.overheads),
            "seed": seed,
            **(extras or {}),
        },
    )


def _check_times(scenario: Scenario, duration_ns: int, step_ns: int) -> None:
    if duration_ns <= 0:
        raise PlanError(f"plan of {scenario.name}: duration {duration_ns / NS_PER_S:g} s is not positive")
    if step_ns < MINIMUM_STEP_NS:
        raise PlanError(f"plan of {scenario.name}: step {step_ns / 1e6:g} ms is below 1 ms: take 100 ms")


def _check_coverage(catalogue: Catalogue, start_ns: int, duration_ns: int) -> None:
    """Elements say nothing of a time far from their epochs, although SGP4 still gives positions."""
    early, late = int(catalogue.epochs_ns.min()), catalogue.newest_epoch_ns
    if start_ns + duration_ns < early - COVERAGE_NS or start_ns > late + COVERAGE_NS:
        raise PlanError(
            f"{catalogue.source}: no elements within {COVERAGE_NS // (86_400 * NS_PER_S)} days of the start "
            f"{format_utc(start_ns)}: choose a start near the newest epoch, {format_utc(late)}, or other elements"
        )


def _nodes(scenario: Scenario, stands: Mapping[str, Site], satellites: Sequence[str]) -> tuple[Node, ...]:
    """Hosts, then the way they go: terminals, satellites, gateways, PoPs, carriers, the centres' routers. Where they
    are at the plan's start; and who runs them, if not one does."""
    operator, carrier, government = ("operator", "carrier", "government") if scenario.carriers else ("", "", "")
    translated = scenario.translated
    hosts = [(user.host, stands[user.name]) for user in scenario.terminals]
    nodes = [_at(host, "host", site, operator, inside=translated) for host, site in hosts]
    nodes += [_at(centre.host, "host", centre.site, government, inside=False) for centre in scenario.centres]
    nodes += [_at(user.name, "terminal", stands[user.name], operator) for user in scenario.terminals]
    nodes += [Node(name, "satellite", domain=operator) for name in satellites]
    gateways = [scenario.gateways[number] for number in scenario.open_gateways]
    nodes += [_at(gateway.name, "gateway", gateway.site, operator) for gateway in gateways]
    nodes += [_at(pop.name, "pop", pop.site, operator, nat=translated) for pop in scenario.pops]
    nodes += [_at(one.router, "router", one.site, carrier, inside=False) for one in scenario.carriers]
    nodes += [_at(centre.router, "router", centre.site, government, inside=False) for centre in scenario.centres]
    return tuple(nodes)


def _stands(place: Place, start_ns: int) -> Site:
    """Where a terminal is at the plan's start."""
    return place.site_at(start_ns) if isinstance(place, Track) else place


def _at(name: str, role: Role, site: Site, domain: str, inside: bool = True, nat: bool = False) -> Node:
    return Node(name, role, inside, nat, site.latitude_deg, site.longitude_deg, domain=domain)


def _first_up_ns(geometry: Geometry, terminal: int, leg: Leg) -> int:
    """How long the first packet over a backup takes to the new NAT: nothing comes back before; elsewhere it is in
    `learning_ns`."""
    if not leg.chain or geometry.backup_of(leg.satellite) is None:
        return 0
    up_ns = geometry.user_ns(terminal, leg.satellite, True, leg.begin_ns)
    return up_ns + geometry.beyond_ns(leg.satellite, leg.gateway, leg.begin_ns, leg.pop)


def _events(
    geometry: Geometry,
    legs: Sequence[Sequence[Leg]],
    handovers: Handovers,
    satellites: Sequence[str],
    duration_ns: int,
) -> list[Event]:
    """Handovers, outages and losses."""
    scenario = geometry.scenario
    gateways = [gateway.name for gateway in scenario.gateways]
    events = [
        Event(
            time_ns=handover.time_ns,
            kind="handover",
            node=scenario.terminals[handover.terminal].name,
            cause=handover.new.cause or "slot",
            window_ns=handover.window_ns,
            detail={
                "from": satellites[handover.old.satellite] if handover.old.chain else gateways[handover.old.gateway],
                "to": satellites[handover.new.satellite],
                "gateway_from": gateways[handover.old.gateway],
                "gateway_to": gateways[handover.new.gateway],
                "order": scenario.access.order,
            },
        )
        for handover in handovers.events
    ]
    for loss in scenario.lost:
        if loss.begin_ns < duration_ns:
            end_ns = duration_ns if loss.end_ns is None else min(loss.end_ns, duration_ns)
            kind = "pop" if loss.node in {pop.name for pop in scenario.pops} else "gateway"
            detail = {"lost_s": (end_ns - loss.begin_ns) / NS_PER_S}
            events.append(Event(loss.begin_ns, kind, loss.node, "lost, and planned for", 0, detail))
    for number, its_legs in enumerate(legs):
        for before, leg, after in zip((None, *its_legs), its_legs, (*its_legs[1:], None), strict=False):
            if leg.outage:
                # Its path may come back through a feeder link that holds others' packets.
                window_ns = (
                    leg.end_ns
                    - leg.begin_ns
                    + (held_ns(handovers.raises, number, after) if after and after.chain else 0)
                )
                if before and after and before.pop != after.pop:  # another NAT: nothing comes to the host as yet
                    window_ns += scenario.access.learning_ns + _first_up_ns(geometry, number, after)
                name = scenario.terminals[number].name
                events.append(Event(leg.begin_ns, "outage", name, leg.cause, window_ns))
    return events


def _in_order(*events: Sequence[Event]) -> tuple[Event, ...]:
    """Ordered by time, then node."""
    return tuple(sorted(chain(*events), key=lambda event: (event.time_ns, event.node)))


def _warnings(catalogue: Catalogue, ephemeris: Ephemeris, start_ns: int, satellites: Sequence[str]) -> tuple[str, ...]:
    """What the user should know about the catalogue, one line each."""
    warnings = []
    stale = stale_warning(catalogue, start_ns)
    if stale:
        warnings.append(stale)
    if ephemeris.failed:
        named = [f"{satellites[index]} ({ephemeris.failed[index]})" for index in sorted(ephemeris.failed)]
        rest = f" and {len(named) - NAMED_FAILURES:,} more" if len(named) > NAMED_FAILURES else ""
        warnings.append(
            f"{catalogue.source}: {len(named):,} of {len(catalogue):,} satellites cannot be propagated to the start "
            f"and are left out: {', '.join(named[:NAMED_FAILURES])}{rest}"
        )
    return tuple(warnings)
