from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import SET_1, SET_2, starlink, starlink_lines
from sgp4.api import Satrec
from sgp4.exporter import export_omm

from testbed.ground.errors import CatalogueError
from testbed.orbits.catalogue import Catalogue, parse_catalogue

Records = list[dict[str, Any]]

METADATA = ("OBJECT_NAME", "OBJECT_ID", "CENTER_NAME", "REF_FRAME", "TIME_SYSTEM", "MEAN_ELEMENT_THEORY")
ELEMENTS = (
    "EPOCH",
    "MEAN_MOTION",
    "ECCENTRICITY",
    "INCLINATION",
    "RA_OF_ASC_NODE",
    "ARG_OF_PERICENTER",
    "MEAN_ANOMALY",
)


def records(count: int = 3) -> Records:
    """What sgp4's own exporter makes of the first satellites; one of them without the shared data."""
    if count == 1:
        return [export_omm(Satrec.twoline2rv(SET_1, SET_2), "STARLINK-1008")]
    lines = starlink_lines()
    return [export_omm(Satrec.twoline2rv(lines[i + 1], lines[i + 2]), lines[i].strip()) for i in range(0, 3 * count, 3)]


def as_json(rows: Records) -> str:
    return json.dumps(rows)


def as_json_pretty(rows: Records) -> str:
    return json.dumps(rows, indent=4)


