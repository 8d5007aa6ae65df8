"""A tunnel by strongSwan's charon through a NAT: keys renewed under load, and a NAT that forgets or is another's.

Here charon itself does ESP (libipsec, behind a TUN interface): this kernel has none. With the kernel's:
tests/netem/test_swan.py. What a busy machine's queues lose is counted by its kernel, and is not charon's.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from swan_lab import TUNNEL_NAME, tunnelled, unpacked

from testbed.emulation.swan.config import End, Options, Tunnel, swanctl
from testbed.emulation.swan.daemons import Charons
from testbed.emulation.swan.watch import renewals, sources
from testbed.ground.errors import RunError
from testbed.kernel.namespaces import Namespace

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
        lab.charons.swanctl("rome", "--rekey", "--ike", TUNNEL_NAME)
        lab.send(RATE_PPS, lambda: len(of_children(lab.charons.log("rome"))) >= 6)
        assert lab.identity() != first
        kinds = [renewal.what for renewal in renewals(lab.charons.log("rome"))]
        assert kinds.count("ike") == 1
        sent, lost = lab.up.sent, sum(len(stream.lost) for stream in lab.streams)
        print("renewals", renewals(lab.charons.log("rome")), "sent", sent, "lost", lost, "starved", lab.starved())
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
        print("outages", [lab.outage_s(stream, at) for stream in lab.streams])


def test_another_pop_takes_over(tmp_path: Path) -> None:
    with tunnelled(tmp_path, CALM) as lab:
        lab.send(RATE_PPS, lab.flowing)
        before = lab.identity()
        assert lab.peer()[0] == "10.0.2.1"
        at = lab.up.sent
        lab.network.fail_over()
        lab.send(RATE_PPS, lambda: lab.flowing(at) and lab.peer()[0] == "10.0.3.1")
        assert lab.identity() == before
        assert {address for _, address, _ in sources(lab.charons.log("milan"))} == {"10.0.2.1", "10.0.3.1"}
        print("outages", [lab.outage_s(stream, at) for stream in lab.streams])
