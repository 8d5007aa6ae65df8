from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbit_data import START_NS, S
from sgp4.api import Satrec

from testbed.ground.constants import WGS72_RADIUS_M, WGS84_A_M
from testbed.ground.errors import ScenarioError
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue

SHELLS = st.integers(1, 12).flatmap(
    lambda planes: st.builds(
        Shell,
        st.just("W"),
        st.floats(300e3, 2000e3),
        st.floats(1, 179),
        st.just(planes),
        st.integers(1, 9),
        st.integers(0, planes - 1),
        st.sampled_from([180.0, 360.0]),
        st.floats(0, 360),
    )
)


def angles_deg(satrecs: tuple[Satrec, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Node and argument of latitude of each satellite."""
    return (
        np.degrees([satrec.nodeo for satrec in satrecs]),
        np.degrees([satrec.argpo + satrec.mo for satrec in satrecs]),
    )


def turned_by(angle_deg: np.ndarray, by_deg: float) -> np.ndarray:
    return np.abs((angle_deg - by_deg + 180.0) % 360.0 - 180.0)


def test_galileo_is_walkers_56_24_3_1() -> None:
    # Galileo's definition: 24 satellites in 3 planes, F = 1: planes 120° apart, slots 45°, neighbours shifted by 15°.
    catalogue = walker_catalogue([Shell("G", 23_222e3, 56.0, 3, 8, 1)], START_NS, "built-in: Galileo")
    node_deg, latitude_deg = (values.reshape(3, 8) for values in angles_deg(catalogue.satrecs))
    assert turned_by(np.diff(node_deg[:, 0]), 120.0).max() < 1e-9
    assert turned_by(np.diff(latitude_deg, axis=1), 45.0).max() < 1e-9
    assert turned_by(np.diff(latitude_deg, axis=0), 15.0).max() < 1e-9
    assert turned_by(np.diff(latitude_deg, axis=0), 14.9).min() > 0.05  # and would see another phasing
    minutes_a_turn = 2 * np.pi / catalogue.satrecs[0].no_kozai
    assert minutes_a_turn == pytest.approx(14 * 60 + 4.7, abs=1.0)  # Galileo: 14 h 4 min 41 s


@given(SHELLS)
def test_slots_are_uniform_planes_distinct_and_the_seam_closes(shell: Shell) -> None:
    catalogue = walker_catalogue([shell], START_NS, "built-in: test")
    assert len(catalogue) == len(shell) == len(set(catalogue.names))
    node_deg, latitude_deg = (v.reshape(shell.planes, shell.per_plane) for v in angles_deg(catalogue.satrecs))
    assert turned_by(np.diff(latitude_deg, axis=1), 360.0 / shell.per_plane).max(initial=0.0) < 1e-6
    assert turned_by(np.diff(node_deg[:, 0]), shell.spread_deg / shell.planes).max(initial=0.0) < 1e-6
    assert np.ptp(node_deg, axis=1).max() == 0.0
    # Once round all planes the shift adds up to `phasing` whole slots: no seam but the numbering's.
    seam_deg = latitude_deg[-1, 0] + shell.phasing * 360.0 / len(shell) - shell.phasing * 360.0 / shell.per_plane
    assert turned_by(seam_deg, float(latitude_deg[0, 0])) < 1e-6


@pytest.mark.parametrize(("planes", "per_plane"), [(1, 1), (1, 3), (3, 1), (5, 7)])
def test_small_and_odd_shells_fly(planes: int, per_plane: int) -> None:
    catalogue = walker_catalogue([Shell("X", 600e3, 53.0, planes, per_plane, planes - 1)], START_NS, "built-in: X")
    ephemeris = Ephemeris(catalogue, START_NS, 7200 * S)
    position_m = ephemeris.position_m(START_NS + np.arange(0, 7201, 60) * S)
    assert ephemeris.failed == {}
    assert position_m.shape == (121, planes * per_plane, 3)
    for i in range(len(catalogue)):
        others = np.delete(position_m, i, axis=1)
        assert np.linalg.norm(others - position_m[:, i : i + 1], axis=2).min(initial=np.inf) > 1e3  # all distinct


@pytest.mark.parametrize("inclination_deg", [0.0, 30.0, 53.0, 97.6, 180.0])
def test_flown_by_sgp4_the_altitude_is_the_nominal_one(inclination_deg: float) -> None:
    catalogue = walker_catalogue([Shell("X", 550e3, inclination_deg, 4, 5, 1)], START_NS, "built-in: X")
    position_m = Ephemeris(catalogue, START_NS, 6 * 3600 * S).position_m(START_NS + np.arange(0, 21_601, 60) * S)
    altitude_m = np.linalg.norm(position_m, axis=2) - WGS72_RADIUS_M
    assert np.abs(altitude_m - 550e3).max() < 15e3
    assert abs(altitude_m.mean() - 550e3) < 5e3
    assert catalogue.mean_altitude_m == pytest.approx(550e3, abs=1)


def test_flown_by_sgp4_neighbours_in_a_plane_stay_a_slot_apart() -> None:
    catalogue = walker_catalogue([Shell("X", 550e3, 53.0, 2, 22, 1)], START_NS, "built-in: X")
    position_m = Ephemeris(catalogue, START_NS, 3600 * S).position_m(START_NS + np.array([0, 3600]) * S)[:, :22]
    unit = position_m / np.linalg.norm(position_m, axis=2, keepdims=True)
    apart_deg = np.degrees(np.arccos((unit * np.roll(unit, -1, axis=1)).sum(axis=2)))
    assert apart_deg == pytest.approx(360.0 / 22, abs=0.1)  # the Earth's flattening moves them by this much


def test_the_plane_lies_where_it_was_put() -> None:
    catalogue = walker_catalogue([Shell("X", 550e3, 53.0, 4, 6, 0, raan0_deg=10.0)], START_NS, "built-in: X")
    position_m = Ephemeris(catalogue, START_NS, S).position_m(np.array([START_NS]))[0]
    normal = np.cross(position_m[6], position_m[7])  # of the second plane, its node at 100°
    normal /= np.linalg.norm(normal)
    assert np.degrees(np.arccos(normal[2])) == pytest.approx(53.0, abs=0.05)
    assert np.degrees(np.arctan2(normal[0], -normal[1])) == pytest.approx(100.0, abs=0.1)


def test_names_numbers_and_hash() -> None:
    shells = [Shell("A", 550e3, 53.0, 2, 3, 1), Shell("B", 1200e3, 87.9, 120, 4, 0, spread_deg=180.0)]
    catalogue = walker_catalogue(shells, START_NS, "built-in: two shells")
    assert catalogue.names[:4] == ("A01-01", "A01-02", "A01-03", "A02-01")
    assert catalogue.names[-1] == "B120-04"
    assert catalogue.node_names == catalogue.names
    assert catalogue.numbers.tolist() == list(range(1_000_000_001, 1_000_000_487))  # NORAD's have nine digits at most
    assert catalogue.synthetic.all()
    assert catalogue.shells == ("A",) * 6 + ("B",) * 480
    assert set(catalogue.epochs_ns.tolist()) == {START_NS}
    assert catalogue.source == "built-in: two shells"
    assert catalogue.sha256 == walker_catalogue(shells, START_NS, "other words").sha256
    assert catalogue.sha256 != walker_catalogue(shells, START_NS + 1, "built-in: two shells").sha256
    assert catalogue.sha256 != walker_catalogue(shells[:1], START_NS, "built-in: two shells").sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "STAR1"}, "shell 'STAR1': the name must be one to four letters or digits"),
        ({"altitude_m": 550.0}, "shell 'A': altitude 550 m is outside 150 to 100,000 km"),
        ({"altitude_m": float("nan")}, "altitude nan m"),
        ({"inclination_deg": 190.0}, "inclination 190 is outside 0 to 180 degrees"),
        ({"planes": 0}, "0 planes of 22 satellites are no constellation"),
        ({"phasing": 72}, r"phasing 72 is outside 0 to 71 \(planes - 1\)"),
        ({"spread_deg": 0.0}, "spread 0"),
        ({"raan0_deg": float("inf")}, "first node inf"),
    ],
)
def test_a_shell_that_is_none_is_refused(change: dict[str, object], said: str) -> None:
    values = {"name": "A", "altitude_m": 550e3, "inclination_deg": 53.0, "planes": 72, "per_plane": 22, "phasing": 39}
    with pytest.raises(ScenarioError, match=said):
        Shell(**(values | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shells", "said"),
    [
        ([], "needs at least one shell"),
        ([Shell("LONG", 550e3, 53.0, 100, 2, 0)], "'LONG001-01' is longer than 9 characters"),
        ([Shell("A", 550e3, 53.0, 1, 1, 0), Shell("A", 600e3, 53.0, 1, 1, 0)], "two satellites share a name"),
        ([Shell("A", 550e3, 53.0, 101, 1, 0), Shell("A1", 600e3, 53.0, 1, 1, 0)], "two satellites share a name"),
    ],
)
def test_names_that_would_not_serve_are_refused(shells: list[Shell], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        walker_catalogue(shells, START_NS, "built-in: test")


def normals(shell: Shell) -> np.ndarray:
    """Of each plane, the unit vector about which its satellites turn, from SGP4's position and velocity."""
    catalogue = walker_catalogue([shell], START_NS, "built-in: test")
    firsts = catalogue.satrecs[:: shell.per_plane]
    states = [satrec.sgp4(satrec.jdsatepoch, satrec.jdsatepochF)[1:] for satrec in firsts]
    turning = np.array([np.cross(position, velocity) for position, velocity in states])
    return turning / np.linalg.norm(turning, axis=1, keepdims=True)


def between_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1.0, 1.0)))


