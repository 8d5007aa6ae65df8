"""The lab book as it is written: the commands of a page, what it says comes of them, and one shell to type them in."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "labs"
_LINE = re.compile(r"^ {4,}(?P<prompt>2?\$ )?(?P<text>.*)$")
_DONE = "typed-command-ended-with"
_GUEST = re.compile(r"testbed (run|compare|report|lab check)\b")


@dataclass
class Typed:
    """A command of a page, the lines that the page shows below it, and what really came."""

    command: str
    shown: list[str] = field(default_factory=list)
    code: int = -1
    came: str = ""
    second: bool = False  # in a second terminal, while the command before plays

    @property
    def may_be_invalid(self) -> bool:
        """Exit code 4, a machine too busy, is no fault of the page."""
        return bool(_GUEST.match(self.command))


def commands(page: str) -> list[Typed]:
    """The commands of a page, in order: indented lines behind '$ ' or '2$ '; what follows one is its output."""
    found: list[Typed] = []
    block = False
    for line in (PAGES / page).read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            block = block and not line.strip()
        elif match["prompt"]:
            found.append(Typed(match["text"], second=match["prompt"] == "2$ "))
            block = True
        elif block and match["text"].strip():
            found[-1].shown.append(match["text"])
    return found


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)


def play(
    page: list[Typed],
    folder: Path,
    environment: dict[str, str],
    before: Callable[[Typed, list[Typed]], None] = lambda _typed, _earlier: None,
) -> list[Typed]:
    """Type the commands in one shell in `folder`, those of a second terminal in others; each gets its exit code and
    what it printed. before: is told of each command, and of those typed earlier, before it is typed."""
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment = environment | {"PATH": path, "COLUMNS": "100"}
    shell = subprocess.Popen(
        ["bash", "--norc"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    with shell:
        for number, typed in enumerate(page):
            if typed.second:
                continue
            before(typed, page[:number])
            shell.stdin.write(f"{typed.command}\nlast=$?; printf '\\n%s %s\\n' {_DONE} $last; (exit $last)\n")
            shell.stdin.flush()
            beside = list(takewhile(lambda one: one.second, page[number + 1 :]))
            if beside:
                _until_it_plays(folder)
            for one in beside:
                done = subprocess.run(
                    ["bash", "--norc", "-c", one.command],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env=environment,
                    check=False,
                )
                one.came, one.code = done.stdout, done.returncode
            typed.came, typed.code = _answer(iter(shell.stdout.readline, ""))
    return page


def _until_it_plays(folder: Path) -> None:
    """Until a run in `folder` plays, or has ended before that was seen."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not any(folder.glob("*/live.json")) and not any(folder.glob("*/run.json")):
        time.sleep(0.1)


def _answer(lines: Iterator[str]) -> tuple[str, int]:
    came: list[str] = []
    for line in lines:
        if line.startswith(_DONE):
            return "".join(came), int(line.split()[1])
        came.append(line)
    raise AssertionError(f"the shell ended: {''.join(came)[-2000:]}")


def missing(typed: Typed) -> list[str]:
    """Lines that the page shows and that did not come; '…' stands for anything, runs of spaces for one."""
    came = [" ".join(line.split()) for line in typed.came.splitlines()]
    return [line for line in typed.shown if not any(_fits(line, one) for one in came)]


def _fits(shown: str, line: str) -> bool:
    parts = [re.escape(" ".join(part.split())) for part in shown.split("…")]
    return re.search(r".*".join(parts), line) is not None
