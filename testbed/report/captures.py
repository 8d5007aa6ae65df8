"""The captures of a run (--pcap): put together as one file with named interfaces, and what they missed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from traffic.errors import CaptureError
from traffic.pcapng import merge

FOLDER: Final = "pcap"
MERGED: Final = "run.pcapng"

_DROPPED: Final = re.compile(r"^(\d+) packets? dropped by", re.MULTILINE)  # tcpdump's last words, two such lines


def merge_captures(folder: Path) -> list[str]:
    """Write RUN/pcap/run.pcapng, an interface for each protected host; returns warnings.

    Each host's own file stays. Nothing is done in a run without captures.
    """
    files = sorted((folder / FOLDER).glob("*.pcap"))
    if not files:
        return []
    try:
        merge([(file.stem, file) for file in files], folder / FOLDER / MERGED)
    except CaptureError as error:
        return [f"captures: {error}; {MERGED} is not complete"]
    return []


def lost_captures(folder: Path) -> list[str]:
    """A line for each capture that tcpdump says is not complete."""
    lines = []
    for log in sorted((folder / FOLDER).glob("*.log")):
        lost = sum(int(number) for number in _DROPPED.findall(log.read_text(errors="replace")))
        if lost:
            lines.append(f"captures: {log.stem}.pcap lacks {lost:,} packets that passed")
    return lines
