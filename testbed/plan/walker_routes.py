"""Walker shells as a network: +grid links, and routes by blocks of numbers, so that any two of a shell are in reach.

A satellite's number is (shell, plane, slot) as bit fields: a block of numbers is a run of planes, or of slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from testbed.ground.errors import PlanError
from testbed.orbits.grid import Grid
from testbed.orbits.propagate import Ephemeris
from testbed.orbits.walker import Shell, walker_catalogue
from testbed.plan.fabric import Fabric
from testbed.plan.model import NUMBER_BITS, Node, Route


@dataclass(frozen=True)
class _Numbers:
    """Numbers of satellites as bit fields: shell, plane, slot, each as wide as the constellation needs."""

    plane_bits: int
    slot_bits: int

    @classmethod
    def of(cls, shells: Sequence[Shell]) -> _Numbers:
        plane_bits = max(shell.planes - 1 for shell in shells).bit_length()
        slot_bits = max(shell.per_plane - 1 for shell in shells).bit_length()
        if (len(shells) - 1).bit_length() + plane_bits + slot_bits > NUMBER_BITS:
            raise PlanError(f"{len(shells)} shells need more than 2^{NUMBER_BITS} numbers: take fewer or smaller ones")
        return cls(plane_bits, slot_bits)

    def number(self, shell: int, plane: int, slot: int) -> int:
        return (shell << self.plane_bits | plane) << self.slot_bits | slot

    def blocks(self, first: int, last: int) -> Iterable[str]:
        """The fewest blocks that hold the numbers from `first` to `last`, both included."""
        while first <= last:
            size = first & -first or 1 << NUMBER_BITS
            while size > last - first + 1:
                size >>= 1
            yield f"{first}/{NUMBER_BITS - size.bit_length() + 1}"
            first += size


def walker_fabric(shells: Sequence[Shell], start_ns: int, duration_ns: int) -> Fabric:
    """All satellites of the shells, linked within each; raises PlanError when they are too many to number."""
    catalogue = walker_catalogue(shells, start_ns, source="built-in shells")
    numbers = _Numbers.of(shells)
    firsts = list(accumulate((len(shell) for shell in shells), initial=0))
    names = catalogue.node_names
    nodes, routes, couples = [], [], []
    for place, (shell, first) in enumerate(zip(shells, firsts, strict=False)):
        grid = Grid(shell)
        couples.append(grid.links() + first)
        for plane in range(shell.planes):
            for slot in range(shell.per_plane):
                number = numbers.number(place, plane, slot)
                nodes.append(Node(names[first + grid.index(plane, slot)], "satellite", number=number))
                for block, neighbour in _routes(grid, numbers, place, plane, slot):
                    via = names[first + grid.index(*neighbour)]
                    routes.append(Route(0, nodes[-1].name, block, via))
    return Fabric(
        catalogue=catalogue,
        ephemeris=Ephemeris(catalogue, start_ns, duration_ns),
        nodes=tuple(nodes),
        couples=np.concatenate(couples),
        groups=tuple(np.arange(first, last) for first, last in pairwise(firsts)),
        routes=tuple(routes),
        assumptions=(
            "routes are fixed: across the planes first, then along the plane, each the shorter way round",
            "links are the +grid of each shell; shells are not joined",
        ),
    )


def _routes(grid: Grid, numbers: _Numbers, place: int, plane: int, slot: int) -> Iterable[tuple[str, tuple[int, int]]]:
    """(block, neighbour) for a satellite: first across the planes, then along its own, each the shorter way round."""
    shell = grid.shell
    own = range(shell.planes)
    has_east = grid.ring or plane < shell.planes - 1
    if has_east:  # the whole shell, unless a longer block says otherwise
        length = NUMBER_BITS - numbers.plane_bits - numbers.slot_bits
        yield f"{numbers.number(place, 0, 0)}/{length}", grid.east(plane, slot)
    west = [other for other in own if other != plane and not grid.goes_east(plane, other)]
    for first, last in _runs(west):
        begin, end = numbers.number(place, first, 0), numbers.number(place, last + 1, 0) - 1
        yield from ((block, grid.west(plane, slot)) for block in numbers.blocks(begin, end))
    if shell.per_plane > 1:
        begin, end = numbers.number(place, plane, 0), numbers.number(place, plane + 1, 0) - 1
        yield from ((block, grid.ahead(plane, slot)) for block in numbers.blocks(begin, end))
        back = [other for other in range(shell.per_plane) if other != slot and not grid.goes_ahead(slot, other)]
        for first, last in _runs(back):
            begin, end = numbers.number(place, plane, first), numbers.number(place, plane, last)
            yield from ((block, grid.behind(plane, slot)) for block in numbers.blocks(begin, end))


def _runs(sorted_values: Sequence[int]) -> Iterable[tuple[int, int]]:
    """First and last of each run of consecutive integers."""
    cuts = [place for place, (a, b) in enumerate(pairwise(sorted_values), 1) if b != a + 1]
    for begin, end in pairwise([0, *cuts, len(sorted_values)]):
        if begin < end:
            yield sorted_values[begin], sorted_values[end - 1]
