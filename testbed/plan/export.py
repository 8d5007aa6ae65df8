"""A plan as CZML, for Cesium: satellites, sites, and the links while they serve.

CZML is JSON (AnalyticalGraphicsInc/czml-writer, CZML guide): a list of packets, the first of which sets the clock.
Positions are Earth-fixed metres; between the samples the viewer interpolates by Lagrange's polynomial.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from czml3 import CZML_VERSION, Document, Packet
from czml3.enums import ArcTypes, ClockRanges, HorizontalOrigins, InterpolationAlgorithms
from czml3.properties import (
    Clock,
    Color,
    Label,
    Point,
    Polyline,
    PolylineMaterial,
    Position,
    PositionList,
    SolidColorMaterial,
)
from czml3.properties import Path as Trail
from czml3.types import Cartesian2Value, TimeInterval, TimeIntervalCollection
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.orbits.catalogue import Catalogue
from testbed.orbits.frames import gmst_rad
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site, ecef_m
from testbed.plan.model import Kind, Node, Plan
from testbed.plan.store import serving_times

SAMPLE_NS: Final = 30 * NS_PER_S
"""Assumption: samples of a satellite's position; Lagrange's polynomial of degree 5 through them is within 1 m."""

DEGREE: Final = 5

TRAIL_S: Final = 300.0
"""Assumption: seconds of a satellite's way that are drawn before and behind it."""

DOCUMENT: Final = "document"
"""The id of the first packet, by the standard."""

_LINK_RGBA: Final[dict[Kind, list[int]]] = {
    "user": [86, 180, 233, 255],
    "feeder": [230, 159, 0, 255],
    "isl": [0, 158, 115, 255],
    "fibre": [204, 121, 167, 255],
}
_NODE_RGBA: Final = {
    "satellite": [255, 255, 255, 255],
    "terminal": [86, 180, 233, 255],
    "gateway": [230, 159, 0, 255],
}
_OTHER_RGBA: Final = [204, 121, 167, 255]
"""Colours that also differ to colour-blind eyes (Okabe and Ito's set, 2008)."""

Interval = tuple[int, int]


def write_czml(plan: Plan, catalogue: Catalogue, path: Path) -> None:
    """Write the plan for Cesium; the same plan gives the same bytes.

    catalogue: the one the plan was made from, for the positions. Raises PlanError when it lacks a satellite of the
    plan, when the plan has no satellites of a catalogue, or when `path` cannot be written.
    """
    text = czml(plan, catalogue).model_dump_json(exclude_none=True, indent=1)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path}: cannot be written ({error.strerror}): choose another place") from None


def czml(plan: Plan, catalogue: Catalogue) -> Document:
    """The plan as a CZML document; raises PlanError as `write_czml`."""
    whole = _interval(plan, (0, plan.duration_ns))
    title = plan.manifest.get("title", plan.topology)
    first = Packet(
        id=DOCUMENT,
        name=plan.topology,
        version=CZML_VERSION,
        description=title,
        clock=Clock(interval=whole, currentTime=whole.start, multiplier=1.0, range=ClockRanges.LOOP_STOP),
    )
    satellites = _satellites(plan, catalogue, whole)
    sites = [_site(node) for node in plan.nodes if node.role != "host" and node.latitude_deg is not None]
    placed = {packet.id for packet in (*satellites, *sites)}
    links = [packet for hop, kind in _hops(plan) if set(hop) <= placed for packet in _link(plan, hop, kind)]
    return Document(packets=[first, *satellites, *sites, *links])


