"""The blind checker scored against the ledger: of each kind of act how many were noticed, and what was a false alarm.

Truth is what taps saw (`traffic.ledger`) and what the attacker wrote down; what is scored is what the hosts made of
their own packets: `alarms.npy` for single packets, `report.blind` for whole flows. Counts are beside their bounds by
Clopper and Pearson at 95 %.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from testbed.plan.expected import planned_loss
from testbed.report.evidence import Evidence
from testbed.report.words import CAUGHT_AS
from traffic.checker import Finding
from traffic.ledger import POINTS_FILE, ROWS_FILE, Kind, compare
from traffic.records import ALARM_DTYPE
from traffic.statistics import bounds
from traffic.verdicts import Verdict

OF_FLOWS: Final = frozenset({"SUSPECT_DROP", "DELAY_ATTACK", "REORDER_ATTACK"})
"""Verdicts that no single packet gets."""

_NOBODY: Final = (1 << 64) - 1
_SLOW: Final = frozenset({"FRAG_INCOMPLETE"})
_LATE_NS: Final = {False: 5_000_000_000, True: 45_000_000_000}
"""Assumption: how long after an act its alarm comes; fragments wait 30 s for the others (traffic.fragments)."""
_EARLY_NS: Final = 20_000_000
"""Assumption: an attacker on a busy machine writes an act down at most this long after its packet has arrived."""


@dataclass(frozen=True)
class Score:
    """Of one kind of act. `lost`: on the way, so that no host could notice; `noticed` and `missed` add up to the rest.

    Acts that show in whole flows only (`by_flow`) are noticed all or not at all.
    """

    action: str
    acts: int
    noticed: int
    missed: int
    lost: int
    by_flow: bool = False

    @property
    def least(self) -> float:
        """The lower bound of the probability that an act is noticed."""
        return bounds(self.noticed, self.noticed + self.missed)[0]


@dataclass(frozen=True)
class Scores:
    """What the ledger says. `truth`: packets by what became of them; `explained`: how many of the missing were lost by
    plan or by a queue; `untrue`: alarms that answer to nothing; `missed`: frames that taps could not keep up with.
    """

    truth: dict[str, int]
    explained: int
    acts: tuple[Score, ...]
    untrue: dict[str, int]
    genuine: int
    missed: int

    @property
    def false_share(self) -> float:
        """The upper bound of the share of genuine packets that raise an alarm."""
        return bounds(sum(self.untrue.values()), max(self.genuine, 1))[1]


def score(evidence: Evidence, findings: Sequence[tuple[str, Finding]] | None) -> Scores | None:
    """The scores of a run; None where it kept no ledger, or an alarm was not written down packet by packet.

    `findings`: None where whole flows could not be judged, so that nobody could notice what shows in them alone.
    """
    try:
        told = json.loads((evidence.folder / POINTS_FILE).read_text())
        rows = np.load(evidence.folder / ROWS_FILE)
        alarms = np.load(evidence.folder / "alarms.npy")
    except (OSError, ValueError):
        return None
    if alarms.dtype != ALARM_DTYPE:
        return None
    numbers = [[told["points"].index(name) for name in told[edge]] for edge in ("entrances", "exits")]
    truth = compare(rows, *numbers)
    acts = [act for act in evidence.acts or () if act["action"] in CAUGHT_AS and "error" not in act]
    answered = np.zeros(len(alarms), bool)
    scores = _score_acts(acts, alarms, answered, truth, told["start_realtime_ns"], findings)
    wrong = truth[np.isin(truth["kind"], (Kind.DUPLICATED, Kind.TAMPERED, Kind.INJECTED))]
    answered |= np.isin(_identities(alarms), _identities(wrong))
    untrue = Counter(Verdict(code).name for code in alarms["verdict"][~answered])
    return Scores(
        truth={kind.name: count for kind in Kind if (count := int(np.count_nonzero(truth["kind"] == kind)))},
        explained=_explained(evidence, told, truth),
        acts=tuple(scores),
        untrue=dict(untrue),
        genuine=int(np.count_nonzero(truth["kind"] == Kind.CARRIED)),
        missed=sum(told["missed"].values()),
    )


def _identities(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    """SPI and lower half of the number as one; _NOBODY for what has no SPI or no number."""
    spi, sequence = rows["spi"].astype(np.int64), rows["sequence"].astype(np.int64)
    low = sequence.astype(np.uint64) & np.uint64(0xFFFFFFFF)
    found: NDArray[np.uint64] = spi.astype(np.uint64) << np.uint64(32) | low
    found[(spi < 0) | (sequence < 0)] = _NOBODY
    return found


def _score_acts(
    acts: list[dict[str, Any]],
    alarms: NDArray[np.void],
    answered: NDArray[np.bool_],
    truth: NDArray[np.void],
    start_realtime_ns: int,
    findings: Sequence[tuple[str, Finding]] | None,
) -> list[Score]:
    """Each act takes the alarm of its own packet; one that sent other numbers the first fitting alarm after it."""
    raised = {finding.verdict.name for _, finding in findings or () if finding.alarm}
    by_identity: dict[int, list[int]] = defaultdict(list)
    for index, identity in enumerate(_identities(alarms).tolist()):
        by_identity[identity].append(index)
    fates: dict[int, list[Any]] = defaultdict(list)
    for identity, fate in zip(_identities(truth).tolist(), truth, strict=True):
        fates[identity].append(fate)
    names = [Verdict(code).name for code in alarms["verdict"]]
    taken: set[int] = set()
    for own in (True, False):  # all of their own first, so that nobody takes another's
        free = np.flatnonzero(~answered).tolist()
        for number, act in enumerate(acts):
            if number in taken:
                continue
            expected = CAUGHT_AS[act["action"]]
            begin_ns = act["time_ns"] - start_realtime_ns - _EARLY_NS
            end_ns = begin_ns + round(act.get("after_s", 0) * 1e9) + _LATE_NS[bool(_SLOW & set(expected))]
            for index in by_identity.get(_identity(act), ()) if own else free:
                in_time = begin_ns <= alarms["time_ns"][index] and (own or alarms["time_ns"][index] <= end_ns)
                if names[index] in expected and in_time and not answered[index]:
                    answered[index] = True
                    taken.add(number)
                    break
    scores = []
    for action in dict.fromkeys(act["action"] for act in acts):
        mine = [number for number, act in enumerate(acts) if act["action"] == action]
        expected = CAUGHT_AS[action]
        if not expected:
            scores.append(Score(action, len(mine), 0, 0, len(mine)))
        elif set(expected) <= OF_FLOWS:
            noticed = len(mine) if raised & set(expected) else 0
            lost = 0 if findings is not None else len(mine)
            scores.append(Score(action, len(mine), noticed, len(mine) - noticed - lost, lost, by_flow=True))
        else:
            noticed = sum(number in taken for number in mine)
            lost = sum(
                number not in taken and _lost(expected, fates.get(_identity(acts[number]), ())) for number in mine
            )
            scores.append(Score(action, len(mine), noticed, len(mine) - noticed - lost, lost))
    return scores


def _identity(act: dict[str, Any]) -> int:
    """SPI and number of the packet that was acted on; _NOBODY where it had none."""
    if "spi" not in act or "sequence" not in act:
        return _NOBODY
    spi = act["spi"] if isinstance(act["spi"], int) else int(act["spi"], 16)
    return spi << 32 | int(act["sequence"]) & 0xFFFFFFFF


def _lost(expected: Sequence[str], fates: Sequence[Any]) -> bool:
    """Whether what an attacker sent never came to a host: the links lost it, and nobody could notice."""
    sent = [fate for fate in fates if fate["kind"] in (Kind.TAMPERED, Kind.INJECTED)]
    if sent:
        return not any(fate["outside"] for fate in sent)
    if set(expected) == {"FORGED"} and fates:  # taken, altered and lost before another tap
        return all(fate["kind"] == Kind.MISSING for fate in fates)
    if set(expected) <= {"REPLAY_IN_WINDOW", "REPLAY_OLD"}:
        return bool(fates) and not any(fate["kind"] == Kind.DUPLICATED for fate in fates)
    return False


def _explained(evidence: Evidence, told: dict[str, Any], truth: NDArray[np.void]) -> int:
    """How many missing packets the plan or a queue accounts for: those sent in planned windows, and of those last seen
    at a node as many as the queues of its links have dropped."""
    plan, points = evidence.plan, told["points"]
    missing = truth[truth["kind"] == Kind.MISSING]
    if not len(missing):
        return 0
    ends = _ends(told, truth)
    planned = np.zeros(len(missing), bool)
    for spi in np.unique(missing["spi"]):
        chosen = missing["spi"] == spi
        source, destination = ends[int(spi)]
        if source is not None and destination is not None:
            planned[chosen] = planned_loss(plan, source, destination, missing["time_ns"][chosen].astype(np.int64))
    drops = told.get("queue_drops", {})
    if told.get("extent") == "edges":  # nobody saw where
        return int(planned.sum()) + min(int((~planned).sum()), sum(int(count) for count in drops.values()))
    at_node = Counter(points[point].split("→")[1] for point in missing["point"][~planned])
    dropped: Counter[str] = Counter()
    for name, count in drops.items():
        dropped[name.split("→")[0]] += count
    return int(planned.sum()) + sum(min(count, dropped[node]) for node, count in at_node.items())


def _ends(told: dict[str, Any], truth: NDArray[np.void]) -> dict[int, tuple[str | None, str | None]]:
    """Source and destination of each SPI: the hosts at whose edge its packets were seen to go in and come out."""
    ends: dict[int, tuple[str | None, str | None]] = {}
    for spi in np.unique(truth["spi"]):
        mine = truth[(truth["spi"] == spi) & (truth["entrance"] >= 0)]
        source = told["points"][mine["entrance"][0]].split("→")[0] if len(mine) else None
        came_out = mine["exit"][mine["exit"] >= 0]
        ends[int(spi)] = source, told["points"][came_out[0]].split("→")[1] if len(came_out) else None
    return ends
