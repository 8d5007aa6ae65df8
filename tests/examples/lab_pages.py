"""The lab book as it is written: the commands of a page, what it says comes of them, and one shell to type them in."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "labs"
_LINE = re.compile(r"^ {4,}(?P<prompt>\$ )?(?P<text>.*)$")
_DONE = "typed-command-ended-with"
_GUEST = re.compile(r"testbed (run|compare|report|lab check)\b")


@dataclass
class Typed:
    """A command of a page, the lines that the page shows below it, and what really came."""

    command: str
    shown: list[str] = field(default_factory=list)
    code: int = -1
    came: str = ""

    @property
    def may_be_invalid(self) -> bool:
        """Exit code 4, a machine too busy, is no fault of the page."""
        return bool(_GUEST.match(self.command))


def commands(page: str) -> list[Typed]:
    """The commands of a page, in order: indented lines that begin with '$ '; what follows one is its output."""
    found: list[Typed] = []
    block = False
    for line in (PAGES / page).read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            block = block and not line.strip()
        elif match["prompt"]:
            found.append(Typed(match["text"]))
            block = True
        elif block and match["text"].strip():
            found[-1].shown.append(match["text"])
    return found


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)


def play(page: list[Typed], folder: Path, environment: dict[str, str]) -> list[Typed]:
    """Type the commands in one shell in `folder`; each gets its exit code and what it printed."""
    scripts = Path(sys.executable).parent
    shell = subprocess.Popen(
        ["bash", "--norc"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment | {"PATH": f"{scripts}:{environment['PATH']}", "COLUMNS": "100"},
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    with shell:
        for typed in page:
            shell.stdin.write(f"{typed.command}\nlast=$?; printf '\\n%s %s\\n' {_DONE} $last; (exit $last)\n")
            shell.stdin.flush()
            typed.came, typed.code = _answer(iter(shell.stdout.readline, ""))
    return page


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
