"""The JSON schemas: sound themselves, true of what the code writes, and closed, so that a new key is seen.

Reports of all other tests are held against theirs as well: tests/unit/results_lab.py, tests/examples/commands.py.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from run_fixture import make_attacked_files, make_files
from schema_check import faults
from test_comparison import cell, summary_of

from testbed.api import make_plan
from testbed.bench.rows import Reference, Row, document
from testbed.cli.main import testbed as cli
from testbed.plan import model, store
from testbed.plan.model import Plan
from testbed.report.comparison.table import compare
from testbed.report.results import make_report
from testbed.report.schemas import names, schema

START = "2026-06-14T06:00:00Z"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_report(make_attacked_files().write(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    """One of each kind: fibre, orbits with handovers, a trace."""
    asked = [("terrestrial", {}), ("starlink-italy", {"adversary": "bitflip", "domains": "three"}), ("trace", {})]
    return [make_plan(name, start=START, duration_s=20, **more) for name, more in asked]


@pytest.mark.parametrize("name", names())
def test_a_schema_is_sound_and_has_a_name_of_its_own(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"urn:satcom-testbed:{name}:1"
    assert schema(name)["title"]


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema in it that names properties."""
    if isinstance(part, dict):
        if "properties" in part:
            yield part
        for value in part.values():
            yield from objects(value)
    if isinstance(part, list):
        for value in part:
            yield from objects(value)


@pytest.mark.parametrize("name", names())
def test_where_properties_are_named_there_are_no_others(name: str) -> None:
    """Of the control link's noise alone the schema names only a part."""
    found = list(objects(schema(name)))
    opened = [sorted(one["properties"]) for one in found if one.get("additionalProperties") is not False]
    assert opened in ([], [["bound_us", "error_us", "samples"]])
    assert all(set(one.get("required", ())) <= set(one["properties"]) for one in found)


def test_reports_are_as_their_schema_says(report: dict[str, Any], tmp_path: Path) -> None:
    assert faults("report", report) == []
    files = make_files()
    files.audit = files.samples = files.ticks = None
    assert files.run is not None
    files.run |= {"ended": "interrupted", "played_ns": 5_000_000_000}
    assert faults("report", make_report(files.write(tmp_path))) == []
    assert faults("run", json.loads((tmp_path / "run.json").read_text())) == []


@pytest.mark.parametrize(
    ("where", "key", "said"),
    [
        ((), "moon", "$: Additional properties are not allowed ('moon' was unexpected)"),
        (("flows", 0), "moon", "$.flows[0]: Additional properties"),
        (("audit",), "moon", "$.audit: Additional properties"),
        (("audit", "links", 0), "moon", "$.audit.links[0]: Additional properties"),
        (("checks", 0), "moon", "$.checks[0]: Additional properties"),
        (("events", "list", 0), "moon", "$.events.list[0]: Additional properties"),
        (("run",), "moon", "$.run: Additional properties"),
    ],
)
def test_a_key_that_the_schema_does_not_know_is_seen(
    where: tuple[Any, ...], key: str, said: str, report: dict[str, Any]
) -> None:
    drifted = copy.deepcopy(report)
    place: Any = drifted
    for step in where:
        place = place[step]
    place[key] = 1
    (found,) = faults("report", drifted)
    assert found.startswith(said)


@pytest.mark.parametrize("key", ["verdict", "flows", "manifest"])
def test_a_key_that_is_no_longer_written_is_seen(key: str, report: dict[str, Any]) -> None:
    drifted = {name: value for name, value in report.items() if name != key}
    assert faults("report", drifted) == [f"$: '{key}' is a required property"]


def test_a_value_of_another_kind_is_seen(report: dict[str, Any]) -> None:
    assert faults("report", report | {"verdict": "maybe"}) == [
        "$.verdict: 'maybe' is not one of ['pass', 'fail', 'invalid']"
    ]
    assert faults("report", report | {"start": "14 June 2026"})[0].startswith("$.start: '14 June 2026' does not match")


def test_plans_are_as_their_schema_says(plans: list[Plan], tmp_path: Path) -> None:
    for plan in plans:
        model.save(plan, tmp_path / plan.topology)
        assert faults("plan-file", json.loads((tmp_path / plan.topology / "plan.json").read_text())) == []
    assert any(plan.handovers for plan in plans)


def test_every_field_of_a_plan_is_in_the_schema(plans: list[Plan]) -> None:
    known = schema("plan-file")["properties"]
    assert list(known) == [field.name for field in fields(Plan) if field.name in model.to_json(plans[0])]
    kinds = {"nodes": model.Node, "links": model.Link, "lans": model.Lan, "cables": model.Cable} | {
        "uplinks": model.Uplink, "routes": model.Route, "events": model.Event
    }  # fmt: skip
    for name, kind in kinds.items():
        assert set(known[name]["items"]["properties"]) == {field.name for field in fields(kind)}


def test_the_parquet_file_s_columns_are_those_of_the_schema(plans: list[Plan], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    store.write_parquet(plans[0], tmp_path / "plan.parquet")
    found = pq.read_schema(tmp_path / "plan.parquet")
    told = schema("plan-file")["x-parquet"]
    assert [(column["name"], column["type"]) for column in told["columns"]] == [
        (field.name, str(field.type)) for field in found
    ]
    assert faults("plan-file", json.loads(found.metadata[told["metadata_key"].encode()])) == []


def test_comparisons_are_as_their_schema_says(tmp_path: Path) -> None:
    failed = {"ended": "failed", "verdict": "failed", "error": "no", "tries": 1, "wall_s": 1.0}
    told = compare(
        [
            (cell("one"), summary_of(tmp_path, "a")),
            (cell("one", seed=1), summary_of(tmp_path, "b")),
            (cell("one", "bitflip"), summary_of(tmp_path, "c", make_attacked_files())),
            (cell("two"), failed),
        ]
    )
    assert faults("compare", json.loads(json.dumps(told))) == []
    assert faults("compare", told | {"winner": "one"}) != []


def test_benchmarks_are_as_their_schema_says() -> None:
    rows = [
        Row("updates", 370_000.0, "1/s", "higher", 100_000.0, Reference("tc -batch", 40_000.0)),
        Row("told", 1, "", "lower"),
    ]
    assert faults("bench", json.loads(json.dumps(document("update", rows)))) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("topologies", ["topologies"]),
        ("doctor", ["doctor"]),
        ("plan", ["plan", "terrestrial", "--duration", "1"]),
    ],
)
def test_commands_print_what_their_schema_says(name: str, words: list[str]) -> None:
    told = CliRunner().invoke(cli, [*words, "--format", "json"])
    assert told.exit_code in (0, 3), told.output
    assert faults(name, json.loads(told.stdout)) == []


def test_the_command_lists_and_prints_them() -> None:
    listed = CliRunner().invoke(cli, ["schema"]).output
    assert [line.split()[0] for line in listed.splitlines()] == names()
    assert json.loads(CliRunner().invoke(cli, ["schema", "report"]).output) == schema("report")
