"""What this machine must allow before a large network is built: descriptors, namespaces. Checked beforehand."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

from testbed.ground.errors import MachineError
from testbed.plan.model import Plan

_PER_NODE: Final = 3  # descriptors: its namespace, its netlink socket, and room for a probing socket
_SPARE: Final = 256  # everything else the process has open
_NAMESPACES_MAX: Final = Path("/proc/sys/user/max_net_namespaces")


def prepare(plan: Plan) -> None:
    """Raise this process's own limits as far as the plan needs; raises MachineError where it may not.

    The whole machine's limit is raised in the guest alone, whose machine is ours. Permanent neighbour entries do not
    count for the kernel's table limits (gc_thresh, since Linux 5.0), and a node needs no process: neither is checked.
    """
    needed = _PER_NODE * len(plan.nodes) + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        except (ValueError, PermissionError):
            raise MachineError(
                f"{len(plan.nodes):,} nodes need {needed:,} open files, this process may have {hard:,}: run "
                f"'ulimit -n {needed}' as root first, or put it into /etc/security/limits.conf"
            ) from None
    most = int(_NAMESPACES_MAX.read_text())
    if most < len(plan.nodes) + _SPARE:
        wanted = 2 * len(plan.nodes) + _SPARE
        if not os.environ.get("TESTBED_GUEST"):
            raise MachineError(
                f"{len(plan.nodes):,} nodes need as many network namespaces, this kernel allows {most:,}: run "
                f"'sysctl -w user.max_net_namespaces={wanted}' as root"
            )
        _NAMESPACES_MAX.write_text(str(wanted))
