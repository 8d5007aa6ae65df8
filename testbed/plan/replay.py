"""The plan of one measured link: a user, a terminal, what stands for the satellite, the operator's edge, a data centre.

    user ── ut-user ══ sat ── pop-edge ── ce-dc ── dc
The link ══ has the series, both ways; the others add nothing, because the series was measured over all of them. Between
two samples the earlier one holds: nothing is interpolated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError
from testbed.ground.units import format_utc
from testbed.plan.model import STEP_DTYPE, Event, Kind, Lan, Link, Node, PathStep, Plan, Route
from testbed.plan.synthetic import synthetic_series
from testbed.plan.trace import Series

USER: Final = "user"
CENTRE: Final = "dc"
WAY: Final = (USER, "ut-user", "sat", "pop-edge", "ce-dc", CENTRE)

CORE_BPS: Final = 10_000_000_000
"""Assumption: the other links are no bottleneck."""


@dataclass(frozen=True)
class Replay:
    """A series to be played on one link, and the traffic over it.

    series: None for a synthetic one, drawn for the plan's time. skip_ns: where in the series the plan begins, when no
    start in UTC says it. limit_ns: without a sample for longer there is a gap: an error, or the link is down in it.
    buffer_ns: what the best-effort queue of the link holds, in time at its rate.
    """

    name: str
    title: str
    series: Series | None
    up_share: float
    skip_ns: int
    gaps: Literal["error", "down"]
    limit_ns: int
    up_bps: int
    down_bps: int
    buffer_ns: int
    flows: Callable[[int], tuple[dict[str, Any], ...]]
    traffic: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gap:
    """Where nothing was measured: [begin_ns, end_ns) within the plan, a part of the silence after sample `since_ns`."""

    begin_ns: int
    end_ns: int
    since_ns: int
    silent_ns: int


@dataclass(frozen=True)
class Resampled:
    """A series as steps of a plan: from time 0 on; arrays of shape (n,)."""

    time_ns: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]  # the columns of Series that are there
    gaps: tuple[Gap, ...]
    summarised: int  # steps that stand for several samples


COLUMNS: Final = ("up_ns", "down_ns", "loss_up", "loss_down", "rate_up_bps", "rate_down_bps")


def replay_plan(replay: Replay, start_ns: int | None, duration_ns: int, step_ns: int, seed: int) -> Plan:
    """The plan that plays the series from `start_ns` on (UTC since 1970; None: where the series begins, or now).

    step_ns: samples closer together are summarised. seed: for a synthetic series. Raises PlanError when the series does
    not cover the time, or has a gap in it that is to be an error.
    """
    if duration_ns <= 0:
        raise PlanError(f"plan of {replay.name}: duration {duration_ns / NS_PER_S:g} s is not positive")
    series, begin_ns, start_ns = _placed(replay, start_ns, duration_ns, seed)
    found = resample(series, begin_ns, duration_ns, 1 if replay.series is None else step_ns, replay.limit_ns)
    if found.gaps and replay.gaps == "error":
        gap = found.gaps[0]
        last = _told(series, begin_ns + gap.since_ns)
        raise PlanError(
            f"{series.source}: no sample for {gap.silent_ns / NS_PER_S:.3f} s after {last}"
            f", the limit is {replay.limit_ns / NS_PER_S:g} s: choose another part, or -p gaps=down for an outage"
        )
    links, steps = _schedule(replay, found, duration_ns)
    ways = (WAY, WAY[::-1])
    return Plan(
        topology=replay.name,
        start_ns=start_ns,
        duration_ns=duration_ns,
        satellites=1,  # what stands for one
        nodes=_nodes(),
        links=links,
        lans=(Lan(USER, WAY[1]), Lan(CENTRE, WAY[-2])),
        routes=_routes(),
        events=_events(found, duration_ns),
        paths=tuple((PathStep(0, way),) for way in ways),
        steps=steps,
        flows=replay.flows(duration_ns),
        traffic=dict(replay.traffic),
        assumptions=replay.assumptions,
        manifest={
            "topology": replay.name,
            "title": replay.title,
            "start": format_utc(start_ns, 9),
            "duration_ns": duration_ns,
            "step_ns": step_ns,
            "trace": {
                "source": series.source,
                "sha256": series.sha256,
                "synthetic": replay.series is None,
                "samples": len(series),
                "from": _told(series, begin_ns),
                "steps": len(found.time_ns),
                "summarised": found.summarised,
                "gaps_s": [[gap.begin_ns / NS_PER_S, gap.end_ns / NS_PER_S] for gap in found.gaps],
            },
            "parameters": dict(replay.parameters),
            "seed": seed,
            "versions": {name: version(name) for name in ("satcom-testbed", "numpy", "pyarrow")},
        },
    )


def resample(series: Series, begin_ns: int, duration_ns: int, step_ns: int, limit_ns: int) -> Resampled:
    """The series from `begin_ns` (its own time) on, as steps.

    Time is cut into pieces of `step_ns`. Of a piece with one sample the step begins with the sample; several become one
    step from the piece's beginning: medians of delays and rates, the mean of losses. A gap is more than `limit_ns`
    between two samples; it begins one median distance of samples after the first of the two. Raises PlanError when the
    plan's time is not covered.
    """
    first_ns, last_ns = int(series.time_ns[0]), int(series.time_ns[-1])
    spacing_ns = int(np.median(np.diff(series.time_ns))) if len(series) > 1 else limit_ns
    if begin_ns < first_ns or begin_ns + duration_ns > last_ns + max(spacing_ns, 1):
        raise PlanError(
            f"{series.source}: it has samples from {_told(series, first_ns)} to {_told(series, last_ns)}; not for all "
            f"of {duration_ns / NS_PER_S:g} s from {_told(series, begin_ns)} on: shorten it or begin elsewhere"
        )
    low = int(np.searchsorted(series.time_ns, begin_ns, side="right")) - 1
    high = int(np.searchsorted(series.time_ns, begin_ns + duration_ns))
    own_ns = np.maximum(series.time_ns[low:high] - begin_ns, 0)
    piece = own_ns // step_ns
    piece[0] = -1 if series.time_ns[low] < begin_ns else piece[0]  # what holds at the beginning was before it
    firsts = np.flatnonzero(np.r_[True, np.diff(piece) != 0])
    counts = np.diff(np.r_[firsts, len(piece)])
    time_ns = np.where(counts > 1, piece[firsts] * step_ns, own_ns[firsts])
    if len(time_ns) > 1 and time_ns[1] == 0:  # the first piece is summarised from the very beginning
        time_ns, firsts, counts = time_ns[1:], firsts[1:], counts[1:]
    columns = {
        name: _summary(name, getattr(series, name)[low:high], firsts, counts)
        for name in COLUMNS
        if getattr(series, name) is not None
    }
    gaps = _gaps(series.time_ns[low : high + 1] - begin_ns, duration_ns, spacing_ns, limit_ns)
    return Resampled(time_ns, columns, gaps, int(np.count_nonzero(counts > 1)))


def _summary(name: str, values: NDArray[Any], firsts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
    """One value per step."""
    found = values[firsts].copy()
    for place in np.flatnonzero(counts > 1):
        mine = values[firsts[place] : firsts[place] + counts[place]]
        found[place] = mine.mean() if name.startswith("loss") else np.rint(np.median(mine))
    return found


def _gaps(times_ns: NDArray[np.int64], duration_ns: int, spacing_ns: int, limit_ns: int) -> tuple[Gap, ...]:
    """Those within the plan; the last of the samples may lie after its end."""
    found = []
    for before, after in pairwise(times_ns.tolist()):
        begin_ns, end_ns = max(before + spacing_ns, 0), min(after, duration_ns)
        if after - before > limit_ns and begin_ns < end_ns:
            found.append(Gap(begin_ns, end_ns, before, after - before))
    return tuple(found)


def _placed(replay: Replay, start_ns: int | None, duration_ns: int, seed: int) -> tuple[Series, int, int]:
    """The series, where in its own time the plan begins, and the plan's start in UTC."""
    series = replay.series
    if series is None:
        start_ns = _now_ns() if start_ns is None else start_ns
        return synthetic_series(start_ns, duration_ns, seed, replay.up_share), start_ns, start_ns
    if series.absolute and start_ns is not None:
        if replay.skip_ns:
            raise PlanError(f"{series.source}: its times are UTC: give --start or -p skip, not both")
        return series, start_ns, start_ns
    begin_ns = int(series.time_ns[0]) + replay.skip_ns
    if series.absolute:
        return series, begin_ns, begin_ns
    return series, begin_ns, _now_ns() if start_ns is None else start_ns


