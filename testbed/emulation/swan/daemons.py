"""Charon as a process in each host, with files of its own, gone with the runner.

strongSwan need not be installed: `scripts/strongswan` unpacks Debian's packages into a folder. Charon looks for its
plugins and writes its files at paths that it was built with. So it gets a view of its own of the file tree: the
unpacked folder as its root, the system's libraries bound into it, and a folder of the run as its /run. That view is a
mount namespace and ends with the process; the machine's own tree is not touched.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from testbed.emulation.daemons import DaemonGroup
from testbed.emulation.swan import config
from testbed.emulation.swan.config import LOG, End, Options, Tunnel
from testbed.ground.errors import MachineError, RunError
from testbed.kernel.namespaces import Namespace
from traffic.private import write_private

_READY_S: Final = 60.0  # for a charon to open its socket; usual is 0.1 s
_UP_S: Final = 60  # for a tunnel; usual is two round trips
_BOUND: Final = ("dev", "proc", "usr/lib64", "usr/lib/x86_64-linux-gnu")
_CLONE_NEWNS: Final = 0x20000  # linux/sched.h
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18  # linux/mount.h
_libc = ctypes.CDLL(None, use_errno=True)


class Installation:
    """The folder into which `scripts/strongswan` has unpacked Debian's packages."""

    def __init__(self, root: Path) -> None:
        """Raises MachineError with the mend."""
        self.root = root
        if not (root / "usr/lib/ipsec/charon").is_file():
            raise MachineError(f"no strongSwan in {root}: run 'scripts/strongswan'")

    @classmethod
    def find(cls) -> Installation:
        """The project's; raises MachineError."""
        return cls(Path(__file__).parents[3] / ".strongswan")

    def enter(self, run: Path) -> None:
        """The calling process sees this folder as its root from now on, and `run` as /run."""
        if _libc.unshare(_CLONE_NEWNS) or _libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
            raise OSError(ctypes.get_errno(), "no mount namespace")
        pairs = [(f"/{name}", self.root / name) for name in _BOUND]
        for source, target in [*pairs, (str(run), self.root / "run")]:
            if _libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND | _MS_REC, None):
                raise OSError(ctypes.get_errno(), f"cannot bind {source} to {target}")
        os.chroot(self.root)
        os.chdir("/")


class Charons(DaemonGroup):
    """A charon in every host that has a tunnel."""

    goodbye_s = 5.0  # to tell its peers, and to take its associations out of the kernel

    def __init__(
        self,
        installation: Installation,
        folder: Path,
        tunnels: Sequence[Tunnel],
        spaces: Mapping[str, Namespace],
        options: Options,
    ) -> None:
        """Start, and wait until every tunnel is up; the hosts have their inner addresses then.

        `folder`: a new one, which keeps their files in the end; `spaces`: namespaces by host. Raises RunError with the
        last words of one that fails.
        """
        super().__init__(folder, "swan-")
        self._installation, self._spaces = installation, spaces
        hosts = sorted({end.host for tunnel in tunnels for end in (tunnel.initiator, tunnel.responder)})
        try:
            for host in hosts:
                own = self.folder / host
                own.mkdir(mode=0o700)
                its = [tunnel for tunnel in tunnels if host in (tunnel.initiator.host, tunnel.responder.host)]
                write_private(own / "strongswan.conf", config.strongswan(options))
                write_private(own / "swanctl.conf", config.swanctl(host, its, options))
                self._start(host)
            self.wait_for([self.folder / host / "charon.vici" for host in hosts], _READY_S)
            for tunnel in tunnels:
                self._fence(tunnel.initiator, tunnel.responder)
                self._fence(tunnel.responder, tunnel.initiator)
            for host in hosts:
                self.swanctl(host, "--load-all", "--file", "/run/swanctl.conf")
            for tunnel in tunnels:
                words = ("--initiate", "--child", tunnel.name, "--timeout", str(_UP_S))
                self.swanctl(tunnel.initiator.host, *words)
        except BaseException:
            self.close()
            raise

    def swanctl(self, host: str, *words: str) -> str:
        """What strongSwan's own tool says to the charon of a host; raises RunError."""
        own, space = self.folder / host, self._spaces[host]

        def enter() -> None:
            space.enter()
            self._installation.enter(own)

        done = subprocess.run(
            ["/usr/sbin/swanctl", *words],
            capture_output=True,
            text=True,
            preexec_fn=enter,
            env=_ENVIRONMENT,
            check=False,
        )
        if done.returncode:
            self.check()
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise RunError(f"swanctl {words[0]} at {host}: {said}; charon: {self.last_words(f'charon of {host}')}")
        return done.stdout

    def log(self, host: str) -> str:
        """What the charon of a host has said so far."""
        return (self.folder / host / LOG).read_text(errors="replace")

    def _start(self, host: str) -> None:
        own, space = self.folder / host, self._spaces[host]

        def enter() -> None:
            space.enter()
            self._installation.enter(own)

        write_private(own / LOG, "")  # with its mode, which charon leaves
        self.launch(f"charon of {host}", ["/usr/lib/ipsec/charon"], own / "charon.err", _ENVIRONMENT, enter)

    def _fence(self, own: End, other: End) -> None:
        """Give a host its inner address, and no way to the other's but the tunnel: charon's own routes come first.

        Without the tunnel the kernel refuses such packets, where the default route would carry them in the clear.
        """
        commands = f"address replace {own.inner} dev lo\nroute replace unreachable {other.inner}\n"
        done = subprocess.run(
            ["ip", "-batch", "-"],
            input=commands,
            capture_output=True,
            text=True,
            preexec_fn=self._spaces[own.host].enter,
            check=False,
        )
        if done.returncode:
            raise RunError(f"inner addresses at {own.host}: ip: {done.stderr.strip()}")

    def logs(self, name: str) -> list[Path]:
        """Its own words before it could open its log."""
        own = self.folder / name.rpartition(" ")[2]
        return [own / "charon.err", own / LOG]


_ENVIRONMENT: Final = {"STRONGSWAN_CONF": "/run/strongswan.conf", "PATH": "/usr/sbin:/usr/bin"}
