"""What every link direction is to hold now: the plan's state, with the faults' laid over it.

A fault never writes into the plan's state, and a step of the plan never into a fault's: whatever the order in which
they come and go, each is undone by its own end only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from testbed.kernel.queues import LIMIT_MAX, LOSS_MAX, MIN_PACKET_BYTES
from testbed.kernel.rows import HELD_DTYPE
from testbed.plan.model import Plan

UNLIMITED_BPS: Final = np.iinfo(np.int64).max

Links = NDArray[np.intp]


@dataclass(frozen=True)
class Overlay:
    """What faults do to each direction, arrays of shape (n_links,). The neutral values change nothing."""

    down: NDArray[np.int32]  # how many faults hold it down; neutral 0
    extra_ns: NDArray[np.int64]  # added delay; neutral 0
    kept: NDArray[np.float64]  # share of packets that get through; neutral 1
    rate_bps: NDArray[np.int64]  # upper bound; neutral UNLIMITED_BPS

    @classmethod
    def neutral(cls, links: int) -> Overlay:
        """No faults."""
        return cls(
            down=np.zeros(links, np.int32),
            extra_ns=np.zeros(links, np.int64),
            kept=np.ones(links),
            rate_bps=np.full(links, UNLIMITED_BPS),
        )


class State:
    """The state of every direction of a plan, by link number."""

    def __init__(self, plan: Plan, limits: NDArray[np.int64]) -> None:
        """At schedule time 0. `limits`: packets in flight by the plan alone; a fault that delays adds to them."""
        first = plan.steps[np.searchsorted(plan.steps["link"], np.arange(len(plan.links)))]
        self._planned = first.copy()
        self._in_flight = limits
        self._limits = limits.copy()
        self.overlay = Overlay.neutral(len(first))

    def step(self, steps: NDArray[np.void]) -> Links:
        """Take steps of the plan, at most one of a link; returns the links they change."""
        links: Links = steps["link"].astype(np.intp)
        self._planned[links] = steps
        return links

    def up(self, links: Links) -> NDArray[np.bool_]:
        """Which of the links carry packets."""
        up: NDArray[np.bool_] = self._planned["up"][links] & (self.overlay.down[links] == 0)
        return up

    def wanted(self, links: Links) -> NDArray[np.void]:
        """What the kernel is to hold, shape of `links`, HELD_DTYPE. A link that is down loses everything."""
        planned, overlay = self._planned[links], self.overlay
        wanted = np.zeros(len(links), HELD_DTYPE)
        lost = np.where(self.up(links), planned["loss"] + (1.0 - planned["loss"]) * (1.0 - overlay.kept[links]), 1.0)
        wanted["delay_ns"] = planned["delay_ns"] + overlay.extra_ns[links]
        wanted["loss"] = np.rint(lost * LOSS_MAX)
        later = np.ceil(planned["rate_bps"] * overlay.extra_ns[links] / (8e9 * MIN_PACKET_BYTES)).astype(np.int64)
        roomy = np.minimum(self._in_flight[links] + later, LIMIT_MAX)
        self._limits[links] = np.maximum(self._limits[links], roomy)  # never less: what is in flight stays there
        wanted["limit"] = self._limits[links]
        wanted["rate_bps"] = np.minimum(planned["rate_bps"], overlay.rate_bps[links])
        return wanted
