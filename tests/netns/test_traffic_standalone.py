"""`python -m traffic` between two namespaces: send, receive, judge; tshark is the other judge."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from traffic_lab import Lab

from traffic import reception
from traffic.keys import load_keys, wireshark_lines
from traffic.pcapng import PcapngWriter, read_capture
from traffic.timestamps import open_tap

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
A, B = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.add("a")
        lab.add("b")
        lab.link("a", "a-eth0", f"{A}/24", "b", "b-eth0", f"{B}/24")
        yield lab


def start(lab: Lab, name: str, *words: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", lab.name(name), sys.executable, "-m", "traffic", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def traffic(*words: str, name: str | None = None, lab: Lab | None = None) -> subprocess.CompletedProcess[str]:
    inside = ["ip", "netns", "exec", lab.name(name)] if lab is not None and name is not None else []
    command = [*inside, sys.executable, "-m", "traffic", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def receiver(lab: Lab, keys: Path, *words: str) -> subprocess.Popen[str]:
    """A receiver that is ready."""
    process = start(lab, "b", "receive", "--keys", str(keys), "--bind", B, "--wait", "0.5", "--format", "json", *words)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"receiving at {B}")
    return process


@contextmanager
def capturing(lab: Lab, path: Path) -> Iterator[None]:
    """What passes at b goes into a pcap file."""
    command = ["ip", "netns", "exec", lab.name("b"), "tcpdump", *"-U -w - --immediate-mode -B 16384 -i b-eth0".split()]
    with path.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"listening" not in (line := process.stderr.readline()):
            assert line
        try:
            yield
            size = -1
            while size != path.stat().st_size:  # until tcpdump, too, has seen it all
                size = path.stat().st_size
                time.sleep(0.3)
        finally:
            process.terminate()


def exchange(lab: Lab, keys: Path, capture: Path | None, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A flow of 200 packets from a to b; (what the sender says, what the receiver says)."""
    with capturing(lab, capture) if capture else nullcontext():
        there = receiver(lab, keys, *words)
        flow = ("--rate", "200", "--duration", "1", "--size", "200", "--format", "json")
        sent = traffic("send", "--keys", str(keys), "--to", B, *flow, lab=lab, name="a")
        told, errors = there.communicate(timeout=30)
    assert sent.returncode in (0, 4), sent.stderr  # 4: this machine was too busy to send in time
    assert there.returncode == 0, told + errors
    return json.loads(sent.stdout), json.loads(told)


def make_keys(folder: Path, *words: str) -> Path:
    path = folder / "keys.json"
    made = traffic("keys", "--out", str(path), *words)
    assert made.returncode == 0, made.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    return path


@pytest.mark.parametrize("suite", ["AES-256-GCM-16", "CHACHA20-POLY1305"])
def test_everything_sent_arrives_genuine_and_is_measured(lab: Lab, tmp_path: Path, suite: str) -> None:
    lab.tc("a", "qdisc add dev a-eth0 root tbf rate 20mbit burst 3000 latency 100ms")
    sent, received = exchange(lab, make_keys(tmp_path, "--suite", suite), None)
    assert sent["sent"] == sent["due"] == 200
    assert (received["verdict"], received["alarms"], received["unattributed"]) == ("intact", [], {})
    (flow,) = received["flows"]
    assert (flow["sent"], flow["received"], flow["lost"]) == (200, 200, 0)
    assert flow["integrity"] == {"verdict": "intact", "counts": {"GENUINE": 200}}
    assert flow["clocks"] == "the same machine"
    assert 0 < flow["one_way_delay_ms"]["p50"] < 20
    assert flow["measures"]["loss"]["ratio"] == 0


