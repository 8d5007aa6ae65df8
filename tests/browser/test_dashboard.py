"""The dashboard in a real browser: it moves, can be read, disturbs a run, and asks for nothing from elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opened import WIDTHS, Opened, Opener
from readable import problems
from web_lab import catalogue, judge, make_run

from testbed.bench.viewer import Viewer
from testbed.ground.joining import LIVE
from testbed.lab.web.beside import Beside
from testbed.lab.web.listen import listen
from testbed.lab.web.sky import write_sky
from testbed.orbits.catalogue import merge
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.faults import INBOX

pytestmark = pytest.mark.browser

OTHERS = Shell("Z", 550e3, 53.0, planes=42, per_plane=251, phasing=1)
"""Satellites beside the plan's two: with them as many as Starlink had in June 2026, 10,544."""

_WAIT_S = 60.0


class Shown:
    """A dashboard beside a made-up run."""

    def __init__(self, folder: Path) -> None:
        plan = make_run(folder)
        many = walker_catalogue([OTHERS], plan.start_ns, source="others")
        write_sky(plan, merge([catalogue(), many]), folder)
        self.folder = folder
        listening = listen("127.0.0.1:0")
        self.url, self.origin = listening.url, listening.url.rsplit("/", 2)[0]
        self.beside = Beside(folder, listening)
        self.played_s = 0.0

    def play(self, seconds: float) -> None:
        """Tell as a runner does that it has come this far."""
        self.played_s = seconds
        path = {"measured_ms": 17.25, "planned_ms": 17.15}
        record = {"time_s": seconds, "of_s": 60.0, "paths": [path] * 4, "flows": []}
        self.beside.tell({"stage": "playing"})
        self.beside.tell({"progress": seconds, "of": 60.0, "live": record})

    def end(self) -> str:
        """The verdict that the pages are told."""
        verdict = str(judge(self.folder)["verdict"])
        self.beside.tell({"ended": verdict})
        return verdict


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    one = Shown(tmp_path / "run")
    yield one
    one.beside.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One for tests that leave it as it is: live, at 5 s."""
    one = Shown(tmp_path_factory.mktemp("web") / "run")
    one.play(5.0)
    yield one
    one.beside.close()


def until(true: Callable[[], Any], what: str) -> None:
    """Wait for what a page is to show: its policy forbids Playwright's own way of waiting."""
    deadline = time.monotonic() + _WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"not within {_WAIT_S:g} s: {what}"
        time.sleep(0.1)


def settled(opened: Opened) -> Opened:
    """All satellites are there and painted."""
    until(lambda: opened.page.evaluate("window.page !== undefined && page.stars.shown > 0"), "satellites")
    return opened


def painted(opened: Opened, canvas: str) -> list[int]:
    """Of a canvas: how many pixels are not as its first, and a sum over them that changes with what is painted."""
    found: list[int] = opened.page.evaluate(
        """name => {
          const canvas = document.getElementById(name);
          const copy = document.createElement("canvas");
          [copy.width, copy.height] = [canvas.width, canvas.height];
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(canvas, 0, 0);
          const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
          let [other, sum] = [0, 0];
          for (let place = 0; place < data.length; place += 4) {
            const pixel = data[place] + 3 * data[place + 1] + 5 * data[place + 2] + 7 * data[place + 3];
            if (data[place + 3] !== data[3] || data[place] !== data[0]) other += 1;
            sum = (sum * 31 + pixel) % 1000003;
          }
          return [other, sum];
        }""",
        canvas,
    )
    return found


