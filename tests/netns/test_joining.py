"""Joining natively: real namespaces, links and routes of a small plan, without netem, and the commands from outside."""

from __future__ import annotations

import ctypes
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_fixture import make_plan

from testbed.emulation.join.agent import Joining
from testbed.emulation.network import running
from testbed.ground.joining import LIVE, write_progress
from testbed.lab import rundir

pytestmark = pytest.mark.netns

PROJECT = Path(__file__).parents[2]
USER = 64_999
"""An ordinary user's number, nobody's on these machines."""


class Lab:
    """A network that can be joined, and its run directory."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        plan = make_plan()
        plan = replace(plan, nodes=tuple(replace(node, nat=False) for node in plan.nodes))
        self.folder = rundir.create(plan, folder / "run")
        emulation = stack.enter_context(running(plan, impaired=False)).topo.emulation
        self.wiring = emulation.wiring
        self._joining = Joining(self.wiring, emulation.playing, self.folder)
        (self.folder / LIVE).write_text(json.dumps({"pid": os.getpid(), "namespaces": {}}))
        self._joining.started(time.time_ns() - 5 * 10**9)
        stack.callback(self.end)

    @property
    def agent(self) -> int:
        """The process that those who join talk to."""
        assert self._joining._child is not None
        return self._joining._child._pid

    def end(self) -> None:
        """What the runner does at its end."""
        (self.folder / LIVE).unlink(missing_ok=True)
        self._joining.__exit__()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """For all who leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="testbed-test-") as name, ExitStack() as stack:
        Path(name).chmod(0o755)
        yield Lab(Path(name), stack)


@pytest.fixture
def ending(open_folder: Path) -> Iterator[Lab]:
    """For those who end it."""
    with ExitStack() as stack:
        yield Lab(open_folder, stack)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PROJECT)}


def joined(*words: str | Path, user: int | None = None, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """`testbed …` from this checkout."""
    return subprocess.run(
        [sys.executable, "-m", "testbed", *map(str, words)],
        capture_output=True, text=True, errors="replace", input=text or "", env=environment(), cwd="/",
        user=user, group=user, extra_groups=None if user is None else [], check=False,
    )  # fmt: skip


def gone(mark: str) -> bool:
    for _ in range(100):
        listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        if not any(mark in line and "ps -eww" not in line for line in listed.splitlines()):
            return True
        time.sleep(0.05)
    return False


def test_a_command_has_its_input_output_error_and_exit_code(lab: Lab) -> None:
    done = joined("exec", lab.folder, "rome", "--", "sh", "-c", "cat; echo no >&2; exit 7", text="in and out\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in and out\n", "no\n")
    told = joined("exec", lab.folder, "rome", "--format", "json", "--", "ip", "-j", "address", "show", "rome-eth0")
    document = json.loads(told.stdout)
    assert (document["code"], document["stderr"], told.returncode) == (0, "", 0)
    (interface,) = json.loads(document["stdout"])
    assert interface["addr_info"][0]["local"] == "100.64.0.2"  # the node's own, not this machine's
    missing = joined("exec", lab.folder, "rome", "--", "no-such-program")
    assert (missing.returncode, missing.stderr) == (127, "testbed: no program 'no-such-program' here\n")
    killed = joined("exec", lab.folder, "rome", "--", "sh", "-c", "kill -9 $$")
    assert killed.returncode == 128 + signal.SIGKILL


def test_packets_go_where_the_node_would_send_them(lab: Lab) -> None:
    done = joined("exec", lab.folder, "rome", "--", "ping", "-c1", "-W5", "100.64.0.1")
    assert "1 received" in done.stdout, done.stdout + done.stderr


def test_ten_megabytes_pass_both_ways(lab: Lab) -> None:
    data = "0123456789abcdef" * 655_360
    done = joined("exec", lab.folder, "rome", "--", "cat", text=data)
    assert done.stdout == data


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_the_commands(lab: Lab, number: signal.Signals) -> None:
    mark = f"31.{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "exec", lab.folder, "rome", "--", "sh", "-c", f"echo on; sleep {mark}"],
        stdout=subprocess.PIPE, env=environment(),
    ) as client:  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == b"on\n"
        client.send_signal(number)
        assert client.wait(10) == 128 + number
    assert gone(mark)


def test_a_client_that_is_killed_takes_its_command_along_and_what_that_has_started(lab: Lab) -> None:
    mark = f"32.{os.getpid()}"
    script = f"nohup sleep {mark} & setsid -w true; echo on; sleep {mark}"
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "exec", lab.folder, "rome", "--", "sh", "-c", script],
        stdout=subprocess.PIPE, env=environment(),
    ) as client:  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == b"on\n"
        assert not gone_at_once(mark)
        client.kill()
    assert gone(mark)


def gone_at_once(mark: str) -> bool:
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return f"sleep {mark}" not in listed


