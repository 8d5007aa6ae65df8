"""The tiers: unit and netns here, netem here or in the guest, examples from outside. In CI no tier may be skipped."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """A shell starts what it puts into the background deaf to SIGINT, and so its children: tests interrupt those."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """netns tests need root; elsewhere that is a skip with a reason, in CI a failure."""
    if item.get_closest_marker("netns") and os.geteuid() != 0:
        reason = "needs root for network namespaces"
        if os.environ.get("CI") == "true":
            pytest.fail(f"tier netns skipped in CI: {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that an ordinary user can reach: pytest's own are closed to all but their owner."""
    with tempfile.TemporaryDirectory(prefix="testbed-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
