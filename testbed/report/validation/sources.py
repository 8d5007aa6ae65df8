"""Where series of round trips come from: measured files, a run's probes or packets, a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from testbed.ground.constants import NS_PER_S
from testbed.ground.errors import PlanError, RunError
from testbed.plan.delays import propagation_ns
from testbed.plan.expected import path_delay_ns
from testbed.plan.model import PathStep, Plan
from testbed.plan.trace import Columns, read_series
from testbed.report.comparison.summary import first_copies
from testbed.report.evidence import Evidence, read_evidence
from testbed.report.validation.cells import Observed

Via = Literal["probes", "flows"]
Pair = tuple[str, str]

MS_NS: Final = 1_000_000
PLAN_STEP_NS: Final = 100 * MS_NS
"""How often a plan is asked for its delay: the default step of plans."""

MATCH_NS: Final = 1 * NS_PER_S
"""Assumption: the way back is known by a packet that left within this time of the reply's."""

LEAST_NS: Final = 60 * NS_PER_S
"""Assumption: a run is a series from four slots on, the least in which it can show when its levels change."""


def from_files(files: Sequence[Path], columns: Columns, averaged_s: float = 0.0) -> Observed:
    """The measured series in the files, which together are one, in order of time. Raises PlanError."""
    read = sorted((read_series(file, columns, 0.5) for file in files), key=lambda series: int(series.time_ns[0]))
    for before, after in pairwise(read):
        if before.absolute != after.absolute or before.time_ns[-1] >= after.time_ns[0]:
            why = "overlap in time" if before.absolute == after.absolute else "do not both have UTC"
            raise PlanError(f"{before.source} and {after.source} {why}: give each in a command of its own")
    time_ns = np.concatenate([series.time_ns for series in read])
    rtt_ms = np.concatenate([series.up_ns + series.down_ns for series in read]) / MS_NS
    loss = 1.0 - np.concatenate([(1.0 - series.loss_up) * (1.0 - series.loss_down) for series in read])
    rtt_ms[loss >= 1.0] = np.nan
    if not np.isfinite(rtt_ms).any():
        raise PlanError(f"{read[0].source}: everything in it was lost: no round trip to compare with")
    name = ", ".join(series.source for series in read[:3]) + (f" and {len(read) - 3} more" if len(read) > 3 else "")
    return Observed(name, "measured", time_ns, rtt_ms, loss, read[0].absolute, averaged_s)


def pairs_of(plan: Plan) -> list[Pair]:
    """The pairs of hosts whose ways are known both ways, each once, as the plan names them first."""
    ends = [(path[0].nodes[0], path[0].nodes[-1]) for path in plan.paths]
    return [pair for number, pair in enumerate(ends) if pair[::-1] in ends and pair[::-1] not in ends[:number]]


def choose_pair(plan: Plan, asked: Pair | None) -> Pair:
    """The pair asked for, or the first there is. Raises PlanError."""
    known = pairs_of(plan)
    if not known:
        raise PlanError(f"plan of {plan.topology}: no pair of hosts has its way there and back: no round trip in it")
    if asked is None:
        return known[0]
    if asked in known or asked[::-1] in known:
        return asked
    names = ", ".join(",".join(pair) for pair in known)
    raise PlanError(f"plan of {plan.topology}: no pair {asked[0]},{asked[1]}: it has {names}")


def from_run(folder: Path, asked: Pair | None = None, via: Via = "probes") -> tuple[Observed, Plan, Pair]:
    """The round trips that were measured in a run, its plan, and between whom. Raises PlanError, and RunError for a run
    that is not complete, not valid or shorter than LEAST_NS.

    Probes and packets go one way: a round trip is the delay of one there and of the one back that left nearest to its
    arrival, both measured. One without such a partner within a second is left out.
    """
    evidence = read_evidence(folder)
    pair = choose_pair(evidence.plan, asked)
    _must_count(evidence, via)
    ways = []
    for source, destination in (pair, pair[::-1]):
        if via == "probes":
            own = evidence.samples[evidence.samples["path"]]
            numbers = [n for n, path in enumerate(evidence.plan.paths) if _ends(path) == (source, destination)]
            rows = own[np.isin(own["index"], numbers)]
        else:
            declared = evidence.flows["flows"] if evidence.flows is not None else []
            flows = [n for n, one in enumerate(declared) if (one["src"], one["dst"]) == (source, destination)]
            parts = [first_copies(evidence.packets[evidence.packets["flow"] == number]) for number in flows]
            rows = np.concatenate(parts) if parts else evidence.packets[:0]
        if not len(rows):
            raise RunError(f"{folder}: no {via} from {source} to {destination}: name another --pair or --via")
        ways.append(rows[np.argsort(rows["tx_ns"], kind="stable")])
    time_ns, rtt_ms = _joined(*ways)
    if not np.isfinite(rtt_ms).any():
        raise RunError(
            f"{folder}: no {via} between {pair[0]} and {pair[1]} came there and back: a longer run is needed"
        )
    start_ns = evidence.plan.start_ns
    note = f"{via} of {folder.name} between {pair[0]} and {pair[1]}, measured on the wire"
    lost = np.isnan(rtt_ms).astype(np.float64)
    return Observed("emulated", "emulated", start_ns + time_ns, rtt_ms, lost, note=note), evidence.plan, pair


