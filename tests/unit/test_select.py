from __future__ import annotations

import fnmatch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, starlink, starlink_lines

from testbed.ground.errors import InputError
from testbed.orbits.catalogue import Catalogue, merge
from testbed.orbits.geostationary import geostationary_catalogue, slot_at
from testbed.orbits.select import select
from testbed.orbits.walker import Shell, walker_catalogue

SHELLS = (Shell("A", 550e3, 53.0, 8, 6, 3), Shell("B", 1_200e3, 87.9, 4, 5, 2, spread_deg=180.0))


def mixed() -> Catalogue:
    made = walker_catalogue(SHELLS, START_NS, "built-in: two")
    return merge([made, geostationary_catalogue([slot_at(11.8), slot_at(37.0)], START_NS, "built-in: geo")])


def names(*filters: str) -> list[str]:
    return list(select(mixed(), filters).names)


def refused(*filters: str) -> str:
    with pytest.raises(InputError) as error:
        select(mixed(), filters)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_real_file_is_filtered_as_its_columns_have_it() -> None:
    lines = starlink_lines()
    rows = [(lines[i].strip(), int(lines[i + 2][2:7]), float(lines[i + 2][8:16])) for i in range(0, len(lines), 3)]
    radii = np.array([satrec.a for satrec in starlink().satrecs])  # SGP4's own semi-major axis, Earth radii (WGS-72)
    altitude_km = (radii - 1.0) * 6378.135
    for text, wanted in (
        ("inclination=52..54", [52 <= inclination <= 54 for _, _, inclination in rows]),
        ("number=44714..45000", [44714 <= number <= 45000 for _, number, _ in rows]),
        ("name=STARLINK-1*", [fnmatch.fnmatchcase(name, "STARLINK-1*") for name, _, _ in rows]),
        ("altitude=500..600", [500 <= km <= 600 for km in altitude_km]),
        (
            "altitude=..500,inclination=97..,name=starlink-*",
            [km <= 500 and row[2] >= 97 for km, row in zip(altitude_km, rows, strict=True)],
        ),
    ):
        assert 0 < sum(wanted) < len(rows)
        assert select(starlink(), [text]).numbers.tolist() == [
            row[1] for row, passes in zip(rows, wanted, strict=True) if passes
        ]


def test_conditions_are_and_filters_are_or() -> None:
    assert names("shell=A,name=A01-*") == [f"A01-0{slot}" for slot in range(1, 7)]
    assert names("shell=geo", "name=b04-0[12]") == ["B04-01", "B04-02", "G11E8", "G37E"]  # in the catalogue's order
    assert names("altitude=30000..") == ["G11E8", "G37E"]
    assert names("number=1000000003") == ["A01-03"]
    assert names(" shell = A , count = 1 ") == ["A01-01"]
    assert len(names()) == 70


def test_what_is_left_keeps_its_elements_parts_and_filters() -> None:
    whole, some = mixed(), select(mixed(), ["shell=B", "shell=GEO"])
    assert len(some) == len(some.names) == len(some.epochs_ns) == len(some.shells) == 22
    for place, name in enumerate(some.names):
        before = whole.names.index(name)
        assert some.satrecs[place].mo == whole.satrecs[before].mo
        assert some.numbers[place] == whole.numbers[before]
    assert some.filters == ("shell=B", "shell=GEO")
    assert (some.source, some.sha256, some.parts) == (whole.source, whole.sha256, whole.parts)
    alone = walker_catalogue(SHELLS, START_NS, "built-in: two")
    assert select(alone, ["shell=A"]).parts[0].satellites == 68
    with pytest.raises(ValueError, match="read-only"):
        some.numbers[0] = 1


