"""A plan as messages: for each tick what every node's kernel is told, packed before the schedule starts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from testbed.emulation.wiring import Wiring
from testbed.kernel import filters, queues
from testbed.kernel.netlink import Message

# Within a tick: what must be there before packets come, then routes from the far side to the near one, then what goes.
_LINK_UP: Final = 0
_ROUTE: Final = {"gateway": 1, "satellite": 1, "router": 2, "pop": 2, "terminal": 2, "host": 2}
_LINK_DOWN: Final = 3


@dataclass
class Tick:
    """Everything due at one instant: ordered batches, each for one node."""

    time_ns: int
    batches: list[tuple[str, list[Message]]] = field(default_factory=list)


@dataclass(frozen=True)
class Timeline:
    """Ticks in order, and what netem must hold at each link end after each of them.

    `held[tick]` maps (node, interface index) to the link number and the impairment set there by that tick.
    """

    ticks: tuple[Tick, ...]
    held: tuple[dict[tuple[str, int], tuple[int, queues.Impairment]], ...]
    initial: dict[tuple[str, int], tuple[int, queues.Impairment]]


def compile_timeline(wiring: Wiring) -> Timeline:
    """Pack every change of the plan after time 0, which `Wiring.configure` sets up."""
    plan = wiring.plan
    entries: dict[int, list[tuple[int, str, Message]]] = defaultdict(list)
    held: dict[int, dict[tuple[str, int], tuple[int, queues.Impairment]]] = defaultdict(dict)
    initial = {}
    for number, link in enumerate(plan.links):
        end, what = wiring.end(number), f"{link.a}→{link.b}"
        steps = plan.link_steps(number)
        was_up = bool(steps[0]["up"])
        initial[end.node, end.index] = (number, wiring.impairment(number, steps[0]))
        for step in steps[1:]:
            time_ns, up = int(step["time_ns"]), bool(step["up"])
            place = _LINK_DOWN if was_up and not up else _LINK_UP
            impairment = wiring.impairment(number, step)
            entries[time_ns].append((place, end.node, queues.change_netem(end.index, impairment, what)))
            held[time_ns][end.node, end.index] = (number, impairment)
            if up != was_up:
                far = filters.relight(end.far_index, what) if up else filters.darken(end.far_index, what)
                entries[time_ns].append((place, end.far_node, far))
            was_up = up
    for route in (route for route in plan.routes if route.time_ns > 0):
        place = _ROUTE[plan.node(route.node).role]
        for message in wiring.routes(route.node, route.destination, route.via):
            entries[route.time_ns].append((place, route.node, message))
    ticks = []
    for time_ns in sorted(entries):
        tick = Tick(time_ns)
        for place in range(_LINK_DOWN + 1):
            by_node: dict[str, list[Message]] = defaultdict(list)
            for own_place, node, message in entries[time_ns]:
                if own_place == place:
                    by_node[node].append(message)
            tick.batches += by_node.items()
        ticks.append(tick)
    return Timeline(tuple(ticks), tuple(held[tick.time_ns] for tick in ticks), initial)
