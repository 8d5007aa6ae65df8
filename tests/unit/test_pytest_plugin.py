"""The pytest plug-in where no guest is needed: it costs nothing unused, and says what is wrong with a marker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.lab.place import why_not_native

PROJECT = Path(__file__).parents[2]

UNUSED = """
import sys

def test_nothing_of_the_testbed_is_loaded():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"numpy", "click", "mininet", "scapy", "pyarrow"}
    assert {name for name in sys.modules if name.startswith("testbed")} == {"testbed", "testbed.pytest_plugin"}
"""

USED = """
import pytest

@pytest.mark.topology("terrestrial", duration_s=3, window=64, speed=2)
def test_the_plan_is_the_marker_s(satcom_plan):
    assert (satcom_plan.duration_ns, satcom_plan.traffic["window"]) == (3_000_000_000, 64)

def test_without_a_marker(satcom_plan): pass

@pytest.mark.topology
def test_without_a_name(satcom_plan): pass

@pytest.mark.topology("terestrial")
def test_of_no_topology(satcom_plan): pass
"""

NETEM = """
import pytest

@pytest.mark.satcom_netem
def test_marked(): pass

@pytest.mark.topology("terrestrial")
def test_network(satcom_network): pass
"""


def run_pytest(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_own.py").write_text(text)
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "testbed.pytest_plugin", "-p", "no:cacheprovider",
            "-rA", "-W", "error", *options,
        ],
        cwd=folder, env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True,
    )  # fmt: skip


def test_who_does_not_use_it_pays_one_small_import(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, UNUSED, "--strict-markers", "--strict-config")
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout + done.stderr


def test_a_plan_for_a_test_and_what_is_wrong_with_a_marker(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USED, "--strict-markers")
    assert "PASSED test_own.py::test_the_plan_is_the_marker_s" in done.stdout
    assert 'mark the test with what is to be emulated: @pytest.mark.topology("starlink-italy")' in done.stdout
    assert '@pytest.mark.topology takes one topology: write it like topology("starlink-italy")' in done.stdout
    assert "unknown topology 'terestrial': did you mean 'terrestrial'?" in done.stdout
    assert done.returncode == 1


@pytest.mark.skipif(why_not_native() is None, reason="this kernel has netem and the user is root")
def test_where_nothing_can_run_the_test_fails_and_is_not_skipped(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, NETEM, "--satcom-where", "native")
    assert done.returncode == 1
    assert "2 errors in" in done.stdout
    assert done.stdout.count("or leave the place to --where auto") >= 2
