from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest
from orbit_data import SET_1, SET_2, START_NS, S, with_checksum
from sgp4.api import Satrec
from sgp4.exporter import export_omm
from test_builtin import KNOWN

from testbed.ground.errors import InputError
from testbed.ground.units import parse_utc_ns
from testbed.orbits.catalogue import read_catalogue
from testbed.plan.inputs import elements

EPOCH_NS = parse_utc_ns("2026-06-13T12:09:33Z")  # of SET_1, in whole seconds


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.tle").write_text(f"{SET_1}\n{SET_2}\n")
    return tmp_path


def test_the_start_is_the_newest_epoch_of_the_files_or_now(folder: Path) -> None:
    older = with_checksum(SET_1.replace("26164.5", "26163.5").replace("44714", "44715"))
    Path("old.tle").write_text(f"{older}\n{with_checksum(SET_2.replace('44714', '44715'))}\n")
    for names in (["one.tle"], ["old.tle", "one.tle"], ["iris2", "one.tle", "old.tle"]):
        catalogue, start_ns = elements(names, None)
        assert start_ns == EPOCH_NS
        assert catalogue.node_names[-1] in ("NORAD44714", "NORAD44715")
    assert catalogue.epochs_ns[0] == EPOCH_NS  # what is built in is made for the start
    _, start_ns = elements(["sicral"], None)
    assert 0 <= time.time_ns() - start_ns < 10 * S
    assert start_ns % S == 0
    catalogue, start_ns = elements(["sicral", "one.tle"], START_NS)
    assert start_ns == START_NS == catalogue.epochs_ns[0]


def test_without_a_catalogue_starlink_as_observed() -> None:
    catalogue, _ = elements((), START_NS)
    assert catalogue.source == "built-in: starlink-2026"
    assert len(catalogue) == 9_813


def test_the_filter_comes_after_merging_and_does_not_move_the_start(folder: Path) -> None:
    catalogue, start_ns = elements(["one.tle", "sicral"], None, ["shell=GEO"])
    assert catalogue.names == ("SICRAL-1B", "SICRAL-2")
    assert start_ns == EPOCH_NS


def test_a_file_with_a_built_in_name_is_reached_by_its_path(folder: Path) -> None:
    Path("sicral").write_text(f"{SET_1}\n{SET_2}\n")
    assert elements(["./sicral"], None)[0].node_names == ("NORAD44714",)
    assert elements(["sicral"], None)[0].node_names == ("SICRAL-1B", "SICRAL-2")


def message(**changes: object) -> str:
    return json.dumps([export_omm(Satrec.twoline2rv(SET_1, SET_2), "SAT") | changes])


FILES = {
    "empty.tle": b"",
    "cut.tle.gz": gzip.compress(f"{SET_1}\n{SET_2}\n".encode())[:-9],
    "nan.json": message(ECCENTRICITY=float("nan")).encode(),
    "nan.tle": f"{SET_1}\n{SET_2[:26]}    NaN{SET_2[33:]}\n".encode(),
    "twice.tle": f"{SET_1}\n{SET_2}\n{SET_1}\n{SET_2}\n".encode(),
}


@pytest.mark.parametrize(
    ("catalogues", "select", "said"),
    [
        (["empty.tle"], [], "empty.tle: no satellites in it: give a TLE or OMM file with elements"),
        (
            ["one.tle", "none.tle"],
            [],
            "none.tle: cannot be read (No such file or directory): give the path of a TLE or OMM file",
        ),
        (
            ["one.tle", "kuipr"],
            [],
            "unknown catalogue 'kuipr': did you mean 'kuiper'? give a file of TLE or OMM, or one of "
            f"{KNOWN}, or longitudes like geo:11.8E,37E",
        ),
        (
            ["cut.tle.gz"],
            [],
            "cut.tle.gz: damaged gzip file (Compressed file ended before the end-of-stream marker was "
            "reached): get the file again",
        ),
        (
            ["nan.json"],
            [],
            "nan.json line 1 (satellite 'SAT'): ECCENTRICITY is not a number ('nan'): get the file "
            "again, or remove this satellite",
        ),
        (
            ["nan.tle"],
            [],
            "nan.tle line 2: eccentricity in column 27 is not as the format has it ('    NaN'): get the "
            "file again, or remove this satellite",
        ),
        (["twice.tle"], [], "twice.tle line 3: satellite number '44714' is already on line 1: remove one of the two"),
        (
            ["sicral", "sicral"],
            [],
            "built-in: sicral: its satellite 'SICRAL-1B' is also in built-in: sicral: give each constellation once",
        ),
        (
            ["one.tle"],
            ["altitude"],
            "--select 'altitude': 'altitude' is not KEY=VALUE; the keys are altitude, inclination, "
            "number, name, shell, count",
        ),
        (
            ["one.tle"],
            ["altitude=700..800"],
            "--select 'altitude=700..800' matches none of the satellites of one.tle (1): altitudes there "
            "are 417.7 to 417.7 km",
        ),
    ],
)
def test_bad_input_is_one_line(folder: Path, catalogues: list[str], select: list[str], said: str) -> None:
    for name, data in FILES.items():
        Path(name).write_bytes(data)
    with pytest.raises(InputError) as error:
        elements(catalogues, None, select)
    assert str(error.value) == said


def test_the_same_file_twice_is_the_file_and_a_warning(folder: Path) -> None:
    catalogue, _ = elements(["one.tle", "one.tle"], None)
    assert catalogue.numbers.tolist() == read_catalogue(Path("one.tle")).numbers.tolist()
    assert catalogue.warnings == (
        "satellites in more than one catalogue: 1; of each the newest elements are used, 1 from one.tle",
    )
