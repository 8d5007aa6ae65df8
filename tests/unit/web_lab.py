"""A run directory for the dashboard's tests: the made-up run of `run_fixture`, its nodes at places and in orbits."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orbit_data import SET_1, SET_2, with_checksum
from run_fixture import make_files, make_plan

from testbed.lab.web.sky import write_sky
from testbed.orbits.catalogue import Catalogue, parse_catalogue
from testbed.orbits.tracks import Track, Waypoint
from testbed.plan.faults import INBOX
from testbed.plan.model import Plan
from testbed.report.results import make_report

PLACES = {
    "ut-rome": (41.9, 12.49),
    "ut-milano": (45.46, 9.19),
    "gw-milano": (45.3185, 9.1873),
    "pop-milan": (45.478, 9.1018),
}


def catalogue() -> Catalogue:
    """The two satellites of the plan: one of CelesTrak's, and one a quarter of a minute behind it."""
    first = f"STARLINK-1008\n{SET_1}\n{SET_2}\n"
    second = (with_checksum(SET_1.replace("44714U", "45123U")), with_checksum(SET_2.replace("44714", "45123")))
    second = (second[0], with_checksum(second[1].replace("247.5950", "246.5950")))
    return parse_catalogue((first + "STARLINK-2\n" + "\n".join(second) + "\n").encode(), "two.tle")


def plan() -> Plan:
    """The fixture's plan, its sites where they are; the one in Milan drives off."""
    made = make_plan()
    nodes = tuple(
        replace(node, latitude_deg=PLACES[node.name][0], longitude_deg=PLACES[node.name][1])
        if node.name in PLACES
        else node
        for node in made.nodes
    )
    milan, venice = Waypoint(*PLACES["ut-milano"]), Waypoint(45.44, 12.33)
    track = Track("ut-milano", (milan, venice), 60.0, made.start_ns, kind="phone")
    return replace(made, nodes=nodes, manifest=made.manifest | {"tracks": {track.name: asdict(track)}})


def make_run(folder: Path) -> Plan:
    """What a run that plays has in its directory, samples of an ended one beside it; not its report."""
    folder.mkdir(parents=True, exist_ok=True)
    files = make_files()
    files.plan = plan()
    files.write(folder)
    (folder / INBOX).mkdir()
    (folder / "manifest.json").touch()
    write_sky(files.plan, catalogue(), folder)
    return files.plan


def judge(folder: Path) -> dict[str, Any]:
    """The report of the run, without its page, which takes seconds."""
    report = make_report(folder)
    (folder / "report.json").write_text(json.dumps(report))
    return report
