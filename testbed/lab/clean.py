"""Remove what a run left behind after its runner was killed, and nothing else.

Namespaces, links and queues live only as long as the runner's file descriptors, so the kernel has removed them. What
can stay are programs started in a node (a capture, a user's command) and a few files of control. Each process of a run
carries the run directory in its environment: nothing is ever found by a name's pattern.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.ground.joining import PRESENT_ONLY_LIVE
from testbed.lab.launch import RUNNER, TAG


@dataclass(frozen=True)
class Leftover:
    """A process (by number) or a file or folder that a dead run left."""

    what: str
    pid: int | None = None
    path: Path | None = None


def find(parent: Path) -> list[Leftover]:
    """What dead runs left: processes anywhere on the machine, files in the run directories under `parent`."""
    tagged = list(_tagged())
    alive = {folder for pid, folder in tagged if _is_runner(pid)}
    found = [
        Leftover(f"process {pid} ({_name(pid)}) of {folder}", pid=pid) for pid, folder in tagged if folder not in alive
    ]
    for live in sorted(path for name in PRESENT_ONLY_LIVE for path in parent.glob(f"*/{name}")):
        if str(live.parent.absolute()) not in alive and not _guest_runs(live.parent / "guest" / "uml"):
            found.append(Leftover(f"file {live}", path=live))
    for control in sorted(parent.glob("*/guest/uml")):
        if not _guest_runs(control):
            found.append(Leftover(f"folder {control}", path=control))
    return found


def remove(leftovers: list[Leftover]) -> None:
    """Kill and delete; what has gone by itself meanwhile is no error."""
    for leftover in leftovers:
        if leftover.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(leftover.pid, signal.SIGKILL)
        elif leftover.path is not None and leftover.path.is_dir():
            shutil.rmtree(leftover.path, ignore_errors=True)
        elif leftover.path is not None:
            leftover.path.unlink(missing_ok=True)


def _tagged() -> Iterator[tuple[int, str]]:
    """Every process that carries the tag, with the run directory it names."""
    prefix = f"{TAG}=".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # gone meanwhile, or another user's
            for pair in (entry / "environ").read_bytes().split(b"\0"):
                if pair.startswith(prefix):
                    yield int(entry.name), os.fsdecode(pair.removeprefix(prefix))


def _is_runner(pid: int) -> bool:
    with suppress(OSError):
        return RUNNER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "ended"


def _guest_runs(control: Path) -> bool:
    with suppress(OSError, ValueError):
        pid = int((control / "guest" / "pid").read_text())
        return str(control).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
