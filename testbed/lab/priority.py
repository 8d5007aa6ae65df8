"""The guest before the host's other work, where the caller may say so: its timers are the measuring instrument.

A nice value weighs within a session only, where the kernel shares its processors between sessions first (autogroup,
sched(7)): ten busy processes in one shell and a guest at -15 in another get half each. So the session is given it too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

NICE: Final = -15


def first(session: int) -> None:
    """Give a process that leads a session of its own, and all that it will start there, precedence; root's alone."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(PermissionError):  # a container's root may lack CAP_SYS_NICE
        os.setpriority(os.PRIO_PROCESS, session, NICE)
    with contextlib.suppress(OSError):  # the same, or a kernel without autogroups: there the nice value is enough
        Path(f"/proc/{session}/autogroup").write_text(str(NICE))