def test_across_the_seam_of_a_star_satellites_fly_against_each_other() -> None:
    star = normals(Shell("S", 1_200e3, 90.0, 12, 4, 6, spread_deg=180.0))
    assert between_deg(star[:-1], star[1:]) == pytest.approx(15.0, abs=0.2)  # neighbours side by side
    assert between_deg(star[0], -star[-1]) == pytest.approx(15.0, abs=0.2)  # first and last: next to, and opposite
    delta = normals(Shell("D", 1_200e3, 90.0, 12, 4, 6))
    assert between_deg(delta, np.roll(delta, -1, axis=0)) == pytest.approx(30.0, abs=0.2)  # no seam
    assert between_deg(delta[0], -delta[6]) == pytest.approx(0.0, abs=0.2)  # each plane twice, once in each sense


def uncovered(shell: Shell, mask_deg: float) -> float:
    """Share of the Earth's (spherical) surface and of two hours in which no satellite is `mask_deg` high."""
    times = START_NS + np.arange(0, 7_200, 240) * S
    catalogue = walker_catalogue([shell], START_NS, "built-in: test")
    position_m = Ephemeris(catalogue, START_NS, 7_200 * S).position_m(times)
    radius_m = np.linalg.norm(position_m, axis=2)
    mask = np.radians(mask_deg)
    reach = np.arccos(WGS84_A_M / radius_m * np.cos(mask)) - mask  # of the footprint, as an angle at the centre
    latitude, longitude = np.radians(np.meshgrid(np.arange(-88, 89, 4.0), np.arange(0, 360, 4.0)))
    ground = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
    cosine = np.einsum("tsk,abk->tabs", position_m / radius_m[..., None], ground)
    seen = (cosine >= np.cos(reach)[:, None, None, :]).any(axis=3)
    return float(np.average(~seen, weights=np.broadcast_to(np.cos(latitude), seen.shape)))


def test_a_star_with_iridiums_numbers_covers_the_whole_earth_and_a_delta_does_not() -> None:
    # Iridium covers the Earth above 8.2°: 6 × 11 at 780 km and 86.4°, planes 31.6° apart (so 22° at the seam), half a
    # slot from plane to plane.
    iridium = {"name": "I", "altitude_m": 780e3, "inclination_deg": 86.4, "planes": 6, "per_plane": 11}
    star = Shell(**iridium, phasing=3, spread_deg=6 * 31.6)  # type: ignore[arg-type]
    assert uncovered(star, 8.2) < 0.001
    assert uncovered(star, 12.0) > 0.005  # and would see a gap
    assert uncovered(Shell(**iridium, phasing=0, spread_deg=6 * 31.6), 8.2) > 0.005  # type: ignore[arg-type]
    assert uncovered(Shell(**iridium, phasing=3), 8.2) > 0.05  # type: ignore[arg-type]
