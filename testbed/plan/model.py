"""The frozen plan: what the emulation plays, and nothing it would have to compute.

Time is nanoseconds since the plan's start. Each direction of a link is a step function of time. A plan is data: the
same inputs and seed give the same bytes. This module needs numpy alone, because the guest imports it too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.ground.errors import PlanError

Role = Literal["host", "terminal", "satellite", "gateway", "pop", "router"]
Kind = Literal["user", "feeder", "isl", "fibre"]

Routing = Literal["plan", "frr"]
"""Who sets the routes: the plan, or FRR's daemons in every router."""

MOST_ROUTERS = 60
"""With FRR: three processes each, some 40 MB (docs/routing.md)."""

NUMBER_BITS = 20
"""Numbered nodes have as many addresses as 172.16.0.0/12 (RFC 1918)."""

STEP_DTYPE = np.dtype(
    [
        ("link", "<i4"),  # index into Plan.links
        ("time_ns", "<i8"),  # the step holds from here to the link's next step
        ("up", "?"),
        ("delay_ns", "<i8"),  # one way
        ("rate_bps", "<i8"),  # bottleneck
        ("loss", "<f8"),  # 0..1, independent per packet
        ("range_m", "<f8"),  # nan for fibre
        ("elevation_deg", "<f8"),  # at the ground end; nan for fibre and ISL
    ]
)
"""One row per link and step, ordered by link, then time."""


