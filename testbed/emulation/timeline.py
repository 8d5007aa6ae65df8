"""A plan as ticks: for each instant the steps of its links, and the messages of its routes packed beforehand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.emulation.wiring import Wiring
from testbed.kernel.netlink import Message

# Routes change from the far side to the near one: none may lead where nothing is yet.
_ORDER: Final = {"gateway": 0, "satellite": 0, "router": 1, "pop": 1, "terminal": 1, "host": 1}


@dataclass(frozen=True)
class Tick:
    """Everything due at one instant. `steps`: STEP_DTYPE, at most one of a link; `routes`: by node, in their order."""

    time_ns: int
    steps: NDArray[np.void]
    routes: tuple[tuple[str, list[Message]], ...]


def compile_timeline(wiring: Wiring) -> tuple[Tick, ...]:
    """Every change of the plan after time 0, which `Wiring.configure` sets up."""
    plan = wiring.plan
    later = plan.steps[plan.steps["time_ns"] > 0]
    later = later[np.argsort(later["time_ns"], kind="stable")]
    routes = _routes(wiring)
    times = np.union1d(later["time_ns"], np.array(list(routes), np.int64))
    begins = np.searchsorted(later["time_ns"], times)
    ends = np.searchsorted(later["time_ns"], times, side="right")
    return tuple(
        Tick(time_ns, later[begin:end], routes.get(time_ns, ()))
        for time_ns, begin, end in zip(times.tolist(), begins, ends, strict=True)
    )


def _routes(wiring: Wiring) -> dict[int, tuple[tuple[str, list[Message]], ...]]:
    plan = wiring.plan
    found: dict[int, dict[tuple[int, str], list[Message]]] = defaultdict(lambda: defaultdict(list))
    for route in plan.routes if plan.routing == "plan" else ():
        if route.time_ns > 0:
            place = _ORDER[plan.node(route.node).role], route.node
            found[route.time_ns][place] += wiring.routes(route.node, route.destination, route.via)
    return {
        time_ns: tuple((node, messages) for (_, node), messages in sorted(entries.items(), key=lambda item: item[0][0]))
        for time_ns, entries in found.items()
    }
