"""A plan as a file: it comes back whole, its bytes do not vary, and what is no plan is refused."""

from __future__ import annotations

import contextlib
import csv
import io
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orbit_data import START_NS
from plan_data import S, dense, italy, small_plan, steps_between

from testbed.ground.errors import PlanError
from testbed.plan.build import build_plan
from testbed.plan.model import to_json
from testbed.plan.store import CSV_COLUMNS, METADATA_KEY, read_parquet, write_csv, write_parquet


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "plan.parquet"
    write_parquet(small_plan(), path)
    return path


def rows_of(plan):
    sink = io.StringIO()
    write_csv(plan, sink)
    return list(csv.DictReader(io.StringIO(sink.getvalue())))


def test_a_plan_comes_back_as_it_was(parquet):
    again = read_parquet(parquet)
    assert to_json(again) == to_json(small_plan())
    assert again.steps.dtype == small_plan().steps.dtype
    assert again.steps.tobytes() == small_plan().steps.tobytes()


def test_the_same_inputs_give_the_same_file(parquet, tmp_path):
    write_parquet(build_plan(italy(), dense(), START_NS, 60 * S), tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == parquet.read_bytes()
    write_parquet(build_plan(italy(window="64"), dense(), START_NS, 60 * S), tmp_path / "other.parquet")
    assert (tmp_path / "other.parquet").read_bytes() != parquet.read_bytes()


def test_the_steps_are_a_table_for_every_reader_of_parquet(parquet):
    table = pq.read_table(parquet)
    assert table.column_names == list(small_plan().steps.dtype.names)
    assert table["delay_ns"].to_pylist() == small_plan().steps["delay_ns"].tolist()


def within(row):
    """The row's time within the plan, ns."""
    return round(datetime.fromisoformat(row["time_utc"]).timestamp() * 1000) * 1_000_000 - START_NS


def refused(path, *words):
    with pytest.raises(PlanError) as caught:
        read_parquet(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_is_not_there_or_no_parquet_is_refused(tmp_path):
    refused(tmp_path / "none.parquet", "cannot be read (No such file or directory)")
    refused(tmp_path, "cannot be read (Is a directory)")
    for number, data in enumerate((b"", b"PAR1", b"time_utc,a,b\n", b"\0" * 100)):
        (tmp_path / f"{number}.parquet").write_bytes(data)
        refused(tmp_path / f"{number}.parquet", "not a readable plan")


def test_foreign_and_changed_tables_are_refused(parquet, tmp_path):
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), path)
    refused(path, "Parquet, but not a plan")
    table = pq.read_table(parquet)
    pq.write_table(table.drop_columns(["loss"]), path)
    refused(path, "columns are not a plan's")
    gap = pa.array([None] * len(table), pa.float64())
    pq.write_table(table.set_column(table.column_names.index("loss"), "loss", gap), path)
    refused(path, "columns are not a plan's")
    pq.write_table(table.slice(1), path)
    refused(path, "no step at time 0")
    for description in (b"{", b"[1]", b"{}", b"7", b'{"nodes": 3}'):
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: description}), path)
        refused(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused_or_whole(parquet, tmp_path, data):
    """Any byte changed or the end cut off: a PlanError, or a plan that passed every check."""
    good = bytearray(parquet.read_bytes())
    if data.draw(st.booleans()):
        good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del good[data.draw(st.integers(0, len(good) - 1)) :]
    path = tmp_path / "damaged.parquet"
    path.write_bytes(good)
    with contextlib.suppress(PlanError):
        read_parquet(path)


def test_damaged_steps_are_noticed(parquet, tmp_path):
    """Parquet's page checksums: a flipped bit among the steps never passes for another delay."""
    good = parquet.read_bytes()
    end = pq.ParquetFile(parquet).metadata.row_group(0).column(6).file_offset or len(good) // 3
    noticed = 0
    for at in range(200, min(end, len(good) // 3), 997):
        path = tmp_path / "flipped.parquet"
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        try:
            assert read_parquet(path).steps.tobytes() == small_plan().steps.tobytes()
        except PlanError:
            noticed += 1
    assert noticed > 0


def test_what_cannot_be_written_is_named(tmp_path):
    for write in (write_parquet, write_csv):
        with pytest.raises(PlanError, match=r"none/plan: cannot be written \(No such file or directory\)"):
            write(small_plan(), tmp_path / "none" / "plan")
        with pytest.raises(PlanError, match=r"cannot be written \(Is a directory\)"):
            write(small_plan(), tmp_path)


def test_csv_has_one_row_per_step_of_each_serving_link():
    plan = small_plan()
    rows = rows_of(plan)
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["time_utc"] for row in rows] == sorted(row["time_utc"] for row in rows)
    assert len({(row["time_utc"], row["a"], row["b"]) for row in rows}) == len(rows)
    radio = {(link.a, link.b) for link in plan.links if link.kind != "fibre"}
    for path in plan.paths:
        ends = [*(step.time_ns for step in path[1:]), plan.duration_ns]
        for step, end_ns in zip(path, ends, strict=True):
            for a, b in pairwise(step.nodes[1:-1]):
                times = [within(row) for row in rows if (row["a"], row["b"]) == (a, b)]
                inside = [time_ns for time_ns in times if step.time_ns <= time_ns < end_ns]
                assert inside[0] == step.time_ns or (a, b) not in radio
                assert len(inside) >= (end_ns - step.time_ns) // (S // 10) or (a, b) not in radio
                assert times


def test_csv_says_exactly_what_the_steps_hold():
    plan = small_plan()
    for row in rows_of(plan):
        time_ns = within(row)
        steps = steps_between(plan, row["a"], row["b"])
        step = steps[np.searchsorted(steps["time_ns"], time_ns, side="right") - 1]
        whole, decimals = row["one_way_delay_us"].split(".")
        assert len(decimals) == 3
        assert int(whole + decimals) == step["delay_ns"]
        assert row["up"] == "1"
        assert int(row["rate_bps"]) == step["rate_bps"]
        assert float(row["loss"]) == step["loss"]
        if row["kind"] == "fibre":
            assert (row["range_km"], row["elevation_deg"]) == ("", "")
        else:
            assert float(row["range_km"]) == pytest.approx(step["range_m"] / 1000, abs=1e-6)
            assert float(row["elevation_deg"]) >= 25.0


def test_csv_shows_when_the_serving_satellite_changes():
    plan = small_plan()
    first_rows = {}
    for row in rows_of(plan):
        if row["a"] == "ut-rome":
            first_rows.setdefault(row["b"], row["time_utc"])
    assert all(time[17:] in ("00.000Z", "12.000Z", "27.000Z", "42.000Z", "57.000Z") for time in first_rows.values())
    assert len(first_rows) > 1


def test_csv_shows_a_cut_way_as_not_up():
    plan = build_plan(italy(order="drop"), dense(), START_NS, 60 * S)
    cut = [row for row in rows_of(plan) if row["up"] == "0"]
    assert {row["kind"] for row in cut} == {"user"}
    assert {row["time_utc"] for row in cut} == {
        f"2026-06-14T06:00:{(event.time_ns // S):02d}.000Z" for event in plan.events
    }


def test_csv_as_a_file(tmp_path):
    sink = io.StringIO()
    write_csv(small_plan(), sink)
    write_csv(small_plan(), tmp_path / "plan.csv")
    assert (tmp_path / "plan.csv").read_text() == sink.getvalue()
