"""The picture of a plan shows the plan: its lines, counts and marks, not its pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from plan_data import S, dense, italy, small_plan
from skyfield.api import EarthSatellite, load, wgs84

import topologies.trace
from testbed.cli.plan import command
from testbed.ground.errors import PlanError
from testbed.plan.build import build_plan
from testbed.plan.expected import path_delay_ns
from testbed.plan.replay import replay_plan
from testbed.report import atlas, canvas
from testbed.report.sky import Sky, Watch, in_view, picture, write_picture

PNG = b"\x89PNG\r\n\x1a\n"


@cache
def the_sky() -> Sky:
    scenario = italy()
    watches = [Watch(one.name, one.site, one.mask_deg) for one in (*scenario.terminals, *scenario.gateways)]
    return Sky(dense(), tuple(watches), scenario.minimum_altitude_m)


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with canvas.style():
        yield


@pytest.fixture(scope="module")
def svg(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sky") / "plan.svg"
    write_picture(small_plan(), the_sky(), path)
    return path.read_text()


def ids(svg: str, prefix: str) -> set[str]:
    return set(re.findall(rf'<g id="{prefix}-([^"]+)"', svg))


def texts(svg: str) -> list[str]:
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_every_pair_site_and_handover_is_named(svg: str) -> None:
    plan, said = small_plan(), texts(svg)
    for path in plan.paths:
        assert f"{path[0].nodes[0]} → {path[0].nodes[-1]}" in said
    for watch in the_sky().watches:
        assert f"{watch.name}, above 25°" in said
    handovers = [event for event in plan.events if event.kind == "handover"]
    assert ids(svg, "handover") == {str(event.time_ns) for event in handovers}
    for event in handovers:
        taken = event.detail["to"] if event.detail["to"] != event.detail["from"] else event.detail["gateway_to"]
        assert f"{event.node.removeprefix('ut-')} → {taken}" in said
    assert {"one-way delay, ms", "satellites in view", "time since the start, s"} <= set(said)


def test_a_mark_for_every_site_and_serving_satellite(svg: str) -> None:
    plan = small_plan()
    middle = plan.duration_ns // 2
    serving = {[step for step in path if step.time_ns <= middle][-1].nodes[2] for path in plan.paths[::2]}
    sites = {node.name for node in plan.nodes if node.role not in ("host", "satellite")}
    assert ids(svg, "mark") == serving | sites
    assert ids(svg, "panel") == {"delay", "view", "map"}


def test_the_delay_lines_are_the_plan() -> None:
    plan = small_plan()
    axes = picture(plan, the_sky(), 0).axes[0]
    for number, path in enumerate(plan.paths):
        line = next(one for one in axes.lines if one.get_gid() == f"delay-{number}")
        xy = np.asarray(line.get_xydata())
        times = np.rint(xy[:, 0] * 1e9).astype(np.int64)
        np.testing.assert_allclose(xy[:, 1], path_delay_ns(plan, path, times) / 1e6, atol=0.02, equal_nan=True)
        assert {step.time_ns for step in path} <= set(times.tolist())


def test_satellites_in_view_are_skyfields() -> None:
    times, counts = in_view(small_plan(), the_sky())
    assert (times[0], times[-1], len(times)) == (0, 60 * S, 61)
    timescale = load.timescale(builtin=True)
    for number in (0, 4):
        watch = the_sky().watches[number]
        site = wgs84.latlon(watch.site.latitude_deg, watch.site.longitude_deg)
        instants = timescale.utc(2026, 6, 14, 6, 0, [0.0, 30.0])
        above = np.zeros(2, int)
        sure = np.ones(2, bool)
        for satrec in dense().satrecs:
            elevation_deg = (EarthSatellite.from_satrec(satrec, timescale) - site).at(instants).altaz()[0].degrees
            above += elevation_deg >= watch.mask_deg
            sure &= np.abs(elevation_deg - watch.mask_deg) > 0.01  # one on the edge may go either way
        assert sure.any()
        assert counts[[0, 30], number][sure].tolist() == above[sure].tolist()


def test_the_map_has_satellites_where_skyfield_has_them() -> None:
    plan = small_plan()
    axes = picture(plan, the_sky(), 30 * S).axes[2]
    satellites = {node.name for node in plan.nodes if node.role == "satellite"}
    marks = {str(line.get_gid())[5:]: line.get_xydata()[0] for line in axes.lines if str(line.get_gid())[:5] == "mark-"}
    timescale = load.timescale(builtin=True)
    for name in satellites & marks.keys():
        satrec = dense().satrecs[dense().node_names.index(name)]
        below = wgs84.subpoint_of(
            EarthSatellite.from_satrec(satrec, timescale).at(timescale.utc(2026, 6, 14, 6, 0, 30))
        )
        assert marks[name] == pytest.approx((below.longitude.degrees, below.latitude.degrees), abs=0.001)
    assert satellites & marks.keys()


@pytest.mark.parametrize("at_s", [0, 13, 30, 45, 59])
def test_no_two_labels_of_the_map_overlap(at_s: int) -> None:
    figure = picture(small_plan(), the_sky(), at_s * S)
    axes = figure.axes[2]
    painter = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    labels = [text for text in axes.texts if str(text.get_gid()).startswith("label-")]
    boxes = [Text.get_window_extent(text, painter) for text in labels]
    assert len(boxes) >= 6
    for (one, box), (other, next_box) in combinations(zip(labels, boxes, strict=True), 2):
        assert not box.overlaps(next_box), f"{one.get_text()} on {other.get_text()}"
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_the_figure_is_1280_wide_and_nothing_leaves_it(tmp_path: Path) -> None:
    write_picture(small_plan(), the_sky(), tmp_path / "plan.png")
    data = (tmp_path / "plan.png").read_bytes()
    assert data[:8] == PNG
    assert int.from_bytes(data[16:20], "big") == 1280
    figure = picture(small_plan(), the_sky(), 0)
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    inked = figure.get_tightbbox(drawn.get_renderer())  # type: ignore[no-untyped-call]
    width, height = figure.get_size_inches()
    assert inked.x0 >= 0
    assert inked.y0 >= 0
    assert width / 2 < inked.x1 <= width
    assert height / 2 < inked.y1 <= height


def test_the_same_plan_gives_the_same_svg(svg: str, tmp_path: Path) -> None:
    write_picture(small_plan(), the_sky(), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == svg


def test_an_outage_is_a_break_in_the_line() -> None:
    plan = build_plan(italy(order="drop", outage_ms="2000"), dense(), small_plan().start_ns, 60 * S)
    axes = picture(plan, the_sky(), 0).axes[0]
    line = np.asarray(next(one for one in axes.lines if one.get_gid() == "delay-0").get_xydata())
    handover = next(event for event in plan.events if event.node == "ut-rome")
    during = (line[:, 0] > handover.time_ns / 1e9 + 0.1) & (line[:, 0] < handover.time_ns / 1e9 + 1.9)
    assert during.any()
    assert np.isnan(line[during, 1]).all()


def test_a_plan_without_orbits_shows_delay_and_loss(tmp_path: Path) -> None:
    plan = replay_plan(topologies.trace.scenario(), small_plan().start_ns, 30 * S, S // 10, 0)
    write_picture(plan, None, tmp_path / "trace.svg")
    svg = (tmp_path / "trace.svg").read_text()
    assert ids(svg, "panel") == {"delay", "loss"}
    assert {"planned loss, %", "user → dc", "dc → user"} <= set(texts(svg))
    assert any("SYNTHETIC" in text for text in texts(svg))


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    for path, at_ns, words in (
        (tmp_path / "plan.pdf", None, "a picture is .svg or .png"),
        (tmp_path / "plan.svg", 60 * S, "the map's instant, 60 s, is outside the plan's 60 s"),
        (tmp_path / "none" / "plan.svg", None, r"cannot be written \(No such file or directory\)"),
    ):
        with pytest.raises(PlanError, match=words):
            write_picture(small_plan(), the_sky(), path, at_ns)
    with pytest.raises(PlanError, match="it follows no pair of hosts"):
        write_picture(replace(small_plan(), paths=()), the_sky(), tmp_path / "plan.svg")


def _inside(rings: list[np.ndarray], longitude: float, latitude: float) -> bool:
    paths = [matplotlib.path.Path(ring) for ring in rings]
    return sum(path.contains_point((longitude, latitude)) for path in paths) % 2 == 1


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "land"),
    [
        ("Rome", 12.49, 41.90, True),
        ("Palermo, inland", 13.8, 37.6, True),
        ("Cyprus", 33.1, 34.95, True),
        ("Crete", 24.9, 35.2, True),
        ("Tyrrhenian", 12.0, 40.0, False),
        ("Ionian", 18.5, 37.0, False),
        ("Red Sea", 38.5, 20.0, False),
        ("Gulf of Aden", 47.0, 12.5, False),
        ("Madrid", -3.62, 40.43, True),
        ("Nairobi", 36.75, -1.35, True),
    ],
)
def test_the_coastline_knows_land_from_sea(place: str, longitude: float, latitude: float, land: bool) -> None:
    assert _inside(atlas.coast(-10, 60, -4, 60), longitude, latitude) is land


def test_beyond_the_region_the_whole_world_is_there() -> None:
    world = atlas.coast(-180, 180, -60, 80)
    assert _inside(world, -100.0, 40.0)  # Kansas
    assert _inside(world, 134.0, -25.0)  # Australia
    assert not _inside(world, -30.0, 0.0)  # the Atlantic


def test_the_command_draws_and_writes_the_scene(tmp_path: Path) -> None:
    options = ["starlink-italy", "--start", "2026-06-14T06:00:00Z", "--duration", "15"]
    files = ["--plot", str(tmp_path / "a.svg"), "--at", "5", "--czml", str(tmp_path / "a.czml")]
    done = CliRunner().invoke(command, [*options, *files], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"picture: {tmp_path / 'a.svg'}" in done.stdout
    assert "5 s after the start" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.czml").stat().st_size > 1_000


def figure_size(figure: Figure) -> tuple[float, float]:
    return tuple(figure.get_size_inches() * canvas.SVG_DPI)


def test_room_grows_with_what_is_listed() -> None:
    sky = the_sky()
    many = replace(
        sky, watches=tuple(replace(watch, name=f"{watch.name}{n}") for n in range(3) for watch in sky.watches)
    )
    assert figure_size(picture(small_plan(), many, 0))[1] > figure_size(picture(small_plan(), sky, 0))[1]
