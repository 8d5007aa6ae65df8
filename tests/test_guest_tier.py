"""The netem tier in the user-mode kernel: the same tests that a machine with netem runs by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from testbed.lab.guest import Guest, Job
from testbed.lab.identity import ordinary_user
from testbed.lab.place import why_not_uml

PROJECT = Path(__file__).parents[1]


@pytest.mark.netem
def test_netem_tier_in_the_guest(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = why_not_uml()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"tier netem skipped in CI: {missing}", pytrace=False)
        pytest.skip(missing)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest" in folder.name:
            folder.chmod(0o755)  # the ordinary user that the guest runs as must get there
    chosen = os.environ.get("TESTBED_NETEM_TESTS", "tests/netem").split()
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "-q", "-ra", "--durations=15",
        f"--basetemp={tmp_path}/in-guest", *chosen,
    ]  # fmt: skip
    with capfd.disabled(), Guest(Job(command, PROJECT, tmp_path), ordinary_user(tmp_path)) as guest:
        code = guest.serve(lambda _: None, lambda data: os.write(1, data))
    assert code == 0, "tests failed in the guest: see above"
