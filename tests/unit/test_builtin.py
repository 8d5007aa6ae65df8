from __future__ import annotations

import pytest
from orbit_data import START_NS

from testbed.ground.errors import CatalogueError
from testbed.orbits.builtin import built_in, is_built_in
from testbed.orbits.presets import PRESETS
from testbed.orbits.walker import walker_catalogue

KNOWN = (
    "starlink-2026, starlink-broadband, starlink-d2c, starlink-gen1, oneweb, kuiper, o3b-mpower, iris2, italy-leo, "
    "sicral, sicral-1, govsatcom"
)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_one_part_with_its_assumption(name: str) -> None:
    catalogue = built_in(name, START_NS)
    (part,) = catalogue.parts
    assert is_built_in(name)
    assert catalogue.source == part.source == f"built-in: {name}"
    assert (part.sha256, part.satellites, part.built_in) == (catalogue.sha256, len(catalogue), True)
    assert part.assumption == PRESETS[name].assumption
    assert catalogue.newest_epoch_ns == START_NS
    if not PRESETS[name].slots:
        assert catalogue.sha256 == walker_catalogue(PRESETS[name].shells, START_NS, "x").sha256


def test_longitudes() -> None:
    catalogue = built_in("geo:11.8E, 6.43W,180E", START_NS)
    assert catalogue.names == ("G11E8", "G6W43", "G180E")
    assert catalogue.source == "built-in: geo:11.8E, 6.43W,180E"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "onewb",
            "unknown catalogue 'onewb': did you mean 'oneweb'? give a file of TLE or OMM, or one of "
            f"{KNOWN}, or longitudes like geo:11.8E,37E",
        ),
        (
            "OneWeb",
            "unknown catalogue 'OneWeb': did you mean 'oneweb'? give a file of TLE or OMM, or one of "
            f"{KNOWN}, or longitudes like geo:11.8E,37E",
        ),
        (
            "help",
            f"unknown catalogue 'help': give a file of TLE or OMM, or one of {KNOWN}, or longitudes like geo:11.8E,37E",
        ),
        ("geo:", "--catalogue geo:: '' is not a longitude: write 0 to 180 with E or W, like geo:11.8E,37E"),
        ("geo:11.8", "--catalogue geo:11.8: '11.8' is not a longitude: write 0 to 180 with E or W, like geo:11.8E,37E"),
        (
            "geo:1E,200W",
            "--catalogue geo:1E,200W: '200W' is not a longitude: write 0 to 180 with E or W, like geo:11.8E,37E",
        ),
    ],
)
def test_an_unknown_name_is_one_line_with_the_known_ones(name: str, said: str) -> None:
    with pytest.raises(CatalogueError) as error:
        built_in(name, START_NS)
    assert str(error.value) == said
