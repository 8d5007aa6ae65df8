"""Figures of a run, over several runs, and the page that compares systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_fixture import S, make_attacked_files, make_files
from scipy import stats
from test_html import Page

from testbed.report.comparison.figures import FIGURES, Estimate, estimate
from testbed.report.comparison.page import render
from testbed.report.comparison.summary import availability, first_copies, standstill_ns, summarise
from testbed.report.comparison.table import compare
from testbed.report.comparison.text import outcome, sentences, traffic_text, verdicts_text
from testbed.report.comparison.write import write_comparison
from testbed.report.results import make_report
from topologies.internet import internet
from traffic.records import NOT_RECEIVED, PACKET_DTYPE
from traffic.web import PageLoad, parse_web, summarise_web


def packets(lost: range | tuple[int, ...] = (), count: int = 500) -> np.ndarray:
    """A flow of 50 packets/s, 30 ms on its way."""
    rows = np.zeros(count, PACKET_DTYPE)
    rows["sequence"] = np.arange(count)
    rows["tx_ns"] = np.arange(count) * S // 50
    rows["delay_ns"] = 30_000_000
    rows["delay_ns"][list(lost)] = -1
    rows["verdict"][list(lost)] = NOT_RECEIVED
    return rows


def test_the_interval_is_student_s() -> None:
    values = [31.2, 30.8, 31.9, 31.5]
    found = estimate(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert found is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert found.runs == 4


def test_what_is_missing_is_missing() -> None:
    assert estimate([None, None]) is None
    assert estimate([None, 3.0]) == Estimate(3.0, None, 1)
    assert Estimate(3.0, None, 1).text(1) == "3.0"
    assert Estimate(1234.5, 0.25, 3).text(1) == "1,234.5 ± 0.2"


def test_a_second_is_available_when_nine_in_ten_came() -> None:
    assert availability(packets()) == 1.0
    assert availability(packets(lost=range(100, 105))) == 1.0  # 45 of 50
    assert availability(packets(lost=range(100, 106))) == 0.9  # one second of ten
    assert availability(packets(lost=range(500))) == 0.0
    assert availability(packets(count=0)) is None


def test_the_first_copy_delivered_counts() -> None:
    rows = packets(lost=(3,), count=5)
    late = rows[3:4].copy()
    late["delay_ns"], late["verdict"] = 80_000_000, 0
    found = first_copies(np.concatenate([rows, late]))
    assert found["delay_ns"].tolist() == [30_000_000] * 3 + [80_000_000, 30_000_000]


@pytest.mark.parametrize(
    ("lost", "at_s", "still_s"),
    [
        (range(100, 150), 2.0, 1.0),  # sent from 2.00 s to 2.98 s
        (range(110, 150), 2.0, 0.8),
        (range(100, 500), 2.0, float("inf")),
        ((), 2.0, None),
        (range(300, 350), 2.0, None),  # of something else
    ],
)
def test_how_long_a_flow_stood_still(lost: Any, at_s: float, still_s: float | None) -> None:
    found = standstill_ns(packets(lost=lost), round(at_s * S))
    assert found == (None if still_s is None else pytest.approx(still_s * S))


def summary_of(tmp_path: Path, name: str, files: Any = None) -> dict[str, Any]:
    folder = (files or make_files()).write(tmp_path / name)
    outcome = {"ended": "complete", "tries": 1, "wall_s": 70.0} | summarise(folder, make_report(folder))
    plain: dict[str, Any] = json.loads(json.dumps(outcome))
    assert plain == outcome, "JSON types alone"
    return plain


def cell(system: str, trial: str = "quiet", seed: int = 0) -> dict[str, Any]:
    return {"name": f"{system}-{trial}-s{seed}", "system": system, "trial": trial, "seed": seed, "arguments": [system]}


FAILED = {"ended": "failed", "tries": 1, "wall_s": 2.0, "verdict": "failed", "error": "testbed: no such <thing>"}


def test_a_comparison_has_every_figure_of_every_system(tmp_path: Path) -> None:
    good, attacked = summary_of(tmp_path, "a"), summary_of(tmp_path, "b", make_attacked_files())
    rows = [
        (cell("one"), good),
        (cell("one", seed=1), good),
        (cell("one", "attack"), attacked),
        (cell("two"), FAILED),
    ]
    document = write_comparison(tmp_path, rows)
    assert document == compare(rows) == json.loads((tmp_path / "comparison.json").read_text())
    one, two = document["systems"]
    assert one["verdicts"] == {"pass": 2}
    assert one["figures"]["round_trip_ms"]["runs"] == 2
    assert one["figures"]["round_trip_ms"]["half"] == 0.0
    assert set(one["figures"]) == {figure.key for figure in FIGURES}
    assert all(value is None for value in two["figures"].values())
    (trial,) = one["trials"]
    assert trial["acts"] > 0
    assert trial["alarms"] > 0
    assert trial["verdicts"]["FORGED"] > 0
    samples = np.load(tmp_path / "a" / "samples.npy")
    steady = samples[samples["path"] & ~samples["transition"] & (samples["delay_ns"] >= 0)]
    medians_ms = [np.median(steady["delay_ns"][steady["index"] == number]) / 1e6 for number in range(4)]
    assert one["figures"]["round_trip_ms"]["mean"] == pytest.approx(sum(medians_ms) / 2)

    source = (tmp_path / "comparison.html").read_text()
    page = Page(source)
    assert page.count("figure") == len(one["delays"]) + 3  # round trip, availability, MOS
    assert "testbed: no such <thing>" in page.text
    assert "http" not in source.replace("http://www.w3.org/", "")
    assert page.count("script") == page.count("link") == page.count("img") == 0


def test_page_loads_are_compared(tmp_path: Path) -> None:
    """In the words of traffic.web."""
    (flow,) = parse_web(internet("web", "rome", "dc-rome", 20 * S), ("rome", "dc-rome"))
    group = "X25519MLKEM768"
    loads = [PageLoad(0, (12.0,), (40.0,), 30.0, load_ms, 2_715_000, group, 50.0) for load_ms in (600.0, 700.0, 650.0)]
    served = {"services": [summarise_web(flow, loads)]}
    (system,) = compare([(cell("one"), summary_of(tmp_path, "a") | {"internet": served})])["systems"]
    assert system["figures"]["page_ms"]["mean"] == 650.0


def test_an_invalid_run_is_in_no_figure(tmp_path: Path) -> None:
    bad = summary_of(tmp_path, "a") | {"verdict": "invalid"}
    (system,) = compare([(cell("one"), bad)])["systems"]
    assert system["verdicts"] == {"invalid": 1}
    assert all(value is None for value in system["figures"].values())


def told_of(*values: tuple[float, float | None], better: str = "lower", digits: int = 1) -> list[dict[str, str]]:
    """The sentences on one figure of systems a, b, …"""
    figure = {"key": "mos", "name": "call quality", "unit": "MOS", "digits": digits, "meaning": "", "better": better}
    systems = [
        {"name": name, "figures": {"mos": {"mean": mean, "half": half, "runs": 3}}}
        for name, (mean, half) in zip("abc", values, strict=False)
    ]
    return sentences({"figures": [figure], "systems": systems})


@pytest.mark.parametrize(
    ("values", "better", "text"),
    [
        (((4.0, 0.1), (3.0, 0.1), (2.0, 0.1)), "higher", "4.0 MOS over a, 2.0 MOS over c."),
        (((4.0, 0.1), (3.0, 0.1), (2.0, 0.1)), "lower", "2.0 MOS over c, 4.0 MOS over a."),
        (((4.0, 0.6), (3.0, 0.6)), "lower", "3.0 MOS, the same over all within what chance explains."),
        (((4.0, None), (3.0, 0.1)), "lower", "3.0 MOS over b, 4.0 MOS over a. A single run says nothing of chance."),
    ],
)
def test_the_best_and_the_worst_are_told_unless_chance_explains_them(values: Any, better: str, text: str) -> None:
    assert told_of(*values, better=better) == [{"name": "Call quality", "text": text}]


def test_one_system_is_not_compared() -> None:
    assert told_of((4.0, 0.1)) == []


TRIAL = {"verdict": "fail", "error": None, "acts": None, "alarms": 0, "recoveries": [], "recovery_s": None}
STILL = {"recoveries": [{"still_s": 1.0}]}


@pytest.mark.parametrize(
    ("changes", "words", "tone"),
    [
        ({"error": "no such file"}, "Could not be run", "invalid"),
        ({"verdict": "invalid", "acts": 3, "alarms": 3}, "Cannot be judged", "invalid"),
        ({"acts": 3, "alarms": 3}, "Alarms raised", "pass"),
        ({"acts": 3}, "No alarm", "fail"),
        ({"acts": 0}, "Nothing attacked", "invalid"),
        ({}, "Nothing stood still", "pass"),
        (STILL | {"recovery_s": 1.0}, "Recovered", "pass"),
        (STILL, "Not recovered", "fail"),
    ],
)
def test_what_came_of_a_trial(changes: dict[str, Any], words: str, tone: str) -> None:
    assert outcome(TRIAL | changes) == (words, tone)


def test_what_was_sent_and_how_runs_ended_in_words() -> None:
    flows = [{"kind": kind, "src": "rome", "dst": "dc-rome"} for kind in ("voice", "voice", "web")]
    assert traffic_text({"systems": [{"traffic": []}, {"traffic": flows}]}) == (
        "calls: 2 and web flows: 1, between dc-rome and rome"
    )
    assert traffic_text({"systems": [{"traffic": []}]}) == ""
    assert verdicts_text({"invalid": 1, "pass": 2}) == "2 pass, 1 invalid"
    assert verdicts_text({}) == "–"


def test_the_page_says_first_how_far_its_figures_can_be_relied_on(tmp_path: Path) -> None:
    good = summary_of(tmp_path, "a")
    short = good | {"verdict": "fail", "reasons": ["service: MOS"], "failed_checks": ["service:call"]}
    failed = short | {"reasons": ["audit: late", "more"], "failed_checks": ["link-delay", "service:call"]}
    invalid = good | {"verdict": "invalid", "reasons": ["audit: starved"]}
    for outcomes, words in (
        ((good, good), "All 2 quiet runs passed"),
        ((good, failed), "1 of 2 quiet runs failed a check They are in the figures"),
        ((good, short), "A service fell short in 1 of 2 quiet runs All can be relied on"),
        ((short, failed), "2 of 2 quiet runs failed a check"),
        ((short, invalid), "1 of 2 quiet runs cannot be judged They are in no figure"),
        ((good, invalid), "one-quiet-s1: audit: starved"),
    ):
        rows = [(cell("one", seed=seed), each) for seed, each in enumerate(outcomes)]
        assert words in Page(render(compare(rows))).text
