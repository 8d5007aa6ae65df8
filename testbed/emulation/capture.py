"""Packets to a file, by tcpdump."""

from __future__ import annotations

from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Final

from mininet.node import Node

_TCPDUMP: Final = "tcpdump -U -w - -Z root --immediate-mode -i"


def capture(node: Node, interface: str, path: Path) -> Popen[bytes]:
    """Write what passes at a node's interface to a pcap file, until the process is terminated; raises OSError.

    The file is opened here: one that tcpdump opened itself it would want to give away to another user.
    """
    with path.open("wb") as file:
        process: Popen[bytes] = node.popen([*_TCPDUMP.split(), interface], stdin=DEVNULL, stdout=file, stderr=DEVNULL)
    return process
