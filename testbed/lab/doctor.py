"""What this machine can do, what is missing, and the one line that mends it."""

from __future__ import annotations

import importlib
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from testbed.lab import guest, place

OPEN_FILES = 4096  # Assumption: enough for a network of some hundred nodes with a few descriptors each


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `needed`: without it nothing runs at all."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


def examine() -> list[Finding]:
    """Look at everything; nothing is changed and nothing stays behind."""
    return [_python(), _mininet(), *_tools(), _native(), _uml(), _open_files(), _multipath_tcp()]


def can_run(findings: list[Finding]) -> bool:
    """Can a run happen here, in one place at least?"""
    places = [finding.ok for finding in findings if finding.name.startswith("run ")]
    return any(places) and all(finding.ok for finding in findings if finding.needed)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", ok, version, "" if ok else "rebuild .venv with scripts/install on Python 3.11 to 3.13")


def _mininet() -> Finding:
    try:
        net = importlib.import_module("mininet.net")
    except ImportError as error:
        return Finding("Mininet", False, str(error), "sudo apt-get install mininet, then scripts/install")
    return Finding("Mininet", True, str(net.VERSION))


def _tools() -> list[Finding]:
    wanted = [
        ("mnexec", "mininet", True),
        ("ifconfig", "net-tools", True),
        ("ethtool", "ethtool", True),
        ("iptables-legacy-restore", "iptables", True),
        ("ping", "iputils-ping", True),
        ("tcpdump", "tcpdump", False),
        ("tshark", "tshark", False),
        ("iperf3", "iperf3", False),
    ]
    found = []
    for tool, package, needed in wanted:
        path = shutil.which(tool)
        mend = "" if path else f"sudo apt-get install {package}"
        found.append(Finding(tool, path is not None, path or "not found", mend, needed))
    return found


def _native() -> Finding:
    why = place.why_not_native()
    detail, _, mend = (why or "root and sch_netem").partition(": ")
    return Finding("run natively", why is None, detail, mend, needed=False)


def _uml() -> Finding:
    why = place.why_not_uml()
    if why is None:
        version = subprocess.run([guest.KERNEL, "--version"], capture_output=True, text=True, check=False)
        return Finding("run in the guest", True, f"user-mode Linux {version.stdout.strip()}", needed=False)
    detail, _, mend = why.partition(": ")
    return Finding("run in the guest", False, detail, mend, needed=False)


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = hard in (resource.RLIM_INFINITY, -1) or hard >= OPEN_FILES
    return Finding("open files", ok, f"limit {hard}", "" if ok else f"ulimit -n {OPEN_FILES}", needed=False)


def _multipath_tcp() -> Finding:
    """What this kernel says of it; nothing here needs it, and the guest's kernel has none."""
    try:
        enabled = Path("/proc/sys/net/mptcp/enabled").read_text().strip()
    except OSError:
        return Finding("Multipath TCP", True, "not in this kernel (no net.mptcp.enabled); not needed", needed=False)
    return Finding("Multipath TCP", True, f"net.mptcp.enabled = {enabled}; not used", needed=False)
