from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import SET_1, SET_2, shared_tle, with_checksum
from sgp4.api import Satrec
from sgp4.conveniences import sat_epoch_datetime

from testbed.ground.errors import CatalogueError
from testbed.orbits.elements import Elements
from testbed.orbits.tle import read_tle

SOURCE = "x.tle"


def read(*lines: str) -> list[Elements]:
    return list(read_tle("\n".join(lines) + "\n", SOURCE))


def replaced(line: str, column: int, text: str) -> str:
    """The line with `text` from `column` (from 1) on, and a checksum that fits."""
    return with_checksum(line[: column - 1] + text + line[column - 1 + len(text) :])


def refused(*lines: str) -> str:
    with pytest.raises(CatalogueError) as error:
        read(*lines)
    return str(error.value)


def test_two_lines_and_three_lines_are_the_same_satellite() -> None:
    (two,), (three,) = read(SET_1, SET_2), read("STARLINK-1008           ", SET_1, SET_2)
    assert (two.name, two.number, two.line) == ("NORAD44714", 44714, 1)
    assert (three.name, three.number, three.line) == ("STARLINK-1008", 44714, 2)
    assert two.satrec.sgp4_tsince(33.0) == three.satrec.sgp4_tsince(33.0)
    assert two.satrec.sgp4_tsince(33.0) == Satrec.twoline2rv(SET_1, SET_2).sgp4_tsince(33.0)


def test_comments_empty_lines_name_marks_and_line_ends_do_not_count() -> None:
    text = f"# a comment\r\n\r\n0 STARLINK-1008\r\n{SET_1}   \r\n\r\n{SET_2}\r\n#\r\n"
    (one,) = read_tle(text, SOURCE)
    assert (one.name, one.number, one.line) == ("STARLINK-1008", 44714, 4)


def test_text_after_column_69_is_allowed() -> None:
    (one,) = read(SET_1, SET_2 + "      0.0      1440.0        360.00")
    assert one.satrec.sgp4_tsince(5.0) == Satrec.twoline2rv(SET_1, SET_2).sgp4_tsince(5.0)


@pytest.mark.parametrize(
    ("alpha5", "number"),
    [("A0000", 100_000), ("E8493", 148_493), ("J2931", 182_931), ("P4018", 234_018), ("Z9999", 339_999)],
)
def test_alpha5_numbers_of_space_tracks_table(alpha5: str, number: int) -> None:
    (one,) = read(replaced(SET_1, 3, alpha5), replaced(SET_2, 3, alpha5))
    assert one.number == number


@pytest.mark.parametrize("alpha5", ["I0000", "O0000", "a0000", "0A000", "   5 "])
def test_what_alpha5_does_not_know_is_refused(alpha5: str) -> None:
    assert f"satellite number in column 3 is not as the format has it ('{alpha5}')" in refused(
        replaced(SET_1, 3, alpha5), replaced(SET_2, 3, alpha5)
    )


