"""The plan of whole constellations: every satellite a router, links between them, delays as their orbits say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S, SPEED_OF_LIGHT_M_S
from testbed.ground.errors import PlanError
from testbed.orbits.lasers import Lasers, lit
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell
from testbed.plan.fabric import Fabric
from testbed.plan.manifest import provenance
from testbed.plan.model import NUMBER_BITS, STEP_DTYPE, Link, Node, PathStep, Plan, Route
from testbed.plan.walker_routes import walker_fabric

ISL_BPS = 10_000_000_000
"""Assumption: a laser link is no bottleneck here; Starlink's carry up to 100 Gbit/s."""

TOLERANCE_NS = 5_000
_MARGIN = 0.24  # share of the tolerance for what a delay moves within one step; the rest is for its rounding
_BLOCK_SAMPLES = 4_000_000  # link samples in memory at once
_GOLDEN = (5**0.5 - 1) / 2

Ints = NDArray[np.int64]


def build_mesh_plan(
    shells: Sequence[Shell],
    start_ns: int,
    duration_ns: int,
    *,
    step_ns: int = 100_000_000,
    tolerance_ns: int = TOLERANCE_NS,
    pairs: Iterable[tuple[str, str]] = (),
    name: str = "mesh",
) -> Plan:
    """All satellites of the shells with +grid links within each shell, from `start_ns` (UTC since 1970) on; as
    `fabric_plan`."""
    fabric = walker_fabric(shells, start_ns, duration_ns)
    return fabric_plan(fabric, step_ns=step_ns, tolerance_ns=tolerance_ns, pairs=pairs, name=name)


def fabric_plan(
    fabric: Fabric,
    *,
    step_ns: int = 100_000_000,
    tolerance_ns: int = TOLERANCE_NS,
    pairs: Iterable[tuple[str, str]] = (),
    name: str = "mesh",
) -> Plan:
    """The network over the time of its ephemeris.

    A link's delay is changed only when it would leave the orbits' by more than `tolerance_ns`, at multiples of
    `step_ns`. pairs: satellites whose ways to each other become the plan's paths, there and back.
    Raises PlanError for a step so long that a delay moves by more than a quarter of the tolerance in it.
    """
    catalogue, ephemeris, names = fabric.catalogue, fabric.ephemeris, fabric.catalogue.node_names
    links = tuple(
        Link(names[a], names[b], "isl", 0)
        for first, second in fabric.couples
        for a, b in ((first, second), (second, first))
    )
    return Plan(
        topology=name,
        start_ns=ephemeris.start_ns,
        duration_ns=ephemeris.duration_ns,
        satellites=len(catalogue) - len(ephemeris.failed),
        nodes=fabric.nodes,
        links=links,
        lans=(),
        routes=tuple(sorted(fabric.routes, key=lambda route: route.node)),
        events=(),
        paths=_paths(pairs, fabric.nodes, fabric.routes),
        steps=_steps(ephemeris, fabric.couples, step_ns, tolerance_ns),
        assumptions=(
            *fabric.assumptions,
            f"a delay is changed when it would leave the orbits' by more than {tolerance_ns / 1e3:g} µs",
            "inter-satellite links have no bottleneck and no loss",
        ),
        manifest=provenance(name, catalogue, ephemeris.start_ns, ephemeris.duration_ns, step_ns)
        | {"tolerance_ns": tolerance_ns},
    )


def _paths(
    pairs: Iterable[tuple[str, str]], nodes: Sequence[Node], routes: Sequence[Route]
) -> tuple[tuple[PathStep, ...], ...]:
    """The ways between the pairs, there and back, as the routes lead."""
    numbers = {node.name: node.number for node in nodes}
    tables: dict[str, list[tuple[int, int, str]]] = {}  # by node: length, base, via; the longest first
    for route in routes:
        base, length = (int(part) for part in route.destination.split("/"))
        tables.setdefault(route.node, []).append((length, base, route.via))
    for table in tables.values():
        table.sort(reverse=True)
    found = []
    for pair in pairs:
        for source, destination in (pair, pair[::-1]):
            if source not in numbers or destination not in numbers:
                raise PlanError(f"path {source} to {destination}: no such satellite in the constellation")
            number = numbers[destination]
            assert number is not None
            way = [source]
            while way[-1] != destination:
                shift = (via for length, base, via in tables[way[-1]] if (number ^ base) >> (NUMBER_BITS - length) == 0)
                following = next(shift, None)
                if following is None:
                    raise PlanError(f"path {source} to {destination}: no way, they are in different shells")
                way.append(following)
            found.append((PathStep(0, tuple(way)),))
    return tuple(found)


def _steps(ephemeris: Ephemeris, couples: Ints, step_ns: int, tolerance_ns: int) -> NDArray[np.void]:
    """Both directions of every couple, ordered by link, then time.

    A delay is rounded to multiples of a width, on a grid of its link's own, so that no instant is everybody's.
    """
    width_ns = 2.0 * tolerance_ns * (1 - _MARGIN)
    offset_ns = (np.arange(len(couples)) * _GOLDEN % 1.0) * width_ns
    times = np.arange(0, ephemeris.duration_ns, step_ns)
    per_block = max(2, _BLOCK_SAMPLES // max(1, len(couples)))
    rows: list[tuple[Ints, Ints, Ints, NDArray[np.bool_], NDArray[np.float64]]] = []
    last: tuple[Ints, NDArray[np.bool_], NDArray[np.float64]] | None = None
    for begin in range(0, len(times), per_block):
        block = times[begin : begin + per_block]
        range_m, up = lit(ephemeris, couples, ephemeris.start_ns + block, Lasers())
        delay_ns = range_m * (NS_PER_S / SPEED_OF_LIGHT_M_S)
        if last is not None:
            delay_ns = np.vstack([last[2], delay_ns])
        moved = np.abs(np.diff(delay_ns, axis=0)).max(initial=0.0)
        if moved > _MARGIN * tolerance_ns:
            raise PlanError(
                f"a delay moves by {moved / 1e3:.2f} µs in a step of {step_ns / 1e6:g} ms, more than a quarter of the "
                f"tolerance of {tolerance_ns / 1e3:g} µs: shorten the step or allow more"
            )
        delay_ns = delay_ns[-len(block) :]
        level = np.rint((delay_ns - offset_ns) / width_ns).astype(np.int64)
        before = (
            np.vstack([np.full((1, len(couples)), np.iinfo(np.int64).min), level[:-1]])
            if last is None
            else np.vstack([last[0], level[:-1]])
        )
        up_before = np.vstack([~up[:1] if last is None else last[1], up[:-1]])
        at, link = np.nonzero((level != before) | (up != up_before))
        held_ns = np.rint(level[at, link] * width_ns + offset_ns[link]).astype(np.int64)
        rows.append((link, block[at], held_ns, up[at, link], range_m[at, link]))
        last = level[-1:], up[-1:], delay_ns[-1:]
    link, time_ns, held, on, metres = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((time_ns, link))
    one_way = np.zeros(len(order), STEP_DTYPE)
    one_way["link"], one_way["time_ns"], one_way["delay_ns"] = 2 * link[order], time_ns[order], held[order]
    one_way["up"], one_way["range_m"] = on[order], metres[order]
    one_way["rate_bps"], one_way["elevation_deg"] = ISL_BPS, np.nan
    back = one_way.copy()
    back["link"] += 1
    both = np.concatenate([one_way, back])
    return both[np.argsort(both["link"], kind="stable")]
