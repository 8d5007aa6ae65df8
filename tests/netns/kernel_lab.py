"""What the tests of the kernel layer share: two namespaces, and the system's own `ip` to read them with."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from testbed.kernel import links
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Message, Netlink

LO = links.LOOPBACK_INDEX
MACS = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))


class Pair:
    """Namespaces a and b, each with a socket, and between them a veth pair that is not yet up."""

    def __init__(self) -> None:
        self.spaces = (Namespace(), Namespace())
        self.netlinks = tuple(open_netlink(space) for space in self.spaces)
        self.netlinks[0].send([self.veth()])

    def veth(self, names: tuple[str, str] = ("a-eth0", "b-eth7"), indices: tuple[int, int] = (5, 9)) -> Message:
        fds = (self.spaces[0].fd, self.spaces[1].fd)
        return links.veth(names=names, indices=indices, macs=MACS, namespaces=fds, mtu=1400)

    def close(self) -> None:
        for netlink, space in zip(self.netlinks, self.spaces, strict=True):
            netlink.close()
            space.close()


def open_netlink(space: Namespace) -> Netlink:
    with space.entered():
        return Netlink()


def command(space: Namespace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, preexec_fn=space.enter, capture_output=True, text=True, check=False)


def ip(space: Namespace, *words: str) -> list[dict[str, Any]]:
    """What the system's own `ip` reads in a namespace."""
    done = command(space, "ip", "-j", "-d", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = [entry for entry in json.loads(done.stdout or "[]") if entry]
    return found


def wait_for(ready: Callable[[], object]) -> None:
    """Until the kernel has done its part; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline, "the kernel did not do it in ten seconds"
        time.sleep(0.01)
