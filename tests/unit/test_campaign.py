"""Campaigns: what is done stays done, what is half done is done again, and two do not meet. No run is made here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from testbed.cli.sweep import combinations
from testbed.ground.errors import InputError
from testbed.lab import campaign, finder
from testbed.lab.campaign import Cell, carry_out, execute, opened

CELLS = [Cell(f"c{number}", "one", "quiet", number, ("one", "--seed", str(number))) for number in range(4)]
ASKED = {"kind": "compare"}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells that were run, by a stand-in for `testbed run`; the third breaks off."""
    names: list[str] = []

    def stand_in(cell: Cell, out: Path, log: Path, started: Any) -> dict[str, Any]:
        names.append(cell.name)
        if cell.name == "c2" and names.count("c2") == 1:
            raise KeyboardInterrupt
        return {"ended": "complete", "verdict": "pass", "wall_s": 0.0}

    monkeypatch.setattr(campaign, "execute", stand_in)
    return names


def test_it_goes_on_where_it_was(tmp_path: Path, ran: list[str]) -> None:
    with opened(tmp_path, CELLS, ASKED) as done:
        assert done == {}
        with pytest.raises(KeyboardInterrupt):
            carry_out(tmp_path, CELLS)
    with opened(tmp_path, CELLS, ASKED) as done:
        before = sorted(done)
        assert "c2" not in done
        carry_out(tmp_path, CELLS)
    with opened(tmp_path, CELLS, ASKED) as done:
        assert list(done) == ["c0", "c1", "c2", "c3"]
        carry_out(tmp_path, CELLS)
    assert all(ran.count(name) == 1 for name in before)


def test_a_folder_belongs_to_one_campaign(tmp_path: Path) -> None:
    with (
        opened(tmp_path, CELLS, ASKED),
        pytest.raises(InputError, match="running already"),
        opened(tmp_path, CELLS, ASKED),
    ):
        pass
    with pytest.raises(InputError, match="was asked otherwise"), opened(tmp_path, CELLS[:3], ASKED):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(InputError, match="is no campaign's"), opened(tmp_path / "other", CELLS, ASKED):
        pass


def test_what_cannot_be_run_is_told_in_its_own_words(tmp_path: Path) -> None:
    outcome = execute(Cell("c", "x", "quiet", 0, ("no-such-topology",)), tmp_path / "run", tmp_path / "log")
    assert outcome["verdict"] == outcome["ended"] == "failed"
    assert outcome["error"] == "testbed: unknown topology 'no-such-topology': 'testbed topologies' lists them"


def test_a_run_ends_with_a_campaign_that_is_killed(tmp_path: Path) -> None:
    """The stand-in for a run writes its number and waits; SIGKILL leaves its parent no time to stop it."""
    program = (
        "import sys, subprocess, time; from testbed.lab import campaign;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " preexec_fn=campaign._end_with_parent); print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail(f"process {child} outlived its parent")


def test_outcomes_are_whole_files(tmp_path: Path, ran: list[str]) -> None:
    with opened(tmp_path, CELLS[:2], ASKED):
        carry_out(tmp_path, CELLS[:2], at_once=2)
    assert sorted(path.name for path in (tmp_path / "cells").iterdir()) == ["c0.json", "c1.json"]
    assert json.loads((tmp_path / "cells" / "c0.json").read_text())["verdict"] == "pass"


def test_every_combination_is_tried() -> None:
    found = combinations(("policy=highest,measured", "window=64,1024"))
    assert found == [
        {"policy": "highest", "window": "64"},
        {"policy": "highest", "window": "1024"},
        {"policy": "measured", "window": "64"},
        {"policy": "measured", "window": "1024"},
    ]
    assert combinations(()) == [{}]


@pytest.mark.parametrize("name", finder.names())
def test_what_a_topology_offers_for_comparison_it_can_do(name: str) -> None:
    topology = finder.find(name)
    assert "government" in topology.workloads
    for base in topology.workloads.values():
        for more in ({}, *topology.trials.values()):
            assert topology.scenario(**{**base, **more}).name == name


@pytest.mark.parametrize("text", ["policy", "policy=", "policy=a,,b"])
def test_a_word_that_is_no_list_of_values_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not KEY=A,B"):
        combinations((text,))
