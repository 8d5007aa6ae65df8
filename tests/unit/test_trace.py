"""A measured series: read as it is, or refused with file, line and value."""

from __future__ import annotations

import csv
import gzip
import io
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.ground.errors import PlanError
from testbed.plan.trace import Columns, Series, read_series

MS = 1_000_000
S = 1_000_000_000
FJORDLINK = Path(__file__).parents[3] / "shared" / "data" / "rtt" / "fjordlink_starlink_1hz.csv.gz"


def read(tmp_path: Path, text: str, up_share: float = 0.5, **columns: str) -> Series:
    (tmp_path / "rtt.csv").write_text(text)
    return read_series(tmp_path / "rtt.csv", Columns(**columns), up_share)


def refused(tmp_path: Path, text: str, message: str, **columns: str) -> None:
    with pytest.raises(PlanError) as caught:
        read(tmp_path, text, **columns)
    assert str(caught.value) == message


def test_a_round_trip_is_split_by_the_share_and_loses_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "time,delay_ms\n0,20\n1,30.5\n", up_share=0.55)
    assert found.time_ns.tolist() == [0, S]
    assert found.up_ns.tolist() == [11 * MS, 16_775_000]
    assert (found.up_ns + found.down_ns).tolist() == [20 * MS, 30_500_000]
    assert not found.absolute
    assert found.rate_up_bps is None
    assert not found.loss_up.any()


def test_one_way_delays(tmp_path: Path) -> None:
    both = read(tmp_path, "time,delay_ms\n0,20\n", kind="one-way")
    assert both.up_ns.tolist() == both.down_ns.tolist() == [20 * MS]
    each = read(tmp_path, "time,u,d\n0,0.012,8000\n", delay_up="u:s", delay_down="d:us")
    assert (each.up_ns.tolist(), each.down_ns.tolist()) == ([12 * MS], [8 * MS])


def test_units_stand_in_the_name_or_behind_a_colon(tmp_path: Path) -> None:
    text = "time,delay_us,loss_pct,up_mbps,x\n0,20000,50,41,2.5\n"
    found = read(
        tmp_path, text, kind="one-way", delay="delay_us", loss="loss_pct", rate_up="up_mbps", rate_down="x:gbps"
    )
    assert found.up_ns.tolist() == [20 * MS]
    assert found.loss_up.tolist() == [0.5]
    assert found.rate_up_bps is not None
    assert found.rate_down_bps is not None
    assert (found.rate_up_bps.tolist(), found.rate_down_bps.tolist()) == ([41_000_000], [2_500_000_000])


@given(st.floats(0, 1))
def test_the_losses_of_both_ways_make_the_round_trips(loss: float) -> None:
    text = f"time,delay_ms,loss\n0,20,{loss!r}\n"
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"loss-{os.getpid()}.csv"
    path.write_text(text)
    try:
        found = read_series(path, Columns(loss="loss"), 0.5)
    finally:
        path.unlink()
    assert 1 - (1 - found.loss_up[0]) * (1 - found.loss_down[0]) == pytest.approx(loss, abs=1e-12)


def test_times_are_iso_8601_or_seconds(tmp_path: Path) -> None:
    zoned = read(tmp_path, "time,delay_ms\n2026-06-14T08:00:00.25+02:00,1\n2026-06-14 06:00:01,2\n")
    assert zoned.absolute
    assert zoned.time_ns[0] == round(datetime.fromisoformat("2026-06-14T06:00:00+00:00").timestamp()) * S + S // 4
    assert np.diff(zoned.time_ns).tolist() == [S * 3 // 4]
    exact = read(tmp_path, "time,delay_ms\n1718345600.123456789,1\n")
    assert (exact.absolute, exact.time_ns.tolist()) == (True, [1_718_345_600_123_456_789])


def test_a_lost_ping_has_no_delay_and_keeps_the_one_before(tmp_path: Path) -> None:
    found = read(tmp_path, "time,delay_ms,loss\n0,20,0\n1,,1\n2,nan,1\n3,30,0\n", loss="loss")
    assert (found.up_ns + found.down_ns).tolist() == [20 * MS, 20 * MS, 20 * MS, 30 * MS]
    assert found.loss_up.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no samples in it: the first line names the columns, one line per sample follows"),
        ("time,delay_ms\n", "no samples in it: the first line names the columns, one line per sample follows"),
        ("t,delay_ms\n0,1\n", "no column 'time' for time; it has t, delay_ms: say -p time=COLUMN"),
        ("time,rtt\n0,1\n", "no column 'delay_ms' for delay; it has time, rtt: say -p delay=COLUMN"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, text: str, message: str) -> None:
    refused(tmp_path, text, f"rtt.csv: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,20\n\n1,nan", "line 4: delay_ms 'nan' is not a delay, 0 or more"),
        ("0,20\n1,-3", "line 3: delay_ms '-3' is not a delay, 0 or more"),
        ("0,20\n1,", "line 3: delay_ms '' is not a delay, 0 or more"),
        ("0,inf", "line 2: delay_ms 'inf' is not a delay, 0 or more"),
        ("0,20ms", "line 2: delay_ms '20ms' is not a delay, 0 or more"),
        ("0,20\n1,21\n0.5,22", "line 4: time '0.5' is not later than '1' before it"),
        ("0,20\n0,21", "line 3: time '0' is not later than '0' before it"),
        ("noon,20", "line 2: time 'noon' is no time: ISO 8601 or seconds, all alike"),
        (
            "0,20\n2026-06-14T06:00:00,21",
            "line 3: time '2026-06-14T06:00:00' is no time: ISO 8601 or seconds, all alike",
        ),
        ("0,20\nnan,21", "line 3: time 'nan' is no time: ISO 8601 or seconds, all alike"),
        ("0,20,1", "line 2: 3 fields where the first line names 2"),
    ],
)
def test_a_bad_value_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    refused(tmp_path, f"time,delay_ms\n{text}\n", f"rtt.csv {message}")


