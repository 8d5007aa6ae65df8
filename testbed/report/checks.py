"""The checks that a run must pass, each with the evidence it rests on.

A check is judged only when its own measurement is valid: a starved run does not blame links, and what was not
measured is not claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from testbed.plan.expected import planned_loss
from testbed.plan.model import Plan
from testbed.report.evidence import Evidence, lost_tx_ns
from testbed.report.exposure import findings as exposure_findings
from testbed.report.internet import encrypted, over_tcp, queues_behind
from testbed.report.internet import findings as internet_findings
from testbed.report.ledger import Scores, score
from testbed.report.routing import leaked
from testbed.report.selection import findings as selection_findings
from testbed.report.words import CAUGHT_AS, HARMLESS
from traffic.checker import Finding
from traffic.verdicts import Verdict

AFTERMATH_NS: Final = 50_000_000
"""How long a planned disturbance may outlast its window: a tick of the player is late only beyond that."""

NAMED_LEAKS: Final = 3
"""Prefixes that a reason names."""

AUDIT_CHECKS: Final = ("link-delay", "path-delay", "unplanned-losses", "read-back", "ticks")
TRAFFIC_CHECKS: Final = ("integrity", "flow-loss", "statistics", "adversary-caught")


@dataclass(frozen=True)
class Check:
    """One check. Not `judged` means that there was nothing to judge (it then passes) or no valid measurement (not)."""

    name: str
    passed: bool
    detail: str
    reasons: tuple[str, ...] = ()
    judged: bool = True


def run_checks(evidence: Evidence, found: Sequence[tuple[str, Finding]]) -> tuple[Check, ...]:
    """Every check, in the order of AUDIT_CHECKS, "failover" where hosts have several systems, "announcements" where
    there is BGP, TRAFFIC_CHECKS, "ledger" where one was kept, "internet" where there are services over TCP, and
    "exposure" where nodes were tapped.

    `found`: what the blind checker says (`blind.findings`).
    """
    audited, traffic = _audit_checks(evidence), _traffic_checks(evidence, found)
    beside = (*_internet_checks(evidence), *_exposure_checks(evidence))
    return *audited, *_failover_checks(evidence), *_domain_checks(evidence), *traffic, *beside


def _audit_checks(evidence: Evidence) -> Iterator[Check]:
    audit = evidence.audit
    if audit is None or not audit["valid"]:
        yield from _unjudged(AUDIT_CHECKS, "the audit left no judgement" if audit is None else "the audit is not valid")
        return
    yield _link_delay(audit)
    yield _path_delay(audit)
    yield _unplanned_losses(audit)
    yield _read_back(audit)
    yield _ticks(audit, evidence.plan)


def _failover_checks(evidence: Evidence) -> Iterator[Check]:
    """Traffic left every path that broke, and returned when it was mended, within what was promised."""
    if not evidence.plan.uplinks:
        return
    if evidence.audit is None or not evidence.audit["valid"] or evidence.chosen is None:
        yield from _unjudged(("failover",), "the audit is not valid" if evidence.chosen else "the run left no choices")
        return
    reasons, detail = selection_findings(evidence.plan, evidence.chosen)
    yield _verdict("failover", reasons, detail)


def _domain_checks(evidence: Evidence) -> Iterator[Check]:
    """No domain tells another what is its own affair: links between satellites, addresses behind the NAT."""
    edges = (evidence.routing or {}).get("edges", ())
    if not edges:
        return
    reasons = [
        f"domains: {edge['router']} ({edge['domain']}) learned {', '.join(prefixes[:NAMED_LEAKS])} by BGP, which no "
        "domain was to announce"
        for edge in edges
        if (prefixes := leaked(edge))
    ]
    known = sum(len(edge["learned"]) for edge in edges)
    detail = f"{known} routes learned by BGP at {len(edges)} edges, {'not all' if reasons else 'all'} of them announced"
    yield Check("announcements", not reasons, detail, tuple(reasons))


def _traffic_checks(evidence: Evidence, found: Sequence[tuple[str, Finding]]) -> Iterator[Check]:
    flows = evidence.flows
    if not encrypted(evidence.plan.flows):
        for name in TRAFFIC_CHECKS:
            yield Check(name, True, "the plan has no flows", judged=False)
        return
    if flows is None:
        yield from _unjudged(TRAFFIC_CHECKS, "the flows left no result")
        return
    integrity = _integrity(evidence, flows)
    if not flows["valid"]:
        for check in _unjudged(TRAFFIC_CHECKS, "the flow measurement is not valid"):
            # An alarm stands even so: lost captures forge no packets.
            yield integrity if check.name == integrity.name and integrity.reasons else check
        yield from _ledger(evidence, None)  # taps and single packets do not depend on when they were sent
        return
    yield integrity
    yield _flow_loss(evidence, flows)
    yield _statistics(evidence, found)
    yield _adversary_caught(evidence, flows, found)
    yield from _ledger(evidence, found)


def _internet_checks(evidence: Evidence) -> Iterator[Check]:
    """Every page was loaded whole and every transfer went through."""
    if not over_tcp(evidence.plan.flows):
        return
    if evidence.internet is None:
        yield from _unjudged(("internet",), "the services over TCP left no result")
        return
    reasons, detail = internet_findings(evidence.internet)
    yield _verdict("internet", reasons, detail)


def _exposure_checks(evidence: Evidence) -> Iterator[Check]:
    """Whoever is not meant to read payload reads none. A leak stands even where taps lost frames."""
    if evidence.exposure is None:
        return
    leaks, detail, unseen = exposure_findings(evidence.exposure)
    if unseen and not leaks:
        excused = bool(over_tcp(evidence.plan.flows))  # as fast as they go: faster than taps are read
        yield Check("exposure", excused, f"not judged: {unseen}", judged=False)
    else:
        yield _verdict("exposure", leaks, detail)


def _unjudged(names: tuple[str, ...], why: str) -> Iterator[Check]:
    for name in names:
        yield Check(name, False, f"not judged: {why}", judged=False)


def _verdict(name: str, reasons: list[str], detail: str) -> Check:
    return Check(name, not reasons, detail, tuple(reasons))


def _off_plan(what: str, row: dict[str, Any], budgets_us: dict[str, float], note: str = "") -> list[str]:
    """The line for a link or path that is off its plan: by its median if over budget, else by its 90th percentile."""
    for quantile, budget_us in budgets_us.items():
        error_us = row["error_us"][quantile]
        if error_us > budget_us:
            figures = f"error {quantile} {error_us / 1e3:.3f} ms, budget {budget_us / 1e3:.3f} ms"
            return [f"audit: {what} is off its plan: {figures}{note}"]
    if row["passed"] or row["unplanned_losses"]:
        return []
    return [f"audit: {what} is off its plan by the audit's judgement, though its error p50 and p90 are within budget"]


def _judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("judged", True)]


def _link_delay(audit: dict[str, Any]) -> Check:
    budget = audit["budget"]
    budgets_us = {"p50": budget["link_p50_us"], "p90": budget["link_p90_us"]}
    judged = _judged(audit["links"])
    reasons = [line for row in judged for line in _off_plan(f"link {row['a']}→{row['b']}", row, budgets_us)]
    detail = (
        f"{len(judged) - len(reasons)} of {len(judged)} link directions within p50 {budgets_us['p50']:.0f} µs "
        f"and p90 {budgets_us['p90']:.0f} µs"
    )
    if judged:
        worst = max(judged, key=lambda row: float(row["error_us"]["p50"]))
        detail += f"; worst {worst['a']}→{worst['b']}, p50 {worst['error_us']['p50']:,.0f} µs"
    if len(judged) < len(audit["links"]):
        detail += f"; {len(audit['links']) - len(judged)} that could not be judged"
    return _verdict("link-delay", reasons, detail)


def _path_delay(audit: dict[str, Any]) -> Check:
    budget = audit["budget"]
    judged = _judged(audit["paths"])
    reasons = []
    for row in judged:
        hops = row["netem_hops"]
        budgets_us = {"p50": budget["path_p50_us_per_hop"] * hops, "p90": budget["path_p90_us_per_hop"] * hops}
        reasons += _off_plan(f"path {row['from']}→{row['to']}", row, budgets_us, f" for {hops} netem hops")
    detail = (
        f"{len(judged) - len(reasons)} of {len(judged)} paths within p50 {budget['path_p50_us_per_hop']:.0f} µs "
        f"and p90 {budget['path_p90_us_per_hop']:.0f} µs per netem hop"
    )
    return _verdict("path-delay", reasons, detail)


def _unplanned_losses(audit: dict[str, Any]) -> Check:
    reasons = []
    named = [(f"link {row['a']}→{row['b']}", row) for row in audit["links"]]
    named += [(f"path {row['from']}→{row['to']}", row) for row in audit["paths"]]
    for what, row in named:
        if row["unplanned_losses"]:
            total = row["samples"]
            reasons.append(f"audit: {what} lost {row['unplanned_losses']} of {total:,} probes that the plan keeps")
    lost = sum(row["unplanned_losses"] for _, row in named)
    return _verdict("unplanned-losses", reasons, f"{lost} of {audit['samples']:,} probes lost that the plan keeps")


def _read_back(audit: dict[str, Any]) -> Check:
    readback = audit["readback"]
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in readback["mismatches"]:
        found.setdefault((row["a"], row["b"], row["field"]), []).append(row)
    reasons = []
    for (a, b, name), rows in found.items():
        first = rows[0]
        again = f" ({len(rows):,} times in all)" if len(rows) > 1 else ""
        reasons.append(
            f"read-back: at {first['time_ns'] / 1e9:.3f} s the kernel held {name} {first['held']} on link {a}→{b}, "
            f"the plan says {first['planned']}{again}"
        )
    detail = f"{readback['checked']:,} settings read back, {len(readback['mismatches']):,} not as planned"
    return _verdict("read-back", reasons, detail)


def _ticks(audit: dict[str, Any], plan: Plan) -> Check:
    if not audit["ticks"] and not _changes(plan):
        return Check("ticks", True, "the plan changes nothing", judged=False)
    late, ticks, lateness_ms = audit["late_ticks"], audit["ticks"], audit["tick_late_ms"]
    worst_ms = lateness_ms["max"] if lateness_ms else 0.0
    reasons = []
    if not ticks:
        reasons.append("player: no tick was played")
    elif late:
        reasons.append(f"player: {late:,} of {ticks:,} ticks were late, the worst by {worst_ms:.1f} ms")
    return _verdict("ticks", reasons, f"{late:,} of {ticks:,} ticks late; at most {worst_ms:.1f} ms behind the plan")


def _changes(plan: Plan) -> bool:
    """Is there anything to play after the first instant?"""
    return bool((plan.steps["time_ns"] > 0).any()) or any(route.time_ns > 0 for route in plan.routes)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def alarming(counts: dict[str, int]) -> dict[str, int]:
    """Those verdict counts that raise an alarm."""
    return {name: count for name, count in counts.items() if count and name not in HARMLESS}


def alarm_count(flows: dict[str, Any]) -> int:
    """How many alarms were raised; the list of them holds only the first."""
    return int(flows.get("alarm_count", len(flows["alarms"])))


def _integrity(evidence: Evidence, flows: dict[str, Any]) -> Check:
    reasons = []
    named: set[str] = set()
    for flow in flows["flows"]:
        if flow["integrity"]["verdict"] == "attacked":
            bad = alarming(flow["integrity"]["counts"])
            named |= bad.keys()
            told = _counts(bad) or "no verdict counts"
            reasons.append(f"traffic: flow {flow['name']} ({flow['src']}→{flow['dst']}) was attacked: {told}")
    for host, counts in flows["unattributed"].items():
        bad = alarming(counts)
        named |= bad.keys()
        if bad:
            reasons.append(f"traffic: {host} received packets that belong to no flow: {_counts(bad)}")
    for (host, verdict), count in Counter((alarm["host"], alarm["verdict"]) for alarm in flows["alarms"]).items():
        if verdict not in named:
            reasons.append(f"traffic: {host} raised {count} × {verdict}")
    intact = sum(flow["integrity"]["verdict"] == "intact" for flow in flows["flows"])
    detail = f"{intact} of {len(flows['flows'])} flows intact, {alarm_count(flows):,} alarms"
    if unprotected := sum(flow["integrity"]["verdict"] == "unprotected" for flow in flows["flows"]):
        if evidence.plan.traffic.get("profile") == "strongswan":
            detail += f"; {unprotected} protected by their hosts' kernels, which judge for themselves: strongswan.json"
        else:
            detail += (
                f"; {unprotected} unprotected: their hosts send in the clear, and what is forged on the way is believed"
            )
    return _verdict("integrity", reasons, detail)


def _flow_loss(evidence: Evidence, flows: dict[str, Any]) -> Check:
    plan = evidence.plan
    lasting = tuple(
        replace(event, window_ns=event.window_ns + AFTERMATH_NS) if event.window_ns else event for event in plan.events
    )
    tolerant = replace(plan, events=lasting)
    declared = {flow.get("name"): flow for flow in plan.flows}
    reasons = []
    lost = unplanned = queued = 0
    for number, flow in enumerate(flows["flows"]):
        tx_ns = lost_tx_ns(evidence.packets[evidence.packets["flow"] == number])
        lost += len(tx_ns)
        planned = planned_loss(tolerant, flow["src"], flow["dst"], tx_ns)
        if declared.get(flow["name"], flow).get("dscp") in plan.traffic.get("duplicated", ()):  # both copies were lost
            planned &= planned_loss(tolerant, flow["src"], flow["dst"], tx_ns, second=True)
        tx_ns = tx_ns[~planned]
        if len(tx_ns) and queues_behind(declared.get(flow["name"], flow), plan.flows):
            queued += len(tx_ns)
        elif len(tx_ns):
            unplanned += len(tx_ns)
            reasons.append(
                f"traffic: flow {flow['name']} ({flow['src']}→{flow['dst']}) lost {len(tx_ns):,} of {flow['sent']:,} "
                f"packets outside planned handover windows, the first sent at {tx_ns[0] / 1e9:.3f} s"
            )
    told = f"{unplanned:,} of {lost:,} lost packets were sent outside planned handover windows"
    if queued:
        told += f"; {queued:,} more shared a best-effort queue with TCP"
    if lossy := _lossy_links(plan):
        return Check("flow-loss", True, f"not judged: {lossy} links lose packets by plan; {told}", judged=False)
    return _verdict("flow-loss", reasons, told)


def _statistics(evidence: Evidence, found: Sequence[tuple[str, Finding]]) -> Check:
    """Verdicts over whole flows. Loss is judged here only where links lose packets by plan: else by flow-loss."""
    elsewhere = set() if _lossy_links(evidence.plan) else {Verdict.SUSPECT_DROP}
    if evidence.audit is None or not evidence.audit["valid"]:
        elsewhere |= {Verdict.DELAY_ATTACK, Verdict.REORDER_ATTACK}  # a busy machine delays packets
    mine = [(name, finding) for name, finding in found if finding.judged and finding.verdict not in elsewhere]
    reasons = [
        f"traffic: flow {name}: {finding.verdict.name}: {finding.detail}" for name, finding in mine if finding.alarm
    ]
    return _verdict("statistics", reasons, f"{len(mine)} tests of whole flows, {len(reasons)} alarms")


def _ledger(evidence: Evidence, found: Sequence[tuple[str, Finding]] | None) -> Iterator[Check]:
    """The blind checker against the ledger. What the network did is other checks' matter; here it must be noticed."""
    scores = score(evidence, found)
    if scores is not None and scores.missed:
        yield Check("ledger", False, f"not judged: its taps lost {scores.missed:,} frames", judged=False)
    elif scores is not None:
        yield _of_ledger(scores)


