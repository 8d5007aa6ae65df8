from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import SET_1, SET_2, STARLINK, START_NS, shared_tle, starlink, starlink_lines, with_checksum

from testbed.ground.errors import CatalogueError
from testbed.ground.units import parse_utc_ns
from testbed.orbits.catalogue import (
    SYNTHETIC_BASE,
    Catalogue,
    merge,
    parse_catalogue,
    read_catalogue,
    stale_warning,
    staleness_days,
)
from testbed.orbits.frames import DAY_NS
from testbed.orbits.walker import Shell, walker_catalogue

OTHER_1 = with_checksum(SET_1.replace("44714", "44718"))
OTHER_2 = with_checksum(SET_2.replace("44714", "44718"))


def write(folder: Path, data: bytes, name: str = "x.tle") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def with_epochs(*epochs_ns: int) -> Catalogue:
    one = parse_catalogue(f"{SET_1}\n{SET_2}\n".encode(), "x.tle")
    count = len(epochs_ns)
    return Catalogue(
        names=one.names * count,
        numbers=np.arange(count),
        satrecs=one.satrecs * count,
        epochs_ns=np.array(epochs_ns),
        source="x.tle",
        sha256="",
    )


def test_the_real_catalogue_is_read_whole() -> None:
    catalogue, lines = starlink(), starlink_lines()
    assert len(catalogue) == len(catalogue.satrecs) == len(lines) // 3 == 10_544
    assert catalogue.names[0] == lines[0].strip()
    assert catalogue.numbers.tolist() == [int(line[2:7]) for line in lines[1::3]]
    assert catalogue.newest_epoch_ns == pytest.approx(parse_utc_ns("2026-06-14T00:31:00Z"), abs=60e9)
    assert catalogue.epochs_ns.min() == pytest.approx(parse_utc_ns("2026-06-09T08:55:00Z"), abs=60e9)
    assert catalogue.node_names[0] == "NORAD44714"
    assert max(map(len, catalogue.node_names)) == 10
    assert catalogue.source == STARLINK


def test_the_hash_is_that_of_the_uncompressed_file(tmp_path: Path) -> None:
    data = shared_tle(STARLINK).read_bytes()
    plain = gzip.decompress(data)
    assert starlink().sha256 == hashlib.sha256(plain).hexdigest()
    unpacked = read_catalogue(write(tmp_path, plain))
    assert unpacked.sha256 == starlink().sha256
    assert np.array_equal(unpacked.epochs_ns, starlink().epochs_ns)


def test_oneweb_is_read_too() -> None:
    catalogue = read_catalogue(shared_tle("oneweb_20260614T0413.tle.gz"))
    assert len(catalogue) == 651
    assert np.median(catalogue.mean_altitude_m) == pytest.approx(1_200e3, abs=30e3)


def test_a_catalogue_cannot_be_changed() -> None:
    catalogue = parse_catalogue(f"{SET_1}\n{SET_2}\n".encode(), "x.tle")
    with pytest.raises(ValueError, match="read-only"):
        catalogue.numbers[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        catalogue.epochs_ns[0] = 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "x.tle: no satellites in it"),
        (b"\n# only a comment\n", "x.tle: no satellites in it"),
        (b"A\nB\xff\xfe\n", "x.tle line 2: not text"),
        (b"A\n\0\0\0", "x.tle line 2: not text"),
        (bytes(range(256)), "x.tle line"),
        (b"\x1f\x8b\x08", "x.tle: damaged gzip file"),
        (gzip.compress(b"A" * 10_000)[:-20], "x.tle: damaged gzip file"),
        (gzip.compress(b"A" * 10_000)[:-8] + b"\0" * 8, "x.tle: damaged gzip file"),
        (gzip.compress(b""), "x.tle: no satellites in it"),
        (gzip.compress(f"{SET_1}\n{SET_2[:-1]}9\n".encode()), "x.tle line 2: checksum is '9'"),
    ],
)
def test_files_that_are_no_catalogue(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CatalogueError, match=f"^{said}") as error:
        read_catalogue(write(tmp_path, data))
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogueError, match=r"nothing\.tle: cannot be read \(No such file or directory\): give the path"
    ):
        read_catalogue(tmp_path / "nothing.tle")
    with pytest.raises(CatalogueError, match=r"cannot be read \(Is a directory\)"):
        read_catalogue(tmp_path)


