"""Named network namespaces for the traffic tests: made, entered by a thread, removed."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


def run(command: str, *words: str) -> None:
    """One command, without a shell, and words that may hold spaces; raises with what it said."""
    result = subprocess.run([*command.split(), *words], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}: {result.stderr}"


class Lab:
    """Namespaces by short name; their real names hold the process number, so that runs side by side do not meet."""

    def __init__(self) -> None:
        self._prefix = f"trf{os.getpid()}-{next(_numbers)}-"
        self._names: list[str] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()
        for name in self._names:
            run(f"ip netns del {self._prefix}{name}")

    def name(self, name: str) -> str:
        """The real name of a namespace."""
        return self._prefix + name

    def add(self, name: str, *, forward: bool = False) -> None:
        """A namespace with its loopback up."""
        run(f"ip netns add {self._prefix}{name}")
        self._names.append(name)
        self.ip(name, "link set lo up")
        if forward:
            self.command(name, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")

    def ip(self, name: str, arguments: str) -> None:
        run(f"ip -n {self._prefix}{name} {arguments}")

    def tc(self, name: str, arguments: str) -> None:
        run(f"tc -n {self._prefix}{name} {arguments}")

    def command(self, name: str, arguments: str) -> None:
        run(f"ip netns exec {self._prefix}{name} {arguments}")

    def link(self, a: str, a_interface: str, a_address: str, b: str, b_interface: str, b_address: str) -> None:
        """A veth pair, up, with addresses like 10.0.0.1/24."""
        a_space, b_space = self._prefix + a, self._prefix + b
        run(f"ip -n {a_space} link add {a_interface} type veth peer name {b_interface} netns {b_space}")
        for name, interface, address in ((a, a_interface, a_address), (b, b_interface, b_address)):
            self.ip(name, f"address add {address} dev {interface}{' nodad' if ':' in address else ''}")
            self.ip(name, f"link set {interface} up")

    def within(self, name: str, function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Call a function in a thread that has entered the namespace; a socket it returns is closed with the lab."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with Path(f"/run/netns/{self._prefix}{name}").open() as file:
                    assert libc.setns(file.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                results.append(function(*arguments, **keywords))
            except BaseException as error:  # noqa: BLE001 - handed on to the caller's thread
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        if isinstance(results[0], socket.socket):
            self._sockets.append(results[0])
        return results[0]