def test_a_live_run_is_shown_disturbed_and_judged(open_page: Opener, shown: Shown) -> None:
    opened = open_page(shown.url)
    page = opened.page
    shown.play(5.0)
    settled(opened)
    until(lambda: page.text_content("#state") == "live", "a live run")
    assert "10,544 satellites" in page.text_content("#caption")
    assert painted(opened, "land")[0] > 10_000
    assert painted(opened, "sky")[0] > 1_000
    assert painted(opened, "links")[0] > 100
    for canvas in ("sky", "links"):
        first = painted(opened, canvas)[1]
        shown.play(shown.played_s + 2.0)
        until(lambda canvas=canvas, first=first: painted(opened, canvas)[1] != first, f"movement on {canvas}")
    until(lambda: page.text_content("#delays tbody td:nth-of-type(2)") == "17.25", "a measured delay")
    until(lambda: page.text_content("#delays tbody td:nth-of-type(3)") == "+100 µs", "its difference from the plan")
    assert page.evaluate("page.paths[0].budgetUsAt(1)") == 600  # three hops
    here = "page.links.sites.get('ut-milano')[1]"  # Earth radii towards 90° E
    first = page.evaluate(here)
    shown.play(shown.played_s + 2.0)
    until(lambda: 5e-6 < page.evaluate(here) - first < 5e-5, "the one from Milan on his way, 31 m a second")
    assert page.is_disabled("#play")
    assert "cannot be paused" in page.get_attribute("#play", "title")

    (shown.folder / LIVE).write_text("{}")
    page.select_option("#fault select[name=kind]", "gateway")
    page.fill("#fault input[name=for]", "2.5")
    page.click("#begin")
    until(lambda: list((shown.folder / INBOX).glob("*.json")), "a fault in the inbox")
    (asked,) = (shown.folder / INBOX).glob("*.json")
    assert json.loads(asked.read_text()) == {
        "kind": "gateway", "node": "gw-milano", "for": 2.5, "cause": "asked for on the page"
    }  # fmt: skip
    line = {"act": "begin", "id": asked.stem, "time_ns": 5_500_000_000, "kind": "gateway", "cause": "asked"}
    line |= {"nodes": ["gw-milano"], "links": 4, "down": True, "dark": []}
    (shown.folder / "faults.jsonl").write_text(json.dumps(line) + "\n")
    until(lambda: "4 link directions" in page.text_content("#told"), "the run's answer")
    until(lambda: page.query_selector("#events li.fault"), "the fault among the events")

    verdict = shown.end()
    until(lambda: page.text_content("#state") == verdict, "the verdict")
    assert page.is_enabled("#play")
    assert page.is_disabled("#begin")
    assert page.evaluate("page.paths[0].probes.t.length") == 600
    assert opened.complaints == []
    assert opened.beyond(shown.origin, shown.origin.replace("http", "ws")) == []


def test_a_replay_can_be_led(open_page: Opener, shown: Shown) -> None:
    opened = settled(open_page(shown.url))
    shown.play(1.0)
    verdict = shown.end()
    until(lambda: opened.page.text_content("#state") == verdict, "the verdict")
    opened.page.evaluate("page.clock.seek(20)")
    assert opened.page.evaluate("page.clock.playing") is False
    opened.page.select_option("#speed", "10×")
    opened.page.click("#play")
    until(lambda: opened.page.evaluate("page.clock.tick()") > 25, "five seconds of the schedule")
    opened.page.click("#play")
    at = opened.page.evaluate("page.clock.tick()")
    assert opened.page.evaluate("page.clock.tick()") == at
    until(lambda: f"{at:.1f} of 60 s" in opened.page.text_content("#elapsed"), "the time")


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_it_can_be_read(open_page: Opener, standing: Shown, width: int) -> None:
    opened = open_page(standing.url, width=width)
    settled(opened)
    until(lambda: opened.page.text_content("#utc") != "--:--:--", "the clock")
    assert problems(opened.page) == []
    assert opened.complaints == []


def test_it_paints_often_and_evenly_enough(open_page: Opener, standing: Shown) -> None:
    """How long a painting of all satellites takes of the page's own time: at 30 a second it must leave room."""
    opened = open_page(standing.url)
    settled(opened)
    cost_ms = opened.page.evaluate(
        """() => {
          const { view, ratio, sky, stars } = page;
          const between = sky.around(5);
          const times = [];
          for (let round = 0; round < 30; round += 1) {
            const begin = performance.now();
            stars.paint(view, ratio, sky, between);
            times.push(performance.now() - begin);
          }
          return Math.min(...times);
        }"""
    )
    assert 0 < cost_ms < 33


def test_a_wrong_token_shows_one_line(browser: Any, standing: Shown) -> None:
    page = browser.new_page()
    answer = page.goto(standing.url[:-2] + "x/")
    assert answer.status == 403
    assert page.text_content("body").strip() == "wrong or missing token: open the address that testbed printed"
    page.close()
    assert Viewer(standing.url).ask("")[0] == 200