@pytest.mark.parametrize("synchronised", [False, True])
def test_unlike_clocks_leave_the_variation(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronised: bool
) -> None:
    monkeypatch.setattr(reception, "machine", lambda: 1)  # as if the receiver were another machine
    keys = make_keys(tmp_path)
    tap = lab.within("b", open_tap, "b-eth0")
    arriving = reception.Reception(load_keys(keys), reception.Receiving(waiting_s=0.3), tap)
    thread = threading.Thread(target=arriving.run)
    thread.start()
    flow = ("--rate", "200", "--duration", "0.5", "--size", "200")
    traffic("send", "--keys", str(keys), "--to", B, *flow, lab=lab, name="a")
    thread.join()
    (told,) = reception.document(arriving, synchronised=synchronised, waiting_s=0.3)["flows"]
    assert (told["sent"], told["received"]) == (100, 100)
    assert (told["one_way_delay_ms"]["p50"] is None) == (not synchronised)
    assert (told["measures"]["one_way_delay_ms"] is None) == (not synchronised)
    assert told["measures"]["pdv_ms"]["min"] == 0
    assert told["measures"]["pdv_ms"]["max"] > 0
    assert told["clocks"] == ("synchronised, by the user's word" if synchronised else "unlike")


def test_a_lossy_way_is_loss_and_no_alarm(lab: Lab, tmp_path: Path) -> None:
    # 302 bytes every 5 ms ask for 0.48 Mbit/s of 0.2, and the queue holds 6 packets.
    lab.tc("a", "qdisc add dev a-eth0 root tbf rate 200kbit burst 1600 limit 2000")
    _, received = exchange(lab, make_keys(tmp_path), None)
    (flow,) = received["flows"]
    assert flow["received"] + flow["lost"] == flow["sent"] == 200
    assert 20 < flow["lost"] < 180
    assert flow["measures"]["loss"]["periods"] > 1
    assert received["verdict"] == "intact"


