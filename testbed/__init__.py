"""A network emulation testbed for satellite government communications: what it emulates, it measures.

For programmers: `from testbed import make_plan, run, load, …`, loaded when first asked for
(PEP 562), so that the runner's imports stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbed.api import (
        Plan,
        Results,
        TestbedError,
        Topology,
        load,
        load_plan,
        make_plan,
        network,
        run,
        save_plan,
        topologies,
    )

    __version__: str

__all__ = [
    "Plan",
    "Results",
    "TestbedError",
    "Topology",
    "__version__",
    "load",
    "load_plan",
    "make_plan",
    "network",
    "run",
    "save_plan",
    "topologies",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("satcom-testbed")
    if name in __all__:
        return getattr(importlib.import_module("testbed.api"), name)
    raise AttributeError(f"module 'testbed' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
