"""The CZML of a plan: read back by czml3, and its positions against skyfield."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from czml3 import Document
from plan_data import S, dense, small_plan
from scipy.interpolate import BarycentricInterpolator
from skyfield.api import EarthSatellite, load, wgs84
from skyfield.framelib import itrs

import topologies.trace
from testbed.ground.errors import PlanError
from testbed.ground.units import parse_utc_ns
from testbed.plan.export import czml, merged, write_czml
from testbed.plan.replay import replay_plan

Packets = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("czml") / "plan.czml"
    write_czml(small_plan(), dense(), path)
    return path


@pytest.fixture(scope="module")
def packets(scene: Path) -> Packets:
    listed = json.loads(scene.read_text())
    assert len({packet["id"] for packet in listed}) == len(listed)
    return {packet["id"]: packet for packet in listed}


def intervals(packet: dict[str, Any]) -> list[tuple[int, int]]:
    """The packet's availability, within the plan, ns."""
    told = packet["availability"]
    pairs = [one.split("/") for one in ([told] if isinstance(told, str) else told)]
    return [(parse_utc_ns(a) - small_plan().start_ns, parse_utc_ns(b) - small_plan().start_ns) for a, b in pairs]


def test_czml3_reads_it_back(scene: Path) -> None:
    again = Document.load(scene)
    assert json.loads(again.model_dump_json(exclude_none=True)) == json.loads(scene.read_text())
    assert again.packets[0].id == "document"


def test_the_clock_is_the_plan(packets: Packets) -> None:
    clock = packets["document"]["clock"]
    assert clock["interval"] == "2026-06-14T06:00:00.000000000Z/2026-06-14T06:01:00.000000000Z"
    assert clock["currentTime"] == "2026-06-14T06:00:00.000000000Z"


def test_every_satellite_and_site_of_the_plan_is_there(packets: Packets) -> None:
    plan = small_plan()
    satellites = {node.name for node in plan.nodes if node.role == "satellite"}
    sites = {node.name for node in plan.nodes if node.role not in ("satellite", "host")}
    assert {name for name, packet in packets.items() if "path" in packet} == satellites
    assert {name for name, packet in packets.items() if "point" in packet} == satellites | sites


def test_links_show_exactly_while_they_serve(packets: Packets) -> None:
    plan = small_plan()
    wanted: dict[frozenset[str], list[tuple[int, int]]] = {}
    for path in plan.paths:
        ends = [*(step.time_ns for step in path[1:]), plan.duration_ns]
        for step, end_ns in zip(path, ends, strict=True):
            for hop in pairwise(step.nodes[1:-1]):
                wanted.setdefault(frozenset(hop), []).append((step.time_ns, end_ns))
    links = {name: packet for name, packet in packets.items() if "polyline" in packet}
    assert {frozenset(name.split("/")) for name in links} == set(wanted)
    probes = np.arange(S // 2, plan.duration_ns, S)
    for name, packet in links.items():
        shown = intervals(packet)
        assert all(0 <= begin < end <= plan.duration_ns for begin, end in shown)
        for instant in probes.tolist():
            asked = any(begin <= instant < end for begin, end in wanted[frozenset(name.split("/"))])
            assert asked == any(begin <= instant < end for begin, end in shown)
        ends = [reference.split("#") for reference in packet["polyline"]["positions"]["references"]]
        assert all(end in packets and what == "position" for end, what in ends)


def test_positions_are_skyfields_within_100_m(packets: Packets) -> None:
    """Sampled and in between, where a viewer interpolates by Lagrange's polynomial of the degree it is told."""
    timescale = load.timescale(builtin=True)
    numbers = {name: number for number, name in enumerate(dense().node_names)}
    orbiting = [packet for packet in packets.values() if "path" in packet]
    assert orbiting
    for packet in orbiting:
        position = packet["position"]
        assert (position["referenceFrame"], position["interpolationAlgorithm"]) == ("FIXED", "LAGRANGE")
        samples = np.array(position["cartesian"]).reshape(-1, 4)
        assert (samples[0, 0], samples[-1, 0]) == (0.0, 60.0)
        assert len(samples) > position["interpolationDegree"]
        between = BarycentricInterpolator(samples[:, 0], samples[:, 1:])
        seconds = np.array([0.0, 7.3, 31.0, 54.9, 60.0])
        satellite = EarthSatellite.from_satrec(dense().satrecs[numbers[packet["id"]]], timescale)
        times = timescale.utc(2026, 6, 14, 6, 0, seconds)
        wanted_m = satellite.at(times).frame_xyz(itrs).m.T
        assert np.linalg.norm(between(seconds) - wanted_m, axis=1).max() < 100.0


def test_sites_are_where_skyfield_has_them(packets: Packets) -> None:
    wanted_m = wgs84.latlon(45.318522, 9.187329).itrs_xyz.m
    np.testing.assert_allclose(packets["gw-milano"]["position"]["cartesian"], wanted_m, atol=0.02)


def test_the_same_plan_gives_the_same_bytes(scene: Path, tmp_path: Path) -> None:
    write_czml(small_plan(), dense(), tmp_path / "again.czml")
    assert (tmp_path / "again.czml").read_bytes() == scene.read_bytes()


def test_what_cannot_be_shown_or_written_is_refused(tmp_path: Path) -> None:
    few = dense().take(np.arange(3), ())
    with pytest.raises(PlanError, match="which the plan uses: give the plan's catalogue"):
        czml(small_plan(), few)
    replayed = replay_plan(topologies.trace.scenario(), small_plan().start_ns, S, S // 10, 0)
    with pytest.raises(PlanError, match="no satellite sat, which the plan uses"):
        czml(replayed, dense())
    with pytest.raises(PlanError, match=r"none/plan.czml: cannot be written \(No such file or directory\)"):
        write_czml(small_plan(), dense(), tmp_path / "none" / "plan.czml")


def test_intervals_are_merged() -> None:
    assert merged([]) == []
    assert merged([(5, 7), (0, 2), (2, 4), (6, 6), (1, 3)]) == [(0, 4), (5, 7)]
