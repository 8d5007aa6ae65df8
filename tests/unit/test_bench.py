"""testbed.bench: what a row says of its target and its reference, the JSON, the exit code."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from click.testing import CliRunner

from testbed.bench import soak
from testbed.bench.inside import call
from testbed.bench.rows import Reference, Row, document, print_rows
from testbed.cli import bench
from testbed.ground.errors import RunError

FAST = Row("changes", 400.0, "/s", "higher", 100.0, Reference("/s, tc", 4.0))
SLOW = Row("build", 12.0, "s", "lower", 10.0, Reference("s, Mininet", 6.0))
TOLD = Row("median", 3.0, "ms", "lower")


def test_a_row_knows_whether_it_meets_its_target_and_how_it_stands_beside_its_reference() -> None:
    assert (FAST.met, FAST.ratio) == (True, 100.0)
    assert (SLOW.met, SLOW.ratio) == (False, 0.5)
    assert (TOLD.met, TOLD.ratio) == (None, None)
    assert Row("zero", 0.0, "", "lower", 0.0).met


def test_the_document_is_json_with_every_row() -> None:
    told = json.loads(json.dumps(document("update", [FAST, TOLD])))
    assert told["bench"] == "update"
    assert "Linux" in told["machine"]
    assert told["rows"][0] == {
        "name": "changes", "value": 400.0, "unit": "/s", "better": "higher", "target": 100.0, "met": True,
        "reference": {"name": "/s, tc", "value": 4.0}, "ratio": 100.0,
    }  # fmt: skip
    assert told["rows"][1]["reference"] is None


def test_the_table_says_what_was_missed() -> None:
    out = io.StringIO()
    print_rows("build", [FAST, SLOW, TOLD], out)
    lines = out.getvalue().splitlines()
    assert [word for line in lines for word in ("met", "MISSED") if line.rstrip().endswith(word)] == ["met", "MISSED"]


@pytest.mark.parametrize(("rows", "code"), [([FAST, TOLD], 0), ([FAST, SLOW], 1)])
def test_a_missed_target_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, rows: list[Row], code: int) -> None:
    monkeypatch.setattr(soak, "run", lambda _: rows)
    monkeypatch.setattr(bench, "why_not_uml", lambda: None)
    done = CliRunner().invoke(bench.command, ["soak", "--format", "json"])
    assert done.exit_code == code
    assert len(json.loads(done.stdout)["rows"]) == 2


def add(folder: Any, *, a: int, b: int) -> dict[str, int]:
    """For the test below: called in a process of its own."""
    return {"sum": a + b // (a - 1)}


def test_a_function_is_called_in_a_process_of_its_own_and_its_failure_is_told(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "tests/unit")
    assert call(add, "native", tmp_path, a=2, b=3) == {"sum": 5}
    with pytest.raises(RunError, match=r"add failed \(native, exit code 1\): ZeroDivisionError"):
        call(add, "native", tmp_path, a=1, b=3)
