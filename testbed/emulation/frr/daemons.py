"""FRR's daemons as processes in the nodes: with files of their own, gone with the runner.

Zebra in each router, OSPF and OSPFv3 where there is a neighbour in the domain, BGP at a domain's edge.

FRR need not be installed: `scripts/frr` unpacks Debian's package into a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from testbed.emulation.daemons import DaemonGroup
from testbed.emulation.frr import config
from testbed.emulation.frr.config import Router
from testbed.ground.errors import MachineError
from testbed.kernel.namespaces import Namespace

PROTOCOLS: Final[dict[str, Callable[[Router], str]]] = {
    "ospfd": config.ospfd,
    "ospf6d": config.ospf6d,
    "bgpd": config.bgpd,
}

_READY_S: Final = 30.0  # for the next daemon to open its socket; usual is 0.1 s, among 180 on one core 1 s
_GROUP: Final = "frrvty"  # FRR is built to ask for it
_GROUPS: Final = Path("/etc/group")
_DESCRIPTORS: Final = 128  # FRR otherwise makes tables for as many as the process may open


class Installation:
    """Where FRR's programs and libraries lie: in the system, or in a folder where the package was unpacked."""

    def __init__(self, root: Path) -> None:
        """`root`: '/' for the system's own. Raises MachineError with the mend."""
        self.programs = root / "usr/lib/frr"
        libraries = root / "usr/lib/x86_64-linux-gnu"
        self.libraries = f"{libraries / 'frr'}:{libraries}"
        if not (self.programs / "zebra").is_file():
            raise MachineError(f"no FRR in {root}: run 'scripts/frr', or 'sudo apt-get install frr'")

    @classmethod
    def find(cls) -> Installation:
        """The system's, or the one that `scripts/frr` has unpacked; raises MachineError."""
        unpacked = Path(__file__).parents[3] / ".frr"
        if (Path("/") / "usr/lib/frr/zebra").is_file():
            return cls(Path("/"))
        return cls(unpacked)


class Daemons(DaemonGroup):
    """Zebra and its protocols on every router."""

    def __init__(
        self, installation: Installation, folder: Path, routers: Sequence[Router], spaces: Mapping[str, Namespace]
    ) -> None:
        """Start. `folder`: a new one, which keeps their files in the end; `spaces`: namespaces by router's name.

        All zebras first: a protocol that finds none waits ten seconds before it looks again.
        Raises RunError with the last words of one that does not start.
        """
        _know_group()
        super().__init__(folder, "frr-")
        self._installation, self._spaces = installation, spaces
        try:
            for router in routers:
                (self.folder / router.name).mkdir()
                self._start(router, "zebra", config.zebra(router))
            self.wait_for([self.folder / router.name / "zserv" for router in routers], _READY_S)
            spoken = [(router, program) for router in routers for program in protocols(router)]
            for router, program in spoken:
                self._start(router, program, PROTOCOLS[program](router))
            sockets = [self.folder / router.name / f"{program}.vty" for router, program in spoken]
            self.wait_for(sockets, _READY_S)
        except BaseException:
            self.close()
            raise

    @property
    def memory_bytes(self) -> int:
        """Resident memory of all of them; what they share counts for each."""
        pages = (int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) for process in self._processes.values())
        return sum(pages) * os.sysconf("SC_PAGESIZE")

    def _start(self, router: Router, program: str, text: str) -> None:
        own = self.folder / router.name
        (own / f"{program}.conf").write_text(text)
        command = [str(self._installation.programs / program), "-u", "root", "-g", "root", "-P", "0"]
        command += ["-f", str(own / f"{program}.conf"), "-i", str(own / f"{program}.pid"), "-z", str(own / "zserv")]
        command += ["--vty_socket", str(own), "--limit-fds", str(_DESCRIPTORS)]
        space = self._spaces[router.name]

        def enter() -> None:
            """After the player and the traffic: dozens of daemons have something to do at the same time."""
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            space.enter()

        environment = os.environ | {"LD_LIBRARY_PATH": self._installation.libraries}
        self.launch(f"{program} of {router.name}", command, own / f"{program}.log", environment, enter)

    def logs(self, name: str) -> list[Path]:
        """The daemon's only one."""
        program, _, router = name.partition(" of ")
        return [self.folder / router / f"{program}.log"]


def protocols(router: Router) -> list[str]:
    """The programs that it needs beside zebra."""
    return [*(["ospfd", "ospf6d"] if router.speaks_ospf else []), *(["bgpd"] if router.bgp else [])]


def _know_group() -> None:
    """FRR asks for its group even when it is told another. In the guest, whose files are its own, it is made."""
    if any(line.startswith(f"{_GROUP}:") for line in _GROUPS.read_text().splitlines()):
        return
    if not os.environ.get("TESTBED_GUEST"):
        raise MachineError(
            f"FRR needs the group '{_GROUP}': run 'sudo apt-get install frr', or 'sudo groupadd {_GROUP}'"
        )
    with _GROUPS.open("a") as groups:
        groups.write(f"{_GROUP}:x:64999:root\n")