@given(st.integers(1, 48))
def test_a_count_thins_every_plane_alike(count: int) -> None:
    chosen = names(f"shell=A,count={count}")
    assert len(chosen) == len(set(chosen)) == count
    in_plane = np.bincount([int(name[1:3]) - 1 for name in chosen], minlength=8)
    assert np.ptp(in_plane) <= 1
    assert "A01-01" in chosen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "altitude",
            "--select 'altitude': 'altitude' is not KEY=VALUE; the keys are altitude, inclination, "
            "number, name, shell, count",
        ),
        ("", "--select '': '' is not KEY=VALUE; the keys are altitude, inclination, number, name, shell, count"),
        (
            "shell=A,",
            "--select 'shell=A,': '' is not KEY=VALUE; the keys are altitude, inclination, number, name, shell, count",
        ),
        (
            "altitud=500..600",
            "--select 'altitud=500..600': unknown key 'altitud': did you mean 'altitude'? the keys are "
            "altitude, inclination, number, name, shell, count",
        ),
        ("x=1", "--select 'x=1': unknown key 'x': the keys are altitude, inclination, number, name, shell, count"),
        ("shell=A,shell=B", "--select 'shell=A,shell=B': 'shell' comes twice: write another --select for the other"),
        ("altitude=550", "--select 'altitude=550' is not a range: write it like altitude=500..600"),
        ("altitude=..", "--select 'altitude=..' is not a range: write it like altitude=500..600"),
        ("altitude=-1..5", "--select 'altitude=-1..5' is not a range: write it like altitude=500..600"),
        (
            "inclination=5.3.1..60",
            "--select 'inclination=5.3.1..60': '5.3.1' is not a number: write it like inclination=52..54",
        ),
        ("inclination=60..50", "--select 'inclination=60..50': 60 is above 50: write the lower one first"),
        ("count=0", "--select 'count=0' is not a whole number of satellites: write it like count=100"),
        ("count=1e3", "--select 'count=1e3' is not a whole number of satellites: write it like count=100"),
        (
            "count=71",
            "--select 'count=71' is more than the satellites of built-in: two + built-in: geo (70): take 70 at most",
        ),
        (
            "shell=A,count=49",
            "--select 'shell=A,count=49': count=49 is more than the satellites of built-in: two + "
            "built-in: geo (48 of 70): take 48 at most",
        ),
    ],
)
def test_a_malformed_filter_is_one_line(text: str, said: str) -> None:
    assert refused(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "altitude=700..800",
            " matches none of the satellites of built-in: two + built-in: geo (70): altitudes there are "
            "550.0 to 35787.1 km",
        ),
        (
            "shell=A,inclination=60..90",
            ": inclination=60..90 matches none of the satellites of built-in: two + built-in: geo (48 of "
            "70): inclinations there are 53.0 to 53.0°",
        ),
        (
            "number=44714",
            " matches none of the satellites of built-in: two + built-in: geo (70): numbers there are "
            "1000000001 to 1000000070",
        ),
        (
            "shell=C",
            " matches none of the satellites of built-in: two + built-in: geo (70): shells there are A, B, GEO",
        ),
        (
            "shell=GEO,name=X*",
            ": name=X* matches none of the satellites of built-in: two + built-in: geo (2 of 70): names "
            "there are G11E8, G37E",
        ),
        (
            "shell=A,name=X",
            ": name=X matches none of the satellites of built-in: two + built-in: geo (48 of 70): names "
            "there are A01-01, A01-02, A01-03, A01-04, A01-05, A01-06, A02-01, A02-02 and 40 more",
        ),
    ],
)
def test_a_filter_without_result_says_what_there_is(text: str, said: str) -> None:
    assert refused(text) == f"--select '{text}'{said}"
    assert refused("shell=A", text) == f"--select '{text}'{said}"  # also when another one passes some


def test_real_satellites_have_no_shell() -> None:
    with pytest.raises(
        InputError, match=r"'shell=A' matches none of the satellites of .* \(10,544\): shells there are unknown$"
    ):
        select(starlink(), ["shell=A"])


@given(st.text(max_size=20))
def test_any_text_selects_or_is_the_one_error(text: str) -> None:
    try:
        outcome = f"--select '{len(select(mixed(), [text]))}"
    except InputError as error:
        outcome = str(error)
    assert outcome.startswith("--select '")
