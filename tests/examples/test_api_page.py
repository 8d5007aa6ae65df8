"""The examples of docs/api.md, each of them run as it stands there, in their order, up to a real run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PROJECT, guests
from schema_check import faults

pytestmark = pytest.mark.examples

EXAMPLES = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "api.md").read_text(), re.DOTALL)


def test_every_example_of_the_page_runs(open_folder: Path) -> None:
    assert len(EXAMPLES) == 9
    page = open_folder / "page.py"
    page.write_text("\n".join(EXAMPLES))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", page],
        cwd=open_folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "unknown topology 'terestrial': did you mean 'terrestrial'?" in done.stdout
    assert "rome" in done.stdout
    report = json.loads((open_folder / "first-run" / "report.json").read_text())
    assert report["run"]["ended"] == "complete"
    assert report["topology"] == "terrestrial"
    assert len(report["flows"]) == 6
    assert faults("report", report) == []
    assert faults("run", json.loads((open_folder / "first-run" / "run.json").read_text())) == []
    assert guests(open_folder) == []
