"""Mininet's own `mn`, with its crash cleanup taken out: that removes other people's links and processes.

Debian's /usr/bin/mn runs under the system's Python and does not see this environment. This one does:

    sudo .venv/bin/mn --custom topologies/starlink_italy.py --topo starlink_italy --test pingall
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from mininet import clean

from testbed.ground.errors import MachineError

_MN = Path("/usr/bin/mn")


def _no_cleanup() -> None:
    """What `mn` runs on an exception, and as `mn -c`."""
    sys.stderr.write("mn: cleanup is switched off here, it would remove what is not ours; see 'testbed clean'\n")


def main() -> None:
    """Run the system's mn in this Python."""
    if not _MN.is_file():
        sys.stderr.write(f"mn: {_MN} is missing: run 'sudo apt-get install mininet'\n")
        sys.exit(MachineError.exit_code)
    clean.cleanup = _no_cleanup
    clean.Cleanup.cleanup = staticmethod(_no_cleanup)
    runpy.run_path(str(_MN), run_name="__main__")
