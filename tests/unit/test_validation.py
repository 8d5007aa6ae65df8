"""From files, runs and plans to a validation's table and page, and the command."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from orbit_data import START_NS, S
from run_fixture import Files, make_plan
from test_html import Page

from testbed.cli.validate import command
from testbed.ground.errors import InputError, PlanError, RunError
from testbed.ground.units import format_utc
from testbed.plan.expected import path_delay_ns
from testbed.plan.trace import Columns
from testbed.report.validation import score
from testbed.report.validation.page import render
from testbed.report.validation.score import Limits, split, validate
from testbed.report.validation.sources import from_files, from_plan, from_run, pairs_of, propagation_only
from testbed.report.validation.text import print_validation

MS = 1_000_000
HOUR = 3_600


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models drawn for two hours and not for thirty: here it is the way that is tested, not the figures."""
    monkeypatch.setattr(score, "MODEL_S", 2 * HOUR)


def values_of(seconds: int = HOUR, seed: int = 2) -> np.ndarray:
    """Round trips at 1 Hz from START_NS, a whole minute, on: a level per slot, remembered by half."""
    draws = np.random.default_rng(seed).standard_normal(seconds // 15 + 2)
    for number in range(1, len(draws)):
        draws[number] = 0.55 * draws[number - 1] + np.sqrt(1 - 0.55**2) * draws[number]
    return 30.0 + 4.0 * draws[(np.arange(seconds) + 3) // 15]


def write_csv(file: Path, values: np.ndarray, begin_ns: int = START_NS) -> Path:
    rows = (f"{format_utc(begin_ns + k * S, 3)},{value:.3f},0" for k, value in enumerate(values))
    file.write_text("\n".join(["time,delay_ms,lost", *rows]) + "\n")
    return file


def run(*arguments: str | Path) -> object:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def test_files_are_one_series(tmp_path: Path) -> None:
    values = values_of(240)
    first = write_csv(tmp_path / "b.csv", values[:120])
    times = [(START_NS + 120 * S) // S + k for k in range(120)]
    table = pa.table({"time": times, "delay_ms": values[120:], "lost": np.zeros(120)})
    pq.write_table(table, tmp_path / "a.parquet")
    one = from_files([tmp_path / "a.parquet", first], Columns(loss="lost:ratio"))
    assert one.time_ns.tolist() == (START_NS + np.arange(240) * S).tolist()
    assert one.rtt_ms == pytest.approx(values, abs=1e-3)
    assert one.name == "b.csv, a.parquet"
    with pytest.raises(PlanError, match=r"b.csv and b.csv overlap in time: give each"):
        from_files([first, first], Columns())


def test_what_was_lost_has_no_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("time,delay_ms,lost\n0,30,0\n1,,100\n2,32,19\n")
    one = from_files([file], Columns(loss="lost:%"))
    assert np.isnan(one.rtt_ms).tolist() == [False, True, False]
    assert one.loss == pytest.approx([0.0, 1.0, 0.19])
    assert not one.absolute
    file.write_text("time,delay_ms,lost\n0,30,100\n")
    with pytest.raises(PlanError, match="everything in it was lost"):
        from_files([file], Columns(loss="lost:%"))


def test_one_way_delays_are_doubled(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "x.csv", np.full(5, 12.5))
    assert from_files([file], Columns(kind="one-way")).rtt_ms.tolist() == [25.0] * 5


def test_a_run_s_round_trip_is_there_and_back(files: Files, tmp_path: Path) -> None:
    """Probes exactly as planned, and noise-free: the round trip is the plan's both ways."""
    plan = files.plan
    assert files.samples is not None
    for number, path in enumerate(plan.paths):
        own = files.samples["path"] & (files.samples["index"] == number)
        times = files.samples["tx_ns"][own]
        files.samples["delay_ns"][own] = path_delay_ns(plan, path, times) + 250_000 * (number + 1)
    lost = np.flatnonzero(files.samples["path"] & (files.samples["index"] == 0))[200]
    files.samples["delay_ns"][lost] = -1
    one, _, pair = from_run(files.write(tmp_path))
    assert pair == ("rome", "dc-rome")
    assert len(one.time_ns) == 600
    planned = from_plan(plan, pair)
    asked = np.searchsorted(planned.time_ns, one.time_ns, side="right") - 1
    steady = one.came & (np.abs((one.time_ns // MS) % 15_000 - 12_000) > 1_500)
    assert one.rtt_ms[steady] == pytest.approx(planned.rtt_ms[asked][steady] + 0.25 + 0.5, abs=0.3)  # a step of plan
    assert np.flatnonzero(np.isnan(one.rtt_ms)).tolist() == [200]
    assert one.loss.sum() == 1.0
    assert "measured on the wire" in one.note
    assert one.time_ns[0] == plan.start_ns + 7 * MS


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (
            lambda files: files.audit.update(valid=False, invalid_reasons=["starved"]),
            "not valid, its probes .*: starved$",
        ),
        (lambda files: files.audit.update(valid=False, invalid_reasons=[]), "not valid, .*: it gives no reason$"),
        (
            lambda files: files.run.update(ended="interrupted", played_ns=9 * S),
            "was interrupted after 9.0 s of 60.0 s: ",
        ),
        (lambda files: setattr(files, "audit", None), "the run left no probes: "),
        (lambda files: files.change_plan(duration_ns=45 * S), "45 s are too short to be compared: run it for 60 s or"),
    ],
)
def test_a_run_that_shows_the_machine_or_a_moment_is_refused(
    files: Files, tmp_path: Path, bend: Callable[[Files], None], message: str
) -> None:
    """In one line, with the exit code of a run that is not valid; and nothing is written."""
    bend(files)
    folder = tmp_path / "run"
    folder.mkdir()
    done = run(write_csv(tmp_path / "rtt.csv", values_of()), "--run", files.write(folder), "--out", tmp_path / "out")
    assert isinstance(done.exception, RunError), done.output
    assert done.exception.exit_code == 4
    assert re.search(message, str(done.exception))
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_what_a_run_has_not(files: Files, tmp_path: Path) -> None:
    folder = files.write(tmp_path)
    with pytest.raises(PlanError, match="no pair rome,paris: it has rome,dc-rome, milano,dc-rome"):
        from_run(folder, ("rome", "paris"))
    with pytest.raises(RunError, match="no flows from dc-rome to rome"):
        from_run(folder, via="flows")


def test_the_pairs_of_a_plan() -> None:
    plan = make_plan()
    assert pairs_of(plan) == [("rome", "dc-rome"), ("milano", "dc-rome")]
    assert pairs_of(make_plan(paths=plan.paths[:1])) == []


def test_propagation_is_range_over_c() -> None:
    """At the first instant, by hand: four radio hops and twice the fibre, whose range the plan does not know."""
    plan = make_plan()
    fibre = [number for number, link in enumerate(plan.links) if link.kind == "fibre"]
    steps = plan.steps.copy()
    steps["range_m"][np.isin(steps["link"], fibre)] = np.nan
    steps["range_m"][~np.isin(steps["link"], fibre)] = 1_000_000.0
    bent = make_plan(steps=steps)
    one = propagation_only(bent, ("rome", "dc-rome"))
    assert one is not None
    assert one.rtt_ms == pytest.approx(4 * 1e9 / 299_792_458.0 + 2 * 0.9, abs=1e-4)
    planned = from_plan(bent, ("rome", "dc-rome"))
    assert planned.rtt_ms[0] > one.rtt_ms[0] + 5.0
    assert (planned.kind, planned.name) == ("planned", "planned, not measured")
    blind = steps.copy()
    blind["range_m"] = np.nan
    assert propagation_only(make_plan(steps=blind), ("rome", "dc-rome")) is None


def test_halves_where_there_is_one_day(tmp_path: Path) -> None:
    parted = split(from_files([write_csv(tmp_path / "x.csv", values_of())], Columns()))
    assert len(parted.fitted.time_ns) + len(parted.held.time_ns) == HOUR
    assert parted.fitted.time_ns[-1] < parted.held.time_ns[0]
    with pytest.raises(PlanError, match="1 samples cannot be parted"):
        split(from_files([write_csv(tmp_path / "y.csv", values_of()[:1])], Columns()))


def test_the_page_stands_alone(tmp_path: Path) -> None:
    measured = from_files([write_csv(tmp_path / "<x>.csv", values_of())], Columns())
    document, series = validate(measured, [from_plan(make_plan(), ("rome", "dc-rome"))])
    source = render(document, series)
    page = Page(source)
    assert page.count("figure") == 6
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert "http" not in source.replace("http://www.w3.org/", "")
    assert "<x>.csv" in page.text
    assert "planned, not measured" in page.text
    assert "60 s are short" in page.text
    assert render(document, series) == source


def test_the_command_makes_a_page_and_its_data(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rtt.csv", values_of(3 * HOUR))
    done = run(file, "--no-plan", "--out", tmp_path / "out", "--format", "json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert json.loads((tmp_path / "out" / "validation.json").read_text()) == document
    assert [one["name"] for one in document["series"]][1:] == [
        "first half",
        "fitted model",
        "fitted Gaussian",
        "Gaussian slots",
    ]
    assert (tmp_path / "out" / "validation.html").is_file()


def test_the_table_for_a_terminal(tmp_path: Path) -> None:
    document, _ = validate(from_files([write_csv(tmp_path / "rtt.csv", values_of())], Columns()))
    shown = io.StringIO()
    print_validation(document, shown)
    lines = shown.getvalue().splitlines()
    assert "Round trips, ms: fitted on the first half, scored on the second" in lines[0]
    scores = next(line for line in lines if "fitted Gaussian" in line).split()
    assert scores[-1] == "fails"
    assert float(scores[6]) == pytest.approx(document["series"][3]["distance"]["wasserstein_ms"], abs=0.01)
    assert max(len(line.rstrip()) for line in lines if "──" in line) <= 80


def test_the_exit_code_is_the_fitted_model_s(tmp_path: Path) -> None:
    """The second half is 20 ms above the first: nothing fitted to that knows."""
    values = values_of()
    values[HOUR // 2 :] += 20.0
    done = run(write_csv(tmp_path / "rtt.csv", values), "--no-plan", "--out", tmp_path / "out")
    assert done.exit_code == 1
    loose, _ = validate(from_files([tmp_path / "rtt.csv"], Columns()), limits=Limits(30.0, 1.0))
    assert all(one["passed"] for one in loose["series"][1:])


def test_a_plan_is_scored_where_there_is_no_run(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rtt.csv", values_of())
    done = run(file, "--topology", "starlink-italy", "--duration", "90", "--out", tmp_path, "--format", "json")
    rows = {one["name"]: one for one in json.loads(done.output)["series"]}
    assert rows["planned, not measured"]["seconds"] == 90
    assert rows["propagation only"]["quantiles_ms"]["0.5"] < rows["planned, not measured"]["quantiles_ms"]["0.5"] - 10


def test_a_run_is_scored(files: Files, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rtt.csv", values_of())
    folder = tmp_path / "run"
    folder.mkdir()
    done = run(file, "--run", files.write(folder), "--pair", "milano,dc-rome", "--out", tmp_path, "--format", "json")
    (row,) = [one for one in json.loads(done.output)["series"] if one["kind"] == "emulated"]
    assert row["note"].startswith("probes of run between milano and dc-rome")
    assert row["alignment"]["aligned"] in (True, False)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", (), "no samples in it"),
        ("time,rtt\n0,30\n", (), "no column 'delay_ms' for delay; it has time, rtt: say --delay COLUMN"),
        ("time,delay_ms\n0,30\n1,abc\n", (), "x.csv line 3: delay_ms 'abc' is not a delay"),
        ("time,delay_ms\n0,30\nsoon,31\n", (), "x.csv line 3: time 'soon' is no time"),
        ("time,delay_ms\n0,30\n0,31\n", (), "x.csv line 3: time '0' is not later than '0' before it"),
        ("time,delay_ms\n0,30\n1,30\n", (), "a fit needs 40 slots"),
        ("time,delay_ms\n0,30\n1,30\n", ("--held-out", "2025-03-13"), "its times are not UTC"),
        ("time,delay_ms,l\n0,30,2\n", ("--loss", "l:ratio"), "x.csv line 2: l '2' is not a loss"),
        ("time,delay_ms\n0,30\n", ("--pair", "rome"), "--pair rome is not A,B"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, text: str, arguments: tuple[str, ...], message: str) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    done = run(file, "--no-plan", "--out", tmp_path / "out", *arguments)
    assert isinstance(done.exception, InputError), done.output
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_no_file_and_no_such_file(tmp_path: Path) -> None:
    assert "give measured round trips" in str(run().exception)
    assert "cannot be read" in str(run(tmp_path / "nothing.csv").exception)
