"""The +grid of inter-satellite links in a Walker shell: each satellite with two of its own plane, and two beside it.

A satellite is (plane, slot), its index plane × per_plane + slot, as in `walker_catalogue`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.orbits.walker import Shell

_FULL_TURN_DEG = 360.0


@dataclass(frozen=True)
class Grid:
    """The neighbours in a shell. A delta's planes close to a ring, a star's (spread below 360°) do not."""

    shell: Shell

    @property
    def ring(self) -> bool:
        """Is there a link from the last plane to the first?"""
        return self.shell.spread_deg == _FULL_TURN_DEG and self.shell.planes > 2

    def ahead(self, plane: int, slot: int) -> tuple[int, int]:
        """The next satellite in the same plane."""
        return plane, (slot + 1) % self.shell.per_plane

    def behind(self, plane: int, slot: int) -> tuple[int, int]:
        """The one before it in the same plane."""
        return plane, (slot - 1) % self.shell.per_plane

    def east(self, plane: int, slot: int) -> tuple[int, int]:
        """The neighbour in the next plane: `phasing` steps ahead, as everywhere, also where the planes close.

        From plane to plane the satellites shift by `phasing` / (planes × per_plane) of a turn: after all planes by
        `phasing` slots.
        """
        if plane < self.shell.planes - 1:
            return plane + 1, slot
        return 0, (slot + self.shell.phasing) % self.shell.per_plane

    def west(self, plane: int, slot: int) -> tuple[int, int]:
        """The neighbour in the plane before."""
        if plane > 0:
            return plane - 1, slot
        return self.shell.planes - 1, (slot - self.shell.phasing) % self.shell.per_plane

    def goes_east(self, plane: int, destination: int) -> bool:
        """Is the way to another plane shorter eastwards? Both ways as long: eastwards."""
        if not self.ring:
            return destination > plane
        planes = self.shell.planes
        return (destination - plane) % planes <= (plane - destination) % planes

    def goes_ahead(self, slot: int, destination: int) -> bool:
        """Is the way to another slot of the plane shorter ahead?"""
        slots = self.shell.per_plane
        return (destination - slot) % slots <= (slot - destination) % slots

    def links(self) -> NDArray[np.int64]:
        """Every link once, as indices of its two satellites, shape (n_links, 2)."""
        pairs: dict[tuple[int, int], None] = {}
        for plane in range(self.shell.planes):
            for slot in range(self.shell.per_plane):
                neighbours = [self.ahead(plane, slot)]
                if self.ring or plane < self.shell.planes - 1:
                    neighbours.append(self.east(plane, slot))
                here = self.index(plane, slot)
                for there in (self.index(*neighbour) for neighbour in neighbours):
                    if there != here and (there, here) not in pairs:
                        pairs[here, there] = None
        return np.array(list(pairs), dtype=np.int64).reshape(-1, 2)

    def index(self, plane: int, slot: int) -> int:
        """Place in the shell's catalogue."""
        return plane * self.shell.per_plane + slot
