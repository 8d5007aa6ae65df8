"""The audit: was the delay on the wire the planned one, did the kernel hold the plan, was anything lost unplanned?

Error = |measured − planned at that instant|, serialisation of the probe included in the plan's side; nothing else is
subtracted. Packets in the planned window of a handover are reported apart. A run that was starved of CPU or whose clock
was stepped is invalid: it does not blame the links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, lgamma, log, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation import probes
from testbed.emulation.player import LATE_NS, Mismatch, TickRecord
from testbed.emulation.targets import CONTROL_DELAY_NS, CONTROL_HOPS
from testbed.ground.records import SAMPLE_DTYPE, TICK_DTYPE
from testbed.kernel.queues import NOMINAL_RATE_BPS
from testbed.plan.expected import held_back, link_held_back, path_delay_ns, path_nodes
from testbed.plan.model import Plan

BUDGET: Final = {
    "link_p50_us": 150.0,
    "link_p90_us": 300.0,
    "path_p50_us_per_hop": 120.0,
    "path_p90_us_per_hop": 200.0,
}
"""What an idle two-core machine meets in the user-mode kernel; the native kernel does better."""

MIN_SAMPLES: Final = 20  # fewer are reported and not judged
CHANCE: Final = 1e-4  # of blaming a link that keeps its budget; some forty are judged in a run
_TAIL: Final = {"p50": 0.5, "p90": 0.1}  # share of the probes that may lie beyond a quantile
CLOCK_STEP_NS: Final = 1_000_000  # realtime against monotonic, from one second to the next
_SERIALISATION_NS: Final = probes.WIRE_BYTES * 8e9 / NOMINAL_RATE_BPS  # per netem hop
_AFTERMATH_NS: Final = LATE_NS  # after a handover's window: what a tick that is not yet late may still move


@dataclass
class Evidence:
    """What a run has measured, beside its plan."""

    raw: NDArray[np.void]  # probes.RAW_DTYPE
    start_realtime_ns: int
    ticks: Sequence[TickRecord]
    mismatches: Sequence[Mismatch]
    checked: int
    clock_steps_ns: Sequence[int] = field(default_factory=list)


def sample_table(plan: Plan, evidence: Evidence) -> NDArray[np.void]:
    """Probes of links and paths beside what the plan says of each, shape (n,), of SAMPLE_DTYPE."""
    raw = evidence.raw[(evidence.raw["kind"] != probes.CONTROL) & (evidence.raw["tx_ns"] > 0)]
    table = np.zeros(len(raw), SAMPLE_DTYPE)
    table["path"] = raw["kind"] == probes.PATH
    table["index"] = raw["index"]
    table["tx_ns"] = raw["tx_ns"] - evidence.start_realtime_ns
    table["delay_ns"] = np.where(raw["rx_ns"] > 0, raw["rx_ns"] - raw["tx_ns"], -1)
    table = np.sort(table, order=["path", "index", "tx_ns"])
    for is_path, index in {(bool(row["path"]), int(row["index"])) for row in table}:
        mine = (table["path"] == is_path) & (table["index"] == index)
        times = table["tx_ns"][mine]
        if is_path:
            path = plan.paths[index]
            hops = _netem_hops(plan, path[0].nodes)
            planned = path_delay_ns(plan, path, times) + hops * _SERIALISATION_NS
            table["transition"][mine] = np.isnan(planned) | _disturbed(plan, path_nodes(path), times, planned)
            table["transition"][mine] |= held_back(plan, path, times)
            table["planned_ns"][mine] = np.nan_to_num(planned)
        else:
            planned = _link_delay_ns(plan, index, times) + _SERIALISATION_NS
            link = plan.links[index]
            table["transition"][mine] = _disturbed(plan, {link.a, link.b}, times, planned)
            table["transition"][mine] |= link_held_back(plan, index, times)
            table["planned_ns"][mine] = np.maximum.accumulate(times + planned) - times  # one queue, first in first out
    return table


def tick_table(ticks: Sequence[TickRecord]) -> NDArray[np.void]:
    """Ticks as TICK_DTYPE, shape (n,)."""
    return np.array([(tick.time_ns, tick.late_ns, tick.changes) for tick in ticks], TICK_DTYPE)


def judge(plan: Plan, evidence: Evidence, samples: NDArray[np.void]) -> dict[str, Any]:
    """The audit's findings, as `audit.json` holds them."""
    measured = samples[~samples["transition"]]
    control = _control(evidence)
    link_budget = {"p50": BUDGET["link_p50_us"], "p90": BUDGET["link_p90_us"]}
    links = [
        {"link": number, "a": link.a, "b": link.b, "kind": link.kind}
        | _finding(_of(measured, path=False, index=number), link_budget, _witness(control))
        for number, link in enumerate(plan.links)
    ]
    paths = []
    for number, path in enumerate(plan.paths):
        nodes = path[0].nodes
        hops = _netem_hops(plan, nodes)
        budget = {"p50": BUDGET["path_p50_us_per_hop"] * hops, "p90": BUDGET["path_p90_us_per_hop"] * hops}
        witness = _witness(control["chain"], hops / CONTROL_HOPS)
        ends = {"path": number, "from": nodes[0], "to": nodes[-1], "netem_hops": hops}
        paths.append(ends | _finding(_of(measured, path=True, index=number), budget, witness))
    transitions = samples[samples["transition"]]
    ticks = tick_table(evidence.ticks)
    late = int(np.sum(ticks["late_ns"] > LATE_NS))
    reasons = _invalid(evidence, late, ticks) + _untold(control, [*links, *paths])
    return {
        "valid": not reasons,
        "invalid_reasons": reasons,
        "budget": BUDGET,
        "error_budget_us": _error_budget(plan, evidence, ticks, control),
        "samples": len(samples),
        "links": links,
        "paths": paths,
        "transitions": {
            "samples": len(transitions),
            "lost": int(np.sum(transitions["delay_ns"] < 0)),
            "error_us": _quantiles(_errors_us(transitions)),
        },
        "ticks": len(ticks),
        "late_ticks": late,
        "tick_late_ms": _tick_lateness_ms(ticks),
        "readback": {
            "checked": evidence.checked,
            "mismatches": [_describe(plan, mismatch) for mismatch in evidence.mismatches],
        },
        "control": control,
    }


