"""What the runner imports: inside the guest an import costs seconds, so the planning side stays out."""

from __future__ import annotations

import subprocess
import sys

import pytest

PLANNING_SIDE = ("topologies", "pyarrow", "scipy", "sgp4", "scapy", "matplotlib", "pyroute2", "rich", "click")


def imported(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_runner_imports_nothing_of_the_planning_side() -> None:
    assert not imported("import testbed.emulation.run") & set(PLANNING_SIDE)


@pytest.mark.parametrize("name", ["sgp4", "pyarrow"])
def test_the_check_can_see_them(name: str) -> None:
    assert name in imported("import testbed.plan.store, testbed.plan.build")
