"""The run directory and what is left of dead runs; the guest itself is tested from outside, in tests/examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_fixture import make_plan

from testbed.ground.errors import InputError, MachineError
from testbed.lab import clean, guest, launch, place, rundir
from testbed.lab.guest import Guest, Job


def test_a_run_directory_holds_the_plan_and_is_never_overwritten(tmp_path: Path) -> None:
    plan = make_plan()
    folder = rundir.create(plan, tmp_path / "run", readback=False, pcap=True)
    assert json.loads((folder / "job.json").read_text()) == {"readback": False, "pcap": True, "nodes": len(plan.nodes)}
    assert {path.name for path in folder.iterdir()} == {
        "faults.json",
        "inbox",
        "job.json",
        "manifest.json",
        "plan",
        "plan.parquet",
    }
    with pytest.raises(InputError, match="never overwritten"):
        rundir.create(make_plan(), tmp_path / "run")


def test_names_do_not_collide_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {rundir.create(make_plan(), None).name for _ in range(3)}
    assert len(names) == 3


def test_latest_is_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no runs in"):
        rundir.find("latest")
    first, second = rundir.create(make_plan(), None), rundir.create(make_plan(), None)
    os.utime(first / "manifest.json", (1, 1))
    assert rundir.find("latest") == second
    assert rundir.find(str(first)) == first
    with pytest.raises(InputError, match="is not a run directory"):
        rundir.find(str(tmp_path))


def test_only_processes_that_carry_a_dead_runs_name_are_leftovers(tmp_path: Path) -> None:
    tagged = os.environ | {"TESTBED_RUN": str(tmp_path / "dead")}
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    stray, other = subprocess.Popen(sleep, env=tagged), subprocess.Popen(sleep)
    try:
        found = [leftover.pid for leftover in clean.find(tmp_path) if leftover.pid in (stray.pid, other.pid)]
        assert found == [stray.pid]
        clean.remove([leftover for leftover in clean.find(tmp_path) if leftover.pid == stray.pid])
        assert stray.wait(timeout=10) == -9
        assert other.poll() is None
    finally:
        for process in (stray, other):
            process.kill()
            process.wait()


def test_files_of_control_are_leftovers_and_results_are_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "guest" / "uml" / "guest").mkdir(parents=True)
    (run / "guest" / "uml" / "guest" / "pid").write_text("999999999")
    for name in ("live.json", "progress.json"):
        (run / name).write_text("{}")
    (run / "audit.json").write_text("{}")
    leftovers = clean.find(tmp_path)
    assert sorted(str(leftover.path) for leftover in leftovers if leftover.path) == [
        str(run / "guest" / "uml"),
        str(run / "live.json"),
        str(run / "progress.json"),
    ]
    clean.remove([leftover for leftover in leftovers if leftover.path])
    assert clean.find(tmp_path) == [leftover for leftover in leftovers if leftover.pid]
    assert (run / "audit.json").exists()


def test_without_the_kernel_the_guest_says_the_apt_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "KERNEL", "no-such-kernel")
    with pytest.raises(MachineError, match="sudo apt-get install user-mode-linux"):
        Guest(Job(["true"], tmp_path, tmp_path))
    assert place.why_not_uml() is not None


def test_a_folder_that_cannot_be_mounted_is_refused(tmp_path: Path) -> None:
    if place.why_not_uml():
        pytest.skip("no user-mode-linux here")
    with pytest.raises(InputError, match="cannot mount a path with spaces, commas or quotes"):
        Guest(Job(["true"], tmp_path, tmp_path / "a b"))


def test_the_guest_of_a_whole_constellation_gets_more_memory(tmp_path: Path) -> None:
    for nodes, least_mb, most_mb in ((20, 2_048, 2_048), (1_584, 2_048, 2_048), (10_512, 6_000, 6_500)):
        (tmp_path / "job.json").write_text(json.dumps({"nodes": nodes}))
        assert least_mb <= launch.memory_mb(tmp_path) <= most_mb  # 10,512 nodes fit in 6 GiB (docs/bench.md)


def test_what_looks_on_has_what_nobody_else_wants() -> None:
    group = Path("/proc/self/autogroup")
    code = "import os; from testbed.lab import priority; os.setsid(); priority.last(); print(os.nice(0))"
    code += f"; print(open('{group}').read().split()[-1])" if group.exists() else "; print(19)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["19", "19"]
