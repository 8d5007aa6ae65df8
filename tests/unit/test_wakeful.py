"""Processors held awake, by the kernel's own word, and let go again."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from testbed.lab import wakeful

DEVICE = Path("/dev/cpu_dma_latency")


def kernel_says_us() -> int:
    """The latency that idle processors may cost now, in µs."""
    descriptor = os.open(DEVICE, os.O_RDONLY)
    (latency,) = struct.unpack("=i", os.read(descriptor, 4))
    os.close(descriptor)
    return int(latency)


def requests() -> int:
    """How many descriptors of this process ask."""
    return sum(link.readlink() == DEVICE for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


@pytest.mark.skipif(not os.access(DEVICE, os.R_OK | os.W_OK), reason=f"{DEVICE} is root's, or not there")
def test_the_kernel_is_asked_for_no_latency_and_let_go() -> None:
    with wakeful.wakeful() as awake:
        assert awake
        assert kernel_says_us() == 0
        assert requests() == 1
    assert requests() == 0  # another run on this machine may still ask: the kernel's own word says nothing then


def test_where_it_may_not_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wakeful, "_DEVICE", str(tmp_path / "missing"))
    with wakeful.wakeful() as awake:
        assert not awake