def _of(samples: NDArray[np.void], *, path: bool, index: int) -> NDArray[np.void]:
    chosen: NDArray[np.void] = samples[(samples["path"] == path) & (samples["index"] == index)]
    return chosen


def _witness(control: dict[str, Any], share: float = 1.0) -> dict[str, float]:
    """Errors that the machine's own noise may explain: twice the most that a constant link's quantiles, or a chain's,
    may be by what its probes show."""
    bounds = control["bound_us"]
    return {name: 2 * share * bounds[name] if bounds else 0.0 for name in ("p50", "p90")}


def _finding(samples: NDArray[np.void], budget_us: dict[str, float], witness_us: dict[str, float]) -> dict[str, Any]:
    """Within its budget, off its plan, or not told.

    It passes only within its budget. It is off its plan where the excess is neither chance (a binomial test at
    CHANCE) nor explained by the machine's noise. Between the two it is not judged.
    """
    errors = _errors_us(samples)
    quantiles = _quantiles(errors)
    shown = quantiles or dict.fromkeys(budget_us, 0.0)
    beyond = [name for name in budget_us if shown[name] > budget_us[name]]
    clear = [name for name in beyond if _clearly(errors, budget_us[name], _TAIL[name])]
    off = [name for name in clear if shown[name] > witness_us[name]]
    enough = len(errors) >= MIN_SAMPLES
    lost = int(np.sum(samples["delay_ns"] < 0))
    return {
        "samples": len(samples),
        "judged": enough and bool(off or not beyond),
        "untold": enough and bool(beyond and not off),
        "lost": lost,
        "unplanned_losses": lost,
        "error_us": quantiles,
        "passed": not lost and not (enough and off),
    }


def _clearly(errors_us: NDArray[np.float64], budget_us: float, share: float) -> bool:
    """Are more than `share` of all probes beyond the budget, not only of these? One-sided exact binomial test."""
    count, over = len(errors_us), int(np.sum(errors_us > budget_us))
    chances = (
        lgamma(count + 1) - lgamma(k + 1) - lgamma(count - k + 1) + k * log(share) + (count - k) * log(1 - share)
        for k in range(over, count + 1)
    )
    return sum(exp(chance) for chance in chances) < CHANCE


def _errors_us(samples: NDArray[np.void]) -> NDArray[np.float64]:
    arrived = samples[samples["delay_ns"] >= 0]
    errors: NDArray[np.float64] = np.abs(arrived["delay_ns"] - arrived["planned_ns"]) / 1e3
    return errors


def _quantiles(errors_us: NDArray[np.float64]) -> dict[str, float] | None:
    if not len(errors_us):
        return None
    p50, p90, p99, most = np.percentile(errors_us, [50, 90, 99, 100])
    return {"p50": round(p50, 3), "p90": round(p90, 3), "p99": round(p99, 3), "max": round(most, 3)}


def _bounds(errors_us: NDArray[np.float64]) -> dict[str, float] | None:
    """Upper bounds of the median and the 90th percentile: order statistics two standard deviations up (97.5 %)."""
    if not len(errors_us):
        return None
    shares = {"p50": 0.5, "p90": 0.9}
    up = {name: min(share + 2 * sqrt(share * (1 - share) / len(errors_us)), 1.0) for name, share in shares.items()}
    return {name: round(float(np.quantile(errors_us, share)), 3) for name, share in up.items()}


