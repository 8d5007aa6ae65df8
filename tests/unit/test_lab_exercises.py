"""Grading of the lab book: for every lab a right hand-in, and one in which each single item is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from run_fixture import Files, make_attacked_files, make_files

from testbed.cli.lab import command
from testbed.ground.errors import InputError, RunError
from testbed.lab.exercises import grading, submission
from testbed.lab.exercises.book import BOOK
from testbed.lab.exercises.rules import round_trip_ms
from testbed.lab.exercises.students import seed_of
from testbed.lab.exercises.submission import Answers, Submission
from testbed.plan.model import from_json, to_json
from testbed.plan.store import write_parquet

STUDENT = "Anna"
INSTALLED = frozenset({"starlink-italy"})


@dataclass
class Case:
    """What is handed in, to be bent before it is written. `shown`: entries of the report that replace what it has."""

    files: Files
    answers: dict[str, Any]
    shown: dict[str, Any]
    cells: dict[str, dict[str, Any]]
    pcap: bool = True
    exposure: bool = True


def renamed(files: Files, names: Mapping[str, str]) -> Files:
    """The same run between other hosts."""

    def other(document: Any) -> Any:
        text = json.dumps(document)
        for old, new in names.items():
            text = text.replace(old, new)
        return json.loads(text)

    files.plan = from_json(other(to_json(files.plan)), files.plan.steps)
    files.flows, files.audit = other(files.flows), other(files.audit)
    return files


def first(number: int) -> Case:
    files = make_files()
    files.change_plan(manifest=files.plan.manifest | {"seed": seed_of(STUDENT), "parameters": {"order": "drop"}})
    assert files.flows is not None
    for flow, name in zip(files.flows["flows"], ("voice-rome-up", "web-milano"), strict=True):
        flow["name"] = name
    trip_ms = round_trip_ms(files.plan, "rome", "dc-rome")
    seen = {"satellites_used": 2.0, "handovers": 8.0, "round_trip_ms": trip_ms}
    link = files.plan.steps[0]
    light_ms = float(link["range_m"]) / 299_792.458
    read = {
        "satellite": "NORAD44714",
        "gateway": "gw-milano",
        "range_km": float(link["range_m"]) / 1e3,
        "light_ms": light_ms,
        "added_ms": int(link["delay_ns"]) / 1e6 - light_ms,
        "handover_s": 12.0,
    }
    lost = float(files.flows["flows"][0]["lost"])
    watched = {"terminal": "ut-rome", "handover_s": 27.0, "to": "NORAD44714", "lost": lost, "silence_ms": 80.0}
    return Case(files, {1: seen, 2: read, 3: watched}[number], {}, {})


def attacked() -> Case:
    files = make_attacked_files()
    files.change_plan(
        manifest=files.plan.manifest | {"seed": seed_of(STUDENT)}, traffic={"adversary": "bitflip"}, warnings=()
    )
    assert files.flows is not None
    files.flows["unattributed"] = {}
    return Case(files, {"verdict_name": "forged", "satellite_reads": "metadata"}, {}, {})


def earthquake() -> Case:
    files = renamed(make_files(), {"dc-rome": "alarm", "rome": "amatrice"})
    parameters = {"judged": True, "sharing": 8}
    files.change_plan(topology="direct-to-cell", manifest={"seed": seed_of(STUDENT), "parameters": parameters})
    trip_ms = round_trip_ms(files.plan, "amatrice", "alarm")
    alert = {"kind": "alert", "dst": "amatrice", "deadlines": {"share": 1.0}}
    answers = {"round_trip_ms": trip_ms, "up_kbps": 41_000.0, "up_kbps_of_80": 4_100.0}
    return Case(files, answers, {"flows": [alert]}, {})


def frigate() -> Case:
    files = renamed(make_files(), {"dc-rome": "hq-rome", "ut-rome": "ut-frigate-e", '"rome"': '"frigate-e"'})
    steps = files.plan.steps.copy()
    steps["loss"][10:20] = 0.8  # of the first link, the frigate's up
    files.change_plan(topology="mediterranean", steps=steps, manifest={"seed": seed_of(STUDENT)})
    trip_ms = round_trip_ms(files.plan, "frigate-e", "hq-rome")
    answers = {"lasers": 0.0, "gateway": "gw-milano", "loss_percent": 80.0, "round_trip_ms": trip_ms}
    return Case(files, answers | {"suffered": "voice-rome"}, {}, {})


def compared() -> Case:
    def cell(planned_ms: float, law: str, off: str) -> dict[str, Any]:
        facts = {"jurisdiction": law, "off": off}
        trips = [{"a": "rome", "b": "dc-rome", "planned_ms": planned_ms, "measured_ms": None}]
        return {"ended": "complete", "verdict": "pass", "round_trips": trips, "sovereignty": facts}

    cells = {
        "starlink-italy": cell(34.0, "United States", "SpaceX"),
        "iris2": cell(40.0, "European Union, by contract", "the European Union and the operator"),
        "terrestrial": cell(5.0, "Italy", "the carrier"),
    }
    answers = {"quickest": "terrestrial", "iris2_over_fibre": 8.0, "by_us_law": "starlink-italy"}
    return Case(make_files(), answers | {"switched_off_by_eu": "iris2"}, {}, cells)


def own() -> Case:
    files = make_files()
    manifest = {
        "seed": seed_of(STUDENT),
        "parameters": {"mask_deg": 25},
        "sovereignty": {"operator": "SpaceX"},
    }
    files.change_plan(topology="cagliari", manifest=manifest, assumptions=("one", "two", "three"))
    return Case(files, {}, {}, {})


RIGHT: dict[int, Callable[[], Case]] = {
    1: lambda: first(1),
    2: lambda: first(2),
    3: lambda: first(3),
    4: attacked,
    5: earthquake,
    6: frigate,
    7: compared,
    8: own,
}


def manifest(case: Case, **changes: Any) -> None:
    case.files.change_plan(manifest=case.files.plan.manifest | changes)


def fail_the_run(case: Case) -> None:
    assert case.files.audit is not None
    held = {"a": "ut-rome", "b": "NORAD44714", "field": "delay_ns", "planned": 4_000_000, "held": 5_000_000}
    case.files.audit["readback"]["mismatches"] = [held | {"time_ns": 12_000_000_000}]


def unjam(case: Case) -> None:
    steps = case.files.plan.steps.copy()
    steps["loss"] = 0.0
    case.files.change_plan(steps=steps)


BENT: dict[str, Callable[[Case], object]] = {
    "topology": lambda case: case.files.change_plan(topology="trace"),
    "seed": lambda case: manifest(case, seed=1),
    "duration": lambda case: case.files.change_plan(duration_ns=9_000_000_000),
    "verdict": fail_the_run,
    "order": lambda case: manifest(case, parameters={"order": "hold"}),
    "capture": lambda case: setattr(case, "pcap", False),
    "attacker": lambda case: setattr(case.files, "acts", case.files.acts[:4]),  # type: ignore[index]
    "caught": lambda case: case.files.flows.update(unattributed={"dc-rome": {"UNKNOWN_SPI": 2}}),  # type: ignore[union-attr]
    "judged": lambda case: manifest(case, parameters={"judged": False, "sharing": 8}),
    "alerts": lambda case: case.shown["flows"][0].update(deadlines={"share": 0.9}),
    "jamming": unjam,
    "systems": lambda case: case.cells.pop("iris2"),
    "verdicts": lambda case: case.cells["iris2"].update(verdict="fail"),
    "own": lambda case: case.files.change_plan(topology="starlink-italy"),
    "site": lambda case: renamed(case.files, {"milano": "taranto"}),
    "parameters": lambda case: manifest(case, parameters={}),
    "assumptions": lambda case: case.files.change_plan(assumptions=("one",)),
    "sovereignty": lambda case: manifest(case, sovereignty=None),
}
"""How each item that asks for no answer goes wrong."""

ITEMS = [(lab.number, rule.name) for lab in BOOK for rule in lab.rules]


def write(case: Case, lab: grading.Lab, folder: Path) -> Path:
    """The hand-in as files."""
    if lab.kind == "campaign":
        (folder / "cells").mkdir()
        rows = [{"name": f"{name}-s0", "system": name, "trial": "quiet"} for name in case.cells]
        (folder / "campaign.json").write_text(json.dumps({"schema": 1, "cells": rows}))
        for name, cell in case.cells.items():
            (folder / "cells" / f"{name}-s0.json").write_text(json.dumps(cell))
        return folder
    if lab.kind == "plan":
        write_parquet(case.files.plan, folder / "plan.parquet")
        return folder / "plan.parquet"
    case.files.write(folder)
    if case.pcap:
        (folder / "pcap").mkdir()
        (folder / "pcap" / "dc-rome.pcap").write_bytes(bytes(100))
    if lab.number == 4:
        flows = [{"flow": "voice-rome", "level": "metadata", "packets": 9}]
        node = {"node": "NORAD44714", "operated_by": "space", "flows": flows}
        document = {"encryption": "overlay", "nodes": [node], "unseen": [], "lost": {}}
        case.shown |= {"exposure": document}
    return folder


def read(case: Case, lab: grading.Lab, folder: Path) -> Submission:
    handed = submission.read(lab.kind, str(write(case, lab, folder)), STUDENT, Answers("", case.answers), INSTALLED)
    return replace(handed, report={**handed.report, **case.shown}) if case.shown else handed


def sheet(case: Case, number: int, folder: Path) -> dict[str, Any]:
    lab = grading.find(number, BOOK)
    found = grading.grade(lab, read(case, lab, folder))
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.mark.parametrize("number", list(RIGHT))
def test_what_is_right_gets_all_points(number: int, tmp_path: Path) -> None:
    found = sheet(RIGHT[number](), number, tmp_path)
    assert [item for item in found["items"] if item["points"] < item["of"]] == []
    assert (found["score"], found["of"], found["again"]) == (10, 10, None)
    assert found["schema"] == 1
    assert found["student"] == "anna"
    assert grading.exit_code(found) == 0


@pytest.mark.parametrize(("number", "name"), ITEMS)
def test_each_item_can_be_wrong(number: int, name: str, tmp_path: Path) -> None:
    case = RIGHT[number]()
    if name in grading.find(number, BOOK).questions:
        right = copy.copy(case.answers[name])
        case.answers[name] = right + 100.0 if isinstance(right, float) else "nobody"
    else:
        BENT[name](case)
    found = sheet(case, number, tmp_path)
    item = next(one for one in found["items"] if one["name"] == name)
    assert item["points"] == 0
    assert item["judged"]
    assert item["detail"]
    assert grading.exit_code(found) == 1


@pytest.mark.parametrize("number", [lab.number for lab in BOOK if lab.questions])
def test_an_answer_that_is_not_given_gets_no_points(number: int, tmp_path: Path) -> None:
    case = RIGHT[number]()
    case.answers = {}
    found = sheet(case, number, tmp_path)
    questions = grading.find(number, BOOK).questions
    assert {one["name"]: one["detail"] for one in found["items"] if one["name"] in questions} == dict.fromkeys(
        questions, "no answer"
    )
    assert grading.exit_code(found) == 1


@pytest.mark.parametrize("number", [1, 3, 8])
def test_a_busy_machine_is_no_mistake(number: int, tmp_path: Path) -> None:
    case = RIGHT[number]()
    assert case.files.audit is not None
    case.files.audit |= {"valid": False, "invalid_reasons": ["the machine was starved of CPU"]}
    found = sheet(case, number, tmp_path)
    unjudged = {item["name"] for item in found["items"] if not item["judged"]}
    assert unjudged == {rule.name for rule in grading.find(number, BOOK).rules if rule.measured}
    assert all(item["points"] == item["of"] for item in found["items"] if item["judged"])
    assert found["again"] == "audit: the machine was starved of CPU"
    assert grading.exit_code(found) == 4


def test_an_invalid_run_of_a_comparison_is_no_mistake(tmp_path: Path) -> None:
    case = compared()
    case.cells["iris2"]["verdict"] = "invalid"
    found = sheet(case, 7, tmp_path)
    assert [item["name"] for item in found["items"] if not item["judged"]] == ["verdicts"]
    assert found["again"] == "invalid runs of iris2"
    assert grading.exit_code(found) == 4


def test_an_attack_counts_on_a_busy_machine_too(tmp_path: Path) -> None:
    case = attacked()
    assert case.files.audit is not None
    case.files.audit |= {"valid": False, "invalid_reasons": ["the machine was starved of CPU"]}
    assert grading.exit_code(sheet(case, 4, tmp_path)) == 0


def test_an_attacker_who_had_no_time_is_no_mistake(tmp_path: Path) -> None:
    case = first(1)
    assert case.files.audit is not None
    case.files.audit |= {"valid": False, "invalid_reasons": ["the machine was starved of CPU"]}
    case.files.change_plan(traffic={"adversary": "bitflip"})
    case.answers = {"verdict_name": "FORGED", "satellite_reads": "metadata"}
    found = sheet(case, 4, tmp_path)
    unjudged = [item["name"] for item in found["items"] if not item["judged"]]
    assert unjudged == ["attacker", "caught", "verdict_name"]
    assert grading.exit_code(found) == 4


def test_an_attack_that_nobody_can_notice_is_refused(tmp_path: Path) -> None:
    case = attacked()
    case.files.change_plan(traffic={"adversary": "eavesdrop"})
    found = {item["name"]: item for item in sheet(case, 4, tmp_path)["items"]}
    assert found["attacker"]["detail"] == "adversary=eavesdrop: choose one that is to be noticed, like bitflip"


def test_a_seed_is_the_beginning_of_sha_256() -> None:
    """FIPS 180-2, B.1: the digest of 'abc' begins ba7816bf."""
    assert seed_of("abc") == 0xBA7816BF >> 1
    assert seed_of("  ABC ") == seed_of("abc")
    assert seed_of("Zoe\u0308") == seed_of("zo\u00eb")
    assert seed_of("anna") != seed_of("hanna")
    with pytest.raises(InputError, match="name is empty"):
        seed_of("  ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('student = "anna', "not TOML"),
        ("student = 3", 'write student = "NAME"'),
        ("lab1 = 3", 'write student = "NAME"'),
        ("[lab1]\nhandover = 2", r"\[lab1\]: unknown answer 'handover' \(did you mean 'handovers'\?\)"),
        ('[lab1]\nhandovers = "two"', "handovers = 'two' is not a number"),
        ("[lab1]\nhandovers = true", "handovers = True is not a number"),
    ],
)
def test_answers_that_cannot_be_read_are_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        submission.read_answers(tmp_path / "mine.toml", 1, BOOK[0].questions)


def test_what_is_not_handed_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = Answers()
    assert submission.read_answers(None, 1, {}) == nothing
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        submission.read_answers(Path("none.toml"), 1, {})
    with pytest.raises(InputError, match="whose is lab1"):
        submission.read("run", "lab1", None, nothing)
    with pytest.raises(InputError, match="not a run directory"):
        submission.read("run", "lab1", STUDENT, nothing)
    with pytest.raises(InputError, match=r"no finished campaign .*campaign\.json is missing"):
        submission.read("campaign", "lab7", STUDENT, nothing)
    with pytest.raises(InputError, match="cannot be read"):
        submission.read("plan", "lab2.parquet", STUDENT, nothing)
    with pytest.raises(InputError, match="lab 9: there is none"):
        grading.find(9, BOOK)
    files = make_files()
    files.run = None
    files.write(tmp_path)
    with pytest.raises(RunError, match="still going or was killed"):
        submission.read("run", str(tmp_path), STUDENT, nothing)


def test_the_command_grades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = first(1)
    (tmp_path / "lab1").mkdir()
    write(case, BOOK[0], tmp_path / "lab1")
    lines = [f"{key} = {value}" for key, value in case.answers.items()]
    (tmp_path / "answers.toml").write_text("\n".join(['student = "anna"', "[lab1]", *lines]))
    shown = CliRunner().invoke(command, ["check", "1", "lab1"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("Lab 1, First run: 10 of 10 points for anna\n  1/1  topology")
    graded = CliRunner().invoke(command, ["check", "1", "lab1", "--student", "bruno", "--format", "json"])
    assert graded.exit_code == 1
    document = json.loads(graded.stdout)
    assert (document["student"], document["score"]) == ("bruno", 9)
    listed = json.loads(CliRunner().invoke(command, ["list", "--format", "json"]).stdout)
    assert [(row["lab"], row["of"]) for row in listed] == [(number, 10) for number in range(1, 9)]
    assert CliRunner().invoke(command, ["seed", "abc"]).stdout == f"{0xBA7816BF >> 1}\n"
