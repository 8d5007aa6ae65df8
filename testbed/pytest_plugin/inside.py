"""The guest's end: collects the tests it was given, runs each when told, and sends the reports."""

from __future__ import annotations

import json
import os
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.pytest_plugin import ITEMS, plan_key


class Inside:
    """A plug-in of the pytest in the guest; its loop over tests replaces pytest's own."""

    def __init__(self, config: pytest.Config) -> None:
        config.args = json.loads(Path(os.environ[ITEMS]).read_text())
        self._config = config
        self._descriptor = os.open(os.environ["TESTBED_CHANNEL"], os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        tty.setraw(self._descriptor)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        known = {item.nodeid: item for item in session.items}
        self._tell(collected=list(known))
        for told in self._commands():
            if "end" in told:
                break
            item = known[told["run"]]
            if told["plan"] is not None:
                item.stash[plan_key] = Path(told["plan"])
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=known.get(told["next"]))
            self._tell(report=None)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tell(report=self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def _tell(self, **message: Any) -> None:
        data = (json.dumps(message, default=str) + "\n").encode()
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _commands(self) -> Iterator[dict[str, Any]]:
        pending = b""
        while data := os.read(self._descriptor, 4096):
            *lines, pending = (pending + data).split(b"\n")
            yield from (json.loads(line) for line in lines if line.strip())
