"""Two users at once on one machine, one root and one not: each joins the own run, neither the other's, nothing stays.

What joining does is tested in tests/netns/test_joining.py; here it goes into guests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from commands import TESTBED, guests, run

pytestmark = pytest.mark.examples

USER = 64_999
"""An ordinary user's number: not nobody's, to whom root's own guest drops."""
SLOTTED = ("--start", "2026-06-14T06:00:02Z")  # handovers at 10, 25, 40 s, …


def start(folder: Path, user: int | None, stack: ExitStack) -> subprocess.Popen[bytes]:
    """A run of two minutes, as root or another user, that the test ends."""
    command = [TESTBED, "run", "starlink-italy", *SLOTTED, "--duration", "120", "--out", "run", "--format", "json"]
    process = stack.enter_context(
        subprocess.Popen(
            command, cwd=folder, user=user, group=user, extra_groups=None if user is None else [],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(folder)},
        )
    )  # fmt: skip
    stack.callback(process.kill)
    return process


def wait_for_play(folder: Path, process: subprocess.Popen[bytes]) -> None:
    while not (folder / "run" / "progress.json").exists():
        assert process.poll() is None, "the run ended before it played"
        time.sleep(0.2)


def follow(folder: Path, stack: ExitStack) -> list[tuple[float, dict[str, Any]]]:
    """What `testbed events --follow` says, with the instant at which each line was there; filled as it comes."""
    lines: list[tuple[float, dict[str, Any]]] = []
    command = [TESTBED, "events", "run", "--follow", "--format", "json"]
    process = stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append((time.time(), json.loads(line)))

    threading.Thread(target=read, daemon=True).start()
    return lines


def test_two_users_do_not_disturb_each_other(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a run as somebody else as well")
    folders = {name: open_folder / name for name in ("root", "user")}
    for folder in folders.values():
        folder.mkdir(mode=0o755)
    os.chown(folders["user"], USER, USER)
    users = {"root": None, "user": USER}
    with ExitStack() as stack:
        processes = {name: start(folders[name], users[name], stack) for name in folders}
        for name, process in processes.items():
            wait_for_play(folders[name], process)
        assert len({str(folder / "run") for folder in folders.values()}) == 2
        followed = follow(folders["root"], stack)

        # Each has its own machine: what one leaves in it the other does not find.
        assert run("exec", "run", "rome", "--", "touch", "/run/was-here", cwd=folders["root"]).code == 0
        for name, code in (("root", 0), ("user", 2)):
            told = run("exec", "run", "rome", "--", "ls", "/run/was-here", cwd=folders[name], user=users[name])
            assert told.code == code, (name, told)
        ping = run("exec", "run", "rome", "--", "ping", "-c3", "-i0.3", "198.51.100.18", cwd=folders["user"], user=USER)
        assert " 0% packet loss" in ping.stdout, ping
        quickest_ms = float(re.findall(r"min/avg/max/mdev = ([0-9.]+)", ping.stdout)[0])
        assert quickest_ms > 20.0  # over the satellite: no way through this machine is that long

        shown = json.loads(run("inspect", "run", "ut-rome", "--format", "json", cwd=folders["root"]).stdout)
        lit = [link for link in shown["links"] if link["from"] == "ut-rome" and link["held"]["up"]]
        assert lit
        assert all(link["agrees"] for link in lit)

        # An ordinary user does not get into root's run.
        for words in (("exec", "../root/run", "rome", "--", "id"), ("inspect", "../root/run")):
            refused = run(*words, cwd=folders["user"], user=USER)
            assert (refused.code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
            assert "another user's run" in refused.stderr

        # The Ctrl-C of a person ends what was asked for, and nothing else.
        pinging = stack.enter_context(
            subprocess.Popen(
                [TESTBED, "exec", "run", "rome", "--", "ping", "198.51.100.18"], cwd=folders["root"],
                stdout=subprocess.PIPE,
            )
        )  # fmt: skip
        assert pinging.stdout is not None
        assert pinging.stdout.readline().startswith(b"PING")
        pinging.send_signal(signal.SIGINT)
        assert b"ping statistics" in pinging.communicate(timeout=30)[0]
        assert pinging.returncode == 0
        left = run("exec", "run", "rome", "--", "pgrep", "-x", "ping", cwd=folders["root"])
        assert (left.code, left.stdout) == (1, "")

        deadline = time.monotonic() + 60
        while sum(event["by"] == "kernel" and event["kind"] == "handover" for _, event in followed) < 2:
            assert time.monotonic() < deadline, f"no handover was shown: {followed}"
            time.sleep(0.1)
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        reports = {name: json.loads(process.communicate()[0]) for name, process in processes.items()}
        assert {process.returncode for process in processes.values()} == {130}
    for name, report in reports.items():
        assert report["run"]["ended"] == "interrupted"
        assert report["audit"]["readback_mismatches"] == 0
        folder = folders[name] / "run"
        assert {path.stat().st_uid for path in folder.rglob("*")} == {users[name] or 0}
        assert not {"join", "live.json", "progress.json"} & {path.name for path in folder.iterdir()}
        assert guests(folder) == []
    _judge_handovers(folders["root"] / "run", followed)


def _judge_handovers(folder: Path, followed: list[tuple[float, dict[str, Any]]]) -> None:
    """The kernel's handovers are the plan's, and each was on the screen soon after the player had made it."""
    started = datetime.fromisoformat(json.loads((folder / "run.json").read_text())["started_utc"]).timestamp()
    plan = json.loads((folder / "plan" / "plan.json").read_text())
    planned = {
        (event["node"], event["detail"]["to"]): event["time_ns"] / 1e9
        for event in plan["events"]
        if event["kind"] == "handover"
    }
    late_ms = []
    for at, event in followed:
        if (event["kind"], event["by"]) == ("handover", "kernel"):
            happened = planned[event["node"], event["to"]]
            assert event["time_s"] >= happened - 0.01
            late_ms.append(1000 * (at - started - event["time_s"]))
    sys.stdout.write(
        f"handovers were shown {', '.join(f'{late:.0f}' for late in late_ms)} ms after the kernel told of them\n"
    )
    assert min(late_ms) < 1000  # 200 on a machine that is not busy (docs/live.md)
