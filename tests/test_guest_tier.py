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
ROUTING = "tests/netem/test_frr.py tests/netem/test_routing_played.py tests/netem/test_domains_played.py"
"""In a boot of their own: what their daemons do to the kernel is no other test's matter."""

ASKED = os.environ.get("TESTBED_NETEM_TESTS")
"""Instead of the whole tier, when a person works on a part of it."""

CHOSEN = [ASKED] if ASKED else [f"tests/netem --ignore={' --ignore='.join(ROUTING.split())}", ROUTING]


@pytest.mark.netem
@pytest.mark.parametrize("tests", CHOSEN)
def test_netem_tier_in_the_guest(tests: str, open_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = why_not_uml()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"tier netem skipped in CI: {missing}", pytrace=False)
        pytest.skip(missing)
    command = [
        "env", f"TESTBED_KILLS={os.environ.get('TESTBED_KILLS', '6')}",
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "-q", "-ra", "--durations=15",
        f"--basetemp={open_folder}/in-guest", *tests.split(),
    ]  # fmt: skip
    with capfd.disabled(), Guest(Job(command, PROJECT, open_folder), ordinary_user(open_folder)) as guest:
        code = guest.serve(lambda _: None, lambda data: os.write(1, data))
    assert code == 0, "tests failed in the guest: see above"
