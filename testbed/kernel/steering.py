"""One processor for all that arrives at an interface, so that packets stay in the order in which a link gave them up.

What leaves a veth is put into a backlog of whichever processor happened to run the sender's queue, and two processors
empty theirs at the same time: a packet of the second may overtake one of the first, although both left one queue in
order. With receive packet steering to a single processor there is one backlog (docs/design/ordinary-kernel.md).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Final

from testbed.ground.errors import MachineError
from testbed.kernel.namespaces import Namespace

_CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000  # linux/mount.h
_MNT_DETACH: Final = 2
_SYSFS: Final = b"/sys"
_libc = ctypes.CDLL(None, use_errno=True)

Steered = tuple[Namespace, Sequence[str], int]
"""Interfaces of a namespace by name, and a number: those with the same number share a processor."""


def steer(interfaces: Sequence[Steered]) -> None:
    """Steer them all, if this process and what it starts may run on more than one processor.

    Raises MachineError with the mend where sysfs cannot be had.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) == 1 or not interfaces:
        return
    failed: list[OSError] = []

    def work() -> None:
        try:
            _in_a_mount_namespace(interfaces, processors)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="steering")  # a view of files of its own, which ends with it
    thread.start()
    thread.join()
    if failed:
        raise MachineError(
            f"packets cannot be kept in order on {len(processors)} processors, since sysfs cannot be used in a "
            f"namespace ({failed[0].strerror}): run as root of the machine or of a privileged container, or on one "
            "processor: taskset -c 0 …"
        )


def _in_a_mount_namespace(interfaces: Sequence[Steered], processors: Sequence[int]) -> None:
    _call("unshare", _CLONE_NEWNS)
    _call("mount", None, b"/", None, _MS_REC_PRIVATE, None)
    for space, names, number in interfaces:
        mask = _mask(processors[number % len(processors)])
        with space.entered():
            _call("mount", b"sysfs", _SYSFS, b"sysfs", 0, None)
        try:
            for name in names:
                _write(f"/sys/class/net/{name}/queues/rx-0/rps_cpus", mask)
        finally:
            _call("umount2", _SYSFS, _MNT_DETACH)


def _mask(processor: int) -> str:
    """The kernel's way to write a set of processors: hexadecimal, a comma between each 32."""
    digits = f"{1 << processor:x}"
    groups = [digits[max(0, end - 8) : end] for end in range(len(digits), 0, -8)]
    return ",".join(reversed(groups))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
