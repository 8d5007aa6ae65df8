from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from orbit_data import START_NS, S
from plan_data import MS, dense, italy
from sgp4.api import WGS72, Satrec
from sgp4.exporter import export_omm, export_tle

from testbed.cli.options import make_plan
from testbed.emulation import addresses
from testbed.emulation.planned import planned_topo
from testbed.orbits.catalogue import read_catalogue
from testbed.orbits.presets import PRESETS
from testbed.plan.inputs import Request
from testbed.plan.model import Plan
from testbed.plan.plans import make
from topologies import starlink_italy

REQUEST = Request(catalogues=(), select=(), start_ns=START_NS, duration_ns=30 * S, step_ns=1_000 * MS, seed=0)


def plan_of(*catalogues: Path | str, select: tuple[str, ...] = ()) -> Plan:
    return make(italy(), replace(REQUEST, catalogues=tuple(map(str, catalogues)), select=select))


def numbered(first: int) -> list[Satrec]:
    """The dense shell's satellites with catalogue numbers from `first` on."""
    satrecs = []
    for place, made in enumerate(dense().satrecs):
        one = Satrec()
        epoch = made.jdsatepoch - 2_433_281.5 + made.jdsatepochF
        angles = made.argpo, made.inclo, made.mo
        one.sgp4init(WGS72, "i", first + place, epoch, 0, 0, 0, made.ecco, *angles, made.no_kozai, made.nodeo)
        one.intldesg = "26001A"
        satrecs.append(one)
    return satrecs


def as_alpha5(path: Path, first: int) -> Path:
    """A two-line file as sgp4's exporter writes it: numbers from 100,000 on as Alpha-5."""
    path.write_text("".join(f"{line}\n" for satrec in numbered(first) for line in export_tle(satrec)))
    return path


def as_omm(path: Path, alpha5: Path, add: int) -> Path:
    """The satellites of a two-line file as OMM in gzipped JSON, their numbers raised."""
    lines = alpha5.read_text().splitlines()
    satrecs = [Satrec.twoline2rv(first, second) for first, second in zip(lines[::2], lines[1::2], strict=True)]
    records = [export_omm(one, "SAT") | {"NORAD_CAT_ID": one.satnum + add} for one in satrecs]
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    return path


def test_numbers_of_six_and_nine_digits_give_the_same_plan_under_their_names(tmp_path: Path) -> None:
    alpha5 = as_alpha5(tmp_path / "alpha5.tle", 148_493)
    assert alpha5.read_text().startswith("1 E8493")
    plans = {"alpha-5": plan_of(alpha5)}
    for first in (148_493, 899_999_000):
        path = as_omm(tmp_path / f"{first}.json.gz", alpha5, first - 148_493)
        assert read_catalogue(path).numbers.tolist() == list(range(first, first + len(dense())))
        plans[f"omm {first}"] = plan_of(path)
    five, six, nine = plans.values()
    for other, add in ((six, 0), (nine, 899_999_000 - 148_493)):
        renamed = [f"NORAD{int(node.name[5:]) + add}" if node.role == "satellite" else node.name for node in five.nodes]
        assert [node.name for node in other.nodes] == renamed
        assert other.steps.tobytes() == five.steps.tobytes()
    for plan in (five, six, nine):
        names = {addresses.interface(node, port) for node in plan.nodes for port in (1, 10)}
        assert len(names) == 2 * len(plan.nodes)
        assert max(map(len, names)) <= 15
    assert five.satellites_used >= 2


def test_the_manifest_names_every_source_with_its_hash_and_the_filters(tmp_path: Path) -> None:
    files = [as_alpha5(tmp_path / "a.tle", 50_000), as_alpha5(tmp_path / "b.tle", 50_480)]
    select = ("number=50000..50959", "shell=GEO,count=1")
    plan = plan_of(*files, "sicral", "iris2", select=select)
    entry = plan.manifest["catalogue"]
    assert [part["source"] for part in entry["parts"]] == ["a.tle", "b.tle", "built-in: sicral", "built-in: iris2"]
    assert [part["satellites"] for part in entry["parts"]] == [960, 960, 2, 290]
    for part, file in zip(entry["parts"], files, strict=False):
        assert part["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    hashes = "".join(part["sha256"] for part in entry["parts"])
    assert entry["sha256"] == hashlib.sha256(hashes.encode()).hexdigest()
    assert entry["select"] == list(select)
    assert entry["satellites"] == plan.satellites == 961
    assert json.loads(json.dumps(entry)) == entry
    assert plan.warnings[0] == (
        "satellites in more than one catalogue: 480; of each the newest elements are used, 480 from a.tle"
    )
    assert plan.assumptions[-2:] == (PRESETS["sicral"].assumption, PRESETS["iris2"].assumption)
    again = plan_of(*files, "sicral", "iris2", select=select)
    assert again.steps.tobytes() == plan.steps.tobytes()
    assert again.manifest == plan.manifest


def test_a_geostationary_satellite_serves_when_asked_alone() -> None:
    plan = plan_of("geo:11.8E")
    assert [node.name for node in plan.nodes if node.role == "satellite"] == ["G11E8"]
    for number, link in enumerate(plan.links):
        if link.kind == "user":
            steps = plan.link_steps(number)
            assert steps["up"].all()
            assert steps["range_m"] == pytest.approx(37.7e6, abs=0.3e6)
            assert np.ptp(steps["delay_ns"]) < 100  # it stands still
    assert plan.handovers == 0


def test_command_line_and_script_ask_for_the_same_plan() -> None:
    typed = make_plan(
        "starlink-italy",
        catalogues=("starlink-gen1",),
        select=(),
        start="2026-06-14T06:00:00Z",
        duration="15",
        step=1_000,
        seed=0,
        parameters=(),
    )
    asked = {"catalogue": "starlink-gen1", "start": "2026-06-14T06:00:00Z", "duration": 15, "step": 1_000}
    script = planned_topo(starlink_italy.scenario, **asked).plan
    assert script.steps.tobytes() == typed.steps.tobytes()
    assert script.manifest == typed.manifest
    assert typed.manifest["catalogue"]["source"] == "built-in: starlink-gen1"
