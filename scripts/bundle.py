"""Writes the configuration of an OCI bundle: `crun spec`'s own, for one command with the rights an engine would give.

    scripts/bundle.py CONFIG RIGHTS PATH COMMAND…

CONFIG: config.json as `crun spec` wrote it, changed in place. RIGHTS: `none`, an ordinary user without any capability;
`usual`, root with what Docker gives by default; `privileged`, root with everything, as `--privileged` gives. The first
two may make the system calls that engines allow. PATH: the image's. There are no resource limits: an engine's own would
have to be raised.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

RIGHTS = ("none", "usual", "privileged")
SYSTEM_CALLS = Path("/usr/share/containers/seccomp.json")
"""The engines' default profile, in Debian's golang-github-containers-common."""

MACHINE = "amd64"

# What Docker gives a container unasked: moby, oci/caps/defaults.go.
USUAL = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)


def capabilities(rights: str) -> list[str]:
    """Names of the capabilities that `rights` gives."""
    if rights == "none":
        return []
    if rights == "usual":
        return list(USUAL)
    names = subprocess.run(["setpriv", "--list-caps"], capture_output=True, text=True, check=True).stdout.split()
    own = re.search(r"^CapBnd:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert own is not None
    mask = int(own[1], 16)  # nobody can give away more than he has
    return [f"CAP_{name.upper()}" for number, name in enumerate(names) if mask >> number & 1]


def filtered(profile: dict[str, Any], given: list[str]) -> dict[str, Any]:
    """The engines' profile of system calls as OCI knows it: its conditions on machine and capabilities decided."""

    def holds(condition: dict[str, Any]) -> bool:
        return MACHINE in condition.get("arches", [MACHINE]) and set(condition.get("caps", [])) <= set(given)

    rules = []
    for rule in profile["syscalls"]:
        excluded = rule.get("excludes") or {}
        if holds(rule.get("includes") or {}) and not (excluded and holds(excluded)):
            kept = {key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key)}
            rules.append(kept)
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }


def configured(
    bundle: dict[str, Any], profile: dict[str, Any], rights: str, path: str, command: list[str]
) -> dict[str, Any]:
    """`bundle`, as `crun spec` makes it, for this command with these rights; `profile`: the engines' system calls."""
    given = capabilities(rights)
    user = 1000 if rights == "none" else 0
    process = bundle["process"] | {
        "terminal": False,
        "args": command,
        "cwd": "/work",
        "env": [f"PATH={path}", "HOME=/work", "TERM=dumb", "COLUMNS=120"],
        "user": {"uid": user, "gid": user},
        "noNewPrivileges": rights == "none",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), given),
    }
    process.pop("rlimits", None)
    mounts = [mount for mount in bundle["mounts"] if mount["destination"] != "/sys/fs/cgroup"]
    linux = bundle["linux"]
    if rights == "privileged":
        linux |= {"maskedPaths": [], "readonlyPaths": [], "resources": {"devices": [{"allow": True, "access": "rwm"}]}}
        for mount in mounts:
            if mount["destination"] == "/sys":
                mount["options"] = [option for option in mount["options"] if option != "ro"]
    else:
        linux |= {"seccomp": filtered(profile, given)}
    root = {"path": "rootfs", "readonly": False}
    return bundle | {"root": root, "process": process, "mounts": mounts, "linux": linux}


if __name__ == "__main__":
    config, rights, path, *command = sys.argv[1:]
    if rights not in RIGHTS:
        sys.exit(f"rights '{rights}': there are {', '.join(RIGHTS)}")
    bundle, profile = (json.loads(file.read_text()) for file in (Path(config), SYSTEM_CALLS))
    Path(config).write_text(json.dumps(configured(bundle, profile, rights, path, command), indent=2))