def test_one_bad_line_and_nothing_of_the_file_is_used() -> None:
    lines = starlink_lines()
    lines[20_000] = lines[20_000][:-1] + "x"
    with pytest.raises(CatalogueError, match=r"^x\.tle line 20001: checksum in column 69"):
        parse_catalogue("\n".join(lines).encode(), "x.tle")


def test_a_number_that_comes_twice_is_named_with_both_lines() -> None:
    text = "\n".join((SET_1, SET_2, "OTHER", OTHER_1, OTHER_2, "AGAIN", SET_1, SET_2))
    with pytest.raises(
        CatalogueError, match=r"x\.tle line 7: satellite number '44714' is already on line 1: remove one"
    ):
        parse_catalogue(text.encode(), "x.tle")
    assert len(parse_catalogue("\n".join((SET_1, SET_2, "OTHER", OTHER_1, OTHER_2)).encode(), "x.tle")) == 2


@given(st.binary(max_size=300))
def test_any_bytes_give_a_catalogue_or_the_one_error(data: bytes) -> None:
    for content in (data, b"[" + data, b"<" + data, b"OBJECT_NAME," + data, b"\x1f\x8b" + data):
        try:
            said = parse_catalogue(content, "x.tle").source
        except CatalogueError as error:
            said = str(error)
        assert said.startswith("x.tle")


def test_a_byte_order_mark_does_not_count() -> None:
    assert len(parse_catalogue(b"\xef\xbb\xbf" + f"{SET_1}\n{SET_2}\n".encode(), "x.tle")) == 1


def test_staleness_is_the_median_distance_before_or_after() -> None:
    catalogue = with_epochs(START_NS - DAY_NS, START_NS + 2 * DAY_NS, START_NS - 10 * DAY_NS)
    assert staleness_days(catalogue, START_NS) == pytest.approx(2.0)


def test_a_warning_when_some_satellites_are_more_than_three_days_off() -> None:
    near = with_epochs(START_NS - 3 * DAY_NS, START_NS + 3 * DAY_NS, START_NS)
    assert stale_warning(near, START_NS) is None
    warning = stale_warning(near, START_NS + 1)
    assert warning is not None
    assert warning.startswith("x.tle: the elements of 1 of 3 satellites are more than 3 days from the start")
    assert "\n" not in warning


def test_the_real_catalogue_on_its_day_and_a_month_later() -> None:
    assert staleness_days(starlink(), START_NS) == pytest.approx(14 / 24, abs=0.02)  # median epoch 06-13 16:00
    warning = stale_warning(starlink(), START_NS)
    assert warning is not None
    assert "of 38 of 10,544 satellites" in warning
    later = stale_warning(starlink(), START_NS + 30 * DAY_NS)
    assert later is not None
    assert "of 10,544 of 10,544 satellites" in later
    assert "worst 34.9 days" in later


def numbered(source: str, *satellites: tuple[int, int]) -> Catalogue:
    """Satellites of these numbers and epochs (seconds after START_NS), all on the one orbit."""
    one = parse_catalogue(f"{SET_1}\n{SET_2}\n".encode(), "x.tle")
    return Catalogue(
        names=tuple(f"{source} {number}" for number, _ in satellites),
        numbers=np.array([number for number, _ in satellites], np.int64),
        satrecs=one.satrecs * len(satellites),
        epochs_ns=START_NS + np.array([seconds for _, seconds in satellites], np.int64) * 1_000_000_000,
        source=source,
        sha256=hashlib.sha256(source.encode()).hexdigest(),
    )


