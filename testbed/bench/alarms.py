"""testbed bench alarms: genuine packets over a thousand handovers, and every false alarm that they raise."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from testbed.bench import genuine
from testbed.bench.context import Context
from testbed.bench.inside import call
from testbed.bench.rows import Row
from testbed.lab.place import Place
from traffic.statistics import bounds, judge_count
from traffic.verdicts import Verdict

PPS: Final = 5_000
EVERY_S: Final = 2.0  # a handover
RATES_BPS: Final = (0, 100_000_000)
"""Of the hop. Without a rate packets overtake each other where a path becomes shorter, with one they do not."""

_CALLS, _SECONDS = 4, 250  # for each rate: 10⁷ packets and 1,000 handovers in all
_QUICK_CALLS, _QUICK_SECONDS = 1, 50  # a twentieth


def run(context: Context) -> list[Row]:
    """At each place that has netem; the two windows judge the same packets."""
    calls, seconds = (_QUICK_CALLS, _QUICK_SECONDS) if context.quick else (_CALLS, _SECONDS)
    rows: list[Row] = []
    for place in context.places:
        if context.impaired(place):
            rows += _at(place, context, calls, seconds)
    return rows


def _at(place: Place, context: Context, calls: int, seconds: int) -> list[Row]:
    told = []
    for number in range(calls):
        for rate_bps in RATES_BPS:
            folder = context.folder / f"alarms-{place}-{rate_bps}-{number}"
            folder.mkdir()
            asked: dict[str, Any] = {"packets": PPS * seconds, "pps": PPS, "every_s": EVERY_S, "rate_bps": rate_bps}
            told.append(call(genuine.judged, place, folder, **asked))
    return summary(place, told)


def summary(place: Place, told: list[dict[str, Any]]) -> list[Row]:
    """Of several measurements: one row for each kind of alarm and window, its bound at 95 % beside it."""
    packets, handovers = sum(one["packets"] for one in told), sum(one["handovers"] for one in told)
    what = f"{place}: {packets:,} packets, {handovers:,} handovers"
    rows = [Row(f"{what}: sent", packets / sum(one["seconds"] for one in told), "packets/s", "higher")]
    for window in genuine.WINDOWS:
        mine = [one["windows"][str(window)] for one in told]
        verdicts: Counter[str] = Counter()
        for one in mine:
            verdicts.update(one["verdicts"])
        judged = sum(verdicts.values())
        false = sum(count for name, count in verdicts.items() if Verdict[name].is_alarm)
        rows.append(Row(f"{what}, window {window}: alarms", false, f"of {judged:,}", "lower", 0))
        rows.append(Row(f"window {window}: bound of their share, 95 %", bounds(false, judged)[1], "", "lower"))
        rows.append(Row(f"window {window}: too late for it", verdicts["LATE_OUTSIDE_WINDOW"], "packets", "lower"))
        tests = [finding for one in mine for finding in one["findings"].values()]
        alarms = sum(finding["alarm"] for finding in tests)
        rows += [Row(f"window {window}: {line}", 1, "", "lower", 0) for one in mine for line in one["alarms"]]
        rows.append(Row(f"window {window}: alarms of statistical tests", alarms, f"of {len(tests)}", "lower", 0))
    everything = [one["windows"][str(genuine.WINDOWS[-1])]["findings"] for one in told]
    for name, expected in (("SUSPECT_DROP", genuine.LOSS * (1 - genuine.DUPLICATES)), ("DUP_LINK", genuine.DUPLICATES)):
        found = [findings[name] for findings in everything if name in findings]
        test = judge_count(sum(one["count"] for one in found), sum(one["total"] for one in found), expected)
        share = test.count / max(test.total, 1)
        rows.append(Row(f"{name}: share, of {expected:.4%} expected", 100 * share, "%", "lower"))
        rows.append(Row(f"{name}: p-value of all together", test.p_value, "", "higher", 1e-6))
    return rows