def test_a_command_ends_with_the_run(ending: Lab) -> None:
    mark = f"33.{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "exec", ending.folder, "rome", "--", "sh", "-c", f"echo on; sleep {mark}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as client:  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == b"on\n"
        ending.end()
        _, said = client.communicate(timeout=10)
    assert (client.returncode, b"the run has ended" in said) == (4, True)
    assert gone(mark)
    assert not (ending.folder / "join").exists()


def test_its_signal_wakes_it_whichever_thread_the_kernel_gives_it_to(ending: Lab) -> None:
    """The main thread waits in a system call that a signal to another thread does not end."""
    mark = f"34.{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "exec", ending.folder, "rome", "--", "sh", "-c", f"echo on; sleep {mark}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    ) as client:  # fmt: skip
        assert client.stdout is not None
        assert client.stdout.readline() == b"on\n"
        agent = ending.agent
        other = max(int(thread.name) for thread in Path(f"/proc/{agent}/task").iterdir() if int(thread.name) != agent)
        assert ctypes.CDLL(None).tgkill(agent, other, int(signal.SIGTERM)) == 0
        _, said = client.communicate(timeout=10)
    assert (client.returncode, b"the run has ended" in said) == (4, True)
    assert gone(mark)


def test_at_a_terminal_ctrl_c_reaches_the_command_and_the_terminal_is_put_back(lab: Lab) -> None:
    master, slave = pty.openpty()
    script = "tty; stty size; trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "exec", lab.folder, "rome", "--", "sh", "-c", script],
        stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True,
    ) as client:  # fmt: skip
        before = subprocess.run(["stty", "-g"], stdin=slave, capture_output=True, check=True).stdout
        said = b""
        while b"ready" not in said:
            said += os.read(master, 1024)
        os.write(master, b"\x03")
        assert client.wait(10) == 9
        assert b"caught" in os.read(master, 1024)
        after = subprocess.run(["stty", "-g"], stdin=slave, capture_output=True, check=True).stdout
    os.close(slave)
    os.close(master)
    assert b"/dev/pts/" in said
    assert b"24 80" in said
    assert after == before


def test_it_answers_at_once(lab: Lab) -> None:
    """Within 300 ms, or beside the same interpreter that only prints its version, where the machine is busy."""

    def seconds(*words: str | Path) -> float:
        began = time.perf_counter()
        assert joined(*words).returncode == 0
        return time.perf_counter() - began

    for _ in range(10):
        beside, answer = seconds("--version"), seconds("exec", lab.folder, "rome", "--", "true")
        if answer < max(0.3, 3 * beside):
            break
    sys.stdout.write(f"exec answers in {1000 * answer:.0f} ms, --version in {1000 * beside:.0f} ms\n")
    assert answer < max(0.3, 3 * beside)


def test_the_path_of_exec_imports_nothing_heavy() -> None:
    code = "import testbed.cli.exec, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert not {"numpy", "rich", "pyarrow", "mininet", "scipy", "cryptography"} & set(done.stdout.split())


def test_inspect_shows_nodes_and_links_and_sees_what_is_not_there(lab: Lab) -> None:
    document = json.loads(joined("inspect", lab.folder, "ut-rome", "--format", "json").stdout)
    (node,) = document["nodes"]
    assert (node["name"], node["role"]) == ("ut-rome", "terminal")
    assert {port["to"] for port in node["interfaces"]} == {"rome", "NORAD44714", "NORAD45123"}
    asked = json.loads(joined("exec", lab.folder, "ut-rome", "--", "ip", "-j", "-4", "address").stdout)
    of_kernel = {row["ifname"]: row["addr_info"][0]["local"] for row in asked if row["ifname"] != "lo"}
    assert {port["name"]: port["addresses"][0] for port in node["interfaces"]} == of_kernel
    assert {(link["held"], link["agrees"]) for link in document["links"]} == {(None, False)}  # no netem was made here
    text = joined("inspect", lab.folder).stdout
    assert "gone !" in text
    assert "directions hold something else than planned" in text


