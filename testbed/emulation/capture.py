"""Packets to a file, by tcpdump."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mininet.node import Node

_TCPDUMP: Final = "tcpdump -U -w - -Z root --immediate-mode -B 16384 --time-stamp-precision=nano -i"
"""In immediate mode each packet takes a slot of the longest packet: tcpdump's own 2 MiB hold so few that of 41 packets
at once 9 were lost."""


def tcpdump(interface: str) -> list[str]:
    """The command that writes what passes at an interface to its standard output, as pcap with nanoseconds."""
    return [*_TCPDUMP.split(), interface]


def capture(node: Node, interface: str, path: Path, log: Path | None = None) -> Popen[bytes]:
    """Write what passes at a node's interface to a pcap file, until the process is terminated; raises OSError.

    `log`: takes what tcpdump says, at the end how many packets it lost. The files are opened here: one that tcpdump
    opened itself it would want to give away to another user.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("wb"))
        words = DEVNULL if log is None else stack.enter_context(log.open("wb"))
        process: Popen[bytes] = node.popen(tcpdump(interface), stdin=DEVNULL, stdout=file, stderr=words)
    return process
