"""Positions for the page against skyfield's, and the plan as the page gets it."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from orbit_data import SET_1, SET_2
from run_fixture import S, make_attacked_files, make_files
from skyfield.api import EarthSatellite, load, wgs84
from web_lab import catalogue, judge, make_run, plan

from testbed.ground.constants import EARTH_MEAN_RADIUS_M
from testbed.ground.errors import PlanError
from testbed.lab.web import measured, sky
from testbed.lab.web.scene import scene
from testbed.orbits.sites import Site
from testbed.orbits.walker import Shell
from testbed.plan.expected import path_delay_ns
from testbed.plan.faults import parse_fault
from testbed.plan.model import Event
from testbed.plan.shells import Shells, shells_plan

NEAR = 1e-4
"""Earth radii, 640 m: three steps of the packed numbers, and what |UT1 - UTC| moves."""


def on_the_page(seconds: float) -> np.ndarray:
    """Skyfield's vector of the first satellite on the page's sphere."""
    time = load.timescale(builtin=True).utc(2026, 6, 14, 6, 0, seconds)
    place = wgs84.geographic_position_of(EarthSatellite(SET_1, SET_2).at(time))
    north, east = place.latitude.radians, place.longitude.radians
    length = 1 + place.elevation.m / EARTH_MEAN_RADIUS_M
    across = length * math.cos(north)
    return np.array([across * math.cos(east), across * math.sin(east), length * math.sin(north)])


def test_satellites_are_where_skyfield_has_them(tmp_path: Path) -> None:
    written = sky.write_sky(plan(), catalogue(), tmp_path)
    assert (written.satellites, written.samples, written.step_s) == (2, 3, 30.0)
    assert written.serving == {"NORAD44714": 0, "NORAD45123": 1}
    assert sky.read_sky(tmp_path) == written
    packed = np.frombuffer(sky.samples(tmp_path, 0, 8), "<i2").reshape(3, 2, 3)
    for number, seconds in enumerate((0, 30, 60)):
        assert packed[number, 0] * written.unit == pytest.approx(on_the_page(seconds), abs=NEAR)
    between = (packed[0, 0] + packed[1, 0].astype(float)) / 2 * written.unit
    assert between == pytest.approx(on_the_page(15), abs=2 * NEAR)  # a straight line is 1 km below the arc
    apart = np.linalg.norm((packed[0, 0] - packed[0, 1].astype(float)) * written.unit)
    assert apart == pytest.approx(math.radians(1) * (1 + 546e3 / EARTH_MEAN_RADIUS_M), rel=0.05)  # a degree behind


def test_parts_of_the_positions_can_be_had(tmp_path: Path) -> None:
    sky.write_sky(plan(), catalogue(), tmp_path)
    whole = sky.samples(tmp_path, 0, 3)
    assert sky.samples(tmp_path, 1, 1) == whole[12:24]
    assert sky.samples(tmp_path, 3, 8) == b""


def test_a_faster_schedule_has_its_samples_sooner_and_a_long_one_fewer(tmp_path: Path) -> None:
    fast = sky.write_sky(replace(plan(), speed=60.0), catalogue(), tmp_path)
    assert (fast.samples, fast.step_s) == (121, 0.5)
    long = sky.write_sky(replace(plan(), speed=2_000.0), catalogue(), tmp_path)  # a day and nine hours
    assert long.samples <= sky.MOST_SAMPLES + 1
    assert (long.samples - 1) * long.step_s >= 60


def test_the_catalogue_must_be_the_plans(tmp_path: Path) -> None:
    first = catalogue().take(np.array([0]), ())
    with pytest.raises(PlanError, match="no satellite NORAD45123, which the plan uses"):
        sky.write_sky(plan(), first, tmp_path)


def test_the_catalogue_is_found_by_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"STARLINK-1008\n{SET_1}\n{SET_2}\n".encode()
    Path("one.tle.gz").write_bytes(gzip.compress(text))
    told = {"select": [], "parts": [{"source": "one.tle.gz", "sha256": sky.catalogue_of.__module__}]}
    other = replace(plan(), manifest={"catalogue": told})
    assert sky.catalogue_of(other) is None  # other bytes under that name
    found = sky.catalogue_of(other, ["one.tle.gz"])
    assert found is not None
    told["parts"] = [{"source": "one.tle.gz", "sha256": found.sha256}]
    again = sky.catalogue_of(other)
    assert again is not None
    assert again.node_names == ("NORAD44714",)
    built_in = {"select": ["count=5"], "parts": [{"source": "built-in: starlink-2026", "sha256": ""}]}
    made = sky.catalogue_of(replace(plan(), manifest={"catalogue": built_in}))
    assert made is not None
    assert len(made) == 5
    assert sky.catalogue_of(plan()) is None  # a plan without orbits


def test_shells_of_a_topologys_own_are_made_again(tmp_path: Path) -> None:
    asked = Shells("own", "Own", (Shell("A", 550e3, 53.0, 8, 8, 1),), (Site("a", 40.0, 10.0), Site("b", 42.0, 12.0)))
    made = shells_plan(asked, plan().start_ns, 5 * S, 100_000_000, 0)
    found = sky.catalogue_of(made)
    assert found is not None
    assert found.sha256 == made.manifest["catalogue"]["sha256"]
    assert sky.write_sky(made, found, tmp_path).satellites == 64


def test_the_page_gets_the_plans_delays() -> None:
    told = scene(plan(), None)
    assert json.loads(json.dumps(told)) is not None
    for path, shown in zip(plan().paths, told["paths"], strict=True):
        times = np.round(np.array(shown["planned"]["t"]) * S).astype(np.int64)
        assert shown["planned"]["ms"] == pytest.approx(path_delay_ns(plan(), path, times) / 1e6, abs=1e-3)
        assert (times[0], times[-1]) == (0, 60 * S - 1)
        for step in path[1:]:
            assert {step.time_ns - 1, step.time_ns} <= set(times)
    assert told["slots"] == {"first_s": 12.0, "length_s": 15.0}  # from 06:00:00
    assert told["paths"][0]["steps"][1]["satellites"] == ["NORAD45123"]
    assert {site["name"] for site in told["sites"]} == {"ut-rome", "ut-milano", "gw-milano", "pop-milan"}
    assert told["budget_us"] == 200
    assert told["numbers"][0] == "ut-rome|NORAD44714"


def test_who_moves_is_where_skyfields_geodesy_has_him_later() -> None:
    """60 knots for a minute are one nautical mile, 1,852 m."""
    sites = {site["name"]: site for site in scene(plan(), None)["sites"]}
    assert "track" not in sites["ut-rome"]
    track = sites["ut-milano"]["track"]
    assert (track["t"][0], track["t"][-1]) == (0, plan().duration_ns / 1e9)
    assert (track["latitude"][0], track["longitude"][0]) == (45.46, 9.19)
    here, there = (wgs84.latlon(track["latitude"][at], track["longitude"][at]) for at in (0, -1))
    moved_m = np.linalg.norm(np.array(there.itrs_xyz.m) - np.array(here.itrs_xyz.m))
    assert moved_m == pytest.approx(60 * 1852 / 3600 * track["t"][-1], abs=2)  # a digit of the page is a metre
    assert track["longitude"][-1] > track["longitude"][0]


def test_a_cut_is_no_number() -> None:
    dark = plan().steps.copy()
    dark["up"][dark["time_ns"] == 5 * S] = False
    told = scene(replace(plan(), steps=dark), None)
    values = dict(zip(told["paths"][0]["planned"]["t"], told["paths"][0]["planned"]["ms"], strict=True))
    near = {t: ms for t, ms in values.items() if 4 < t < 7}
    assert None in near.values()
    assert json.dumps(told, allow_nan=False)


def test_every_fault_that_is_offered_is_one(tmp_path: Path) -> None:
    targets = scene(plan(), None)["targets"]
    assert set(targets) == {"satellite", "gateway", "pop", "link", "rain", "congestion", "jam"}
    for kind, names in targets.items():
        for one in names:
            entry = {"kind": kind, "for": 1} | (
                {} if kind in ("satellite", "gateway", "pop", "link") else {"loss": 0.1}
            )
            if kind == "jam":
                entry["area"] = [*one[:2], 100]
            elif isinstance(one, list):
                entry["a"], entry["b"] = one
            else:
                entry["node"] = one
            assert parse_fault(entry, plan(), where="page").kind == kind


def test_events_say_what_changes() -> None:
    rain = Event(7 * S, "rain", "ut-rome", "storm", 2 * S)
    told = scene(replace(plan(), events=(rain, *plan().events)), None)["events"]
    assert told[0] == {
        "t": 7, "kind": "rain", "node": "ut-rome", "cause": "storm", "window_s": 2, "from": "", "to": ""
    }  # fmt: skip
    assert (told[1]["from"], told[1]["to"]) == ("NORAD44714", "NORAD45123")


def test_what_was_measured_is_shown_with_its_losses(tmp_path: Path) -> None:
    files = make_attacked_files()
    files.write(tmp_path)
    assert measured.measured(files.plan, tmp_path)["report"] is None
    judged = judge(tmp_path)
    told = measured.measured(files.plan, tmp_path)
    assert json.dumps(told, allow_nan=False)
    assert told["report"]["verdict"] == judged["verdict"] == "fail"
    assert told["report"]["reasons"] == judged["reasons"]
    assert told["report"]["flows"][0]["integrity"] == "attacked"
    first = files.samples[files.samples["path"] & (files.samples["index"] == 0)]
    assert told["probes"][0]["ms"].count(None) == np.count_nonzero(first["delay_ns"] < 0)
    assert told["probes"][0]["ms"][0] == pytest.approx(first["delay_ns"][0] / 1e6, abs=1e-3)


def test_of_many_probes_some_are_shown(tmp_path: Path) -> None:
    files = make_files()
    assert files.samples is not None
    files.samples = np.repeat(files.samples, 20)
    files.write(tmp_path)
    shown = measured.measured(files.plan, tmp_path)["probes"][0]["t"]
    assert measured.MOST_PROBES / 2 < len(shown) <= measured.MOST_PROBES
    assert shown == sorted(shown)


def test_a_run_that_left_nothing_shows_nothing(tmp_path: Path) -> None:
    assert measured.measured(plan(), tmp_path) == {"probes": [], "faults": [], "report": None}
    assert sky.read_sky(tmp_path) is None
    make_run(tmp_path / "run")
    assert measured.faults(tmp_path / "run") == []
