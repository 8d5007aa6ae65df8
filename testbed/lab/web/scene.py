"""A plan as the page shows it: places, paths with their satellites and planned delays, events, flows. JSON types.

Times are real seconds since the plan's start. What is large, the positions of all satellites, is `sky`'s.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation.audit import BUDGET
from testbed.ground.constants import NS_PER_S, SLOT_NS, SLOT_PHASE_NS
from testbed.lab.web.sky import Sky
from testbed.orbits.tracks import Track
from testbed.plan.expected import path_delay_ns
from testbed.plan.model import Event, PathStep, Plan

POINTS: Final = 1_200
"""Instants at which a planned delay is told, besides both sides of every change of way."""

MOST_LINKS: Final = 200
"""Assumption: of more links than these nobody picks one from a list; links of the ground are taken first."""

_STEP_NS: Final = NS_PER_S // 4  # between two of them at least
_TRACK_POINTS: Final = 200  # of a track, at most; the page goes straight between them,
_TRACK_STEP_NS: Final = 5 * NS_PER_S  # and so far apart at least: an aircraft flies a kilometre


def scene(plan: Plan, sky: Sky | None) -> dict[str, Any]:
    """The whole document, without what is measured."""
    crossed = {node for path in plan.paths for step in path for node in step.nodes}
    followed = [(number, link) for number, link in enumerate(plan.links) if {link.a, link.b} <= crossed]
    return {
        "topology": plan.topology,
        "title": str(plan.manifest.get("title", plan.topology)),
        "start_ms": plan.start_ns / 1e6,
        "duration_s": plan.duration_ns / NS_PER_S,
        "speed": plan.speed,
        "slots": _slots(plan),
        "satellites": plan.satellites,
        "satellites_used": plan.satellites_used,
        "sky": None if sky is None else vars(sky),
        "sites": _sites(plan),
        "kinds": {f"{link.a}|{link.b}": link.kind for _, link in followed},
        "numbers": {number: f"{link.a}|{link.b}" for number, link in followed},
        "budget_us": BUDGET["path_p90_us_per_hop"],
        "paths": [_path(plan, path) for path in plan.paths],
        "events": [_event(event) for event in plan.events],
        "flows": [{name: flow.get(name, "") for name in ("name", "kind", "src", "dst")} for flow in plan.flows],
        "targets": _targets(plan, crossed),
    }


def _slots(plan: Plan) -> dict[str, float] | None:
    """When the first slot begins and how long each is; None where the plan has no handover at slots."""
    if not any(event.kind == "handover" and event.cause == "slot" for event in plan.events):
        return None
    first_ns = (SLOT_PHASE_NS - plan.start_ns) % SLOT_NS
    return {"first_s": first_ns / plan.speed / NS_PER_S, "length_s": SLOT_NS / plan.speed / NS_PER_S}


def _sites(plan: Plan) -> list[dict[str, Any]]:
    """What stands on the ground, or moves along its track; a host is where its terminal or router is."""
    tracks = plan.manifest.get("tracks", {})
    return [
        {"name": node.name, "role": node.role, "latitude": node.latitude_deg, "longitude": node.longitude_deg}
        | ({"track": _track(plan, Track.told(tracks[node.name]))} if node.name in tracks else {})
        for node in plan.nodes
        if node.role not in ("host", "satellite") and node.latitude_deg is not None and node.longitude_deg is not None
    ]


def _track(plan: Plan, track: Track) -> dict[str, list[float]]:
    """Where it is in the plan's time, evenly spread."""
    count = max(2, min(_TRACK_POINTS, plan.duration_ns // _TRACK_STEP_NS))
    times = np.linspace(0, plan.duration_ns, count)
    latitude, longitude, _ = track.position(plan.start_ns + np.round(times * plan.speed).astype(np.int64))
    return {
        "t": (times / NS_PER_S).tolist(),
        "latitude": latitude.round(5).tolist(),
        "longitude": longitude.round(5).tolist(),
    }


def _path(plan: Plan, path: tuple[PathStep, ...]) -> dict[str, Any]:
    times = _instants(plan, path)
    planned_ms = path_delay_ns(plan, path, times) / 1e6
    satellites = {node.name for node in plan.nodes if node.role == "satellite"}
    return {
        "from": path[0].nodes[0],
        "to": path[0].nodes[-1],
        "steps": [
            {
                "t": step.time_ns / NS_PER_S,
                "nodes": list(step.nodes),
                "satellites": [node for node in step.nodes if node in satellites],
            }
            for step in path
        ],
        "planned": {"t": (times / NS_PER_S).tolist(), "ms": rounded(planned_ms)},
    }


def _instants(plan: Plan, path: tuple[PathStep, ...]) -> NDArray[np.int64]:
    """Evenly spread, and both sides of every change, ns."""
    count = max(2, min(POINTS, plan.duration_ns // _STEP_NS))
    changes = np.array([step.time_ns for step in path], np.int64)
    grid = np.linspace(0, plan.duration_ns - 1, count).astype(np.int64)
    return np.unique(np.r_[grid, changes, changes[changes > 0] - 1])


def rounded(values_ms: NDArray[np.float64]) -> list[float | None]:
    """To a microsecond; None for nan, which JSON has not."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values_ms]


def _event(event: Event) -> dict[str, Any]:
    return {
        "t": event.time_ns / NS_PER_S,
        "kind": event.kind,
        "node": event.node,
        "cause": event.cause,
        "window_s": event.window_ns / NS_PER_S,
        "from": str(event.detail.get("from", "")),
        "to": str(event.detail.get("to", "")),
    }


def _targets(plan: Plan, crossed: set[str]) -> dict[str, list[Any]]:
    """What a fault may be aimed at: names by kind of fault, and pairs for links; of what the paths cross."""
    by_role = {
        role: [node.name for node in plan.nodes if node.role == role and (role != "satellite" or node.name in crossed)]
        for role in ("satellite", "gateway", "pop", "router")
    }
    radio = {end for link in plan.links if link.kind in ("user", "feeder") for end in (link.a, link.b)}
    directions = [(link.a, link.b) for link in plan.links if {link.a, link.b} <= crossed]
    pairs = list(dict.fromkeys((min(ends), max(ends)) for ends in directions))
    ground = {node.name for node in plan.nodes if node.role != "satellite"}
    pairs.sort(key=lambda pair: (-len(ground & set(pair)), pair))
    terminals = [
        [round(node.latitude_deg, 3), round(node.longitude_deg, 3), node.name]
        for node in plan.nodes
        if node.role == "terminal" and node.latitude_deg is not None and node.longitude_deg is not None
    ]
    return {
        **{role: sorted(names) for role, names in by_role.items() if names},
        **({"link": [list(pair) for pair in pairs[:MOST_LINKS]]} if pairs else {}),
        **({"rain": sorted(radio & crossed)} if radio & crossed else {}),
        **({"congestion": [list(pair) for pair in directions[:MOST_LINKS]]} if directions else {}),
        **({"jam": terminals} if terminals else {}),
    }
