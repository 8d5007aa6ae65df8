"""The page: complete, self-contained, safe, and plain about what is missing."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_fixture import MS, Files, S, make_attacked_files, make_files

from testbed.plan.model import Event
from testbed.report.results import write_report

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: elements in order, their attributes, and the text that is shown."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self.feed(source)
        assert self.open == [], "an element was left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def source_of(files: Files, folder: Path) -> str:
    write_report(files.write(folder))
    return (folder / "report.html").read_text()


def page_of(files: Files, folder: Path) -> Page:
    return Page(source_of(files, folder))


def test_a_good_run_is_told_from_start_to_end(tmp_path: Path) -> None:
    page = page_of(make_files(), tmp_path)
    for words in (
        "Pass All 8 checks passed; 1 more had nothing to judge.",
        "Schedule starts 06:00:00 UTC 2026-06-14",
        "Place Guest user-mode Linux 6.1.176",
        "Satellites used 2 of 10,544 propagated",
        "Handovers 8 over 14 link directions",
        "link-delay Passed 14 of 14 link directions within p50 150 µs and p90 300 µs",
        "A path may be off by 120 µs per netem hop at the median and 200 µs at p90.",
        "The control, a link whose delay never changes, was off by 61 µs at the median over 600 probes",
        "06:00:12.000 ut-rome NORAD44714 gw-milano NORAD45123 gw-milano 12.000 60.0 slot",
        "GENUINE 3,708 Authentic, seen for the first time and in time. Delivered.",
        "Length of a core fibre route: 1.5 times the great circle.",
        "starlink_20260614T0413.tle.gz",
    ):
        assert words in page.text
    assert page.count("figure") == 4 + 2 + 2
    assert page.count("figcaption") == page.count("figure")


def test_a_bad_run_shows_what_is_wrong(tmp_path: Path) -> None:
    source = source_of(make_attacked_files(), tmp_path)
    page = Page(source)
    for words in (
        "Fail 3 of 9 checks failed. audit: link ut-rome→NORAD44714 is off its plan: error p50 5.062 ms, budget",
        "ut-rome → NORAD44714 Failed 5,062 5,101",
        "voice-rome rome → dc-rome Attacked",
        "FORGED 12 Its authentication tag does not fit: it was altered on the way, or made without the key. Refused.",
        "12 alarms, in order",
        "20.015 dc-rome FORGED tag does not fit",
        "1 warning",
        "2 satellites were propagated 1.4 d on",
    ):
        assert words in page.text
    assert re.search(r'<td class="n over">\s*5,062</td>', source)


def test_the_worst_link_comes_first_and_long_tables_fold(tmp_path: Path) -> None:
    text = page_of(make_attacked_files(), tmp_path).text
    table = text[text.index("Every link") :]
    assert table.index("ut-rome → NORAD44714") < table.index("pop-milan → gw-milano")
    assert "The other 2 link directions" in table


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    source = source_of(make_attacked_files(), tmp_path)
    page = Page(source)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert set(re.findall(r"https?://[^\"' )]+", source)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in source
    targets = [value for _, attributes in page.elements for name, value in attributes.items() if name == "href"]
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert all(target and target.startswith("#") for target in targets)
    assert {target[1:] for target in targets if target} <= set(identifiers)
    assert len(identifiers) == len(set(identifiers)), "an id is used twice"
    assert all(f'id="{name}"' in source for name in re.findall(r"url\(#([^)]+)\)", source))
    assert len(source) < 1_000_000


def test_the_page_is_the_same_each_time(tmp_path: Path) -> None:
    files = make_files()
    assert source_of(files, tmp_path) == source_of(files, tmp_path)


def test_text_from_files_cannot_become_markup(tmp_path: Path) -> None:
    files = make_attacked_files()
    evil = "<script>alert(1)</script>"
    files.change_plan(warnings=(evil,), assumptions=(evil,))
    files.manifest = {"note": evil}
    files.run |= {"ended": "failed", "error": evil}
    files.flows["flows"][0]["name"] = evil
    files.flows["alarms"][0]["detail"] = evil
    page = page_of(files, tmp_path)
    assert page.count("script") == 0
    assert page.text.count(evil) >= 6


def test_a_partial_report_says_what_is_missing(tmp_path: Path) -> None:
    files = make_files()
    files.run |= {"ended": "interrupted", "played_ns": 31 * S}
    files.audit = files.flows = files.samples = files.packets = None
    page = page_of(files, tmp_path)
    for words in (
        "Invalid This run cannot be judged: what follows says nothing against the links.",
        "run: interrupted after 31.0 s of 60.0 s run: partial, audit.json is missing",
        "Played 31.0 s of 60.0 s, interrupted",
        "link-delay Not judged",
        "No probe of a path was left by this run.",
        "No audit was left by this run.",
        "No flow result was left by this run, or its plan has no flows.",
    ):
        assert words in page.text
    assert page.count("figure") == 1  # the ticks


def test_a_run_that_never_played_has_a_page(tmp_path: Path) -> None:
    files = make_files()
    files.run |= {"ended": "failed", "error": "no sch_netem", "started_utc": None, "played_ns": 0, "where": "native"}
    files.audit = files.flows = files.samples = files.packets = files.ticks = None
    text = page_of(files, tmp_path).text
    assert "run: failed after 0.0 s of 60.0 s: no sch_netem" in text
    assert "Place Native the machine's own kernel, 6.1.176" in text
    assert "Run began – never played" in text


def test_more_alarms_than_are_kept_and_the_title_of_the_scenario(tmp_path: Path) -> None:
    files = make_attacked_files()
    files.flows["alarm_count"] = 340
    files.flows["alarms"][0]["time_ns"] = -1
    files.manifest = {"title": "Italian government on Starlink"}
    text = page_of(files, tmp_path).text
    assert "starlink-italy Italian government on Starlink" in text
    assert "The first 12 of 340 alarms, in order" in text
    assert "– dc-rome FORGED tag does not fit" in text


def test_links_without_a_judgement_come_last_with_dashes(tmp_path: Path) -> None:
    files = make_files()
    files.audit["links"][0] |= {"judged": False, "samples": 0, "error_us": None}
    text = page_of(files, tmp_path).text
    assert "ut-rome → NORAD44714 Not judged – – – – 0 0 user" in text
    assert text.index("gw-milano → pop-milan Passed") < text.index("ut-rome → NORAD44714 Not judged")


def test_many_reasons_fold(tmp_path: Path) -> None:
    files = make_files()
    for row in files.audit["links"]:
        row |= {"unplanned_losses": 1, "passed": False}
    assert "2 more audit: link gw-milano→pop-milan lost 1 of 120 probes" in page_of(files, tmp_path).text


def test_many_handovers_fold(tmp_path: Path) -> None:
    files = make_files()
    files.change_plan(events=tuple(Event(k * S, "handover", "ut-rome", "slot", MS) for k in range(1, 31)))
    text = page_of(files, tmp_path).text
    assert "The other 18 handovers" in text
    assert "06:00:01.000 ut-rome – – 1.000 1.0 slot" in text


@pytest.mark.parametrize("events", [(), (Event(S, "outage", "ut-rome", "no satellite in view", 2 * S),)])
def test_a_plan_without_handovers_says_so(tmp_path: Path, events: tuple[Event, ...]) -> None:
    files = make_files()
    files.change_plan(events=events, assumptions=())
    text = page_of(files, tmp_path).text
    assert "No terminal changes its satellite in this plan." in text
    assert ("1.000 outage ut-rome 2,000.0 no satellite in view" in text) == bool(events)
    assert "The plan names none." in text