def test_a_loss_or_rate_without_unit_is_asked_about(tmp_path: Path) -> None:
    text = "time,delay_ms,drop,ul\n0,1,3,4\n"
    asked = "rtt.csv: is column 'drop' a ratio or per cent? Say -p loss=drop:ratio or drop:%"
    refused(tmp_path, text, asked, loss="drop")
    asked = "rtt.csv: what is the unit of column 'ul'? Say -p rate_up=ul:bps or ul:mbps"
    refused(tmp_path, text, asked, rate_up="ul")
    refused(tmp_path, text, "rtt.csv line 2: drop '3' is not a loss from 0 to 1", loss="drop:ratio")
    refused(
        tmp_path,
        text,
        "column 'drop:mbit': 'mbit' is no unit for it; write one of ratio, %, pct, percent",
        loss="drop:mbit",
    )
    refused(tmp_path, text.replace(",4", ",0"), "rtt.csv line 2: ul '0' is not a rate above 0", rate_up="ul:bps")
    assert read(tmp_path, text, loss="drop:%", kind="one-way").loss_up.tolist() == [0.03]


def test_half_a_pair_of_delays_is_refused(tmp_path: Path) -> None:
    message = "rtt.csv: delay_up and delay_down belong together: name both columns, or delay alone"
    refused(tmp_path, "time,u\n0,1\n", message, delay_up="u")


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, data, words in (
        ("a.csv.gz", b"\x1f\x8b\x08junk", "a.csv.gz: damaged gzip file"),
        ("b.parquet", b"PAR1junkPAR1", "b.parquet: not a readable Parquet file"),
        ("c.csv", b"time,delay_ms\n0,\xff\n", "c.csv line 2: not text"),
        ("d.csv", b'time,delay_ms\n0,"1\n', "d.csv line 2: no CSV"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PlanError, match=words) as caught:
            read_series(tmp_path / name, Columns(), 0.5)
        assert "\n" not in str(caught.value)
    with pytest.raises(PlanError, match=r"none.csv: cannot be read \(No such file or directory\)"):
        read_series(tmp_path / "none.csv", Columns(), 0.5)


@pytest.mark.parametrize("kind", ["timestamp", "string", "float"])
def test_parquet_says_the_same_as_csv(tmp_path: Path, kind: str) -> None:
    texts = ["2026-06-14T06:00:00.100000", "2026-06-14T06:00:01.350000", "2026-06-14T06:00:02.000001"]
    instants = [datetime.fromisoformat(f"{text}+00:00") for text in texts]
    times = {
        "timestamp": pa.array(instants, pa.timestamp("us", "UTC")),
        "string": pa.array(texts),
        "float": pa.array([instant.timestamp() for instant in instants]),
    }[kind]
    table = pa.table({"t": times, "lat": pa.array([26.132, 26.398, 27.0], pa.float64())})
    pq.write_table(table, tmp_path / "rtt.parquet")
    lines = "".join(f"{text},{lat}\n" for text, lat in zip(texts, (26.132, 26.398, 27.0), strict=True))
    plain = f"t,lat\n{lines}".encode()
    (tmp_path / "rtt.csv.gz").write_bytes(gzip.compress(plain))
    columns = Columns(time="t", delay="lat")
    one = read_series(tmp_path / "rtt.parquet", columns, 0.55)
    two = read_series(tmp_path / "rtt.csv.gz", columns, 0.55)
    assert one.up_ns.tolist() == two.up_ns.tolist()
    assert one.absolute
    assert np.abs(one.time_ns - two.time_ns).max() <= (0 if kind != "float" else 500)
    assert one.sha256 != two.sha256


def test_parquet_names_the_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"time": [0.0, 1.0], "delay_ms": [5.0, None]}), tmp_path / "rtt.parquet")
    with pytest.raises(PlanError, match=r"rtt.parquet row 2: delay_ms '' is not a delay"):
        read_series(tmp_path / "rtt.parquet", Columns(), 0.5)
    pq.write_table(pa.table({"time": pa.array([], pa.float64())}), tmp_path / "rtt.parquet")
    with pytest.raises(PlanError, match=r"rtt.parquet: no samples in it"):
        read_series(tmp_path / "rtt.parquet", Columns(), 0.5)


def fjordlink() -> Path:
    """The measured series beside the checkout; skips the test without it, fails in CI."""
    if not FJORDLINK.exists():
        reason = f"needs {FJORDLINK.name}, which is not part of the project"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return FJORDLINK


def test_fjordlink_is_read_as_its_publishers_describe_it() -> None:
    found = read_series(fjordlink(), Columns(time="t", delay="lat", loss="drop:ratio"), 0.55)
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(fjordlink().read_bytes()).decode())))
    assert len(found) == len(rows) == 82_800
    round_trip_ms = (found.up_ns + found.down_ns) / 1e6
    np.testing.assert_allclose(round_trip_ms, [float(row["lat"]) for row in rows], atol=1e-6)
    # Quantiles and mean loss as the data's description has them.
    np.testing.assert_allclose(
        np.percentile(round_trip_ms, [1, 25, 50, 75, 99]), [20.9, 24.5, 27.6, 32.3, 53.8], atol=0.06
    )
    assert np.mean(1 - (1 - found.loss_up) * (1 - found.loss_down)) == pytest.approx(0.0012, abs=1e-4)