def test_of_three_real_files_the_newest_elements_of_each_number_stay() -> None:
    files = [STARLINK.replace("14T0413", "13T2117"), STARLINK, "oneweb_20260614T0413.tle.gz"]
    merged = merge([read_catalogue(shared_tle(file)) for file in files])
    # What the files hold, read by columns: number to (epoch, minus the place of its file), and to line 1.
    newest: dict[int, tuple[str, int]] = {}
    files_of: dict[int, set[int]] = {}
    for place, file in enumerate(files):
        lines = gzip.decompress(shared_tle(file).read_bytes()).decode().splitlines()[1::3]
        for line in lines:
            number, key = int(line[2:7]), (line[18:32], -place)
            files_of.setdefault(number, set()).add(place)
            newest[number] = max(newest.get(number, key), key)
    assert len(merged) == len(newest)
    assert {int(number) for number in merged.numbers} == set(newest)
    for number, epoch_ns in zip(merged.numbers, merged.epochs_ns, strict=True):
        day = (int(epoch_ns) - parse_utc_ns("2025-12-31T00:00:00Z")) / DAY_NS
        assert float(newest[int(number)][0][2:]) == pytest.approx(day, abs=2e-8)
    twice = [number for number, places in files_of.items() if len(places) > 1]
    older, newer = (sum(newest[number][1] == -place for number in twice) for place in (0, 1))
    assert merged.warnings == (
        f"satellites in more than one catalogue: {len(twice):,}; of each the newest elements are used, "
        f"{older:,} from {files[0]}, {newer:,} from {files[1]}",
    )
    assert merged.source == " + ".join(files)
    assert [part.satellites for part in merged.parts] == [10_544, 10_544, 651]
    hashes = "".join(hashlib.sha256(gzip.decompress(shared_tle(file).read_bytes())).hexdigest() for file in files)
    assert merged.sha256 == hashlib.sha256(hashes.encode()).hexdigest()
    assert not merged.synthetic.any()


NUMBERED = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=9, unique_by=lambda one: one[0]
)


@given(st.lists(NUMBERED, min_size=1, max_size=4))
def test_merging_keeps_the_newest_and_of_equal_ones_the_first_named(files: list[list[tuple[int, int]]]) -> None:
    merged = merge([numbered(str(place), *satellites) for place, satellites in enumerate(files)])
    best: dict[int, tuple[int, int]] = {}
    for place, satellites in enumerate(files):
        for number, seconds in satellites:
            if number not in best or seconds > best[number][0]:
                best[number] = seconds, place
    expected = [
        f"{place} {number}"
        for place, satellites in enumerate(files)
        for number, _ in satellites
        if best[number][1] == place
    ]
    assert list(merged.names) == expected
    assert len(merged.warnings) == (sum(map(len, files)) > len(best))


def test_made_and_real_satellites_mix() -> None:
    real = numbered("a.tle", (44714, 0), (900_000_001, 0))
    low = walker_catalogue([Shell("LOW", 550e3, 53.0, 2, 3, 0)], START_NS, "built-in: low")
    high = walker_catalogue([Shell("H", 1200e3, 87.9, 1, 2, 0)], START_NS, "built-in: high")
    merged = merge([low, real, high])
    assert merged.synthetic.tolist() == [True] * 6 + [False] * 2 + [True] * 2
    assert merged.numbers.tolist() == [
        *(SYNTHETIC_BASE + i for i in range(1, 7)), 44714, 900_000_001, SYNTHETIC_BASE + 7, SYNTHETIC_BASE + 8
    ]  # fmt: skip
    assert merged.node_names[4:] == ("LOW02-02", "LOW02-03", "NORAD44714", "NORAD900000001", "H01-01", "H01-02")
    assert max(len(name.removeprefix("NORAD") + "-eth10") for name in merged.node_names) <= 15
    assert merged.shells == ("LOW",) * 6 + ("", "") + ("H", "H")
    assert [(part.source, part.built_in) for part in merged.parts] == [
        ("built-in: low", True),
        ("a.tle", False),
        ("built-in: high", True),
    ]
    assert merged.warnings == ()
    assert merge([real, low]).sha256 != merge([low, real]).sha256
    assert merge([real]) is real


def test_what_cannot_be_merged() -> None:
    made = walker_catalogue([Shell("A", 550e3, 53.0, 1, 1, 0)], START_NS, "built-in: one")
    other = walker_catalogue([Shell("A", 600e3, 53.0, 1, 1, 0)], START_NS, "built-in: other")
    with pytest.raises(CatalogueError) as error:
        merge([made, other])
    assert str(error.value) == (
        "built-in: other: its satellite 'A01-01' is also in built-in: one: give each constellation once"
    )
    with pytest.raises(CatalogueError, match=r"^no catalogue to merge"):
        merge([])
