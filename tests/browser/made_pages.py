"""The three pages, made of the made-up runs and series of the unit tests, with the facts and assumptions of real
topologies. How they look is what is tested here, not their figures."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from run_fixture import make_attacked_files, make_files, make_plan
from test_validation import HOUR, values_of, write_csv

from testbed.plan.trace import Columns
from testbed.report.comparison.summary import summarise
from testbed.report.comparison.write import write_comparison
from testbed.report.results import write_report
from testbed.report.validation import score
from testbed.report.validation.page import write_validation
from testbed.report.validation.sources import from_files, from_plan
from topologies import geo_milsat, iris2, national_leo, starlink_italy, terrestrial

SYSTEMS: dict[str, tuple[Any, float]] = {
    "starlink-italy": (starlink_italy, 1.0),
    "iris2": (iris2, 1.3),
    "national-leo": (national_leo, 1.4),
    "geo-milsat": (geo_milsat, 16.0),
    "terrestrial": (terrestrial, 0.3),
}
"""Each with how much longer its delays are made than the made-up run's."""

TRIALS = ("attack", "gateway lost")


def report(folder: Path) -> Path:
    """A run that failed: the page with the most on it."""
    write_report(make_attacked_files().write(folder))
    return folder / "report.html"


def comparison(folder: Path) -> Path:
    """Five systems with three quiet runs and two trials each; one quiet run is invalid, one trial could not be run."""
    summaries = {}
    for name, files in (("quiet", make_files()), ("attack", make_attacked_files())):
        run = folder / name
        run.mkdir()
        summaries[name] = summarise(run, write_report(files.write(run)))
    rows = []
    for system in SYSTEMS:
        for trial, seed in [("quiet", 0), ("quiet", 1), ("quiet", 2), *((trial, 0) for trial in TRIALS)]:
            cell = {"name": f"{system}-{trial}-s{seed}", "system": system, "trial": trial, "seed": seed}
            outcome = _outcome(summaries["attack" if trial == "attack" else "quiet"], system, seed)
            if trial == "gateway lost":
                outcome["recoveries"] = [{"at_s": 8.0, "what": "gateway", "flow": "voice-rome", "still_s": 1.23}]
            if (system, trial, seed) == ("iris2", "quiet", 2):
                outcome |= {"verdict": "invalid", "reasons": ["audit: the machine was starved of CPU"], "tries": 3}
            if (system, trial) == ("terrestrial", "gateway lost"):
                outcome = {"ended": "failed", "tries": 1, "wall_s": 2.0, "verdict": "failed", "error": "testbed: no"}
            rows.append((cell | {"arguments": [system]}, outcome))
    write_comparison(folder, rows)
    return folder / "comparison.html"


def _outcome(summary: dict[str, Any], system: str, seed: int) -> dict[str, Any]:
    topology, longer = SYSTEMS[system]
    made = copy.deepcopy(summary) | {"ended": "complete", "tries": 1, "wall_s": 70.0}
    made |= {
        "title": topology.TITLE,
        "assumptions": list(topology.ASSUMPTIONS),
        "sovereignty": asdict(topology.SOVEREIGNTY),
    }
    for pair in made["round_trips"]:
        pair["measured_ms"] *= longer + 0.01 * seed
    for flow in made["flows"]:
        flow["delay_ms"] = [value * longer for value in flow["delay_ms"]]
        if flow["kind"] == "voice":
            flow["call"] = {"MOS": 4.4 - 0.07 * longer}
    return made


def validation(folder: Path) -> Path:
    """An hour of a series with slots, against models fitted on its first half and against a plan."""
    file = write_csv(folder / "measured.csv", values_of())
    planned = from_plan(make_plan(), ("rome", "dc-rome"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "MODEL_S", 2 * HOUR)  # and not thirty
        document, series = score.validate(from_files([file], Columns()), [planned])
    write_validation(folder, document, series)
    return folder / "validation.html"


MADE = {"report": report, "comparison": comparison, "validation": validation}
