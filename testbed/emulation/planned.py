"""A scenario as a Mininet topology, planned when it is made: for `mn --custom` and for scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from testbed.emulation.network import PlanTopo
from testbed.ground.constants import NS_PER_S
from testbed.ground.units import parse_utc_ns
from testbed.plan.inputs import Request
from testbed.plan.plans import Asked, make

DURATION_S = 600
STEP_MS = 1_000  # a session by hand: a tenth of the work of a measured run, delays still within 50 µs of the orbit


def planned_topo(
    scenario: Callable[..., Asked],
    *,
    catalogue: str | None = None,
    start: str | None = None,
    duration: float = DURATION_S,
    step: float = STEP_MS,
    **parameters: Any,
) -> PlanTopo:
    """The topology of a scenario; `duration` in s, `step` in ms, the rest as on the command line.

    After the plan's end the network keeps its last state. Raises InputError.
    """
    asked = scenario(**{name: str(value) for name, value in parameters.items()})
    request = Request(
        catalogues=() if catalogue is None else (catalogue,),
        select=(),
        start_ns=None if start is None else parse_utc_ns(start),
        duration_ns=round(duration * NS_PER_S),
        step_ns=round(step * 1_000_000),
        seed=0,
    )
    return PlanTopo(make(asked, request))
