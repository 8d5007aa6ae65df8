"""What scripts/bare types into a bare machine: README's own commands and the lab book's, and nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from commands import PROJECT

pytestmark = pytest.mark.examples

SCRIPT = (PROJECT / "scripts" / "bare").read_text()


def shell(*words: str) -> list[str]:
    """One of the script's own functions, called."""
    functions = "\n".join(re.findall(r"^\w+\(\) \{\n.*?^\}$", SCRIPT, re.MULTILINE | re.DOTALL))
    command = ["bash", "-c", f'{functions}\n"$@"', "bash", *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_it_types_the_two_commands_of_the_readme() -> None:
    assert shell("typed", "README.md", "Two commands") == ["scripts/demo", "scripts/test"]
    assert shell("typed", "README.md", "No such heading") == []


def test_what_a_page_shows_as_an_answer_is_not_typed(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("## Before\n\n    cd here  # first\n\nThen:\n\n    $ date\n    1\n\n    ls\n\n## After\n\n    no\n")
    assert shell("typed", str(page), "Before") == ["cd here", "ls"]


def test_of_a_lab_it_types_what_follows_a_dollar(tmp_path: Path) -> None:
    page = tmp_path / "01-first.md"
    page.write_text("1. Do:\n\n        $ NAME=anna\n        $ testbed doctor\n        ok  Python\n\n    student = 1\n")
    assert shell("lab", str(page)) == ["NAME=anna", "testbed doctor"]
