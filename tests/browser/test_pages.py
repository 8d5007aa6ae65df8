"""The run's report, the comparison and the validation in a browser: all there, quiet, readable, in need of nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import missing_browser
from made_pages import MADE, SYSTEMS
from opened import WIDTHS, Opener
from readable import figures, problems

pytestmark = pytest.mark.browser

FIGURES = {
    "report": [
        "rome → dc-rome",
        "dc-rome → rome",
        "milano → dc-rome",
        "dc-rome → milano",
        "Delay error by kind of link",
        "Lateness of the player",
        "voice-rome",
        "web-milano",
    ],
    "comparison": [
        "One-way delay of calls",
        "One-way delay of web flows",
        "Round trip",
        "Availability",
        "Call quality",
    ],
    "validation": [
        "How round trips are distributed",
        "Quantile against quantile",
        "Ten minutes of each",
        "How long a level is remembered",
        "Steps between slots",
        "When levels change",
    ],
}

HEADINGS = {
    "report": [
        "What was run",
        "Checks",
        "Delay: planned against measured",
        "Every link, each direction",
        "Encrypted flows",
        "Handovers",
        "Assumptions and warnings",
        "Manifest",
    ],
    "comparison": [
        "In short",
        "What was measured",
        "In pictures",
        "What was tried",
        "Who has it in hand",
        "What was said of costs",
        "What was assumed",
        "Every run",
    ],
    "validation": ["Scores", "In pictures", "Slots, steps, loss", "What to know"],
}

VERDICTS = {
    "report": "Fail 3 of 9 checks failed.",
    "comparison": "1 of 15 quiet runs cannot be judged",
    "validation": "The fitted model ",
}

MARKS = 20
"""A figure has at least so many shapes and words; the barest has an axis, its labels and five dots."""

Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """made(name): the file of that page, made once."""
    files: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in files:
            files[name] = MADE[name](tmp_path_factory.mktemp(name))
        return files[name]

    return make


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", MADE)
def test_a_page_can_be_read(open_page: Opener, made: Made, name: str, width: int, dark: bool) -> None:
    file = made(name)
    opened = open_page(file.as_uri(), width=width, dark=dark)
    assert problems(opened.page) == []
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert problems(opened.page) == [], "with everything unfolded"
    shown = figures(opened.page)
    assert [one["title"] for one in shown] == FIGURES[name]
    assert all(one["width"] > 300 and one["height"] > 100 and one["marks"] >= MARKS for one in shown)
    headings = opened.page.locator("h2").all_inner_texts()
    assert headings == HEADINGS[name]
    assert VERDICTS[name] in " ".join(opened.page.locator("header").inner_text().split())
    assert opened.complaints == []
    assert opened.beyond(file.as_uri()) == []


def test_links_of_a_page_lead_where_they_say(open_page: Opener, made: Made) -> None:
    opened = open_page(made("comparison").as_uri(), width=WIDTHS["phone"])
    opened.page.locator("nav a", has_text="Sovereignty").click()
    assert opened.page.evaluate("document.querySelector('#sovereignty').getBoundingClientRect().top") < 100


def test_tables_of_a_comparison_scroll_in_their_own_box(open_page: Opener, made: Made) -> None:
    """On a phone the last system is reached by moving the table; what a row is about stays in sight."""
    opened = open_page(made("comparison").as_uri(), width=WIDTHS["phone"])
    box = opened.page.locator("#figures .scroll")
    last = box.locator("thead th").last
    row = box.locator("tbody th").first
    assert last.inner_text() == list(SYSTEMS)[-1]
    assert last.bounding_box()["x"] > WIDTHS["phone"]
    box.evaluate("box => box.scrollLeft = box.scrollWidth")
    assert last.bounding_box()["x"] + last.bounding_box()["width"] <= WIDTHS["phone"]
    assert row.bounding_box()["x"] >= 0


@pytest.fixture(scope="module")
def small(made: Made) -> str:
    """The head of the comparison, its links, and its first figure."""
    page = made("comparison").read_text()
    parts = [re.search(f"<{name}.*?</{name}>", page, re.DOTALL) for name in ("head", "nav", "figure")]
    head, links, figure = (part[0] for part in parts if part is not None)
    targets = "".join(f'<p id="{name}">{name}</p>' for name in re.findall('href="#([a-z]+)"', links))
    return f"<!doctype html><html>{head}<body><main>{links}{targets}{figure}</main></body></html>"


def test_what_is_whole_is_no_problem(open_page: Opener, small: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(small)
    assert problems(open_page((tmp_path / "page.html").as_uri()).page) == []


@pytest.mark.parametrize(
    ("find", "instead", "told"),
    [
        (r'(<svg [^>]*class="plot"[^>]*>).*?</svg>', r"\1</svg>", "svg 'One-way delay of calls' is empty"),
        (r'<svg ([^>]*class="plot")', r'<svg style="height: 0" \1', "svg 'One-way delay of calls' has no size"),
        (r'<svg ([^>]*class="plot")', r'<svg style="width: 2000px" \1', "svg 'One-way delay of calls' is cut off"),
        (r'<svg ([^>]*class="plot")', r'<svg style="height: 900px" \1', "svg 'One-way delay of calls' is out of shape"),
        (r'(<figure>.*?)<svg .*?</svg>', r"\1", "figure 'One-way delay of calls"),
        (r"<main>", '<main><div style="width: 1400px">wide</div>', "the page is 1"),
        (r"<main>", '<main><p style="font-size: 9px">small</p>', "text of 9.0 px: p 'small'"),
        (r"<main>", '<main><p style="color: #999">pale</p>', "contrast of 2.8: p 'pale'"),
        (r'href="#runs"', 'href="#nowhere"', "a 'Runs' leads to #nowhere, which is not there"),
        (r'id="runs"', 'id="costs"', "two elements have the id costs"),
        (r"<main>", '<main><img alt="" src="data:image/png;base64,AAAA">', "img '' did not load"),
    ],
)  # fmt: skip
def test_what_is_broken_is_found(
    open_page: Opener, small: str, tmp_path: Path, find: str, instead: str, told: str
) -> None:
    broken, count = re.subn(find, instead, small, count=1, flags=re.DOTALL)
    assert count == 1
    (tmp_path / "broken.html").write_text(broken)
    found = problems(open_page((tmp_path / "broken.html").as_uri()).page)
    assert any(problem.startswith(told) for problem in found), found


@pytest.mark.parametrize(
    ("element", "told"),
    [
        ('<img src="missing.png" alt="">', "failed: file:///"),
        ("<script>throw new Error('thrown')</script>", "uncaught: thrown"),
        ("<script>console.error('said')</script>", "error: said"),
        ("<script>fetch('http://127.0.0.1:9/').catch(() => {})</script>", "failed: http://127.0.0.1:9/"),
    ],
)
def test_what_a_page_complains_of_and_asks_for_is_heard(
    open_page: Opener, tmp_path: Path, element: str, told: str
) -> None:
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><title>x</title>{element}")
    opened = open_page(file.as_uri())
    opened.page.wait_for_load_state("networkidle")
    assert any(complaint.startswith(told) for complaint in opened.complaints), opened.complaints
    assert bool(opened.beyond(file.as_uri())) == told.startswith("failed")


def test_a_missing_browser_is_said_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert missing_browser() == "no Chromium; run: apt-get install --no-install-recommends chromium"
