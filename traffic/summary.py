"""The verdict on a session: whether it was a valid measurement, and what each flow experienced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from traffic.keys import Association
from traffic.rates import as_declared, packets_due
from traffic.receiver import Receiver
from traffic.records import PACKET_DTYPE
from traffic.relay import Leg
from traffic.results import UNSTAMPED, as_json, measure, packet_rows, percentiles_ms
from traffic.sender import FlowState, Sender
from traffic.verdicts import Verdict

LARGEST_PACING_P99_MS: Final = 20.0
"""Assumption: beyond it the sender was starved of CPU, and its rate is not the declared one."""
LARGEST_UNSTAMPED_SHARE: Final = 0.001
"""Assumption: of the packets sent; with more the measured delays would not stand for the flow."""
LARGEST_CLOCK_STEP_NS: Final = 1_000_000
"""Assumption: CLOCK_REALTIME moving more than this against CLOCK_MONOTONIC was set, not read late."""

_NS_PER_S: Final = 1e9


def summarise(
    sender: Sender,
    receiver: Receiver,
    associations: Mapping[Leg, Association],
    clock_step_ns: int,
    waiting_time_ns: int,
    *,
    legs: Sequence[Sequence[Leg]] | None = None,
    protected: bool = True,
) -> tuple[dict[str, Any], NDArray[np.void]]:
    """(the document of flows.json, the rows of flows.npy) of a session that has ended. Reads the taps' drops.

    `legs`: of each flow the associations that carry it, one after the other; its own alone if None. `protected`: False
    if the hosts sent in the clear: then no flow is called intact.
    """
    if legs is None:
        legs = [[(state.flow.src, state.flow.dst, state.flow.dscp)] for state in sender.flows]
    arrivals = np.array(receiver.arrivals, np.int64).reshape(-1, 4)
    tx_ns = [np.array(state.tx_ns, np.int64) for state in sender.flows]
    due_ns = [np.array(state.due_ns, np.int64) for state in sender.flows]
    sent = [(arrivals[:, 0] == index) & (arrivals[:, 1] < len(tx)) for index, tx in enumerate(tx_ns)]  # not invented
    rows = [packet_rows(index, tx, arrivals[sent[index], 1:]) for index, tx in enumerate(tx_ns)]
    late = [(tx - due)[tx != UNSTAMPED] for tx, due in zip(tx_ns, due_ns, strict=True)]
    pacing_ms = percentiles_ms(np.concatenate([np.zeros(0, np.int64), *late]), (50, 99))
    reasons = _invalid_reasons(sender, receiver, pacing_ms, clock_step_ns)
    flows = []
    for index, state in enumerate(sender.flows):
        flow = state.flow
        carriers = [receiver.by_association[associations[leg].spi] for leg in legs[index]]
        counts = _counts(rows[index], sum(carriers, Counter()))
        document = {"name": flow.name, "kind": flow.kind, "src": flow.src, "dst": flow.dst, "rate_pps": flow.rate_pps}
        document |= as_json(measure(len(tx_ns[index]), rows[index]))
        document["not_sent"] = state.not_sent
        document["via"] = [leg[1] for leg in legs[index][:-1]]
        due, excused = packets_due(flow, state.stop_ns), state.not_sent + state.unkeyed
        document["rate"] = as_declared(flow.rate_pps, due, due_ns[index], tx_ns[index], excused=excused)
        document["integrity"] = {"verdict": _verdict(counts, bool(reasons)), "counts": _names(counts)}
        if not protected:
            believed = int(np.count_nonzero(arrivals[:, 0] == index))
            document["integrity"] = {"verdict": "unprotected", "counts": {Verdict.UNPROTECTED.name: believed}}
        flows.append(document)
    return {
        "valid": not reasons,
        "invalid_reasons": reasons,
        "waiting_time_s": waiting_time_ns / _NS_PER_S,
        "percentiles_over": "received packets",
        "pacing_ms": pacing_ms,
        "flows": flows,
        "alarms": receiver.alarms,
        "alarm_count": receiver.alarm_count,
        "unattributed": _unattributed(receiver, associations, {leg for flow in legs for leg in flow}),
    }, np.concatenate([np.zeros(0, PACKET_DTYPE), *rows])


def _invalid_reasons(
    sender: Sender, receiver: Receiver, pacing_ms: Mapping[str, float | None], clock_step_ns: int
) -> list[str]:
    """Why this session measured nothing to rely on, one line each."""
    reasons = [f"the tap of {host} lost {drops} packets" for host, drops in receiver.drops().items() if drops]
    sent = sum(len(state.tx_ns) for state in sender.flows)
    missing = receiver.unstamped + sum(_unstamped(state) for state in sender.flows)
    if missing > LARGEST_UNSTAMPED_SHARE * sent:
        reasons.append(f"{missing} of {sent} packets lack a kernel time stamp")
    p99 = pacing_ms["p99"]
    if p99 is not None and p99 > LARGEST_PACING_P99_MS:
        reasons.append(f"packets left {p99:.1f} ms late (p99): the sender was starved of CPU")
    if clock_step_ns > LARGEST_CLOCK_STEP_NS:
        reasons.append(f"the clock was set during the session, by {clock_step_ns / 1e6:.1f} ms")
    if sender.surplus_stamps:
        reasons.append(f"{sender.surplus_stamps} time stamps belong to packets that the session did not send")
    reasons += sorted(set(sender.errors))
    for state in sender.flows:
        if state.not_sent and not state.tx_ns:
            reasons.append(f"flow '{state.flow.name}' sent nothing: {state.flow.dst}, behind a NAT, was never heard of")
    return reasons


def _unstamped(state: FlowState) -> int:
    """Packets that the kernel took but did not stamp; without a route it took none."""
    return state.tx_ns.count(UNSTAMPED) - state.unroutable


def _counts(rows: NDArray[np.void], association: Counter[Verdict]) -> Counter[Verdict]:
    """Verdicts of a flow: authentic packets are its own, alarms are those of its security association."""
    own = Counter({verdict: int(np.count_nonzero(rows["verdict"] == verdict)) for verdict in Verdict})
    return Counter({verdict: association[verdict] if verdict.is_alarm else own[verdict] for verdict in Verdict})


def _unattributed(
    receiver: Receiver, associations: Mapping[Leg, Association], of_flows: Collection[Leg]
) -> dict[str, dict[str, int]]:
    """Alarms per host that belong to no flow: without an association, or of one that only announces its sender."""
    totals = {host: Counter(counts) for host, counts in receiver.unattributed.items()}
    for key, association in associations.items():
        if key not in of_flows:
            counts = receiver.by_association[association.spi]
            totals[association.dst].update({verdict: n for verdict, n in counts.items() if verdict.is_alarm})
    return {
        host: {verdict.name: count for verdict, count in sorted(counts.items())}
        for host, counts in totals.items()
        if counts
    }


def _verdict(counts: Counter[Verdict], invalid: bool) -> str:
    """An alarm stands even if the measurement is not valid: lost captures forge no packets."""
    if any(verdict.is_alarm for verdict, count in counts.items() if count):
        return "attacked"
    return "invalid" if invalid else "intact"


def _names(counts: Counter[Verdict]) -> dict[str, int]:
    """Counts by verdict name, without zeros; GENUINE always."""
    return {verdict.name: count for verdict, count in sorted(counts.items()) if count or verdict is Verdict.GENUINE}
