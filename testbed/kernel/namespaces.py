"""Network namespaces without processes and without names: each lives as long as its file descriptor.

Nothing is left behind when the process dies, whatever the way it dies.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from testbed.ground.errors import MachineError

_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise MachineError(f"{name}: {os.strerror(code)}: network namespaces need root (CAP_SYS_ADMIN, CAP_NET_ADMIN)")


def _current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace, held by the file descriptor `fd`."""

    def __init__(self) -> None:
        home = _current()
        try:
            _call("unshare", _CLONE_NEWNET)
            self.fd = _current()
            _call("setns", home, _CLONE_NEWNET)
        finally:
            os.close(home)

    def close(self) -> None:
        """Let go: the kernel removes the namespace and all in it once no process or socket is in it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in the namespace for the time of the block."""
        home = _current()
        try:
            _call("setns", self.fd, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", home, _CLONE_NEWNET)
        finally:
            os.close(home)

    def enter(self) -> None:
        """The calling thread moves in for good: for a child process before it starts a program."""
        _call("setns", self.fd, _CLONE_NEWNET)


def set_sysctl(name: str, value: int) -> None:
    """Write one `net.…` sysctl of the calling thread's namespace, with slashes: 'net/ipv4/ip_forward'."""
    descriptor = os.open(f"/proc/sys/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