def _must_count(evidence: Evidence, via: Via) -> None:
    """Raises RunError where the figures of a run would show the machine, or a moment."""
    run, folder = evidence.run, evidence.folder
    played_s, planned_s = run["played_ns"] / NS_PER_S, evidence.plan.duration_ns / NS_PER_S
    if run["ended"] != "complete":
        raise RunError(
            f"{folder}: the run was {run['ended']} after {played_s:.1f} s of {planned_s:.1f} s: run it again"
        )
    measurement = evidence.audit if via == "probes" else evidence.flows
    if measurement is None:
        raise RunError(f"{folder}: the run left no {via}: name another --via, or run it again")
    if not measurement["valid"]:
        why = next(iter(measurement["invalid_reasons"]), "it gives no reason")
        raise RunError(f"{folder}: the run is not valid, its {via} would show the machine: {why}")
    if evidence.plan.duration_ns < LEAST_NS:
        raise RunError(
            f"{folder}: {planned_s:g} s are too short to be compared: run it for {LEAST_NS // NS_PER_S} s or more"
        )


def from_plan(plan: Plan, pair: Pair) -> Observed:
    """What a plan promises the pair, every 100 ms: planned, not measured."""
    times_ns, rtt_ms = _planned(plan, pair)
    note = f"what the plan of {plan.topology} says between {pair[0]} and {pair[1]}"
    lost = np.isnan(rtt_ms).astype(np.float64)
    return Observed("planned, not measured", "planned", plan.start_ns + times_ns, rtt_ms, lost, note=note)


def propagation_only(plan: Plan, pair: Pair) -> Observed | None:
    """The same plan with nothing but flight: range over the speed of light on radio links, fibre as it is.

    None where the pair's way has no radio link of known range.
    """
    known = np.isfinite(plan.steps["range_m"])
    if not known.any():
        return None
    steps = plan.steps.copy()
    steps["delay_ns"][known] = propagation_ns(steps["range_m"][known].astype(np.float64))
    times_ns, rtt_ms = _planned(replace(plan, steps=steps), pair)
    lost = np.isnan(rtt_ms).astype(np.float64)
    note = f"the same way of {plan.topology}: range over c and fibre, no overhead, no variation"
    return Observed("propagation only", "model", plan.start_ns + times_ns, rtt_ms, lost, note=note)


def _planned(plan: Plan, pair: Pair) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    times_ns = np.arange(0, plan.duration_ns, PLAN_STEP_NS, dtype=np.int64)
    there = path_delay_ns(plan, _path(plan, pair), times_ns)
    arrived = np.isfinite(there)
    turned = times_ns + np.where(arrived, there, 0.0).astype(np.int64)
    back = path_delay_ns(plan, _path(plan, pair[::-1]), turned)
    rtt_ms: NDArray[np.float64] = np.where(arrived, there + back, np.nan) / MS_NS
    return times_ns, rtt_ms


def _joined(there: NDArray[np.void], back: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(times, round trips, nan for lost) of packets there with the nearest back."""
    turned = there["tx_ns"] + np.maximum(there["delay_ns"], 0)
    after = np.clip(np.searchsorted(back["tx_ns"], turned), 0, len(back) - 1)
    before = np.maximum(after - 1, 0)
    earlier = np.abs(back["tx_ns"][before] - turned) <= np.abs(back["tx_ns"][after] - turned)
    partner = np.where(earlier, before, after)
    near = np.abs(back["tx_ns"][partner] - turned) <= MATCH_NS
    lost = (there["delay_ns"] < 0) | (back["delay_ns"][partner] < 0)
    rtt_ms = np.where(lost, np.nan, (there["delay_ns"] + back["delay_ns"][partner]) / MS_NS)
    return there["tx_ns"][near].astype(np.int64), rtt_ms[near]


def _ends(path: tuple[PathStep, ...]) -> Pair:
    return path[0].nodes[0], path[0].nodes[-1]


def _path(plan: Plan, pair: Pair) -> tuple[PathStep, ...]:
    return next(path for path in plan.paths if _ends(path) == pair)
