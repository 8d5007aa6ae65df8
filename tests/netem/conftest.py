"""Tests that need real netem. Where this kernel has none they run in the guest, started by tests/test_guest_tier.py."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from testbed.emulation.frr.daemons import Installation
from testbed.ground.errors import MachineError
from testbed.lab.place import why_not_native

PROJECT = Path(__file__).parents[2]

collect_ignore_glob = ["test_*.py"] if why_not_native() else []


@pytest.fixture
def installation() -> Installation:
    """FRR: the system's, or the one that scripts/frr has unpacked."""
    for root in (Path("/"), PROJECT / ".frr"):
        try:
            return Installation(root)
        except MachineError as error:
            missing = str(error)
    if os.environ.get("CI") == "true":
        pytest.fail(f"FRR is missing in CI: {missing}", pytrace=False)
    pytest.skip(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each system's run said: an invalid one is no pass."""
    reports = itertools.chain.from_iterable(terminalreporter.stats.values())
    told = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "system"]
    if told:
        terminalreporter.section("systems played: verdict, system, parameters")
        terminalreporter.write_line("\n".join(map(str, told)))