def used_positions(
    plan: Plan, catalogue: Catalogue, time_ns: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of the plan's satellites, and their TEME positions in metres at times within the plan, both ends included:
    (n_times, n_satellites, 3).

    Raises PlanError when the catalogue lacks one of them, or the plan has none of a catalogue.
    """
    names = tuple(node.name for node in plan.nodes if node.role == "satellite")
    if not names:
        raise PlanError(f"plan of {plan.topology}: no satellites in it, so there are no positions to show")
    index = {name: number for number, name in enumerate(catalogue.node_names)}
    missing = [name for name in names if name not in index]
    if missing:
        raise PlanError(
            f"{catalogue.source}: no satellite {missing[0]}, which the plan uses: give the plan's catalogue"
        )
    taken = catalogue.take(np.array([index[name] for name in names], np.int64), ())
    ephemeris = Ephemeris(taken, plan.start_ns, plan.duration_ns)
    return names, ephemeris.position_m(plan.start_ns + time_ns)


def _satellites(plan: Plan, catalogue: Catalogue, whole: TimeInterval) -> list[Packet]:
    pieces = max(DEGREE, -(-plan.duration_ns // SAMPLE_NS))
    times = np.unique(np.linspace(0, plan.duration_ns, pieces + 1).astype(np.int64))
    names, teme_m = used_positions(plan, catalogue, times)
    position_m = _earth_fixed(teme_m, plan.start_ns + times)
    seconds = times / NS_PER_S
    packets = []
    for number, name in enumerate(names):
        samples = np.column_stack([seconds, np.round(position_m[:, number], 2)])
        packets.append(
            Packet(
                id=name,
                name=name,
                availability=whole,
                position=Position(
                    epoch=whole.start,
                    cartesian=samples.ravel().tolist(),
                    referenceFrame="FIXED",
                    interpolationAlgorithm=InterpolationAlgorithms.LAGRANGE,
                    interpolationDegree=DEGREE,
                ),
                point=Point(pixelSize=6, color=Color(rgba=_NODE_RGBA["satellite"])),
                label=_label(name),
                path=Trail(leadTime=TRAIL_S, trailTime=TRAIL_S, width=1, material=_trail()),
            )
        )
    return packets


def _earth_fixed(teme_m: NDArray[np.float64], time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """TEME positions, (n_times, n, 3), turned by GMST (`orbits.frames`): the inverse of `ecef_to_teme`."""
    angle = gmst_rad(time_ns)[:, None]
    x, y, z = np.moveaxis(teme_m, -1, 0)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=-1)


def _site(node: Node) -> Packet:
    assert node.latitude_deg is not None
    assert node.longitude_deg is not None
    position_m = ecef_m(Site(node.name, node.latitude_deg, node.longitude_deg))
    return Packet(
        id=node.name,
        name=node.name,
        description=node.role,
        position=Position(cartesian=np.round(position_m, 2).tolist(), referenceFrame="FIXED"),
        point=Point(pixelSize=8, color=Color(rgba=_NODE_RGBA.get(node.role, _OTHER_RGBA))),
        label=_label(node.name),
    )


def _link(plan: Plan, hop: tuple[str, str], kind: Kind) -> Iterable[Packet]:
    """The link a-b, both directions as one, while it serves; nothing for one that never does."""
    times = merged([*serving_times(plan, hop), *serving_times(plan, hop[::-1])])
    if times:
        yield Packet(
            id=f"{hop[0]}/{hop[1]}",
            name=f"{hop[0]} - {hop[1]}",
            description=kind,
            availability=TimeIntervalCollection(values=[_interval(plan, one) for one in times]),
            polyline=Polyline(
                positions=PositionList(references=[f"{end}#position" for end in hop]),
                arcType=ArcTypes.GEODESIC if kind == "fibre" else ArcTypes.NONE,
                width=2,
                material=PolylineMaterial(solidColor=SolidColorMaterial(color=Color(rgba=_LINK_RGBA[kind]))),
            ),
        )


def _hops(plan: Plan) -> list[tuple[tuple[str, str], Kind]]:
    """Every link once, as its first direction names it."""
    found: dict[frozenset[str], tuple[tuple[str, str], Kind]] = {}
    for link in plan.links:
        found.setdefault(frozenset((link.a, link.b)), ((link.a, link.b), link.kind))
    return list(found.values())


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time in the fewest intervals, ordered."""
    ordered = sorted(intervals)
    cuts = [0]
    end_ns = ordered[0][1] if ordered else 0
    for place, (begin_ns, its_end_ns) in enumerate(ordered):
        if begin_ns > end_ns:
            cuts.append(place)
        end_ns = max(end_ns, its_end_ns)
    parts = [ordered[low:high] for low, high in pairwise([*cuts, len(ordered)])]
    return [(part[0][0], max(end for _, end in part)) for part in parts if part]


def _interval(plan: Plan, times: Interval) -> TimeInterval:
    start, end = (format_utc(plan.start_ns + time_ns, 9) for time_ns in times)
    return TimeInterval(start=start, end=end)


def _label(text: str) -> Label:
    return Label(
        text=text,
        font="11pt sans-serif",
        pixelOffset=Cartesian2Value(values=[8.0, -8.0]),
        horizontalOrigin=HorizontalOrigins.LEFT,
    )


def _trail() -> PolylineMaterial:
    return PolylineMaterial(solidColor=SolidColorMaterial(color=Color(rgba=[255, 255, 255, 60])))
