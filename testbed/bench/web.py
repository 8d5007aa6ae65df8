"""testbed bench web: the audit of a run whose dashboard is looked at, beside that of the same run without one.

In turn: without, with a page on another machine (all that a page asks for, without its painting), with Chromium on this
one. The plan is the main job's over all Starlink satellites. Each figure is a median over the rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from typing import IO, Any, Final

import numpy as np

from testbed.bench.context import Context
from testbed.bench.rows import Reference, Row
from testbed.bench.viewer import watch
from testbed.ground.errors import RunError
from testbed.lab.launch import project
from testbed.lab.place import Place
from testbed.plan.store import read_parquet

WORSE: Final = 1.10
"""The dashboard may make no quantile of the audit worse than this many times."""

STEP_PX: Final = 0.5
"""Assumption: a dot that lies between pixels and moves by half of one from painting to painting glides to the eye."""

_ROUNDS: Final = 5
_SECONDS: Final = 60
_QUICK_ROUNDS: Final = 2
_QUICK_SECONDS: Final = 20
_BROWSER: Final = "chromium"
_URL: Final = "dashboard: "


def run(context: Context) -> list[Row]:
    """At each place with netem: the paths' error at p50 and p90, and how many times that without a dashboard."""
    rows: list[Row] = []
    rounds, seconds = (_QUICK_ROUNDS, _QUICK_SECONDS) if context.quick else (_ROUNDS, _SECONDS)
    viewers = ["nobody", "a page elsewhere", *(["a browser here"] if _browser_is_here() else [])]
    for place in context.places:
        if not context.impaired(place):
            continue
        plan = _plan(context, seconds)
        found: dict[str, list[dict[str, Any]]] = {viewer: [] for viewer in viewers}
        for number in range(rounds):
            for viewer in viewers[number % len(viewers) :] + viewers[: number % len(viewers)]:
                out = context.folder / f"web-{place}-{number}-{viewers.index(viewer)}"
                found[viewer].append(_play(plan, place, out, viewer, context.catalogue))
        frames = [frame for viewer in viewers for audit in found[viewer] for frame in audit["frames"]]
        if frames:
            late_ms, step_px = np.percentile(frames, 95, axis=0).tolist()
            between = f"between two paintings of {_satellites(plan):,} satellites, p95"
            rows.append(Row(f"{place}: time {between}", late_ms, "ms", "lower"))
            rows.append(Row(f"{place}: way of a satellite {between}", step_px, "pixels", "lower", STEP_PX))
        for viewer in viewers[1:]:
            rows += judge(f"{place}, {viewer}", found[viewer], found[viewers[0]])
    return rows


def judge(what: str, seen: Sequence[dict[str, Any]], unseen: Sequence[dict[str, Any]]) -> list[Row]:
    """Rows of runs that were looked at, round by round beside those that were not; both as audits."""
    rows = []
    for which, of in (("mean of the paths", fmean), ("worst path", max)):
        for name in ("p50", "p90"):
            pairs = [(of(_errors_us(a, name)), of(_errors_us(b, name))) for a, b in zip(seen, unseen, strict=True)]
            value, without = (median(part) for part in zip(*pairs, strict=True))
            beside = Reference("µs without a dashboard", without)
            ratio, count = median(a / b for a, b in pairs), len(pairs)
            rows.append(Row(f"{what}: one-way delay error {name}, {which}", value, "µs", "lower", None, beside))
            rows.append(
                Row(f"{what}: {name}, {which}, against without: median of {count} pairs", ratio, "×", "lower", WORSE)
            )
    late, without = (median(audit["late_ticks"] for audit in audits) for audits in (seen, unseen))
    rows.append(Row(f"{what}: late ticks", late, "", "lower", None, Reference("without a dashboard", without)))
    return rows


def _errors_us(audit: dict[str, Any], name: str) -> list[float]:
    return [float(path["error_us"][name]) for path in audit["paths"] if path["error_us"]]


def _satellites(plan: Path) -> int:
    return read_parquet(plan).satellites


def _plan(context: Context, seconds: int) -> Path:
    """The main job's plan over all satellites."""
    plan = context.folder / "plan.parquet"
    if not plan.exists():
        asked = ["--duration", str(seconds), "--out", str(plan), *_catalogue(context.catalogue)]
        subprocess.run([*_testbed("plan", "starlink-italy"), *asked], cwd=project(), check=True, capture_output=True)
    return plan


def _play(plan: Path, place: Place, out: Path, viewer: str, catalogue: Path | None) -> dict[str, Any]:
    """One run, looked at; its audit."""
    shown = [] if viewer == "nobody" else ["--web", *_catalogue(catalogue)]
    command = [*_testbed("run"), "--plan", str(plan), "--where", place, "--out", str(out), "--format", "json", *shown]
    with subprocess.Popen(
        command, cwd=project(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        words: list[str] = []
        url = "" if viewer == "nobody" else _address(process.stderr, words)
        drain = threading.Thread(target=lambda: words.extend(process.stderr or ()), daemon=True)
        drain.start()
        frames: list[tuple[float, float]] = []
        with _looked_at(url, viewer, frames):
            assert process.stdout is not None
            told = process.stdout.read()
            process.wait()
        drain.join()
    audit = out / "audit.json"
    if not told or not audit.is_file():
        raise RunError(f"the run failed (exit code {process.returncode}): {''.join(words).strip()[-300:]}")
    found: dict[str, Any] = json.loads(audit.read_text())
    return found | {"frames": frames}


def _address(stderr: IO[str], words: list[str]) -> str:
    for line in stderr:
        words.append(line)
        if line.startswith(_URL):
            return line.removeprefix(_URL).strip()
    raise RunError(f"the run has no dashboard: {''.join(words).strip()[-300:]}")


def _browser_is_here() -> bool:
    return shutil.which(_BROWSER) is not None and find_spec("playwright") is not None


@contextmanager
def _looked_at(url: str, viewer: str, frames: list[tuple[float, float]]) -> Iterator[None]:
    """For the time of the block: a page without a browser, or Chromium; then what lay between its paintings, in ms and
    in pixels that a satellite moved."""
    if viewer == "a page elsewhere":
        watch(url)
    if viewer != "a browser here":
        yield
        return
    from playwright.sync_api import sync_playwright  # a tool of the tests: only where it is there

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium makes none as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(_BROWSER), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        yield
        frames += page.evaluate("page.frames")
        browser.close()


def _catalogue(path: Path | None) -> list[str]:
    return [] if path is None else ["--catalogue", str(path)]


def _testbed(*words: str) -> list[str]:
    return [sys.executable, "-m", "testbed", *words]