def _now_ns() -> int:
    return time.time_ns() // NS_PER_S * NS_PER_S


def _told(series: Series, time_ns: int) -> str:
    """An instant of the series for people."""
    return format_utc(time_ns, 3) if series.absolute else f"{time_ns / NS_PER_S:.3f} s"


def _nodes() -> tuple[Node, ...]:
    user, terminal, satellite, pop, router, centre = WAY
    return (
        Node(user, "host"),
        Node(centre, "host", inside=False),
        Node(terminal, "terminal"),
        Node(satellite, "satellite"),
        Node(pop, "pop", nat=True),
        Node(router, "router", inside=False),
    )


def _routes() -> tuple[Route, ...]:
    user, terminal, satellite, pop, router, centre = WAY
    wanted = {
        (terminal, "default"): satellite,
        (satellite, user): terminal,
        (satellite, "default"): pop,
        (pop, user): satellite,
        (pop, centre): router,
        (router, "default"): pop,
    }
    return tuple(Route(0, node, destination, via) for (node, destination), via in sorted(wanted.items()))


def _schedule(replay: Replay, found: Resampled, duration_ns: int) -> tuple[tuple[Link, ...], NDArray[np.void]]:
    _, terminal, satellite, pop, router, _ = WAY
    links, parts = [], []
    for upward in (True, False):
        ends = (terminal, satellite) if upward else (satellite, terminal)
        steps = _series_steps(replay, found, upward, duration_ns)
        buffer_bytes = int(steps["rate_bps"].max()) * replay.buffer_ns // (8 * NS_PER_S)
        links.append(Link(*ends, kind="user", buffer_bytes=buffer_bytes))
        parts.append(steps)
    others: tuple[tuple[str, str, Kind], ...] = ((satellite, pop, "feeder"), (pop, router, "fibre"))
    for a, b, kind in others:
        for one, other in ((a, b), (b, a)):
            links.append(Link(one, other, kind=kind, buffer_bytes=CORE_BPS * replay.buffer_ns // (8 * NS_PER_S)))
            steps = np.zeros(1, STEP_DTYPE)
            steps["up"], steps["rate_bps"] = True, CORE_BPS
            parts.append(steps)
    for number, steps in enumerate(parts):
        steps["link"] = number
        steps["range_m"] = steps["elevation_deg"] = np.nan
    return tuple(links), np.concatenate(parts)


def _series_steps(replay: Replay, found: Resampled, upward: bool, duration_ns: int) -> NDArray[np.void]:
    way = "up" if upward else "down"
    edges = [edge for gap in found.gaps for edge in (gap.begin_ns, gap.end_ns) if edge < duration_ns]
    times = np.union1d(found.time_ns, np.array(edges, np.int64))
    row = np.searchsorted(found.time_ns, times, side="right") - 1
    steps = np.zeros(len(times), STEP_DTYPE)
    steps["time_ns"] = times
    steps["up"] = True
    for gap in found.gaps:
        steps["up"] &= ~((times >= gap.begin_ns) & (times < gap.end_ns))
    steps["delay_ns"] = found.columns[f"{way}_ns"][row]
    steps["loss"] = found.columns[f"loss_{way}"][row]
    rates = found.columns.get(f"rate_{way}_bps")
    steps["rate_bps"] = (replay.up_bps if upward else replay.down_bps) if rates is None else rates[row]
    return steps


def _events(found: Resampled, duration_ns: int) -> tuple[Event, ...]:
    """Where the series lets packets be lost, and where nothing was measured: loss there is planned."""
    lossy = (found.columns["loss_up"] > 0) | (found.columns["loss_down"] > 0)
    edges = np.flatnonzero(np.diff(np.r_[False, lossy, False]))
    times = np.r_[found.time_ns, duration_ns]
    events = [
        Event(int(times[low]), "loss", WAY[1], "the series", window_ns=int(times[high] - times[low]))
        for low, high in zip(edges[::2], edges[1::2], strict=True)
    ]
    for gap in found.gaps:
        events.append(Event(gap.begin_ns, "outage", WAY[1], "no samples", window_ns=gap.end_ns - gap.begin_ns))
    return tuple(sorted(events, key=lambda event: (event.time_ns, event.kind)))