def as_csv(rows: Records) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_xml(rows: Records) -> str:
    def leaves(row: dict[str, Any], names: tuple[str, ...]) -> str:
        return "".join(f"<{name}>{escape(str(row[name]))}</{name}>" for name in names if name in row)

    segments = "".join(
        f"<omm><header><CREATION_DATE/></header><body>\n<segment><metadata>{leaves(row, METADATA)}</metadata><data>"
        f"<meanElements>{leaves(row, ELEMENTS)}</meanElements><tleParameters>"
        f"{leaves(row, tuple(set(row) - set(METADATA) - set(ELEMENTS)))}</tleParameters></data></segment></body></omm>"
        for row in rows
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ndm>{segments}\n</ndm>\n'


FORMATS = [as_json, as_json_pretty, as_csv, as_xml]


def parse(text: str) -> Catalogue:
    return parse_catalogue(text.encode(), "x.omm")


def refused(text: str) -> str:
    with pytest.raises(CatalogueError) as error:
        parse(text)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_every_format_gives_the_satellites_of_the_two_line_file(
    write: Callable[[Records], str], pack: Callable[[bytes], bytes]
) -> None:
    catalogue, expected = parse_catalogue(pack(write(records(30)).encode()), "x.omm"), starlink()
    assert catalogue.names == expected.names[:30]
    assert catalogue.numbers.tolist() == expected.numbers[:30].tolist()
    assert catalogue.node_names[0] == "NORAD44714"
    assert np.abs(catalogue.epochs_ns - expected.epochs_ns[:30]).max() <= 1000  # OMM has microseconds
    for one, other in zip(catalogue.satrecs, expected.satrecs, strict=False):
        for minutes in (0.0, 720.0):
            apart_km = np.array(one.sgp4_tsince(minutes)[1]) - np.array(other.sgp4_tsince(minutes)[1])
            assert np.linalg.norm(apart_km) < 1e-4


def test_numbers_as_celestrak_writes_them_are_read() -> None:
    row = records(1)[0]
    row |= {"MEAN_MOTION_DOT": ".69989E-3", "BSTAR": "-.12401E-2", "MEAN_MOTION_DDOT": "0"}
    (satrec,) = parse(as_csv([row])).satrecs
    assert satrec.bstar == pytest.approx(-0.0012401)
    assert satrec.ndot == pytest.approx(Satrec.twoline2rv(SET_1, SET_2).ndot)


@pytest.mark.parametrize("number", [100_000, 339_999, 340_000, 999_999_999])
@pytest.mark.parametrize("write", FORMATS)
def test_numbers_of_up_to_nine_digits(write: Callable[[Records], str], number: int) -> None:
    catalogue = parse(write([records(1)[0] | {"NORAD_CAT_ID": number}]))
    assert catalogue.numbers.tolist() == [number]
    assert catalogue.node_names == (f"NORAD{number}",)
    expected_km = Satrec.twoline2rv(SET_1, SET_2).sgp4_tsince(60.0)[1]
    assert catalogue.satrecs[0].sgp4_tsince(60.0)[1] == pytest.approx(expected_km, abs=1e-4)


@pytest.mark.parametrize("epoch", ["2026-06-14T06:00:00", "2026-06-14T06:00:00.000000", "2026-06-14T06:00:00Z"])
def test_epochs_with_and_without_decimals(epoch: str) -> None:
    assert parse(as_json([records(1)[0] | {"EPOCH": epoch}])).newest_epoch_ns == 1_781_416_800_000_000_000


@pytest.mark.parametrize(
    ("write", "line"),
    [(as_json, 1), (as_json_pretty, None), (as_csv, 4), (as_xml, 5)],
    ids=lambda x: getattr(x, "__name__", x),
)
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("MEAN_MOTION", None, "MEAN_MOTION is missing"),
        ("EPOCH", "", "EPOCH is missing"),
        ("ECCENTRICITY", float("nan"), "ECCENTRICITY is not a number ('nan')"),
        ("INCLINATION", "text", "INCLINATION is not a number ('text')"),
        ("MEAN_ANOMALY", "1_0", "MEAN_ANOMALY is not a number ('1_0')"),
        ("BSTAR", "inf", "BSTAR is not a number ('inf')"),
        ("ECCENTRICITY", 1.5, "eccentricity is outside 0 to 1 (a closed orbit) ('1.5')"),
        ("MEAN_MOTION", -15.0, "mean motion is outside 1e-08 to 20 revolutions per day ('-15.0')"),
        ("NORAD_CAT_ID", "4471x", "NORAD_CAT_ID is not a number of at most nine digits ('4471x')"),
        ("NORAD_CAT_ID", 1234567890, "NORAD_CAT_ID is not a number of at most nine digits ('1234567890')"),
        ("BSTAR", "1e400", "BSTAR is not a number ('1e400')"),
        ("EPOCH", "0001-01-01T00:00:00", "EPOCH is outside 1957 to 2261 ('0001-01-01T00:00:00')"),
        ("EPOCH", "yesterday", "EPOCH is not an ISO 8601 time ('yesterday')"),
    ],
)
def test_a_malformed_satellite_is_named_with_its_line(
    write: Callable[[Records], str], line: int | None, field: str, value: object, said: str
) -> None:
    rows = records(3)
    if value is None and write is not as_csv:
        del rows[2][field]
    else:
        rows[2][field] = value
    text = write(rows)
    if line is None:  # the one on which the third object begins
        line = [i for i, content in enumerate(text.split("\n"), 1) if content == "    {"][2]
    message = refused(text)
    assert message.startswith(f"x.omm line {line} (satellite '{rows[2]['OBJECT_NAME']}'): {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{]", "x.omm line 1: broken JSON (Expecting property name"),
        ("[\n{}\n,", "x.omm line 3: broken JSON (Expecting value)"),
        (f"[1{'0' * 5000}]", "x.omm line 1: broken JSON (Exceeds the limit"),
        ('{"a": 1}', "x.omm line 1: not an array of objects"),
        ("[\n1]", "x.omm line 2: not an object with elements ('1')"),
        ("[]", "x.omm: no satellites in it"),
        ("[" * 100_000, "x.omm line 1: "),
        ("<ndm>\n<segment></ndm>", "x.omm line 2: broken XML (mismatched tag"),
        ("<ndm/>", "x.omm: no satellites in it"),
        ("<html><body>Service unavailable</body></html>", "x.omm: no satellites in it"),
        (
            "<ndm><body><segment><data/></segment></body></ndm>",
            "x.omm line 1 (satellite 'None'): OBJECT_NAME is missing",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><ndm/>', "x.omm line 1: a DOCTYPE has no place"),
        ("OBJECT_NAME,EPOCH\nA,2026-06-14T06:00:00,7\n", "x.omm line 2: columns beyond the header ('7')"),
        ("OBJECT_NAME,EPOCH\nA,2026-06-14T06:00:00\n", "x.omm line 2 (satellite 'A'): NORAD_CAT_ID is missing"),
        ("OBJECT_NAME,EPOCH\n" + "A" * 200_000 + ",1\n", "x.omm line 2: broken CSV (field larger"),
        ("OBJECT_NAME,EPOCH\n", "x.omm: no satellites in it"),
    ],
)
def test_broken_messages(text: str, said: str) -> None:
    assert refused(text).startswith(said)


@given(st.sampled_from(FORMATS), st.integers(1, 60), st.integers(0, 10_000))
def test_a_message_cut_off_or_altered_is_read_whole_or_refused(
    write: Callable[[Records], str], drop: int, place: int
) -> None:
    text = write(records(1))
    place %= len(text)
    for broken in (text[:-drop], text[:place] + text[place + 1 :]):
        try:
            catalogue = parse(broken)
            outcome = f"{catalogue.source} with {len(catalogue)}"
        except CatalogueError as error:
            outcome = str(error)
        assert re.match(r"x\.omm( line \d+.*: |: | with 1$)", outcome)