@pytest.mark.parametrize(
    "epoch", ["26164.50664332", "57001.00000000", "56366.99999999", "00060.12345678", "24366.00000001"]
)
def test_the_epoch_is_that_of_sgp4(epoch: str) -> None:
    (one,) = read(replaced(SET_1, 19, epoch), SET_2)
    expected = sat_epoch_datetime(one.satrec)  # truncates to microseconds
    assert abs(one.epoch_ns / 1e3 - (expected - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6) <= 1.5


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((SET_1, SET_2[:-1]), "x.tle line 2: 68 columns where there must be 69 ('2 44714  53.1526  86.3448 000…')"),
        (("NAME", SET_1[:40], SET_2), "x.tle line 2: 40 columns where there must be 69"),
        ((SET_1, SET_2[:-1] + "4"), "x.tle line 2: checksum is '4', the line adds up to 3"),
        ((SET_1[:-1] + "0", SET_2), "x.tle line 1: checksum is '0', the line adds up to 9"),
        (("#", SET_1, replaced(SET_2, 3, "44715")), "x.tle line 3: line 1 is of satellite 44714, line 2 of '44715'"),
        (
            (SET_1, replaced(SET_2, 9, " 5x.1526")),
            "x.tle line 2: inclination in column 9 is not as the format has it (' 5x",
        ),
        ((SET_1, replaced(SET_2, 27, "00029.1")), "x.tle line 2: eccentricity in column 27 is not as"),
        ((SET_1, replaced(SET_2, 53, "        nan")), "x.tle line 2: mean motion in column 53 is not as"),
        (
            (SET_1, replaced(SET_2, 53, " 0.00000000")),
            "x.tle line 2: mean motion is outside 1e-08 to 20 revolutions per day",
        ),
        ((SET_1, replaced(SET_2, 9, "180.0001")), "inclination is outside 0 to 180 degrees ('180.0001')"),
        ((SET_1, replaced(SET_2, 18, "360.0001")), "right ascension of the ascending node is outside 0 to 360"),
        ((SET_1, replaced(SET_2, 35, "999.9999")), "argument of perigee is outside"),
        ((SET_1, replaced(SET_2, 44, "400.0000")), "mean anomaly is outside"),
        ((replaced(SET_1, 21, "367.50664332"), SET_2), "x.tle line 1: epoch day is outside 1 to 366 ('367.50664332')"),
        ((replaced(SET_1, 21, "000.50664332"), SET_2), "x.tle line 1: epoch day is outside 1 to 366"),
        ((replaced(SET_1, 54, " 1240x-2"), SET_2), "x.tle line 1: drag term B* in column 54"),
        ((SET_1 + "9", SET_2), "x.tle line 1: text touches column 69 ('9')"),
        ((SET_1,), "x.tle line 1: line 2 is missing"),
        ((SET_1, SET_1, SET_2), "x.tle line 2: line number in column 1 is not as the format has it ('1')"),
        ((SET_2, SET_1), "x.tle line 1: no line 1 of a two-line set before it ('2 44714"),
        (("STARLINK-1008", SET_2), "x.tle line 2: no line 1 of a two-line set of 'STARLINK-1008' on line 1"),
        (("NAME", "OTHER", SET_1, SET_2), "x.tle line 2: no line 1 of a two-line set of 'NAME' on line 1 ('OTHER')"),
        ((SET_1, SET_2, "No GP data found"), "x.tle line 3: no elements follow ('No GP data found')"),
    ],
)
def test_a_malformed_line_is_named_with_its_number_and_value(lines: tuple[str, ...], said: str) -> None:
    message = refused(*lines)
    assert said in message
    assert "\n" not in message
    assert message.endswith("get the file again, or remove this satellite")


@given(st.integers(0, 1), st.integers(0, 68), st.sampled_from("0123456789"))
def test_any_one_wrong_digit_is_refused(which: int, column: int, digit: str) -> None:
    lines = [SET_1, SET_2]
    line = lines[which]
    if not line[column].isdigit() or line[column] == digit:
        return
    lines[which] = line[:column] + digit + line[column + 1 :]
    assert re.match(r"x\.tle line [12]: ", refused(*lines))


@given(st.integers(0, 1), st.integers(0, 68))
def test_a_line_cut_anywhere_is_refused(which: int, length: int) -> None:
    lines = [SET_1, SET_2]
    lines[which] = lines[which][:length]
    assert re.match(r"x\.tle line [12]: ", refused("A NAME", *lines).replace("line 3", "line 2"))


@given(st.text(max_size=200))
def test_any_text_gives_elements_or_the_one_error(text: str) -> None:
    try:
        elements, said = list(read_tle(text, SOURCE)), ""
    except CatalogueError as error:
        elements, said = [], str(error)
    assert elements == []
    assert re.match(r"x\.tle line |$", said)


def test_vallados_set_is_refused_for_the_five_checksums_that_are_wrong_in_it() -> None:
    with pytest.raises(CatalogueError, match="line 100: checksum is '4', the line adds up to 2"):
        list(read_tle(shared_tle("SGP4-VER.TLE").read_text(), "SGP4-VER.TLE"))
