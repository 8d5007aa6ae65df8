"""Bad input is one line: what, where, the value, what to do. Nothing is started, nothing is left."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from commands import STARLINK, Outcome, guests, run

from topologies import starlink_italy

pytestmark = pytest.mark.examples

PARAMETERS = ", ".join(parameter.name for parameter in starlink_italy.PARAMETERS)


def refused(outcome: Outcome, code: int, folder: Path) -> str:
    assert outcome.code == code, outcome
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1, outcome.stderr
    assert outcome.stderr.startswith("testbed: ")
    assert not (folder / "runs").exists()
    assert guests(folder) == []
    return outcome.stderr.removeprefix("testbed: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "starlink-itly"], "unknown topology 'starlink-itly': did you mean 'starlink-italy'?"),
        (["run", "starlink-italy", "--web", "--listen", "all"], "--listen 'all' is not ADDRESS:PORT: write it like 127.0.0.1:0"),
        (["run", "moon"], "unknown topology 'moon': 'testbed topologies' lists them"),
        (["run", "none.py"], "topology file 'none.py' does not exist"),
        (["run", "starlink-italy", "--duration", "-5"], "--duration -5 is not positive: write the seconds to play, like 60"),
        (["run", "starlink-italy", "--duration", "soon"], "duration 'soon' is not understood: write a number and one of ns, us, µs, ms, s, min"),
        (["run", "starlink-italy", "--start", "today"], "time 'today' is not ISO 8601: write it like 2026-06-14T06:00:00Z"),
        (["run", "starlink-italy", "-p", "oder=drop"], f"starlink-italy: unknown parameter 'oder' (did you mean 'order'?); it takes {PARAMETERS}"),
        (["run", "starlink-italy", "-p", "window=9"], "starlink-italy: parameter window='9' is not a whole number from 64 to 4096"),
        (["run", "starlink-italy", "-p", "lost=gw-foggia@40-20"], "starlink-italy: parameter lost='gw-foggia@40-20' has a window that ends before it begins: write gw-foggia@20-40"),
        (["run", "starlink-italy", "-p", "window"], "-p 'window' is not KEY=VALUE"),
        (["run", "--plan", "none.parquet"], None),
        (["run", "starlink-italy", "--catalogue", "none.tle"], None),
        (["run", "starlink-italy", "--catalogue", "oneweb", "--select", "shell=A"], "--select 'shell=A' matches none of the satellites of built-in: oneweb (648): shells there are OW"),
        (["run", "starlink-italy", "--catalogue", "none"], None),
        (["report", "runs/none"], None),
        (["event", "runs/none", "gateway", "gw-milano"], None),
        (["run", "starlink-italy", "--events", "none.json"], None),
    ],
)  # fmt: skip
def test_one_line_and_exit_code_2(arguments: list[str], message: str | None, open_folder: Path) -> None:
    said = refused(run(*arguments, cwd=open_folder), 2, open_folder)
    assert said == message if message else "none" in said


def test_a_broken_element_line_is_named(open_folder: Path) -> None:
    if not STARLINK.is_file():
        pytest.skip("no real elements to break")
    lines = gzip.decompress(STARLINK.read_bytes()).decode().splitlines()
    lines[3001] = lines[3001][:40] + "X" + lines[3001][41:]
    (open_folder / "broken.tle").write_text("\n".join(lines) + "\n")
    said = refused(run("run", "starlink-italy", "--catalogue", "broken.tle", cwd=open_folder), 2, open_folder)
    assert said.startswith("broken.tle line 3002: ")


def test_a_start_without_coverage_is_refused(open_folder: Path) -> None:
    if not STARLINK.is_file():
        pytest.skip("no real elements")
    asked = ["--catalogue", str(STARLINK), "--start", "2076-01-01T00:00:00Z"]
    said = refused(run("run", "starlink-italy", *asked, cwd=open_folder), 2, open_folder)
    assert "2076-01-01T00:00:00Z" in said
    assert "choose" in said


def test_an_unwritable_output_folder_is_refused(open_folder: Path) -> None:
    (open_folder / "file").write_text("")
    said = refused(run("run", "starlink-italy", "--out", "file/run", cwd=open_folder), 2, open_folder)
    assert str(open_folder / "file" / "run") in said
    assert "choose a folder you may write to" in said


def test_a_run_directory_is_never_overwritten(open_folder: Path) -> None:
    (open_folder / "mine").mkdir()
    said = refused(run("run", "starlink-italy", "--out", "mine", cwd=open_folder), 2, open_folder)
    assert said.endswith("exists: runs are never overwritten, choose another --out")


def test_neither_netem_nor_a_guest_is_exit_code_3_and_the_mend(open_folder: Path) -> None:
    without_guest = {"PATH": str(open_folder)}
    outcome = run("run", "starlink-italy", cwd=open_folder, env=without_guest)
    said = refused(outcome, 3, open_folder)
    assert "sudo apt-get install user-mode-linux" in said
    checked = run("doctor", cwd=open_folder, env=without_guest)
    assert checked.code == 3
    assert "Nothing can run here yet" in checked.stdout


def test_the_native_runner_refuses_a_kernel_without_netem_or_an_ordinary_user(open_folder: Path) -> None:
    from testbed.lab.place import why_not_native

    if why_not_native() is None:
        pytest.skip("this kernel has netem and the user is root")
    said = refused(run("run", "starlink-italy", "--where", "native", cwd=open_folder), 3, open_folder)
    assert "--where auto" in said
