"""testbed.bench.plan: its rows, its exponents, and that it needs no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from orbit_data import START_NS, S

from testbed.bench import plan, skies
from testbed.bench.context import Context
from testbed.bench.rows import Row
from testbed.cli import bench
from testbed.ground.errors import MachineError, RunError
from testbed.plan.access import Leg


def test_the_exponent_of_a_power_law() -> None:
    assert plan._slope([10, 20, 40], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert plan._slope([10, 100], [1.0, 1000.0]) == pytest.approx(3.0)


def test_planning_is_measured_where_no_network_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere(_: str) -> list[str]:
        raise MachineError("no place")

    given: list[Context] = []

    def rows(context: Context) -> list[Row]:
        given.append(context)
        return [Row("step", 0.5, "ms", "lower", 0.8)]

    monkeypatch.setattr(bench, "_places", nowhere)
    monkeypatch.setattr(plan, "run", rows)
    file = tmp_path / "some.tle"
    file.write_text("")
    done = CliRunner().invoke(
        bench.command, ["plan", "--quick", "--format", "json"], env={"TESTBED_BENCH_CATALOGUE": str(file)}
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["rows"][0]["met"] is True
    assert (given[0].catalogue, given[0].quick) == (file, True)
    assert isinstance(CliRunner().invoke(bench.command, ["soak"]).exception, MachineError)


def test_an_hour_of_some_seconds(tmp_path: Path) -> None:
    told = skies.hour(tmp_path, file=None, start_ns=START_NS, duration_s=5)
    assert (told["source"], told["satellites"], told["links"]) == ("built-in: starlink-2026", 9_813, 19_626)
    assert told["worst_ns"] <= skies.DELAY_NS
    assert told["peak_mb"] > 50


def test_a_day_of_some_slots(tmp_path: Path) -> None:
    told = skies.day(tmp_path, file=None, start_ns=START_NS, duration_s=60)
    assert told["legs"] >= 10
    assert told["plain_s"] > 0


def test_a_satellite_that_is_not_in_view_is_found() -> None:
    scenario, (catalogue, _) = skies.bent_pipe(), skies.real(None, START_NS)
    below = [[Leg(0, 60 * S, 0, 0)]] * len(scenario.terminals)  # satellite 0 is not over Italy
    with pytest.raises(RunError, match=r"milano at .* is not in view"):
        skies.check_legs(scenario, catalogue, below, START_NS, 60 * S)
