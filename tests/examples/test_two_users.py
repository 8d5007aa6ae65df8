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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from commands import TESTBED, guests, run
from run_fixture import S, make_plan

from testbed.plan.store import write_parquet

pytestmark = pytest.mark.examples

USER = 64_999
"""An ordinary user's number: not nobody's, to whom root's own guest drops."""
PLAN = make_plan(flows=(), duration_ns=300 * S)
"""Made up by hand, two terminals and two satellites: quick to build, handovers at 12, 27, 42 and 57 s."""


def start(folder: Path, user: int | None, stack: ExitStack) -> subprocess.Popen[bytes]:
    """A run of five minutes, as root or another user, that the test ends."""
    command = [TESTBED, "run", "--plan", "../plan.parquet", "--out", "run", "--format", "json"]
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


def begun(folder: Path, until: threading.Event) -> list[float]:
    """When schedule time 0 was by this machine's clock, the guest having its own: from each record of the run, late by
    as much as it took to get here. Filled until told."""
    found: list[float] = []

    def look() -> None:
        while not until.wait(0.1):
            with suppress(FileNotFoundError):
                record = json.loads((folder / "run" / "progress.json").read_text())
                found.append((folder / "run" / "progress.json").stat().st_mtime - record["time_s"])

    threading.Thread(target=look, daemon=True).start()
    return found


def test_two_users_do_not_disturb_each_other(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a run as somebody else as well")
    folders = {name: open_folder / name for name in ("root", "user")}
    for folder in folders.values():
        folder.mkdir(mode=0o755)
    os.chown(folders["user"], USER, USER)
    users = {"root": None, "user": USER}
    write_parquet(PLAN, open_folder / "plan.parquet")
    with ExitStack() as stack:
        processes = {name: start(folders[name], users[name], stack) for name in folders}
        for name, process in processes.items():
            wait_for_play(folders[name], process)
        assert len({str(folder / "run") for folder in folders.values()}) == 2
        followed = follow(folders["root"], stack)
        enough = threading.Event()
        stack.callback(enough.set)
        begins = begun(folders["root"], enough)

        # Each has its own machine: what one leaves in it the other does not find.
        assert run("exec", "run", "rome", "--", "touch", "/run/was-here", cwd=folders["root"]).code == 0
        for name, code in (("root", 0), ("user", 2)):
            told = run("exec", "run", "rome", "--", "ls", "/run/was-here", cwd=folders[name], user=users[name])
            assert told.code == code, (name, told)
        shown = json.loads(run("inspect", "run", "ut-rome", "--format", "json", cwd=folders["user"], user=USER).stdout)
        assert len(shown["links"]) == 4
        assert all(link["agrees"] and link["held"]["up"] for link in shown["links"])
        satellite = json.loads(run("inspect", "run", "NORAD44714", "--format", "json", cwd=folders["root"]).stdout)
        (address,) = [port["addresses"][0] for port in satellite["nodes"][0]["interfaces"] if port["to"] == "ut-rome"]
        for name in folders:
            words = ("exec", "run", "ut-rome", "--", "ping", "-c3", "-i0.3", address)
            ping = run(*words, cwd=folders[name], user=users[name])
            assert " 0% packet loss" in ping.stdout, ping
            quickest_ms = float(re.findall(r"min/avg/max/mdev = ([0-9.]+)", ping.stdout)[0])
            assert quickest_ms > 2 * 7.5  # up and down, as planned: no way through this machine is that long

        # An ordinary user does not get into root's run.
        for words in (("exec", "../root/run", "rome", "--", "id"), ("inspect", "../root/run")):
            refused = run(*words, cwd=folders["user"], user=USER)
            assert (refused.code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
            assert "another user's run" in refused.stderr

        # The Ctrl-C of a person ends what was asked for, and nothing else.
        pinging = stack.enter_context(
            subprocess.Popen(
                [TESTBED, "exec", "run", "ut-rome", "--", "ping", address], cwd=folders["root"],
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
    _judge_handovers(min(begins), followed)


def _judge_handovers(begin_s: float, followed: list[tuple[float, dict[str, Any]]]) -> None:
    """The kernel's handovers are the plan's, and each was on the screen soon after the player had made it."""
    planned = [(event.node, event.detail["to"], event.time_ns / 1e9) for event in PLAN.events]
    late_ms = []
    for at, event in followed:
        if (event["kind"], event["by"]) == ("handover", "kernel"):
            before = [when for node, to, when in planned if (node, to) == (event["node"], event["to"])]
            assert any(when <= event["time_s"] + 0.01 for when in before), event
            late_ms.append(1000 * (at - begin_s - event["time_s"]))
    told = ", ".join(f"{late:.0f}" for late in late_ms)
    sys.stdout.write(f"handovers were shown {told} ms after the kernel told of them\n")
    assert min(late_ms) < 1000  # 200 on a machine that is not busy (docs/live.md)
