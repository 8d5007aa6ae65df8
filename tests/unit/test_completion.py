"""Completion, by the protocol between click and the shells: what the printed script asks, and what it is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from testbed.cli.main import testbed as cli


def offered(*words: str) -> list[str]:
    """What is offered for the last of the words."""
    found = get_completion_class("zsh")
    assert found is not None
    *before, incomplete = words
    completions = found(cli, {}, "testbed", "_TESTBED_COMPLETE").get_completions(before, incomplete)
    return [one.value if one.type == "plain" else f"<{one.type}>" for one in completions]


def test_commands_and_options() -> None:
    assert offered("to") == ["topologies"]
    assert offered("co") == ["compare", "completion"]
    assert "--duration" in offered("run", "--du")
    assert offered("bench", "al") == ["alarms"]


@pytest.mark.parametrize("command", ["run", "plan", "shell", "sweep", "compare"])
def test_topologies(command: str) -> None:
    assert offered(command, "starl") == ["starlink-italy"]
    assert {"iris2", "terrestrial"} <= set(offered(command, ""))
    assert offered(command, "topologies/") == ["<file>"]


def test_parameters_and_their_values() -> None:
    assert offered("run", "terrestrial", "-p", "last") == ["last_mile=fibre", "last_mile=ftth", "last_mile=fwa"]
    assert offered("run", "terrestrial", "-p", "last_mile=fw") == ["last_mile=fwa"]
    assert offered("plan", "terrestrial", "-p", "esn") == ["esn=on", "esn=off"]
    assert offered("run", "terrestrial", "-p", "wind") == ["window="]
    assert offered("run", "moon", "-p", "last") == []
    assert offered("run", "-p", "last") == []


def test_run_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered("report", "") == ["<dir>"]
    for name in ("first", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "manifest.json").touch()
    (tmp_path / "runs" / "no-run").mkdir()
    assert set(offered("report", "")) == {"latest", "runs/first", "runs/second"}
    assert offered("report", "la") == ["latest"]
    assert offered("report", "/sr") == ["<dir>"]
    assert offered("event", "la") == offered("exec", "la") == offered("web", "la") == ["latest"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_by_the_name_that_answers(shell: str) -> None:
    told = CliRunner().invoke(cli, ["completion", shell])
    assert told.exit_code == 0
    assert f"_TESTBED_COMPLETE={shell}_complete" in told.output
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=told.output, text=True, check=True)


def test_what_completes_keeps_no_quick_command_waiting() -> None:
    """`exec` is to answer within 300 ms, and NumPy alone takes half of that."""
    code = "import sys, testbed.cli.exec; print(sorted({'numpy', 'scipy', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
