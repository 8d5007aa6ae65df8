"""The figures show the plan and the samples, nothing else, and are the same SVG each time."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from run_fixture import DURATION_NS, MS, Files, S, make_attacked_files, make_files

from testbed.plan.model import Event
from testbed.report import canvas, plots
from testbed.report.evidence import Evidence, read_evidence

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def files() -> Files:
    return make_files()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Axes]:
    """The axes of each figure made, by its name."""
    seen: dict[str, Axes] = {}
    to_svg = canvas.to_svg

    def keep(axes: Axes, name: str, title: str) -> str:
        seen[name] = axes
        return to_svg(axes, name, title)

    monkeypatch.setattr(canvas, "to_svg", keep)
    return seen


def evidence_of(files: Files, folder: Path) -> Evidence:
    return read_evidence(files.write(folder))


def line(axes: Axes, label: str) -> np.ndarray:
    return next(np.asarray(one.get_xydata()) for one in axes.lines if str(one.get_label()).startswith(label))


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def all_plots(evidence: Evidence) -> list[plots.Plot]:
    fidelity = [plots.error_plot(evidence), plots.tick_plot(evidence)]
    return [*plots.delay_plots(evidence), *(plot for plot in fidelity if plot), *plots.flow_plots(evidence)]


def test_the_planned_line_is_the_plan(files: Files, tmp_path: Path, drawn: dict[str, Axes]) -> None:
    plots.delay_plots(evidence_of(files, tmp_path))
    planned = line(drawn["path-0"], "planned")
    # By hand, from the fixture's formula: user 9.4 - 1.9 sin p, feeder 2.6 - 0.7 sin p, fibre 0.9 ms; p is the second
    # times pi / 60, plus 1.1 for NORAD45123, which serves ut-rome from 12 s to 27 s.
    for second, offset in ((0, 0.0), (11, 0.0), (12, 1.1), (26, 1.1), (30, 0.0)):
        row = np.flatnonzero(planned[:, 0] <= second + 0.5)[-1]
        assert planned[row, 1] == pytest.approx(12.9 - 2.6 * np.sin(second / 60 * np.pi + offset), abs=1e-5)


def test_the_dots_are_the_probes(files: Files, tmp_path: Path, drawn: dict[str, Axes]) -> None:
    plots.delay_plots(evidence_of(files, tmp_path))
    probes = files.samples[files.samples["path"] & (files.samples["index"] == 1)]
    steady = probes[~probes["transition"]]
    np.testing.assert_allclose(
        line(drawn["path-1"], "measured"), np.c_[steady["tx_ns"] / 1e9, steady["delay_ns"] / 1e6]
    )
    late = probes[probes["transition"] & (probes["delay_ns"] >= 0)]
    assert len(line(drawn["path-1"], "in a handover")) == len(late) == 2
    assert len(line(drawn["path-1"], "lost × 2")) == 2


def test_both_directions_have_one_scale(files: Files, tmp_path: Path, drawn: dict[str, Axes]) -> None:
    probes = files.samples
    probes["delay_ns"][probes["path"] & (probes["index"] == 0) & (probes["delay_ns"] >= 0)] += 20 * MS
    plots.delay_plots(evidence_of(files, tmp_path))
    heights = {name: float(np.ptp(axes.get_ylim())) for name, axes in drawn.items()}
    assert heights["path-0"] == pytest.approx(heights["path-1"])
    assert heights["path-0"] > 20 > heights["path-2"] == pytest.approx(heights["path-3"])
    for name, axes in drawn.items():
        low, high = axes.get_ylim()
        assert np.all((line(axes, "measured")[:, 1] > low) & (line(axes, "measured")[:, 1] < high)), name


def test_handovers_are_lines_with_the_satellite_taken(files: Files, tmp_path: Path) -> None:
    to_rome = plots.delay_plots(evidence_of(files, tmp_path))[0]
    labels = [text for text in texts(to_rome.svg) if "→" in text]
    assert labels == ["→45123", "→44714", "→45123", "→44714"]


def test_a_handover_between_gateways_names_the_gateway(files: Files, tmp_path: Path) -> None:
    detail = {"from": "NORAD44714", "to": "NORAD44714", "gateway_from": "gw-milano", "gateway_to": "gw-foggia"}
    files.change_plan(events=(Event(20 * S, "handover", "ut-rome", "slot", 50 * MS, detail),))
    assert "→gw-foggia" in texts(plots.delay_plots(evidence_of(files, tmp_path))[0].svg)


def many_handovers(files: Files, every_s: int) -> None:
    detail = {"from": "NORAD44714", "to": "NORAD45123"}
    times = range(every_s, DURATION_NS // S, every_s)
    files.change_plan(events=tuple(Event(time * S, "handover", "ut-rome", "slot", MS, detail) for time in times))


@pytest.mark.parametrize(("every_s", "labels", "upright"), [(15, 3, False), (5, 11, True), (1, 0, False)])
def test_labels_of_handovers_turn_upright_and_vanish_as_they_crowd(
    files: Files, tmp_path: Path, drawn: dict[str, Axes], every_s: int, labels: int, upright: bool
) -> None:
    many_handovers(files, every_s)
    plots.delay_plots(evidence_of(files, tmp_path))
    notes = [note for note in drawn["path-0"].texts if "→" in note.get_text()]
    assert len(notes) == labels
    assert all((note.get_rotation() == 90) == upright for note in notes)


def test_labels_of_handovers_do_not_touch_and_stay_on_the_figure(
    files: Files, tmp_path: Path, drawn: dict[str, Axes]
) -> None:
    plots.delay_plots(evidence_of(files, tmp_path))
    boxes = [note.get_window_extent() for note in drawn["path-2"].texts]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[-1].x1 <= canvas.WIDTH_PX


def test_other_planned_disturbances_are_shaded(files: Files, tmp_path: Path, drawn: dict[str, Axes]) -> None:
    outage = Event(20 * S, "outage", "ut-rome", "no satellite in view", 5 * S)
    files.change_plan(events=(outage,))
    plots.delay_plots(evidence_of(files, tmp_path))
    (band,) = drawn["path-0"].patches
    assert (band.get_x(), band.get_width()) == (20.0, 5.0)
    assert not drawn["path-2"].patches


def test_the_error_curves_are_the_distribution_of_the_errors(
    files: Files, tmp_path: Path, drawn: dict[str, Axes]
) -> None:
    plot = plots.error_plot(evidence_of(files, tmp_path))
    links = files.samples[~files.samples["path"]]
    kinds = np.array([link.kind for link in files.plan.links])[links["index"]]
    for kind in ("user", "feeder", "fibre"):
        error_us = np.abs(links["delay_ns"] - links["planned_ns"])[kinds == kind] / 1e3
        for value, share in line(drawn["error"], kind)[::40]:
            assert np.mean(error_us <= value) * 100 == pytest.approx(share, abs=1.0)
    np.testing.assert_array_equal(line(drawn["error"], "budget"), [[150, 50], [300, 90]])
    assert "half of the probes off by less than 150 µs, nine in ten by less than 300 µs" in plot.caption


def test_ticks_are_drawn_with_their_lateness(files: Files, tmp_path: Path, drawn: dict[str, Axes]) -> None:
    plots.tick_plot(evidence_of(files, tmp_path))
    assert line(drawn["ticks"], "tick").max() == pytest.approx(59.9)
    assert line(drawn["ticks"], "tick")[:, 1].max() == 12.5


def test_a_flow_shows_its_losses_and_its_receivers_alarms(tmp_path: Path, drawn: dict[str, Axes]) -> None:
    voice, web = plots.flow_plots(evidence_of(make_attacked_files(), tmp_path))
    assert len(line(drawn["flow-0"], "lost × 12")) == 12
    assert len(line(drawn["flow-0"], "FORGED × 12")) == 12
    assert "FORGED × 12" in texts(voice.svg)
    assert "Marks at the top are alarms at dc-rome, whatever flow they concern." in voice.caption
    assert "Marks at the top" not in web.caption


def test_an_alarm_without_a_stamp_is_not_drawn(tmp_path: Path, drawn: dict[str, Axes]) -> None:
    files = make_attacked_files()
    files.flows["alarms"][0]["time_ns"] = -1
    plots.flow_plots(evidence_of(files, tmp_path))
    assert len(line(drawn["flow-0"], "FORGED × 11")) == 11


def test_what_was_not_measured_is_not_drawn(files: Files, tmp_path: Path) -> None:
    files.audit = files.flows = files.samples = files.ticks = files.packets = None
    assert all_plots(evidence_of(files, tmp_path)) == []


def test_probes_without_an_audit_are_drawn(files: Files, tmp_path: Path) -> None:
    files.audit = None
    evidence = evidence_of(files, tmp_path)
    assert len(plots.delay_plots(evidence)) == 4
    assert plots.error_plot(evidence) is None


def test_a_run_that_lost_every_probe_can_be_drawn(files: Files, tmp_path: Path) -> None:
    files.samples["delay_ns"] = -1
    files.packets["delay_ns"], files.packets["verdict"] = -1, 255
    drawn = all_plots(evidence_of(files, tmp_path))
    assert [plot.title for plot in drawn][:1] == ["rome → dc-rome"]
    assert "lost × 600" in texts(drawn[0].svg)


def test_the_svg_is_the_same_each_time(files: Files, tmp_path: Path) -> None:
    evidence = evidence_of(files, tmp_path)
    assert all_plots(evidence) == all_plots(evidence)


def test_the_svg_has_no_date_keeps_text_and_takes_its_look_from_the_page(files: Files, tmp_path: Path) -> None:
    for plot in all_plots(evidence_of(files, tmp_path)):
        root = ElementTree.fromstring(plot.svg)
        assert root.attrib["viewBox"] == f"0 0 {canvas.WIDTH_PX} {canvas.HEIGHT_PX}"
        assert root.attrib["aria-label"]
        assert "time since the start, s" in texts(plot.svg) or "delay error, µs" in texts(plot.svg)
        assert not re.search(r"<metadata|<style|<script|20\d\d-\d\d-\d\d|DejaVu", plot.svg)
        colours = set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", plot.svg))
        assert not colours, "a colour that does not follow the page"
        assert plot.title
        assert plot.caption.endswith(".")


def test_a_title_cannot_break_out_of_the_svg() -> None:
    with canvas.style():
        svg = canvas.to_svg(canvas.new_axes(), "x", 'a "b" <c>')
    assert ElementTree.fromstring(svg).attrib["aria-label"] == 'a "b" <c>'


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**9), max_size=3000))
def test_thinning_keeps_order_and_extremes(weights: list[int]) -> None:
    weight = np.array(weights, dtype=np.int64)
    kept = plots._thin(weight)
    assert len(kept) <= min(plots.MAX_DOTS, len(weight))
    assert np.all(np.diff(kept) > 0)
    if len(weight):
        assert weight[kept].max() == weight.max()
        assert (kept[0], kept[-1]) == (0, len(weight) - 1)


def test_the_caption_says_what_to_see(files: Files, tmp_path: Path) -> None:
    evidence = evidence_of(files, tmp_path)
    assert plots.delay_plots(evidence)[0].caption == (
        "One-way delay from rome to dc-rome. The dots (probes) should lie on the line (the plan), half of them within "
        "0.36 ms, and step with it at each handover, the vertical lines."
    )
    assert "half of them" not in plots.delay_plots(replace(evidence, audit=None))[0].caption


def test_a_thinned_plot_says_so(files: Files, tmp_path: Path) -> None:
    evidence = evidence_of(files, tmp_path)
    few = replace(evidence, samples=evidence.samples[::3])
    assert "Drawn" not in plots.delay_plots(few)[0].caption
    voice = plots.flow_plots(evidence)[0]
    assert re.search(r" Drawn: 5\d\d of 2,988 packets, the most extreme always among them\.$", voice.caption)


def contrast(colour: str, ground: str) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.1, section 1.4.3 and its definition of relative luminance)."""

    def luminance(text: str) -> float:
        parts: Any = np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_the_guidelines_say() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WebAIM's checker


def test_text_and_marks_stand_out_in_light_and_dark() -> None:
    css = (Path(plots.__file__).parent / "style.html.j2").read_text()
    light, dark = re.findall(r":root \{.*?\}", css, flags=re.DOTALL)[:2]
    for theme in (light, dark):
        colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", theme))
        for name in ("ink", "muted", "pass", "fail", "invalid"):  # text: level AA
            assert contrast(colour[name], colour["paper"]) >= 4.5, name
        for name in ("pass", "fail", "invalid"):
            assert contrast(colour[name], colour[f"{name}-wash"]) >= 4.5, name
        for name in ("blue", "vermillion", "green", "purple"):  # graphics: 1.4.11
            assert contrast(colour[name], colour["paper"]) >= 3, name
