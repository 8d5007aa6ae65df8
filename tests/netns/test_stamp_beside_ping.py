"""STAMP beside ping in the same namespaces: the least round trips agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from traffic_lab import Lab

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
COUNT = 200


@pytest.mark.parametrize(("a", "b"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_the_least_round_trip_is_pings(a: str, b: str) -> None:
    width = 64 if ":" in a else 24
    with Lab() as lab:
        for name in "ab":
            lab.add(name)
        lab.link("a", "a-eth0", f"{a}/{width}", "b", "b-eth0", f"{b}/{width}")
        python = [sys.executable, "-m", "traffic"]
        within = {name: ["ip", "netns", "exec", lab.name(name)] for name in "ab"}
        reflect = [*within["b"], *python, "reflect", "--bind", b, "--peer", a, "--duration", "60"]
        with subprocess.Popen(reflect, cwd=ROOT, stderr=subprocess.PIPE, text=True) as reflector:
            assert reflector.stderr is not None
            assert reflector.stderr.readline().startswith("reflecting")
            words = ["stamp", "--to", b, "--count", str(COUNT), "--interval", "0.01", "--stateful", "--format", "json"]
            ours = subprocess.run([*within["a"], *python, *words], cwd=ROOT, capture_output=True, check=False)
            ping = [*within["a"], "ping", "-n", "-q", "-c", str(COUNT), "-i", "0.01", b]
            theirs = subprocess.run(ping, capture_output=True, text=True, check=True).stdout
            reflector.terminate()
    document = json.loads(ours.stdout)
    assert document["loss"] == {
        "sent": COUNT, "answered": COUNT, "lost": 0, "lost_there": 0, "lost_back": 0, "undetermined": 0
    }  # fmt: skip
    least = re.search(r"= ([\d.]+)/", theirs)
    assert least is not None
    assert document["round_trip_ms"]["min"] == pytest.approx(float(least[1]), abs=0.5)
    one_way_ms = document["there_ms"]["min"] + document["back_ms"]["min"]  # one machine, one clock
    assert one_way_ms == pytest.approx(document["round_trip_ms"]["min"], abs=0.5)
