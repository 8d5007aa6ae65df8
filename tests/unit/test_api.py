"""The API for programmers: its names are pinned, it asks as the command line does, and reads what a run left."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner
from run_fixture import make_attacked_files, make_files
from test_runner_imports import PLANNING_SIDE, imported

import testbed
from testbed import api
from testbed.cli.main import testbed as cli
from testbed.ground.errors import InputError, MachineError, PlanError
from testbed.lab import launch
from testbed.lab.place import why_not_native
from testbed.report.results import write_report
from topologies import terrestrial

START = "2026-06-14T06:00:00Z"


def test_the_public_names_are_these() -> None:
    assert testbed.__all__ == [
        "Plan",
        "Results",
        "TestbedError",
        "Topology",
        "__version__",
        "load",
        "load_plan",
        "make_plan",
        "network",
        "run",
        "save_plan",
        "topologies",
    ]
    assert set(testbed.__all__) <= set(dir(testbed))
    assert all(getattr(testbed, name) is not None for name in testbed.__all__)


def test_no_public_name_is_a_subpackage_which_would_hide_it() -> None:
    packages = {path.name for path in Path(testbed.__file__).parent.iterdir() if path.is_dir()}
    packages |= {path.stem for path in Path(testbed.__file__).parent.glob("*.py")}
    assert not packages & set(testbed.__all__)


def test_the_package_alone_imports_nothing_of_it() -> None:
    assert not imported("import testbed") & {*PLANNING_SIDE, "numpy", "pytest"}
    assert {"numpy", "pyarrow"} <= imported("from testbed import make_plan")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'testbed' has no attribute 'moon'"):
        testbed.moon  # noqa: B018 - the access is what is tested
    told = subprocess.run([sys.executable, "-c", "from testbed import moon"], capture_output=True, text=True)
    assert told.stderr.strip().split("\n")[-1].startswith("ImportError: cannot import name 'moon'")


def test_the_command_line_makes_the_same_plan_byte_for_byte(tmp_path: Path) -> None:
    asked = ["plan", "terrestrial", "--start", START, "--duration", "5", "-p", "last_mile=ftth", "--seed", "3"]
    said = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "cli.parquet")])
    assert said.exit_code == 0, said.output
    plan = testbed.make_plan("terrestrial", start=START, duration_s=5, seed=3, last_mile="ftth")
    testbed.save_plan(plan, tmp_path / "api.parquet")
    assert (tmp_path / "api.parquet").read_bytes() == (tmp_path / "cli.parquet").read_bytes()
    other = testbed.make_plan("terrestrial", start=START, duration_s=5, seed=3, last_mile="fwa")
    testbed.save_plan(other, tmp_path / "other.parquet")
    assert (tmp_path / "other.parquet").read_bytes() != (tmp_path / "api.parquet").read_bytes()


def test_a_plan_is_kept_and_read_back(tmp_path: Path) -> None:
    plan = testbed.make_plan(terrestrial.scenario(), start=START, duration_s=2.5)
    testbed.save_plan(plan, tmp_path / "plan.parquet")
    read = testbed.load_plan(tmp_path / "plan.parquet")
    assert read.duration_ns == 2_500_000_000
    assert read.manifest == plan.manifest
    with pytest.raises(PlanError, match=r"none\.parquet"):
        testbed.load_plan(tmp_path / "none.parquet")


def test_a_datetime_is_a_start_in_its_own_zone() -> None:
    rome = datetime(2026, 6, 14, 8, 0, 0, 250_000, timezone(timedelta(hours=2)))
    assert testbed.make_plan("terrestrial", start=rome, duration_s=1).start_ns == 1_781_416_800_250_000_000
    with pytest.raises(InputError, match="which zone"):
        testbed.make_plan("terrestrial", start=rome.replace(tzinfo=None), duration_s=1)


def test_true_and_false_are_on_and_off() -> None:
    plan = testbed.make_plan("terrestrial", start=START, duration_s=1, esn=False, window=64)
    assert (plan.traffic["esn"], plan.traffic["window"]) == (False, 64)
    assert testbed.make_plan("terrestrial", start=START, duration_s=1, esn=True).traffic["esn"] is True


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"topology": "terestrial"}, "did you mean 'terrestrial'"),
        ({"topology": "terrestrial", "duration_s": 0}, "duration_s=0 is not positive"),
        ({"topology": "terrestrial", "step_ms": -1}, "step_ms=-1 is not positive"),
        ({"topology": "terrestrial", "start": "today"}, "'today' is not ISO 8601"),
        ({"topology": "terrestrial", "moon": 1}, "unknown parameter 'moon'"),
        ({"topology": terrestrial.scenario(), "window": 64}, "parameters window"),
        ({"topology": "terrestrial", "catalogue": "oneweb"}, "has no orbits"),
        ({"topology": "starlink-italy", "select": "shell=A", "catalogue": ["oneweb"]}, "matches none"),
    ],
)
def test_what_is_asked_wrongly_is_an_input_error(asked: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        testbed.make_plan(**asked)


def test_faults_are_checked_before_anything_is_made(tmp_path: Path) -> None:
    plan = testbed.make_plan("terrestrial", start=START, duration_s=2)
    faults = [{"kind": "gateway", "node": "gw-milano"}]
    try:
        with pytest.raises(PlanError, match=r"events: fault 1: no gateway 'gw-milano'"):
            testbed.run(plan, events=faults, out=tmp_path / "run")
    except MachineError as error:
        pytest.skip(str(error))
    assert not (tmp_path / "run").exists()


def test_a_run_directory_is_read_with_its_verdict_and_its_parts(tmp_path: Path) -> None:
    report = write_report(make_files().write(tmp_path))
    results = testbed.load(tmp_path)
    assert (results.verdict, results.passed, results.exit_code, results.reasons) == ("pass", True, 0, [])
    assert results.report == report
    assert set(results.flows) == {"voice-rome", "web-milano"}
    assert results.flows["voice-rome"]["integrity"]["verdict"] == "intact"
    assert all(check["passed"] for check in results.checks.values())
    assert results.audit is not None
    assert results.audit["samples"] == len(results.samples)
    assert results.plan.topology == "starlink-italy"


def test_a_run_that_failed_says_why(tmp_path: Path) -> None:
    write_report(make_attacked_files().write(tmp_path))
    results = testbed.load(tmp_path)
    assert (results.verdict, results.passed, results.exit_code) == ("fail", False, 1)
    assert not results.checks["integrity"]["passed"]
    assert results.reasons
    assert results.warnings == ["2 satellites were propagated 1.4 d on"]


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run directory"):
        testbed.load(tmp_path)
    make_files().write(tmp_path)
    with pytest.raises(InputError, match=f"no report yet: make it with 'testbed report {tmp_path}'"):
        testbed.load(tmp_path)


def test_an_interrupted_run_is_a_keyboard_interrupt_and_its_report_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run left that was stopped, judged; only the playing is left out."""
    files = make_files()
    assert files.run is not None
    files.run |= {"ended": "interrupted", "played_ns": 5_000_000_000}
    monkeypatch.setattr(api.place, "choose", lambda where: "uml")
    monkeypatch.setattr(api.playing, "prepare", lambda plan, out, **asked: (files.write(tmp_path), plan))
    monkeypatch.setattr(api.playing, "finish", lambda folder, place, on_message: write_report(folder))
    with pytest.raises(KeyboardInterrupt):
        testbed.run(files.plan)
    assert testbed.load(tmp_path).exit_code == 130


def test_a_run_from_another_thread_leaves_signals_to_the_main_one() -> None:
    handler = signal.getsignal(signal.SIGINT)

    def play() -> bool:
        with launch._asking(lambda: None):
            return signal.getsignal(signal.SIGINT) is handler

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(play).result()
    assert not play()
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(why_not_native() is None, reason="this kernel has netem and the user is root")
def test_a_network_elsewhere_is_refused_with_the_mend() -> None:
    with pytest.raises(MachineError, match="--where auto"), testbed.network("terrestrial", duration_s=1):
        pass


def test_the_version_is_the_installed_one() -> None:
    assert testbed.__version__ == version("satcom-testbed")
    said = CliRunner().invoke(cli, ["--version"])
    assert said.output == f"testbed, version {testbed.__version__}\n"
