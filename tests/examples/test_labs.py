"""docs/labs as a student types it: every command, what the pages say comes of it, and anna's points."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from lab_pages import PAGES, Typed, blocks, commands, missing, play

from testbed.lab.exercises.book import BOOK
from testbed.lab.place import why_not_native, why_not_uml

pytestmark = pytest.mark.examples

ROUTINE = ("README.md", "02-reading-a-plan.md")
"""Pages that need no kernel with netem."""

PLAYED = tuple(lab.page for lab in BOOK if lab.page not in ROUTINE)

ALONE = "07-three-systems.md"
"""Three runs, each tried three times where the machine is too busy: nothing beside it."""

LATE = "run has ended"
"""What a second terminal is told that a slow machine let come too late."""


def typed_by_anna(page: str, folder: Path) -> list[Typed]:
    """The page's commands, typed in a folder like the testbed's own, with the files which the pages tell to write."""
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "labs").mkdir()
    for place in (folder, folder / "labs"):
        (place / "answers.toml").write_text("".join(blocks("instructor.md", "toml")))
    for text in blocks(page, "python"):
        (folder / "cagliari.py").write_text(text)

    def read_off(typed: Typed, earlier: list[Typed]) -> None:
        """Lab 3's measured answers, as the student reads them off the report's tables of flows."""
        if typed.command.startswith("testbed lab check 3"):
            printed = "".join(one.came for one in earlier if one.command.startswith("testbed run"))
            rows = re.findall(r"^voice-rome-up .*$", printed, re.MULTILINE)
            answers = (folder / "answers.toml").read_text()
            answers = re.sub(r"^lost = .*$", f"lost = {rows[0].split()[2]}", answers, flags=re.MULTILINE)
            answers = re.sub(r"^silence_ms = .*$", f"silence_ms = {rows[-1].split()[-1]}", answers, flags=re.MULTILINE)
            (folder / "answers.toml").write_text(answers)

    return play(commands(page), folder, dict(os.environ), read_off)


def holds(page: str, played: list[Typed]) -> None:
    """Each command ended as the page says, and what it shows came. A run that a busy machine made invalid may show
    anything, and so may what looks into its files; the grader must not lay it to the student."""
    assert played
    busy = False
    for typed, after in zip(played, [*played[1:], None], strict=True):
        where = f"{page}: $ {typed.command}\n{typed.came[-3000:]}"
        if typed.code == 4 and typed.may_be_invalid:
            busy = True
            if typed.command.startswith("testbed lab"):
                points = [line.split()[0] for line in typed.came.splitlines() if line.startswith("  ")]
                assert points, where
                assert all(one == "–" or len(set(one.split("/"))) == 1 for one in points), where
            continue
        if typed.second and typed.code in (2, 4) and LATE in typed.came:
            continue
        if busy and not typed.command.startswith("testbed"):
            continue
        told = int(after.shown[0]) if after is not None and after.command == "echo $?" else 0
        assert typed.code == told, where
        assert missing(typed) == [], where


@pytest.mark.parametrize("page", ROUTINE)
def test_pages_that_only_plan(page: str, open_folder: Path) -> None:
    holds(page, typed_by_anna(page, open_folder))


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[list[Typed]]]]:
    """The pages with runs, two at a time: starting a guest keeps one processor busy, and so half the time is saved."""
    reason = why_not_native() and why_not_uml()
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"labs skipped in CI: {reason}", pytrace=False)
        pytest.skip(reason)
    parent = Path(tempfile.mkdtemp(prefix="testbed-labs-"))
    parent.chmod(0o755)
    with ThreadPoolExecutor(2) as pool:
        found = {}
        for page in PLAYED:
            folder = parent / page.removesuffix(".md")
            folder.mkdir()
            if page != ALONE:
                found[page] = pool.submit(typed_by_anna, page, folder)
        for future in list(found.values()):
            future.exception()
        found[ALONE] = pool.submit(typed_by_anna, ALONE, parent / ALONE.removesuffix(".md"))
        yield found
    shutil.rmtree(parent)


@pytest.mark.parametrize("page", PLAYED)
def test_pages_with_runs(page: str, runs: dict[str, Future[list[Typed]]]) -> None:
    holds(page, runs[page].result())


def test_every_page_is_listed_and_ends_with_its_check() -> None:
    readme = (PAGES / "README.md").read_text()
    for lab in BOOK:
        text = (PAGES / lab.page).read_text()
        assert text.startswith(f"# Lab {lab.number}: {lab.title}\n")
        assert f"[{lab.number} {lab.title}]({lab.page})" in readme
        assert commands(lab.page)[-1].command.startswith(f"testbed lab check {lab.number} lab{lab.number}")
        asked = re.search(rf"^    \[lab{lab.number}\]\n((?:    .*\n)*)", text, re.MULTILINE)
        keys = re.findall(r"^    (\w+) =", asked[1], re.MULTILINE) if asked else []
        assert keys == list(lab.questions)
        assert "## Questions" in text


def test_a_page_that_shows_what_does_not_come_is_noticed() -> None:
    typed = Typed(
        "testbed lab seed anna", ["715902378", "4 of …, … handovers"], 0, "715902378\n4 of 9,813, 2 handovers\n"
    )
    holds("page", [typed])
    typed.shown.append("5 of …")
    with pytest.raises(AssertionError):
        holds("page", [typed])
    with pytest.raises(AssertionError):
        holds("page", [Typed("true", [], 1)])
    right, wrong = "  1/1  seed  1\n  –    verdict  not judged\n", "  0/1  seed  2\n  –    verdict  not judged\n"
    holds("page", [Typed("testbed lab check 1 lab1", [], 4, right)])
    with pytest.raises(AssertionError):
        holds("page", [Typed("testbed lab check 1 lab1", [], 4, wrong)])


def test_a_second_terminal_is_typed_while_the_first_one_plays(tmp_path: Path) -> None:
    first = Typed("mkdir run && touch run/live.json && while [ ! -e seen ]; do sleep 0.01; done && echo played")
    holds("page", play([first, Typed("touch seen; echo joined", ["joined"], second=True)], tmp_path, dict(os.environ)))
    assert first.came.strip() == "played"


def test_commands_are_what_a_shell_understands() -> None:
    for page in [path.name for path in PAGES.glob("*.md")]:
        for typed in commands(page):
            assert shlex.split(typed.command)
