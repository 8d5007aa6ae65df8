"""The host's end of tests in the guest: one guest for the session, which runs one test at a time as it is told."""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

import pytest

from testbed.api import make_plan
from testbed.ground.errors import RunError, TestbedError
from testbed.lab.guest import Guest, Job
from testbed.lab.identity import ordinary_user
from testbed.lab.launch import project
from testbed.plan import model
from testbed.pytest_plugin import ITEMS, RUN_OPTIONS

PASSED_ON: Final = ("CI", "LANG", "LC_", "NO_COLOR", "PYTHON", "PYTEST_ADDOPTS", "PYTEST_DISABLE", "TESTBED_")
"""Environment variables that begin so are the guest's too. No others: they are on its command line, for all to see."""

_TUPLES: Final = ("location", "longrepr")

_LAST_WORDS: Final = 1_500
"""Characters of the guest's output that are shown where it breaks off."""

_END_S: Final = 20.0
"""Assumption: fixtures are taken down in this time when the session ends."""


class RemoteTests:
    """A guest with a pytest that has collected `tests` and waits to be told which to run."""

    def __init__(self, config: pytest.Config, tests: list[pytest.Item]) -> None:
        """Boot; raises MachineError. The guest ends with the session."""
        self._config = config
        self._folder = Path(tempfile.mkdtemp(prefix="testbed-pytest-"))
        self._folder.chmod(0o755)  # the guest may be an ordinary user's
        (self._folder / "plans").mkdir()
        self._plans: dict[str, Path] = {}
        self._told: queue.Queue[dict[str, Any] | Exception] = queue.Queue()
        self._output = bytearray()
        self._idle = False
        config.add_cleanup(self.close)
        listed = self._folder / "items.json"
        listed.write_text(json.dumps([_argument(item) for item in tests]))
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)} | {
            ITEMS: str(listed),
            "PYTHONPATH": os.pathsep.join([str(project()), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        command = ["env", *(f"{name}={value}" for name, value in passed.items()), sys.executable, "-m", "pytest"]
        command += [f"--basetemp={self._folder / 'tmp'}", *map(str, config.invocation_params.args)]
        job = Job(command, config.invocation_params.dir, self._folder)
        self._guest: Guest | None = Guest(job, ordinary_user(self._folder))
        self._thread = threading.Thread(target=self._serve, args=(self._guest,), name="guest", daemon=True)
        self._thread.start()
        self._known = set(self._await("collected"))
        self._idle = True

    def run(self, item: pytest.Item, following: pytest.Item | None, asked: tuple[str | Path, Any] | None) -> None:
        """Run a test and pass on its reports; raises InputError for a plan that cannot be made, RunError where the
        guest breaks off. asked: what its marker names."""
        plan = self._plan(*asked) if asked is not None else None
        if item.nodeid not in self._known or self._guest is None:
            raise RunError(f"{item.nodeid}: not among the tests that were collected in the guest: {self._last_words()}")
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._idle = False
        after = following.nodeid if following is not None and following.nodeid in self._known else None
        self._guest.send({"run": item.nodeid, "next": after, "plan": plan})
        for data in iter(lambda: self._await("report"), None):
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=_with_tuples(data))
            item.ihook.pytest_runtest_logreport(report=report)
        self._idle = True
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _plan(self, topology: str | Path, words: dict[str, Any]) -> str:
        """The folder of the plan, which the guest reads; made once for the same words."""
        words = {name: value for name, value in words.items() if name not in RUN_OPTIONS}
        key = repr((topology, sorted(words.items())))
        if key not in self._plans:
            folder = self._folder / "plans" / str(len(self._plans))
            model.save(make_plan(topology, **words), folder)
            self._plans[key] = folder
        return str(self._plans[key])

    def _serve(self, guest: Guest) -> None:
        try:
            code = guest.serve(self._told.put, self._hear)
            self._told.put(RunError(f"the tests in the guest ended with exit code {code}"))
        except (TestbedError, OSError) as error:
            self._told.put(error)

    def _hear(self, data: bytes) -> None:
        self._output += data
        del self._output[:-_LAST_WORDS]
        if self._config.getoption("capture", None) == "no":
            sys.stdout.write(data.decode(errors="replace"))

    def _await(self, key: str) -> Any:
        """The next message's `key`; raises RunError when the guest has ended."""
        while True:
            message = self._told.get()
            if isinstance(message, Exception):
                self._told.put(message)  # it stays so
                raise RunError(f"{message}: {self._last_words()}") from None
            if key in message:
                return message[key]

    def _last_words(self) -> str:
        return self._output.decode(errors="replace").strip() or "(it said nothing)"

    def close(self) -> None:
        """End the guest; between tests it takes down its fixtures first."""
        guest, self._guest = self.__dict__.get("_guest"), None
        if guest is not None:
            if self._idle and self._thread.is_alive():
                guest.send({"end": True})
                self._thread.join(_END_S)
            guest.close()
            self._thread.join()
        shutil.rmtree(self._folder)


def _with_tuples(data: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists alone: where pytest insists on tuples they are made tuples again."""
    data["user_properties"] = [tuple(pair) for pair in data["user_properties"]]
    data["sections"] = [tuple(pair) for pair in data["sections"]]
    for name in _TUPLES:
        data[name] = tuple(data[name]) if isinstance(data[name], list) else data[name]
    return data


def _argument(item: pytest.Item) -> str:
    """How pytest is asked for one test, wherever it is called."""
    return "::".join([str(item.path), *item.nodeid.split("::")[1:]])