def _control(evidence: Evidence) -> dict[str, Any]:
    """What the control link and the control chain show: the machine's own share."""
    found = []
    for index, hops in enumerate((1, CONTROL_HOPS)):
        mine = (evidence.raw["kind"] == probes.CONTROL) & (evidence.raw["index"] == index)
        raw = evidence.raw[mine & (evidence.raw["tx_ns"] > 0) & (evidence.raw["rx_ns"] > 0)]
        expected_ns = hops * (CONTROL_DELAY_NS + _SERIALISATION_NS)
        errors = np.abs(raw["rx_ns"] - raw["tx_ns"] - expected_ns) / 1e3
        found.append({"samples": len(raw), "error_us": _quantiles(errors), "bound_us": _bounds(errors)})
    return found[0] | {"chain": found[1] | {"hops": CONTROL_HOPS}}


def _error_budget(
    plan: Plan, evidence: Evidence, ticks: NDArray[np.void], control: dict[str, Any]
) -> dict[str, float | None]:
    """Where a link's error comes from, in µs; None where nothing tells.

    kernel_timer: the median of the control link, which nothing changes. host_noise: how much more its 90th percentile
    is. tick: how far the fastest link moves (steps between handovers, 99th percentile) while the latest of a hundred
    ticks is not yet in effect. clock: the largest step of CLOCK_REALTIME, which stamps, against the schedule's clock.
    """
    alone = control["error_us"]
    late_s = float(np.percentile(ticks["late_ns"], 99)) / 1e9 if len(ticks) else 0.0
    steps = [abs(step) / 1e3 for step in evidence.clock_steps_ns]
    return {
        "kernel_timer": alone and alone["p50"],
        "host_noise": alone and round(alone["p90"] - alone["p50"], 3),
        "tick": round(_steepest_us_per_s(plan) * late_s, 3),
        "clock": round(max(steps), 3) if steps else None,
    }


def _steepest_us_per_s(plan: Plan) -> float:
    """How fast delays change, apart from jumps."""
    one_link = np.diff(plan.steps["link"]) == 0
    moved_us = np.abs(np.diff(plan.steps["delay_ns"]))[one_link] / 1e3
    passed_s = np.diff(plan.steps["time_ns"])[one_link] / 1e9
    moving = (moved_us > 0) & (passed_s > 0)
    return float(np.percentile(moved_us[moving] / passed_s[moving], 99)) if moving.any() else 0.0


def _tick_lateness_ms(ticks: NDArray[np.void]) -> dict[str, float] | None:
    if not len(ticks):
        return None
    p50, p99, most = np.percentile(ticks["late_ns"] / 1e6, [50, 99, 100])
    return {"p50": round(p50, 3), "p99": round(p99, 3), "max": round(most, 3)}


def _invalid(evidence: Evidence, late: int, ticks: NDArray[np.void]) -> list[str]:
    """Why the run may not be judged: what the machine did, not the links."""
    reasons = []
    if late:
        worst = float(np.max(ticks["late_ns"])) / 1e6
        reasons.append(
            f"{late} of {len(ticks)} ticks ended more than {LATE_NS // 10**6} ms late (worst {worst:.1f} ms): "
            "the machine was starved of CPU; run again with less beside it"
        )
    steps = [step for step in evidence.clock_steps_ns if abs(step) > CLOCK_STEP_NS]
    if steps:
        reasons.append(f"the clock was stepped by {steps[0] / 1e6:.1f} ms during the run")
    return reasons


def _untold(control: dict[str, Any], findings: list[dict[str, Any]]) -> list[str]:
    """Delays beyond their budget that can be blamed on nobody, where none can be blamed for sure."""
    untold = sum(finding["untold"] for finding in findings)
    if not untold or not all(finding["passed"] for finding in findings):
        return []
    link, chain = ((shown["error_us"] or {"p90": 0.0})["p90"] for shown in (control, control["chain"]))
    return [
        f"delays beyond their budget: {untold}, by no more than chance or the machine explains (a control link, whose "
        f"delay never changes, is off by {link:.0f} µs at p90, {CONTROL_HOPS} in a row by {chain:.0f} µs): run again, "
        "longer or with less beside it"
    ]


def _describe(plan: Plan, mismatch: Mismatch) -> dict[str, Any]:
    link = plan.links[mismatch.link]
    told = {name: getattr(mismatch, name) for name in ("time_ns", "field", "planned", "held")}
    return told | {"a": link.a, "b": link.b}


def _link_delay_ns(plan: Plan, index: int, times: NDArray[np.int64]) -> NDArray[np.float64]:
    steps = plan.link_steps(index)
    row = np.clip(np.searchsorted(steps["time_ns"], times, side="right") - 1, 0, None)
    return steps["delay_ns"][row].astype(np.float64)


def _disturbed(
    plan: Plan, nodes: set[str], times: NDArray[np.int64], planned: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """True for packets on their way in the planned window of a handover of one of `nodes`."""
    found = np.zeros(len(times), bool)
    transit = np.nan_to_num(planned)
    for event in plan.events:
        if event.node in nodes and event.window_ns:
            end_ns = event.time_ns + event.window_ns + _AFTERMATH_NS
            found |= (times + transit >= event.time_ns) & (times < end_ns)
    return found


def _netem_hops(plan: Plan, nodes: Sequence[str]) -> int:
    emulated = {(link.a, link.b) for link in plan.links}
    return sum(hop in emulated for hop in pairwise(nodes))