def _of_ledger(scores: Scores) -> Check:
    told = [f"{count:,} packets {name.lower()}" for name, count in scores.truth.items()]
    missing = scores.truth.get("MISSING", 0)
    if missing:
        told.append(f"{scores.explained:,} of the missing by plan or in queues")
    reasons = []
    for one in scores.acts:
        judged = one.noticed + one.missed
        bound = f" (≥ {one.least:.1%})" if judged and not one.by_flow else ""
        lost = f", {one.lost:,} could not be" if one.lost else ""
        told.append(f"{one.action}: {one.noticed:,} of {judged:,} noticed{bound}{lost}")
        if one.missed:
            reasons.append(f"ledger: {one.missed:,} of {judged:,} acts of {one.action} were not noticed")
    untrue = sum(scores.untrue.values())
    told.append(f"{untrue:,} false alarms (≤ {scores.false_share:.1e} of packets)")
    if untrue:
        reasons.append(f"ledger: {_counts(scores.untrue)} answer to nothing that was done")
    return _verdict("ledger", reasons, "; ".join(told))


def _lossy_links(plan: Plan) -> int:
    return len(np.unique(plan.steps["link"][plan.steps["loss"] > 0]))


def _adversary_caught(evidence: Evidence, flows: dict[str, Any], found: Sequence[tuple[str, Finding]] = ()) -> Check:
    adversary = evidence.plan.traffic.get("adversary", "none")
    configured = adversary["action"] if isinstance(adversary, dict) else adversary
    if configured == "none":
        return Check("adversary-caught", True, "no adversary in this run", judged=False)
    judged: Counter[str] = Counter()
    for counts in [flow["integrity"]["counts"] for flow in flows["flows"]] + list(flows["unattributed"].values()):
        judged.update(alarming(counts))
    judged.update(finding.verdict.name for _, finding in found if finding.alarm)
    seen = judged | Counter(alarm["verdict"] for alarm in flows["alarms"])  # the larger of the two, name by name
    names = [written.rpartition(".py:")[2] for written in configured.split("+")]  # of a user's own the function
    done = [act["action"] for act in evidence.acts or () if "error" not in act]
    acts = Counter(action for action in done if action in CAUGHT_AS or action in names)
    reasons, told = [], []
    for action in dict.fromkeys([*names, *acts]):
        expected = CAUGHT_AS.get(action, tuple(seen))
        caught = {name: seen[name] for name in expected if seen[name]}
        times = f" {acts[action]:,} times" if acts[action] else ""
        if acts[action] and not expected and action in CAUGHT_AS:
            told.append(f"{action}{times}, which nobody can notice")
        elif caught:
            told.append(f"{action}{times}, caught as {_counts(caught)}")
        elif evidence.acts is not None and not acts[action]:
            told.append(f"{action} never acted")
            reasons.append(f"adversary: {action} was asked for and never acted: let the run last longer")
        else:
            told.append(f"{action}{times}, not caught")
            wanted = " or ".join(CAUGHT_AS.get(action, ("an alarm",)))
            reasons.append(f"adversary: {action} was tried{times} and {wanted} was never raised")
    return _verdict("adversary-caught", reasons, "; ".join(told))
