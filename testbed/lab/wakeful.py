"""Processors that do not fall asleep while a run plays: timers on an idle machine are then as exact as on a busy one.

An idle virtual machine gives its processor back to the hypervisor, and gets it again tens of microseconds after a timer
was due: 50 µs on the machine of docs/guest.md, at every netem hop. The kernel's interface for those who cannot wait is
/dev/cpu_dma_latency (its documentation: power/pm_qos_interface): while a process holds it open with 0 µs written, idle
processors poll. Root's alone. It ends with the process, however that ends.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_DEVICE: Final = "/dev/cpu_dma_latency"
_NO_LATENCY: Final = struct.pack("=i", 0)  # µs


@contextmanager
def wakeful() -> Iterator[bool]:
    """For the time of the block; False where this user may not, or this kernel has no such thing: then as ever."""
    try:
        descriptor = os.open(_DEVICE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        os.write(descriptor, _NO_LATENCY)
        yield True
    finally:
        os.close(descriptor)