@dataclass(frozen=True, slots=True)
class Node:
    """A network node. `inside`: behind the operator's carrier-grade NAT.

    `domain`: who runs the router, or the one that a host sits behind; '' where the network is one domain.
    `number`: its place among 2^NUMBER_BITS, where it has an address of its own: satellites of a whole constellation.
    """

    name: str
    role: Role
    inside: bool = True
    nat: bool = False  # does carrier-grade NAT towards nodes that are outside
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    number: int | None = None
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One direction a→b of a link with netem. The reverse direction is a Link of its own."""

    a: str
    b: str
    kind: Kind
    buffer_bytes: int  # of the best-effort queue at the bottleneck
    drop: Literal["tail", "head"] = "tail"  # what that queue loses when it is full: what arrives, or its oldest


@dataclass(frozen=True, slots=True)
class Lan:
    """A plain link, both directions: a host and the router it sits behind. No netem."""

    host: str
    router: str


@dataclass(frozen=True, slots=True)
class Cable:
    """A plain link between two routers that stand at one place, both directions. No netem."""

    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Uplink:
    """One of several ways out for `host`: its edge `router` reaches `system` by its neighbour `via`.

    A host's uplinks stand in the plan in order of preference. Which one carries is chosen in the run, by measurement.
    """

    host: str
    router: str
    system: str
    via: str


@dataclass(frozen=True, slots=True)
class Route:
    """From `time_ns` on, `node` sends what is for `destination` to its neighbour `via`.

    destination: a host's name, 'default', or a block of numbered nodes 'BASE/LENGTH': those that share the first LENGTH
    bits of NUMBER_BITS with number BASE. The longest block that fits wins.
    """

    time_ns: int
    node: str
    destination: str
    via: str


@dataclass(frozen=True)
class Event:
    """Something that happens, with its cause. A handover's window is where loss and late packets are planned."""

    time_ns: int
    kind: str  # "handover", later "fault", "rain", "jam"
    node: str  # a handover's terminal
    cause: str
    window_ns: int = 0  # planned disturbance [time_ns, time_ns + window_ns)
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PathStep:
    """From `time_ns` on, packets from the first to the last of `nodes` (both hosts) take this way."""

    time_ns: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A schedule, complete. `steps` is a read-only array of STEP_DTYPE, shape (n_steps,)."""

    topology: str
    start_ns: int  # UTC, since 1970
    duration_ns: int  # real time: that of the schedule is `speed` times as long
    satellites: int  # propagated, used or not
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    lans: tuple[Lan, ...]
    routes: tuple[Route, ...]  # ordered by time, then node
    events: tuple[Event, ...]  # ordered by time
    paths: tuple[tuple[PathStep, ...], ...]  # one tuple per ordered pair of hosts that is audited
    steps: NDArray[np.void]
    flows: tuple[dict[str, Any], ...] = ()  # declared traffic; `traffic.flows` gives them meaning
    cables: tuple[Cable, ...] = ()
    uplinks: tuple[Uplink, ...] = ()  # of hosts that have several systems (`plan.multihomed`)
    routing: Routing = "plan"  # with "frr" the routes above are not played
    traffic: dict[str, Any] = field(default_factory=dict)  # how it is sent: esn, window, generator, adversary
    speed: float = 1.0  # schedule seconds per real second (`plan.accelerate`); all times here are real
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
    taken: tuple[tuple[PathStep, ...], ...] = ()  # with uplinks and after a run: the way that each pair's traffic took,
    taken_second: tuple[tuple[PathStep, ...], ...] = ()  # and its second copies (`plan.chosen`); in no file

    def __post_init__(self) -> None:
        check(self)
        self.steps.setflags(write=False)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def node(self, name: str) -> Node:
        """The node of that name; raises PlanError."""
        try:
            return self._by_name[name]
        except KeyError:
            raise PlanError(f"plan of {self.topology}: no node '{name}'") from None

    def link_steps(self, link: int) -> NDArray[np.void]:
        """The steps of link number `link`, shape (k,), k ≥ 1, the first at time 0."""
        low, high = np.searchsorted(self.steps["link"], [link, link + 1])
        return self.steps[low:high]

    @property
    def satellites_used(self) -> int:
        """How many satellites carry something at some time."""
        return sum(node.role == "satellite" for node in self.nodes)

    @property
    def handovers(self) -> int:
        """How many times a terminal changes its satellite."""
        return sum(event.kind == "handover" for event in self.events)


def check(plan: Plan) -> None:
    """Refuse a plan that could not be played; raises PlanError with the place."""
    where = f"plan of {plan.topology}"
    names = {node.name for node in plan.nodes}
    if len(names) != len(plan.nodes):
        raise PlanError(f"{where}: two nodes share a name")
    if plan.duration_ns <= 0:
        raise PlanError(f"{where}: duration {plan.duration_ns} ns is not positive")
    for link in plan.links:
        if not {link.a, link.b} <= names:
            raise PlanError(f"{where}: link {link.a}→{link.b} names a node that the plan lacks")
    for route in plan.routes:
        if not {route.node, route.via} <= names:
            raise PlanError(f"{where}: route at {route.node} via {route.via} names a node that the plan lacks")
        if route.destination not in names and route.destination != "default" and not _is_block(route.destination):
            raise PlanError(f"{where}: route at {route.node} for '{route.destination}', which is no node and no block")
    for cable in plan.cables:
        if not {cable.a, cable.b} <= names:
            raise PlanError(f"{where}: cable {cable.a}–{cable.b} names a node that the plan lacks")
    for uplink in plan.uplinks:
        if not {uplink.host, uplink.router, uplink.via} <= names:
            raise PlanError(f"{where}: uplink of {uplink.host} over {uplink.system} names a node that the plan lacks")
    for node in plan.nodes:
        if node.number is not None and not 0 <= node.number < 1 << NUMBER_BITS:
            raise PlanError(f"{where}: number {node.number} of {node.name} is outside 0 to 2^{NUMBER_BITS} - 1")
    routers = sum(node.role != "host" for node in plan.nodes)
    if plan.routing == "frr" and routers > MOST_ROUTERS:
        raise PlanError(f"{where}: {routers} routers; with routing=frr at most {MOST_ROUTERS}: plan a shorter time")
    steps = plan.steps
    if steps.dtype != STEP_DTYPE:
        raise PlanError(f"{where}: steps have the wrong columns")
    if len(plan.links) and not np.array_equal(np.unique(steps["link"]), np.arange(len(plan.links))):
        raise PlanError(f"{where}: some links have no steps, or steps belong to no link")
    same_link = np.diff(steps["link"]) == 0
    if np.any(np.diff(steps["link"]) < 0) or np.any(np.diff(steps["time_ns"])[same_link] <= 0):
        raise PlanError(f"{where}: steps are not ordered by link and time")
    first = np.r_[True, ~same_link] if len(steps) else np.zeros(0, bool)
    if np.any(steps["time_ns"][first] != 0):
        raise PlanError(f"{where}: a link has no step at time 0")
    if np.any(steps["delay_ns"] < 0) or np.any(steps["rate_bps"] <= 0):
        raise PlanError(f"{where}: a delay is negative or a rate not positive")
    if np.any(~((steps["loss"] >= 0) & (steps["loss"] <= 1))):
        raise PlanError(f"{where}: a loss is outside 0..1")


def _is_block(written: str) -> bool:
    base, slash, length = written.partition("/")
    if not (slash and base.isdecimal() and length.isdecimal() and int(length) <= NUMBER_BITS):
        return False
    return int(base) < 1 << NUMBER_BITS and int(base) % (1 << (NUMBER_BITS - int(length))) == 0


_KINDS = {
    "nodes": Node,
    "links": Link,
    "lans": Lan,
    "cables": Cable,
    "uplinks": Uplink,
    "routes": Route,
    "events": Event,
}
_LATER = ("cables", "uplinks")
"""Lists that plans of earlier versions lack."""
_NOT_WRITTEN = ("steps", "taken", "taken_second")


def to_json(plan: Plan) -> dict[str, Any]:
    """Everything but the steps, as JSON types."""
    document = {name: getattr(plan, name) for name in plan.__dataclass_fields__ if name not in _NOT_WRITTEN}
    document["paths"] = [[asdict(step) for step in path] for path in plan.paths]
    for name in _KINDS:
        document[name] = [asdict(item) for item in document[name]]
    return document


def from_json(document: dict[str, Any], steps: NDArray[np.void]) -> Plan:
    """The inverse of `to_json`; raises PlanError."""
    try:
        fields = dict(document)
        for name, kind in _KINDS.items():
            listed = document.get(name, ()) if name in _LATER else document[name]
            fields[name] = tuple(kind(**_shared(item)) for item in listed)
        fields["paths"] = tuple(
            tuple(PathStep(step["time_ns"], tuple(step["nodes"])) for step in path) for path in document["paths"]
        )
        for name in ("flows", "warnings", "assumptions"):
            fields[name] = tuple(document[name])
        return Plan(steps=steps, **fields)
    except (KeyError, TypeError) as error:
        raise PlanError(f"the plan's description is damaged: {error!r}") from None


def _shared(item: dict[str, Any]) -> dict[str, Any]:
    """Equal words as one object: a constellation's plan names each of its nodes a hundred times."""
    return {name: sys.intern(value) if type(value) is str else value for name, value in item.items()}


def save(plan: Plan, folder: Path) -> None:
    """Write `plan.json` and `steps.npy` for the runner, which has no pyarrow."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(to_json(plan), indent=1, sort_keys=True))
    np.save(folder / "steps.npy", plan.steps)


def load(folder: Path) -> Plan:
    """The inverse of `save`; raises PlanError."""
    try:
        document = json.loads((folder / "plan.json").read_text())
        return from_json(document, np.load(folder / "steps.npy"))
    except (OSError, ValueError) as error:
        raise PlanError(f"{folder}: not a readable plan ({error})") from None
