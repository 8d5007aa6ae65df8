"""People's tests in the guest: the page's own example, and every way in which a test can end, reported here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from testbed.lab.place import why_not_uml

PROJECT = Path(__file__).parents[1]

ENDINGS = """
import os
import pathlib

import pytest

def test_stays_here():
    assert "TESTBED_GUEST" not in os.environ

@pytest.fixture(scope="module")
def shared():
    yield []
    print("taken down")

@pytest.mark.satcom_netem
def test_passes(shared, record_property):
    shared.append(1)
    record_property("kernel", os.uname().release)
    assert os.environ["TESTBED_GUEST"] == "1"

@pytest.mark.satcom_netem
def test_fails(shared, tmp_path):
    print("said in the guest")
    (tmp_path / "file").write_text("x")
    assert shared == [2]

@pytest.mark.satcom_netem
def test_skips():
    pytest.skip("not today")

@pytest.mark.satcom_netem
@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail():
    raise ValueError

@pytest.mark.topology("moon")
def test_of_no_topology(satcom_network): pass

@pytest.mark.satcom_netem
def test_without_a_marker(satcom_plan): pass
"""


@pytest.mark.netem
def test_tests_run_in_one_guest_and_are_reported_here(open_folder: Path) -> None:
    missing = why_not_uml()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"tier netem skipped in CI: {missing}", pytrace=False)
        pytest.skip(missing)
    examples = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "pytest.md").read_text(), re.DOTALL)
    (open_folder / "test_page.py").write_text("\n\n".join(examples))
    (open_folder / "test_endings.py").write_text(ENDINGS)
    before = set(open_folder.parent.glob("testbed-pytest-*"))
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "testbed.pytest_plugin", "-p", "no:cacheprovider",
            "-v", "-W", "error", "--satcom-where", "uml", "--junitxml", "junit.xml",
            "-o", "junit_family=xunit1", "test_endings.py", "test_page.py",
        ],
        cwd=open_folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True,
    )  # fmt: skip
    cases = {
        case.get("name"): {child.tag: child for child in case}
        for case in ElementTree.parse(open_folder / "junit.xml").iter("testcase")
    }
    ends = {name: sorted(set(case) - {"properties", "system-out"}) for name, case in cases.items()}
    assert ends == {
        "test_stays_here": [],
        "test_passes": [],
        "test_fails": ["failure"],
        "test_skips": ["skipped"],
        "test_is_expected_to_fail": ["skipped"],
        "test_of_no_topology": ["error"],
        "test_without_a_marker": ["error"],
        "test_calls_get_through": [],
        "test_no_ping_is_faster_than_planned": [],
        "test_what_a_last_mile_costs[1]": [],
        "test_what_a_last_mile_costs[30]": [],
    }, done.stdout + done.stderr
    kernel = cases["test_passes"]["properties"][0].get("value")
    assert kernel != os.uname().release
    assert "assert [1] == [2]" in done.stdout
    assert "said in the guest" in done.stdout
    assert "unknown topology 'moon'" in done.stdout
    assert "mark the test with what is to be emulated" in done.stdout
    assert done.returncode == 1
    assert set(open_folder.parent.glob("testbed-pytest-*")) <= before, "a guest's folder was left"
