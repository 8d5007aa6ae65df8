"""Faults that a person asks for: which links, what happens to them, from when to when. Checked against the plan.

An entry is JSON: {"kind": "gateway", "node": "gw-milano", "at": 10, "for": 20, "cause": "power cut"}. Times are seconds
of schedule time; without "for" the fault lasts to the plan's end. Kinds:

satellite, gateway, pop, router   "node": everything it is linked to is down
link                              "a", "b": both directions are down
jam                               "area": [latitude, longitude in degrees, radius in km]: user links of terminals in it
rain                              "node": its radio links
congestion                        "a", "b": that direction
denial                            by the operator: all user links, or with "area" those of terminals in it, are down

Jam, rain and congestion take "loss" (share of packets), "rate" (share of the planned rate that is left) and "delay"
(ms on top).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.orbits.sites import Site, great_circle_m
from testbed.plan.model import Event, Plan

FAULTS: Final = "faults.json"
"""In the run directory: the entries known beforehand."""

INBOX: Final = "inbox"
"""Folder in the run directory: an entry in a file ID.json there is a fault to begin, while the run plays."""

LOG: Final = "faults.jsonl"
"""In the run directory: a line for each beginning and each end, as they came about."""

MOST_EXTRA_MS: Final = 100.0
"""Assumption: no fault adds more to a delay."""

_LONGEST_S: Final = 1e9
"""Seconds that fit a schedule time in 64 bits of ns, with room."""

LATE_NS: Final = 10_000_000
"""Assumption: a packet is no later than this beside its plan, and may meet a fault that it would have escaped."""

_LOSSES: Final = ("satellite", "gateway", "pop", "router")  # in the order in which a refusal lists them
_RADIO: Final = {"user", "feeder"}
_KEYS: Final = {
    **{kind: {"node"} for kind in _LOSSES},
    "link": {"a", "b"},
    "jam": {"area"},
    "rain": {"node"},
    "congestion": {"a", "b"},
    "denial": set(),
}
_MAY: Final = {"denial": {"area"}}  # what a kind takes or not
_DARK: Final = {*_LOSSES, "link", "denial"}  # kinds that leave nothing
_COMMON: Final = {"kind", "at", "for", "cause"}
_EFFECTS: Final = {"loss", "rate", "delay"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to some directions of links in [begin_ns, end_ns) of schedule time."""

    kind: str
    cause: str
    begin_ns: int
    end_ns: int
    links: tuple[int, ...]  # directions, by number
    nodes: tuple[str, ...]  # whose traffic it disturbs
    down: bool
    loss: float = 0.0  # of packets, 0..1
    rate: float = 1.0  # share of the planned rate that is left
    extra_ns: int = 0

    @property
    def summary(self) -> dict[str, Any]:
        """For the log and for a person; JSON types."""
        told: dict[str, Any] = {
            "kind": self.kind,
            "cause": self.cause,
            "nodes": list(self.nodes),
            "links": len(self.links),
        }
        effects = {"loss": self.loss, "rate": self.rate, "delay_ms": self.extra_ns / 1e6}
        return told | ({"down": True, "dark": list(self.links)} if self.down else effects)


def read_entries(path: Path, plan: Plan) -> list[dict[str, Any]]:
    """The entries of a file, a JSON list, all fit for the plan; raises PlanError with the entry's place."""
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: not a readable list of faults ({error})") from None
    if not isinstance(entries, list):
        raise PlanError(f"{path}: not a list of faults: write [{{...}}, {{...}}]")
    for number, entry in enumerate(entries, 1):
        parse_fault(entry, plan, where=f"{path}: fault {number}")
    return entries


def read_faults(path: Path, plan: Plan) -> tuple[Fault, ...]:
    """The faults of a file, in its order; raises PlanError with the entry's place."""
    return tuple(parse_fault(entry, plan, where=str(path)) for entry in read_entries(path, plan))


def parse_fault(entry: Any, plan: Plan, *, where: str, now_ns: int = 0) -> Fault:
    """One entry, checked; without "at" it begins at `now_ns`. Raises PlanError that names `where`, value and mend."""
    kind = entry.get("kind") if isinstance(entry, Mapping) else entry
    if not isinstance(entry, Mapping) or not isinstance(kind, str) or kind not in _KEYS:
        raise PlanError(f"{where}: kind {kind!r} is not one of {', '.join(_KEYS)}")
    effects = set() if kind in _DARK else _EFFECTS
    taken = _KEYS[kind] | _MAY.get(kind, set()) | effects
    for key in entry:
        if key not in taken | _COMMON:
            raise PlanError(f"{where}: '{key}' is nothing that {kind} takes: {', '.join(sorted(taken))}")
    for key in sorted(_KEYS[kind] - set(entry)):
        raise PlanError(f"{where}: {kind} needs '{key}'")
    links, nodes = _select(entry, kind, plan, where)
    begin_ns = now_ns if "at" not in entry else _seconds(entry, "at", where)
    end_ns = plan.duration_ns if "for" not in entry else begin_ns + _seconds(entry, "for", where)
    if not 0 <= begin_ns < plan.duration_ns or end_ns <= begin_ns:
        raise PlanError(
            f"{where}: {begin_ns / 1e9:g} to {end_ns / 1e9:g} s is not inside the plan's {plan.duration_ns / 1e9:g} s"
        )
    loss = _number(entry, "loss", 0.0, 1.0, 0.0, where)
    rate = _number(entry, "rate", 0.001, 1.0, 1.0, where)
    extra_ms = _number(entry, "delay", 0.0, MOST_EXTRA_MS, 0.0, where)
    if rate < 1.0 and any(plan.links[number].kind == "isl" for number in links):
        raise PlanError(f"{where}: links between satellites have no bottleneck: give 'loss' or 'delay', not 'rate'")
    if effects and (loss, rate, extra_ms) == (0.0, 1.0, 0.0):
        raise PlanError(f"{where}: {kind} does nothing: give 'loss', 'rate' or 'delay'")
    cause = str(entry.get("cause", kind))
    return Fault(kind, cause, begin_ns, end_ns, links, nodes, not effects, loss, rate, round(extra_ms * 1e6))


