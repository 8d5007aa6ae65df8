"""Where a run can happen: natively, or in the user-mode kernel. Each capability is tried, not guessed."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from testbed.ground.errors import KernelError, MachineError
from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace
from testbed.kernel.netlink import Netlink
from testbed.lab import guest

Place = Literal["native", "uml"]
Where = Literal["auto", "native", "uml"]


def why_not_native() -> str | None:
    """None if this kernel and user can emulate natively; else what is missing and the mend."""
    if os.geteuid() != 0:
        return "the native runner needs root: run it with sudo, or leave the place to --where auto"
    try:
        namespace = Namespace()
    except MachineError as error:
        return str(error)
    try:
        with namespace.entered(), Netlink() as netlink:
            trial = queues.add_netem(links.LOOPBACK_INDEX, queues.Impairment(0, 0.0, 1), "the trial")
            netlink.send([trial])
    except KernelError:
        return "this kernel has no sch_netem: run 'sudo modprobe sch_netem', or leave the place to --where auto"
    finally:
        namespace.close()
    missing = [tool for tool in ("mnexec", "ifconfig", "iptables-legacy-restore") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found: run 'sudo apt-get install mininet net-tools iptables'"
    return None


def why_not_uml() -> str | None:
    """None if the user-mode kernel can be started; else what is missing and the mend."""
    if shutil.which(guest.KERNEL) is None or not guest.MODULES.is_dir():
        return f"no user-mode Linux kernel ({guest.KERNEL}): run '{guest.APT_LINE}'"
    return None


def choose(where: Where) -> Place:
    """The place for `--where`; raises MachineError that says what would mend it."""
    native = why_not_native() if where != "uml" else None
    if where == "native":
        if native:
            raise MachineError(native)
        return "native"
    if where == "auto" and native is None:
        return "native"
    uml = why_not_uml()
    if uml:
        raise MachineError(uml if where == "uml" else f"nowhere to run: natively, {native}; else, {uml}")
    return "uml"