def test_keys_send_once(lab: Lab, tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    exchange(lab, keys, None)
    again = traffic("send", "--keys", str(keys), "--to", B, lab=lab, name="a")
    assert again.returncode == 4
    assert "has sent before and must not again" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_a_rate_that_no_processor_reaches_is_the_generators_limit(lab: Lab, tmp_path: Path) -> None:
    words = ("--rate", "1e6", "--duration", "0.05", "--format", "json")
    sent = traffic("send", "--keys", str(make_keys(tmp_path)), "--to", B, *words, lab=lab, name="a")
    assert sent.returncode == 4
    document = json.loads(sent.stdout)
    assert document["limited_by"] == "generator"
    assert document["achieved_pps"] < 900_000
    assert document["in_time"] < document["due"] == 50_000


def test_the_capture_is_judged_as_it_was_live_and_as_tshark_does(lab: Lab, tmp_path: Path) -> None:
    keys, capture = make_keys(tmp_path, "--no-esn"), tmp_path / "b.pcap"
    exchange(lab, keys, capture)
    clean = traffic("judge", str(capture), "--keys", str(keys), "--format", "json")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert json.loads(clean.stdout)["counts"] == {"GENUINE": 200}

    altered = tmp_path / "altered.pcapng"
    esp = 0
    with PcapngWriter(altered) as writer:
        number = writer.interface("b-eth0")
        for packet in read_capture(capture):
            frame = bytearray(packet.frame)
            if len(frame) > 250:
                esp += 1
                if esp % 10 == 0:  # anywhere behind the SPI
                    frame[46 + esp % (len(frame) - 46)] ^= 1 << esp % 8
            writer.packet(number, packet.time_ns, bytes(frame))
    judged = traffic("judge", str(altered), "--keys", str(keys), "--packets", "--format", "json")
    assert judged.returncode == 1
    document = json.loads(judged.stdout)
    assert document["verdict"] == "attacked"
    assert document["counts"] == {"GENUINE": 180, "FORGED": 20}
    ours = {number: name == "GENUINE" for number, name in document["by_packet"]}
    assert ours == icv_good(altered, keys)


def icv_good(capture: Path, keys: Path) -> dict[int, bool]:
    """What tshark says of the ICV of each ESP packet."""
    tool = shutil.which("tshark")
    assert tool is not None, "tshark is missing: scripts/install installs it"
    command = [tool, "-n", "-r", str(capture), "-Y", "esp", "-T", "fields", "-e", "frame.number", "-e", "esp.icv_good"]
    command += ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
    for line in wireshark_lines(load_keys(keys)):
        command += ["-o", f"uat:esp_sa:{line}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    return {int(number): good in ("1", "True") for number, good in rows}


def test_replays_and_injections_on_the_wire_are_named_live_and_afterwards(lab: Lab, tmp_path: Path) -> None:
    keys, first, second = make_keys(tmp_path), tmp_path / "first.pcap", tmp_path / "second.pcap"
    with capturing(lab, second):
        there = receiver(lab, keys, "--wait", "5")  # long enough for what follows on a busy machine
        flow = ("--rate", "200", "--duration", "0.5", "--size", "200")
        sent = traffic("send", "--keys", str(keys), "--to", B, *flow, lab=lab, name="a")
        assert sent.returncode in (0, 4), sent.stderr
        shutil.copy(second, first)
        frames = [packet.frame for packet in read_capture(first) if len(packet.frame) > 250]
        assert len(frames) == 100
        wire = lab.within("a", open_tap, "a-eth0")
        for frame in frames[:30]:
            wire.send(frame)
        for frame in frames[30:40]:
            wire.send(frame[:60] + bytes([frame[60] ^ 0x40]) + frame[61:])
        wire.send(frames[0][:42] + b"\0\0\x12\x34" + frames[0][46:])
        told, errors = there.communicate(timeout=30)
    assert there.returncode == 1, told + errors
    live = json.loads(told)
    assert live["verdict"] == "attacked"
    assert live["flows"][0]["integrity"]["counts"] == {"GENUINE": 100, "REPLAY_IN_WINDOW": 30, "FORGED": 10}
    assert live["unattributed"] == {"UNKNOWN_SPI": 1}
    assert live["flows"][0]["received"] == 100
    judged = traffic("judge", str(second), "--keys", str(keys), "--format", "json")
    assert judged.returncode == 1
    assert json.loads(judged.stdout)["counts"] == {
        "GENUINE": 100,
        "REPLAY_IN_WINDOW": 30,
        "FORGED": 10,
        "UNKNOWN_SPI": 1,
    }


def test_only_esp_makes_the_clear_an_alarm(lab: Lab, tmp_path: Path) -> None:
    keys, capture = make_keys(tmp_path), tmp_path / "b.pcap"
    sock = lab.within("a", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with capturing(lab, capture):
        there = receiver(lab, keys, "--only-esp", "--clear-port", "7000", "--patience", "1")
        for port in (7000, 7001):
            sock.sendto(b"in the clear", (B, port))
        told, _ = there.communicate(timeout=30)
    assert there.returncode == 1
    assert [alarm["detail"] for alarm in json.loads(told)["alarms"]] == ["UDP to port 7001"]
    arguments = ("judge", str(capture), "--keys", str(keys), "--format", "json")
    assert traffic(*arguments).returncode == 4  # nothing of the key file is in it
    names = Counter(json.loads(traffic(*arguments, "--only-esp").stdout)["counts"])
    assert names["PLAINTEXT_IN"] == 2


def test_who_may_not_open_a_tap_reads_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    keys = make_keys(tmp_path)
    keys.chmod(0o644)
    code = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    code += "from traffic.cli import command; command(prog_name='traffic')"
    arguments = ["receive", "--keys", str(keys), "--bind", "127.0.0.1"]
    folder = Path(keys)
    while folder != folder.parent:
        folder = folder.parent
        if folder.stat().st_mode & 0o5 != 0o5 and str(folder).startswith(str(tmp_path.parents[1])):
            folder.chmod(folder.stat().st_mode | 0o055)
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-c", code, *arguments]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert told.returncode == 3
    assert told.stderr == "traffic: tap on lo: Operation not permitted; it needs CAP_NET_RAW: run it as root\n"


def test_the_same_commands_are_in_the_testbed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    command = [sys.executable, "-m", "testbed", "traffic"]
    made = subprocess.run([*command, "keys", "--out", str(path)], cwd=ROOT, capture_output=True, check=False)
    assert made.returncode == 0
    again = subprocess.run(
        [*command, "keys", "--out", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert again.returncode == 4
    assert again.stderr == f"traffic: {path}: File exists; keys are never written over others\n"
    (tmp_path / "no.pcap").write_bytes(b"nothing of the kind")
    words = ["judge", str(tmp_path / "no.pcap"), "--keys", str(path)]
    judged = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert judged.returncode == 2
    assert "neither pcap nor pcapng" in judged.stderr