def test_events_are_the_kernels_own_words(ending: Lab) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "events", ending.folder, "--follow", "--format", "json"],
        stdout=subprocess.PIPE, env=environment(), text=True,
    ) as client:  # fmt: skip
        assert client.stdout is not None
        lines: list[tuple[float, dict[str, Any]]] = []

        def read() -> None:
            assert client.stdout is not None
            for line in client.stdout:
                lines.append((time.time(), json.loads(line)))

        reader = threading.Thread(target=read)
        reader.start()
        node = ending.wiring.nodes["ut-rome"]
        link = ending.wiring.interface("NORAD44714", "ut-rome")
        deadline = time.monotonic() + 20
        happened = 0.0
        while not any(event["kind"] == "handover" for _, event in lines) and time.monotonic() < deadline:
            for via in ("NORAD45123", "NORAD44714"):  # again and again: whoever follows may not be there yet
                happened = time.time()
                node.netlink.send(ending.wiring.routes("ut-rome", "default", via))
                time.sleep(0.3)
        joined("exec", ending.folder, "NORAD44714", "--", "ip", "link", "set", link.name, "down")
        joined("exec", ending.folder, "NORAD44714", "--", "ip", "link", "set", link.name, "up")
        time.sleep(1)
        ending.end()
        assert client.wait(10) == 0
        reader.join(10)
    handovers = [(at, event) for at, event in lines if event["kind"] == "handover"]
    assert handovers[0][1]["node"] == "ut-rome"
    assert handovers[0][1]["by"] == "kernel"
    assert {event["to"] for _, event in handovers} <= {"NORAD44714", "NORAD45123"}
    late_s = [at - happened for at, _ in handovers if at >= happened]
    sys.stdout.write(f"the last handover was shown after {1000 * min(late_s, default=0):.0f} ms\n")
    assert [(event["node"], event["to"], event["up"]) for _, event in lines if event["kind"] == "interface"] == [
        ("NORAD44714", "ut-rome", False),
        ("NORAD44714", "ut-rome", True),
    ]


def ended(client: subprocess.Popen[bytes]) -> bytes:
    """What a command said that was asked to end; killed if it does not."""
    try:
        return client.communicate(timeout=10)[1]
    except subprocess.TimeoutExpired:
        client.kill()
        raise


def test_a_capture_is_pcapng_that_tshark_reads(lab: Lab) -> None:
    target = lab.folder / "seen.pcapng"
    with subprocess.Popen(
        [sys.executable, "-m", "testbed", "capture", lab.folder, "ut-rome", "-w", target, "--", "icmp"],
        stderr=subprocess.PIPE, env=environment(),
    ) as client:  # fmt: skip
        deadline = time.monotonic() + 20
        while (not target.exists() or target.stat().st_size < 1000) and time.monotonic() < deadline:
            joined("exec", lab.folder, "rome", "--", "ping", "-c2", "-i0.2", "100.64.0.1")
        client.send_signal(signal.SIGINT)
        said = ended(client)
    assert b" packets" in said
    assert client.returncode == 0
    assert target.stat().st_mode & 0o777 == 0o600
    fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "ip.src", "-e", "icmp.type"]
    told = subprocess.run(["tshark", "-r", target, *fields], capture_output=True, text=True, check=True).stdout
    assert "ut-rome:rome-ut1\t100.64.0.2\t8" in told.splitlines()
    other = lab.folder / "other.pcapng"
    assert joined("capture", lab.folder, "ut-rome", "-w", other, "--", "udp", "prt").returncode == 4
    assert not other.exists()
    again = joined("capture", lab.folder, "ut-rome", "-w", target)
    assert (again.returncode, "never overwritten" in again.stderr) == (2, True)


REFUSALS = [
    (("exec", "rom", "--", "true"), "no node 'rom' in this run: did you mean 'rome' or 'ut-rome'"),
    (("inspect", "xxxxxx"), "no node 'xxxxxx' in this run: there is dc-rome, milano, rome"),
    (("capture", "rome:eth7", "-w", "-"), "no interface 'eth7' at rome"),
    (("capture", "rome", "-w", "-", "--", "udp", "prt"), "tcpdump: "),
]


@pytest.mark.parametrize(("words", "said"), REFUSALS)
def test_a_refusal_is_one_line(lab: Lab, words: tuple[str, ...], said: str) -> None:
    done = joined(words[0], lab.folder, *words[1:])
    assert done.returncode in (2, 4)
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith(" packets")]
    assert line.startswith("testbed: ")
    assert said in line


def test_another_users_run_and_one_that_does_not_play_are_refused(ending: Lab) -> None:
    write_progress(ending.folder, {"time_s": 5.0})
    every = [
        ("exec", "rome", "--", "true"),
        ("inspect",),
        ("capture", "rome", "-w", "-"),
        ("events", "--follow"),
        ("events",),
    ]
    for words in every:
        done = joined(words[0], ending.folder, *words[1:], user=USER)
        assert (done.returncode, done.stdout.count("handover")) == (2, 0), done.stdout
        assert done.stderr == f"testbed: {ending.folder}: another user's run (uid 0): only its owner may join it\n"
    event = joined("event", ending.folder, "gateway", "gw-milano", user=USER)
    assert (event.returncode, event.stderr.count("\n")) == (2, 1)
    ending.end()
    done = joined("exec", ending.folder, "rome", "--", "true")
    assert (done.returncode, "does not play" in done.stderr) == (2, True)
    (ending.folder / "run.json").write_text("{}")
    done = joined("exec", ending.folder, "rome", "--", "true")
    assert (done.returncode, "this run has ended" in done.stderr) == (2, True)