def with_faults(plan: Plan, folder: Path) -> Plan:
    """The plan with the faults that a run's log tells of as events: their windows are planned disturbances."""
    try:
        lines = (folder / LOG).read_text().splitlines()
    except FileNotFoundError:
        return plan
    told = [json.loads(line) for line in lines]
    ends = {entry["id"]: entry["time_ns"] for entry in told if entry["act"] == "end"}
    events = [
        Event(
            time_ns=entry["time_ns"] - LATE_NS,
            kind=entry["kind"],
            node=node,
            cause=entry["cause"],
            window_ns=ends.get(entry["id"], plan.duration_ns) - entry["time_ns"] + 2 * LATE_NS,
            detail={"links": entry["links"], "dark": entry.get("dark", [])},
        )
        for entry in told
        if entry["act"] == "begin"
        for node in entry["nodes"]
    ]
    return replace(plan, events=tuple(sorted([*plan.events, *events], key=lambda event: event.time_ns)))


def _select(entry: Mapping[str, Any], kind: str, plan: Plan, where: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The links it concerns, and the nodes whose traffic it disturbs."""
    numbered = list(enumerate(plan.links))
    if "a" in _KEYS[kind]:
        a, b = str(entry["a"]), str(entry["b"])
        ends = {(a, b)} if kind == "congestion" else {(a, b), (b, a)}
        found = [number for number, link in numbered if (link.a, link.b) in ends]
        if not found:
            raise PlanError(f"{where}: no link {a}→{b} in the plan of {plan.topology}")
        return tuple(found), (a,)
    if kind in ("jam", "denial"):
        everyone = tuple(node.name for node in plan.nodes if node.role == "terminal")
        nodes = _inside(entry["area"], plan, where) if "area" in entry else everyone
        if not nodes:
            raise PlanError(f"{where}: the plan of {plan.topology} has no terminals to deny")
        found = [number for number, link in numbered if link.kind == "user" and {link.a, link.b} & set(nodes)]
        return tuple(found), nodes
    name = str(entry["node"])
    role = plan.node(name).role if any(node.name == name for node in plan.nodes) else None
    if role is None or (kind in _LOSSES and role != kind):
        known = [node.name for node in plan.nodes if kind not in _LOSSES or node.role == kind]
        raise PlanError(f"{where}: no {kind if kind in _LOSSES else 'node'} '{name}'; there is {', '.join(known[:8])}")
    mine = [(number, link) for number, link in numbered if name in (link.a, link.b)]
    found = [number for number, link in mine if kind != "rain" or link.kind in _RADIO]
    if not found:
        raise PlanError(f"{where}: '{name}' has no {'radio ' if kind == 'rain' else ''}link in the plan")
    return tuple(found), (name,)


def _inside(area: Any, plan: Plan, where: str) -> tuple[str, ...]:
    """Terminals within [latitude, longitude, radius in km]."""
    if not (isinstance(area, Sequence) and len(area) == 3 and all(isinstance(part, int | float) for part in area)):
        raise PlanError(f"{where}: area {area!r} is not [latitude, longitude, radius in km]")
    latitude, longitude, radius_km = (float(part) for part in area)
    centre = Site("area", latitude, longitude, 0.0)
    found = tuple(
        node.name
        for node in plan.nodes
        if node.role == "terminal"
        and node.latitude_deg is not None
        and node.longitude_deg is not None
        and great_circle_m(centre, Site(node.name, node.latitude_deg, node.longitude_deg, 0.0)) <= radius_km * 1e3
    )
    if not found:
        raise PlanError(f"{where}: no terminal within {radius_km:g} km of {latitude:g}, {longitude:g}")
    return found


def _seconds(entry: Mapping[str, Any], key: str, where: str) -> int:
    return round(_number(entry, key, 0.0, _LONGEST_S, 0.0, where) * NS_PER_S)


def _number(entry: Mapping[str, Any], key: str, low: float, high: float, default: float, where: str) -> float:
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PlanError(f"{where}: {key} {value!r} is not a number from {low:g} to {high:g}")
    return float(value)
