"""A tunnel by strongSwan's charon through a NAT: keys renewed under load, and a NAT that forgets or is another's.

Here charon itself does ESP (libipsec, behind a TUN interface): this kernel has none. With the kernel's:
tests/netem/test_swan.py. What a busy machine's queues lose is counted by its kernel, and is not charon's.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernel_lab import wait_for
from netem_line import command
from swan_lab import MILAN, ROME, tunnelled, unpacked
from traffic_hosts import WORKLOAD, hosts, play, reasons_beyond_pacing, routed
from traffic_lab import Lab

from testbed.emulation.swan import config
from testbed.emulation.swan.config import Options, Tunnel, swanctl
from testbed.emulation.swan.daemons import Charons
from testbed.emulation.swan.watch import renewals, sources
from testbed.ground.errors import RunError
from traffic.packets import INNER_PORT
from traffic.results import NOT_RECEIVED
from traffic.session import SessionOptions
from traffic.timestamps import open_tap, receive

pytestmark = pytest.mark.netns

RATE_PPS = 500.0
REKEY_S = 1.0
OPTIONS = Options(kernel="libipsec", esn=False, rekey_s=REKEY_S)
CALM = Options(kernel="libipsec", esn=False)


def of_children(log: str) -> list[float]:
    return [renewal.took_s for renewal in renewals(log) if renewal.what == "child"]


def test_keys_are_renewed_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    with tunnelled(tmp_path, OPTIONS) as lab:
        assert "/PPK" in lab.associations("rome")  # RFC 8784: the post-quantum key is in use
        address, _ = lab.peer()
        assert address == "10.0.2.1"  # pop-a's
        first = lab.identity()
        lab.send(RATE_PPS, lambda: len(of_children(lab.charons.log("rome"))) >= 4)
        lab.renew_ike()
        lab.send(RATE_PPS, lambda: len(of_children(log := lab.charons.log("rome"))) >= 6 and "rekeyed between" in log)
        assert lab.identity() != first
        kinds = [renewal.what for renewal in renewals(lab.charons.log("rome"))]
        assert kinds.count("ike") == 1
        sent, lost = lab.up.sent, sum(len(stream.lost) for stream in lab.streams)
        assert sent > 4 * REKEY_S * 20
        assert lost <= lab.starved()
        assert [stream.duplicated for stream in lab.streams] == [0, 0]
        assert not of_children(lab.charons.log("milan"))  # only one end renews: they never collide


def test_a_nat_that_forgets_is_followed(tmp_path: Path) -> None:
    with tunnelled(tmp_path, CALM) as lab:
        lab.send(RATE_PPS, lab.flowing)
        before, address_before = lab.identity(), lab.peer()
        at = lab.up.sent
        lab.network.forget()
        lab.send(RATE_PPS, lambda: lab.flowing(at) and lab.peer() != address_before)
        assert lab.identity() == before  # followed, not made anew
        assert lab.peer()[0] == address_before[0]


def test_another_pop_takes_over(tmp_path: Path) -> None:
    with tunnelled(tmp_path, CALM) as lab:
        lab.send(RATE_PPS, lab.flowing)
        before = lab.identity()
        assert lab.peer()[0] == "10.0.2.1"
        at = lab.up.sent
        lab.network.fail_over()
        lab.send(RATE_PPS, lambda: lab.flowing(at) and lab.peer()[0] == "10.0.3.1")
        assert lab.identity() == before
        assert sources(lab.charons.log("milan"), lab.tunnel.name)[-1][1] == "10.0.3.1"


def test_nothing_leaves_in_the_clear_with_the_tunnel_or_without(tmp_path: Path) -> None:
    with tunnelled(tmp_path, CALM) as lab:
        with lab.network.spaces["ut"].entered():
            tap = open_tap("ut-0")
        with tap:
            lab.send(RATE_PPS, lab.flowing)
            under_way = receive(tap)
            lab.kill("rome")
            wait_for(lambda: "ipsec0" not in command(lab.hosts["rome"], "ip", "-br", "link"))
            for _ in range(20):
                with pytest.raises(OSError, match=r"No route to host"):
                    lab.up.send()
            command(lab.hosts["rome"], "ping", "-c1", "-W10", MILAN.address)  # the way is there
            frames = [frame for frame, _, _ in [*under_way, *receive(tap)] if frame[12:14] == b"\x08\x00"]
        inner = ipaddress.ip_address(ROME.inner).packed
        assert not [frame for frame in frames if frame[26:30] == inner or frame[30:34] == inner]
        kinds = Counter((frame[23], int.from_bytes(frame[36:38], "big")) for frame in frames if frame[23] == 17)
        assert kinds[17, 4500] > 50
        assert set(kinds) == {(17, 4500)}
        wait_for(lambda: "charon of rome ended with code -9" in complaint(lab.charons))


def test_another_post_quantum_key_makes_no_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(host: str, tunnels: list[Tunnel], options: Options) -> str:
        return swanctl(
            host, [replace(tunnel, ppk="00" * 32) if host == "milan" else tunnel for tunnel in tunnels], options
        )

    monkeypatch.setattr(config, "swanctl", altered)
    with (
        pytest.raises(RunError, match=r"^swanctl --initiate at rome: .*charon: .*AUTH"),
        tunnelled(tmp_path, CALM),
    ):
        pass
    assert charons_in(tmp_path) == []


def test_nothing_stays_behind(tmp_path: Path) -> None:
    root = unpacked().root
    before = sorted(str(path) for path in root.rglob("*"))
    mounts = Path("/proc/self/mounts").read_text()
    with tunnelled(tmp_path, CALM) as lab:
        assert len(charons_in(tmp_path)) == 2
        at_work = lab.charons.folder
        secret = [at_work, *at_work.glob("*"), *at_work.glob("*/*.conf"), *at_work.glob("*/*.log")]
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in secret} == {0}
        assert Path("/proc/self/mounts").read_text() == mounts
    assert charons_in(tmp_path) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    assert sorted(str(path) for path in root.rglob("*")) == before
    kept = sorted(path for path in (tmp_path / "swan").rglob("*") if path.is_file())
    names = ["charon.log", "strongswan.conf", "swanctl.conf"]
    assert [str(path.relative_to(tmp_path / "swan")) for path in kept] == [
        f"{host}/{name}" for host in ("milan", "rome") for name in names
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


def test_charons_die_with_a_runner_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from swan_lab import tunnelled; from test_swan import CALM\n"
        "with tunnelled(Path(sys.argv[1]), CALM): print('up', flush=True); time.sleep(600)"
    )
    paths = os.pathsep.join([str(Path.cwd()), *(str(Path(__file__).parents[1] / tier) for tier in ("netns", "netem"))])
    runner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )
    assert runner.stdout is not None
    try:
        with runner.stdout:
            assert runner.stdout.readline() == b"up\n"
        assert len(charons_in(tmp_path)) == 2
    finally:
        runner.kill()
        runner.wait()
    wait_for(lambda: not charons_in(tmp_path))


def test_what_a_policy_of_the_kernel_forbids_is_lost_and_mixes_no_stamps_up(tmp_path: Path) -> None:
    """So charon holds back what would leave in the clear while it moves a peer."""
    policy = "src 10.0.1.2 dst 10.0.2.2 dir out"
    with Lab() as lab:
        routed(lab)
        opened = hosts(lab, port=INNER_PORT)
        for after_s, words in ((1.0, f"add {policy} action block"), (1.3, f"delete {policy}")):
            threading.Timer(after_s, lab.ip, ("rome", f"xfrm policy {words}")).start()
        document, rows = play(WORKLOAD, opened, tmp_path, 2, SessionOptions(encryption="operator"))
    assert reasons_beyond_pacing(document) == []  # a stamp too many, or too few, would be one
    for flow, result in enumerate(document["flows"]):
        lost = np.flatnonzero(rows["verdict"][rows["flow"] == flow] == NOT_RECEIVED)
        if result["src"] == "milan":
            assert len(lost) == 0
        else:
            assert len(lost) > 1
            assert list(lost) == list(
                range(lost[0], lost[-1] + 1)
            )  # one gap, and what came after it has its own stamps
    arrived = rows[rows["verdict"] != NOT_RECEIVED]
    assert (arrived["delay_ns"] > 0).all()


def complaint(charons: Charons) -> str:
    try:
        charons.check()
    except RunError as error:
        return str(error)
    return ""


def charons_in(folder: Path) -> list[int]:
    """Processes of charons whose files lie in that folder, by the file that takes what they complain of."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "charon\n" and (process / "fd/2").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found
