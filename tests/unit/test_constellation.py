"""testbed.plan.constellation: from elements to paths, held against SGP4 and scipy; the laws that must hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from orbit_data import START_NS, S, starlink

from testbed.bench import skies
from testbed.ground.errors import PlanError, RunError
from testbed.orbits.lasers import Lasers
from testbed.orbits.presets import IRIS2
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.sites import Site
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.constellation import Constellation
from testbed.plan.relax import DOWN_NS
from testbed.plan.shortest import Paths
from testbed.plan.steady import Hysteresis

DENSE = Shell("A", 550e3, 53.0, planes=24, per_plane=22, phasing=13)


def world(shell: Shell = DENSE, duration_s: int = 700) -> Constellation:
    return skies.world(walker_catalogue([shell], START_NS, "built-in: test"), START_NS, duration_s * S)


def same(a: Paths, b: Paths) -> bool:
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes()
        for name in ("pairs", "delay_ns", "step", "pair", "begin", "satellites")
    )


def test_the_shell_against_sgp4_and_scipy() -> None:
    one = world(duration_s=350)
    told = skies.verify(one, one.paths(START_NS, 350 * S), START_NS, [0, 1, 299, 300, 349], S)
    assert told.worst_ns <= skies.DELAY_NS
    assert told.worst_m < 0.01


def test_the_real_constellation_against_sgp4_and_scipy() -> None:
    one = skies.world(starlink(), START_NS, 20 * S)
    told = skies.verify(one, one.paths(START_NS, 20 * S), START_NS, [0, 19], S)
    assert told.worst_ns <= skies.DELAY_NS
    assert told.worst_m < 0.01


def test_the_verification_finds_what_is_wrong() -> None:
    one = world(duration_s=5)
    paths = one.paths(START_NS, 5 * S)
    paths.delay_ns[3, 7] += 3
    with pytest.raises(RunError, match="a delay is 3 ns from"):
        skies.verify(one, paths, START_NS, [3], S)
    paths.delay_ns[3, 7] = -1
    with pytest.raises(RunError, match="only one has a path"):
        skies.verify(one, paths, START_NS, [3], S)


def test_any_number_of_threads_gives_the_same_bytes() -> None:
    one = world()
    alone = one.paths(START_NS, 700 * S, 5 * S, threads=1)
    assert same(alone, one.paths(START_NS, 700 * S, 5 * S, threads=3))
    assert same(alone, world().paths(START_NS, 700 * S, 5 * S))
    steady = Hysteresis(1_000_000)
    assert same(
        one.paths(START_NS, 700 * S, 5 * S, hysteresis=steady, threads=1),
        one.paths(START_NS, 700 * S, 5 * S, hysteresis=steady, threads=3),
    )


def test_a_paths_delay_is_the_sum_of_its_parts_exactly() -> None:
    one = world(duration_s=320)
    paths = one.paths(START_NS, 320 * S, 20 * S, hysteresis=Hysteresis(500_000))
    step = 0
    for piece in one.pieces(START_NS, 320 * S, 20 * S):
        links = {tuple(pair): number for number, pair in enumerate(piece.graph.pairs.tolist())}
        for t in range(len(piece.time_ns)):
            for number, ends in enumerate(paths.pairs.tolist()):
                way = paths.path(step, number)
                total = sum(int(piece.delay_ns[t, links[min(hop), max(hop)]]) for hop in pairwise(way))
                for site, satellite in zip(ends, (way[0], way[-1]), strict=True):
                    low, high = piece.ground.first[t, site : site + 2]
                    row = low + piece.ground.satellite[low:high].tolist().index(satellite)
                    total += int(piece.ground.delay_ns[row])
                assert total == paths.delay_ns[step, number]
            step += 1
    assert step == 16


def test_fewer_changes_with_hysteresis_and_no_more_delay_than_its_margin() -> None:
    one = world()
    best = one.paths(START_NS, 700 * S, S)
    kept = one.paths(START_NS, 700 * S, S, hysteresis=Hysteresis(2_000_000))
    more_ns = kept.delay_ns - best.delay_ns
    assert len(kept.step) < len(best.step)
    assert 0 < more_ns.max() <= 2_000_000
    assert more_ns.min() == 0


def test_turning_everything_about_the_axis_changes_no_delay() -> None:
    """Elements and sites by the same angle: the same triangles (the Earth's shape in SGP4 is round about the axis)."""

    def turned(by_deg: float) -> Paths:
        shell = Shell("A", 550e3, 53.0, 24, 22, 13, raan0_deg=by_deg)
        catalogue = walker_catalogue([shell], START_NS, "built-in: test")
        sites = [
            Site(site.name, site.latitude_deg, (site.longitude_deg + by_deg + 180.0) % 360.0 - 180.0)
            for site in skies.WORLD
        ]
        ephemeris = Ephemeris(catalogue, START_NS, 60 * S)
        return Constellation(catalogue, ephemeris, sites, [25.0] * len(sites)).paths(START_NS, 60 * S)

    before, after = turned(0.0), turned(77.7)
    assert (before.delay_ns > 0).all()
    assert np.abs(before.delay_ns - after.delay_ns).max() <= 2  # roundings of the parts


@pytest.mark.parametrize(("planes", "per_plane"), [(1, 1), (1, 3), (1, 12), (2, 1), (2, 2), (2, 12), (3, 3)])
def test_small_and_odd_shells(planes: int, per_plane: int) -> None:
    """High enough that neighbours see each other and the sites some of them."""
    one = world(Shell("A", 15_000e3, 53.0, planes, per_plane, 0), 60)
    paths = one.paths(START_NS, 60 * S, 10 * S)
    skies.verify(one, paths, START_NS, [0, 3, 5], 10 * S)
    assert paths.delay_ns.shape == (6, 45)
    assert (paths.delay_ns > 0).any()


def test_links_across_orbits_are_chosen_anew_every_five_minutes() -> None:
    catalogue = walker_catalogue(IRIS2, START_NS, "built-in: test")
    ephemeris = Ephemeris(catalogue, START_NS, 900 * S)
    one = Constellation(catalogue, ephemeris, skies.WORLD, [25.0] * 10, Lasers(terminals=5, relay=True))
    pieces = list(one.pieces(START_NS, 900 * S, 2 * S))
    assert [len(piece.time_ns) for piece in pieces] == [150, 150, 150]
    assert len({piece.graph.pairs.tobytes() for piece in pieces}) == 3
    for piece in pieces:
        assert np.bincount(piece.graph.pairs.ravel()).max() <= 5
    fast = Constellation(catalogue, ephemeris, skies.WORLD, [25.0] * 10, Lasers(terminals=5))
    assert len({piece.graph.pairs.tobytes() for piece in fast.pieces(START_NS, 900 * S, 2 * S)}) == 1
    paths = one.paths(START_NS, 900 * S, 30 * S, threads=2)
    assert same(paths, one.paths(START_NS, 900 * S, 30 * S, threads=1))
    without = fast.paths(START_NS, 900 * S, 30 * S)
    reached = without.delay_ns > 0
    assert (paths.delay_ns[reached] <= without.delay_ns[reached]).all()  # more links never lengthen a path


def test_short_steps_keep_their_instants_and_pieces_their_size() -> None:
    one = world(duration_s=10)
    pieces = list(one.pieces(START_NS, 7 * S + 1, 10_000_000))
    times = np.concatenate([piece.time_ns for piece in pieces])
    assert np.array_equal(times, START_NS + np.arange(701) * 10_000_000)
    assert max(len(piece.time_ns) for piece in pieces) == 300
    assert all((piece.delay_ns[piece.delay_ns < DOWN_NS] > 0).all() for piece in pieces)


def test_what_cannot_be_asked() -> None:
    one = world(duration_s=10)
    for duration, step in ((0, S), (S, 0), (S, -S)):
        with pytest.raises(PlanError, match="give positive ones"):
            one.paths(START_NS, duration, step)
    with pytest.raises(PlanError, match="not among the 10"):
        one.paths(START_NS, S, S, np.array([[0, 10]]))
    with pytest.raises(PlanError, match="outside its window"):
        one.paths(START_NS, 20 * S)
