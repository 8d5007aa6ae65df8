"""docs/faults.md as it is written: its file goes into a run, its commands into the run while it plays.

The run has a dashboard, and gets a fault from there too.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from commands import TESTBED, run

from testbed.bench.viewer import Viewer

pytestmark = pytest.mark.examples

DOC = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
ENTRIES = json.loads("".join(re.findall(r"^    ( ?[\[{].*[,\]])$", DOC, re.MULTILINE)))
COMMANDS = [shlex.split(line) for line in re.findall(r"^    testbed (event .*)$", DOC, re.MULTILINE)]

FROM_THE_PAGE = {"kind": "congestion", "a": "pop-milan", "b": "ce-rome", "for": 1, "loss": 0.05}


def test_what_the_document_says_happens(open_folder: Path) -> None:
    assert {entry["kind"] for entry in ENTRIES} | {command[2] for command in COMMANDS} == {
        "link", "rain", "jam", "gateway"
    }  # fmt: skip
    (open_folder / "faults.json").write_text(json.dumps(ENTRIES))
    asked = "run starlink-italy --events faults.json --duration 16 --format json --web"
    started = [TESTBED, *asked.split()]
    with subprocess.Popen(
        started, cwd=open_folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        while not list(open_folder.glob("runs/*/live.json")):
            assert process.poll() is None, "the run ended before it played"
            time.sleep(0.1)
        assert process.stderr is not None
        viewer = Viewer(process.stderr.readline().decode().removeprefix("dashboard: ").strip())
        heard: list[dict[str, Any]] = []
        answers: list[tuple[int, Any, bytes]] = []

        def look() -> None:
            for message in viewer.listen():
                heard.append(message)
                if "live" in message and not answers:  # it plays
                    answers.append(viewer.ask("fault", body=json.dumps(FROM_THE_PAGE)))

        looking = threading.Thread(target=look)
        looking.start()
        for command in COMMANDS:
            told = run(*command, cwd=open_folder)
            assert told.code == 0, told.stderr
            assert told.stdout.startswith(command[2]), told.stdout
        refused = run("event", "latest", "gateway", "gw-none", cwd=open_folder)
        assert (refused.code, refused.stdout) == (2, "")
        assert "no gateway 'gw-none'" in refused.stderr
        report = json.loads(process.communicate()[0])
        looking.join()
    assert heard[0]["mode"] == "live"
    ((status, _, answer),) = answers
    assert status == 200, answer
    assert json.loads(answer)["kind"] == "congestion"
    live = [message["live"] for message in heard if "live" in message]
    assert any(path["measured_ms"] is not None for record in live for path in record["paths"])
    assert [message["ended"] for message in heard if "ended" in message] == [report["verdict"]]
    (log,) = open_folder.glob("runs/*/faults.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    begun = sorted(line["kind"] for line in lines if line["act"] == "begin")
    assert begun == sorted([entry["kind"] for entry in ENTRIES] + [command[2] for command in COMMANDS] + ["congestion"])
    assert {line["act"] for line in lines} == {"begin", "end"}
    assert report["audit"]["readback_mismatches"] == 0
    assert report["audit"]["unplanned_losses"] == 0
    assert {flow["integrity"]["verdict"] for flow in report["flows"]} <= {"intact", "invalid"}
    assert sum(flow["lost"] for flow in report["flows"]) > 0  # the faults were real
