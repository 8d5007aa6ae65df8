"""The guest before the host's other work, where the caller may say so, and what only looks on behind it.

The guest's timers are the measuring instrument.

A nice value weighs within a session only, where the kernel shares its processors between sessions first (autogroup,
sched(7)): ten busy processes in one shell and a guest at -15 in another get half each. So the session is given it too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

NICE: Final = -15
_LAST: Final = 19


def first(session: int) -> None:
    """Give a process that leads a session of its own, and all that it will start there, precedence; root's alone."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(PermissionError):  # a container's root may lack CAP_SYS_NICE
        os.setpriority(os.PRIO_PROCESS, session, NICE)
    with contextlib.suppress(OSError):  # the same, or a kernel without autogroups: there the nice value is enough
        Path(f"/proc/{session}/autogroup").write_text(str(NICE))


def last() -> None:
    """Let this process, which leads a session of its own, have what nobody else wants; anybody may."""
    os.nice(_LAST)
    with contextlib.suppress(OSError):  # a kernel without autogroups, where the nice value is enough
        Path("/proc/self/autogroup").write_text(str(_LAST))
