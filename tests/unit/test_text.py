"""The summary on a terminal: 80 columns, plain where there is no terminal, and the verdict first."""

import io
import re
from pathlib import Path

import pytest
from run_fixture import Files, S, make_attacked_files, make_files

from testbed.report.results import make_report
from testbed.report.text import print_report


class Terminal(io.StringIO):
    """A file that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _known_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def printed(files: Files, folder: Path, file: io.StringIO) -> list[str]:
    print_report(make_report(files.write(folder)), file)
    return file.getvalue().splitlines()


def test_a_good_run_in_plain_text(tmp_path: Path) -> None:
    assert printed(make_files(), tmp_path, io.StringIO()) == [
        "PASS  All 8 checks passed; 1 more had nothing to judge.",
        "",
        "starlink-italy from 2026-06-14T06:00:00Z, 60.0 of 60.0 s played in the guest,",
        "Linux 6.1.176",
        "2 of 10,544 satellites used, 14 link directions, 8 handovers",
        "",
        "Paths: delay p50 in ms, error/budget in µs",
        "path               planned   measured       p50       p90   result",
        "──────────────────────────────────────────────────────────────────",
        "rome → dc-rome      11.374     11.625   190/360   350/600   passed",
        "dc-rome → rome      11.374     11.627   196/360   371/600   passed",
        "milano → dc-rome    11.160     11.450   202/360   391/600   passed",
        "dc-rome → milano    11.160     11.459   208/360   412/600   passed",
        "",
        "Links: the worst three, error/budget in µs",
        "link                       kind   probes      p50       p90   result",
        "────────────────────────────────────────────────────────────────────",
        "pop-milan → gw-milano     fibre      120   81/150   160/300   passed",
        "gw-milano → pop-milan     fibre      120   79/150   155/300   passed",
        "gw-milano → NORAD45123   feeder      120   78/150   151/300   passed",
        "",
        "Flows: packets, one-way delay in ms",
        "flow          sent   lost     p50     p95     p99   integrity",
        "─────────────────────────────────────────────────────────────",
        "voice-rome   3,000     12   12.57   15.81   16.97   intact",
        "web-milano     720      0   12.22   15.42   16.58   intact",
        "",
        "Calls: estimate, narrowband, ITU-T G.107",
        "call          MOS   worst slot   lost %   mouth to ear ms   gaps",
        "────────────────────────────────────────────────────────────────",
        "voice-rome   4.34         4.17     0.40                55      0",
        "",
        "Flows: loss and its interval; variation, silence at handovers in ms",
        "flow         loss %        95 %   PDV p99   jitter   reordered   silence",
        "────────────────────────────────────────────────────────────────────────",
        "voice-rome     0.40   0.21–0.70      6.38     1.44           0        81",
        "web-milano     0.00   0.00–0.51      5.98     1.27           0        88",
        "",
        f"Report: {tmp_path}/report.html",
    ]


def test_a_bad_run_begins_with_its_reasons_one_line_each(tmp_path: Path) -> None:
    lines = printed(make_attacked_files(), tmp_path, io.StringIO())
    assert lines[:5] == [
        "FAIL  3 of 9 checks failed.",
        "  - audit: link ut-rome→NORAD44714 is off its plan: error p50 5.062 ms, budget 0.150 ms",
        "  - audit: path rome→dc-rome is off its plan: error p50 2.909 ms, budget 0.360 ms for 3 netem hops",
        "  - traffic: flow voice-rome (rome→dc-rome) was attacked: FORGED 12",
        "  - traffic: dc-rome received packets that belong to no flow: UNKNOWN_SPI 2",
    ]
    assert "ut-rome → NORAD44714     user      120   5,062/150   5,101/300   failed" in lines
    assert lines[-4:-1] == ["Warnings", "  - 2 satellites were propagated 1.4 d on", ""]


def test_plain_text_has_no_escape_codes_and_no_trailing_blanks(tmp_path: Path) -> None:
    lines = printed(make_attacked_files(), tmp_path, io.StringIO())
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


def test_a_terminal_gets_colour_and_at_most_80_columns(tmp_path: Path) -> None:
    lines = printed(make_attacked_files(), tmp_path, Terminal())
    assert lines[0].startswith("\x1b[1;31mFAIL\x1b[0m")
    shown = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert max(map(len, shown[:-1])) <= 80  # the last holds the path, in one piece
    assert shown[1:3] == [
        "  - audit: link ut-rome→NORAD44714 is off its plan: error p50 5.062 ms, budget",
        "    0.150 ms",
    ]


@pytest.mark.parametrize(("verdict", "code"), [("pass", "32"), ("invalid", "33")])
def test_each_verdict_has_its_colour(tmp_path: Path, verdict: str, code: str) -> None:
    files = make_files()
    files.audit["valid"] = verdict == "pass"
    assert printed(files, tmp_path, Terminal())[0].startswith(f"\x1b[1;{code}m{verdict.upper()}")


def test_many_reasons_are_cut(tmp_path: Path) -> None:
    files = make_files()
    for row in files.audit["links"]:
        row |= {"unplanned_losses": 1, "passed": False}
    lines = printed(files, tmp_path, io.StringIO())
    assert lines[8:10] == [
        "  - audit: link NORAD45123→ut-rome lost 1 of 120 probes that the plan keeps",
        "    and 6 more in report.json",
    ]


def test_a_partial_report_is_short(tmp_path: Path) -> None:
    files = make_files()
    files.run |= {"ended": "interrupted", "played_ns": 31 * S, "where": "native"}
    files.audit = files.flows = files.packets = None
    assert printed(files, tmp_path, io.StringIO()) == [
        "INVALID  This run cannot be judged: what follows says nothing against the links.",
        "  - run: interrupted after 31.0 s of 60.0 s",
        "  - run: partial, audit.json is missing",
        "  - run: partial, flows.json is missing",
        "  - run: partial, flows.npy is missing",
        "",
        "starlink-italy from 2026-06-14T06:00:00Z, 31.0 of 60.0 s played natively, Linux",
        "6.1.176",
        "2 of 10,544 satellites used, 14 link directions, 8 handovers",
        "",
        f"Report: {tmp_path}/report.html",
    ]


def test_what_was_not_judged_is_a_dash(tmp_path: Path) -> None:
    files = make_files()
    files.audit["paths"][0] |= {"judged": False, "error_us": None}
    lines = printed(files, tmp_path, io.StringIO())
    assert "rome → dc-rome      11.374     11.625     –/360     –/600   not judged" in lines
