"""What holds packets in order when ways change: extra delays on links that carry new packets alone.

All ways of one instant form a tree with the PoPs at its root: a satellite has one default route. When a satellite's
next hop changes, the link to it carries nothing but new packets, in either direction; when a terminal's satellite
changes, its user link does. Such a link is raised until the old way has drained. A packet that is in flight when the
routes move goes on from the next node by the new routes, where that node has some; that is part of how long a way takes
to drain.

Not held: packets in flight over satellites that change places within a chain (A before B, then B before A), or that
wait for each other's raises in a longer circle. They may overtake each other; the handover's window declares it. Nor
packets towards a terminal in an outage that come through when it ends; the outage's window declares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from testbed.plan.access import Leg
from testbed.plan.geometry import Geometry

_MS_NS = 1_000_000
_NEVER_NS = 1 << 60


@dataclass(frozen=True)
class Raise:
    """Extra one-way delay in [begin_ns, end_ns)."""

    begin_ns: int
    end_ns: int
    extra_ns: int


@dataclass(frozen=True)
class RadioKey:
    """One direction of a radio link. `ground`: the terminal's or the gateway's index in the scenario, or, of a link
    between satellites, the one nearer to the gateway."""

    kind: str  # "user", "feeder" or "isl"
    ground: int
    satellite: int
    upward: bool  # from the terminal towards the PoP


Raises = dict[RadioKey, list[Raise]]


@dataclass(frozen=True)
class Hop:
    """A satellite's way towards the PoP: to another satellite, or over a gateway to its PoP (else -1)."""

    kind: str  # "isl" or "feeder"
    ground: int
    satellite: int
    pop: int = -1

    def key(self, upward: bool) -> RadioKey:
        """Its radio link, one direction."""
        return RadioKey(self.kind, self.ground, self.satellite, upward)


def hops(leg: Leg) -> list[Hop]:
    """The hops of a leg from its first satellite to the PoP."""
    between = [Hop("isl", further, nearer) for nearer, further in pairwise(leg.chain)]
    return [*between, Hop("feeder", leg.gateway, leg.chain[-1], leg.pop)]


class Change:
    """An instant at which some terminals' ways change: `ending` and `beginning` legs by terminal."""

    def __init__(
        self, geometry: Geometry, time_ns: int, ending: Mapping[int, Leg], beginning: Mapping[int, Leg]
    ) -> None:
        self.geometry = geometry
        self.time_ns = time_ns
        self.ending = ending
        self.beginning = beginning
        self.before = {hop.satellite: hop for leg in ending.values() for hop in hops(leg)}
        self.after = {hop.satellite: hop for leg in beginning.values() for hop in hops(leg)}
        self._extra_ns: dict[RadioKey, int] = {}
        self._delays_ns: dict[Hop, int] = {}

    def hold(self) -> dict[RadioKey, Raise]:
        """The raises that keep new packets behind old ones."""
        found: dict[RadioKey, Raise] = {}
        arrives_ns: dict[int, int] = {}  # least time until a new packet that passes a satellite upward is at its PoP
        comes_ns: dict[int, int] = {}  # and until one that leaves the PoP is at the satellite
        for satellite in self._in_order():
            hop = self.after[satellite]
            alone_ns = self._delay_ns(hop)
            least_ns = sum(self._delay_ns(one) for one in self._up(satellite))
            arrives_ns[satellite] = max(least_ns, arrives_ns.get(hop.ground, 0) if hop.kind == "isl" else 0)
            comes_ns[satellite] = (
                comes_ns.get(hop.ground, least_ns - alone_ns) + alone_ns if hop.kind == "isl" else least_ns
            )
            if self.before.get(satellite, hop) == hop:
                continue
            drained_ns = self._up_drained_ns(satellite)
            if drained_ns > arrives_ns[satellite]:
                self._raise(found, hop.key(True), drained_ns - least_ns, drained_ns)
                arrives_ns[satellite] = max(arrives_ns[satellite], drained_ns)
            drained_ns = self._down_drained_ns(satellite)
            extra_ns = max(drained_ns - comes_ns[satellite], self._shortcut_ns(satellite, satellite))
            if extra_ns > 0:
                self._raise(found, hop.key(False), extra_ns, drained_ns)
                comes_ns[satellite] += extra_ns
        for terminal, new in self.beginning.items():
            old = self.ending.get(terminal, new)
            if old.satellite == new.satellite:
                continue
            first_ns = self._first_up_ns(terminal, new)
            least_ns = first_ns + sum(self._delay_ns(one) for one in self._up(new.satellite))
            drained_ns = self._up_drained_ns(old.satellite, self._last_up_ns(terminal, old), new.pop)
            if drained_ns > max(least_ns, arrives_ns[new.satellite]):
                self._raise(found, RadioKey("user", terminal, new.satellite, True), drained_ns - least_ns, drained_ns)
            reached_ns = self._down_drained_ns(old.satellite, new.pop)
            until_ns = max(reached_ns, comes_ns[new.satellite])
            old_ns, new_ns = (
                self._longest_down_ns(terminal, old, until_ns),
                self._least_down_ns(terminal, new, until_ns),
            )
            drained_ns = reached_ns + old_ns
            shortcut_ns = self._shortcut_ns(old.satellite, new.satellite) + old_ns - new_ns
            extra_ns = max(drained_ns - comes_ns[new.satellite] - new_ns, shortcut_ns)
            if extra_ns > 0:
                self._raise(found, RadioKey("user", terminal, new.satellite, False), extra_ns, drained_ns)
        return found

    def drained_ns(self, terminal: int) -> int:
        """How long packets of the leg that ends are in flight at most, either way; after `hold` with what it raises."""
        old = self.ending[terminal]
        up_ns = self._last_up_ns(terminal, old)
        down_ns = sum(self._delay_ns(self.before[satellite]) for satellite in old.chain)
        down_ns += self._longest_down_ns(terminal, old, down_ns)
        if len(old.chain) > 1 and terminal in self.beginning:  # it may leave the old way for the new one anywhere
            new = self.beginning[terminal]
            down_ns += sum(self._delay_ns(hop) + self._extra_ns.get(hop.key(False), 0) for hop in hops(new))
            down_ns += self._longest_down_ns(terminal, new, down_ns)
        return max(self._most_ns(old.satellite) + up_ns, self._up_drained_ns(old.satellite, up_ns), down_ns)

    def _in_order(self) -> list[int]:
        """Satellites in use after the change, each behind those whose raises tell how long its old way takes to drain,
        and behind those that its new way crosses. Where they wait for each other, one goes first."""
        found: dict[int, None] = {}
        begun: set[int] = set()

        def visit(satellite: int) -> None:
            if satellite in begun:
                return
            begun.add(satellite)
            crossed = self._up(satellite)[:-1]
            if satellite in self.before:
                passed = [hop.ground for hop in self._old_up(satellite)[:-1]]
                crossed += [Hop("isl", one, satellite) for one in passed]
                crossed += [hop for one in passed for hop in self._up(one)[:-1]]
            for hop in crossed:
                visit(hop.ground)
            found[satellite] = None

        for satellite in sorted(self.after):
            visit(satellite)
        return [satellite for satellite in found if satellite in self.after]

    def _up(self, satellite: int) -> list[Hop]:
        """The hops from a satellite to a PoP by the routes after the change."""
        way = [self._next(satellite)]
        while way[-1].kind == "isl":
            way.append(self._next(way[-1].ground))
        return way

    def _next(self, satellite: int) -> Hop:
        """After the change; a satellite that is not in use any more keeps its route."""
        return self.after.get(satellite) or self.before[satellite]

    def _old_up(self, satellite: int) -> list[Hop]:
        way = [self.before[satellite]]
        while way[-1].kind == "isl":
            way.append(self.before[way[-1].ground])
        return way

    def _most_ns(self, satellite: int) -> int:
        """Delay from a satellite to its PoP by the routes after the change, raises included."""
        return sum(self._delay_ns(hop) + self._extra_ns.get(hop.key(True), 0) for hop in self._up(satellite))

    def _up_drained_ns(self, satellite: int, first_ns: int | None = None, pop: int | None = None) -> int:
        """When the last old packet that went up by the satellite is at its PoP, plus the margin for late timers.

        first_ns: of the user link, where that belongs to it. pop: where new packets go; the way on from there to a
        centre may be shorter.
        """
        way = self._old_up(satellite)
        new_pop = self._up(satellite)[-1].pop if pop is None else pop
        ends = []
        if first_ns is not None:
            ends.append(first_ns + self._most_ns(satellite) + self._further_ns(self._up(satellite)[-1].pop, new_pop))
        for hop in way:
            rest_ns, its_pop = 0, hop.pop
            if hop.kind == "isl":
                rest_ns, its_pop = self._most_ns(hop.ground), self._up(hop.ground)[-1].pop
            ends.append(self._delay_ns(hop) + rest_ns + self._further_ns(its_pop, new_pop))
        return max(ends) + self._margin_ns

    def _down_drained_ns(self, satellite: int, pop: int | None = None) -> int:
        """When the last old packet from the PoP has come to the satellite by its old way, plus the margin."""
        way = self._old_up(satellite)
        new_pop = self._up(satellite)[-1].pop if pop is None else pop
        return sum(map(self._delay_ns, way)) + self._further_ns(way[-1].pop, new_pop) + self._margin_ns

    def _shortcut_ns(self, old: int, new: int) -> int:
        """By how much, plus the margin, the new way down to `new` may be shorter than the old one to `old`, from a
        satellite that is on both: old packets come there after the change, whatever holds new ones above it."""
        below_ns, reached = 0, {old: 0}
        for hop in self._old_up(old):
            below_ns += self._delay_ns(hop)
            if hop.kind == "isl":
                reached[hop.ground] = below_ns
        gains = [reached[new]] if new in reached and new != old else []
        below_ns, here = 0, new
        while self._next(here).kind == "isl":
            below_ns += self._delay_ns(self._next(here))
            here = self._next(here).ground
            gains += [reached[here] - below_ns] if here in reached else []
        return max(gains, default=-_NEVER_NS) + self._margin_ns

    def _raise(self, found: dict[RadioKey, Raise], key: RadioKey, extra_ns: int, lasts_ns: int) -> None:
        """Raise a link by `extra_ns` for `lasts_ns`, rounded up to whole milliseconds."""
        found[key] = Raise(self.time_ns, self.time_ns - -lasts_ns // _MS_NS * _MS_NS, extra_ns)
        self._extra_ns[key] = extra_ns

    @property
    def _margin_ns(self) -> int:
        return self.geometry.scenario.access.margin_ns

    def _further_ns(self, old_pop: int, new_pop: int) -> int:
        return 0 if old_pop == new_pop else self.geometry.further_ns(old_pop, new_pop)

    def _last_up_ns(self, terminal: int, leg: Leg) -> int:
        """When the last packet that went up the leg's user link before the change is at the satellite."""
        varies_ns = self.geometry.latest_extra_ns(terminal, True, self.time_ns)
        return self.geometry.user_ns(terminal, leg.satellite, True, self.time_ns) + varies_ns

    def _first_up_ns(self, terminal: int, leg: Leg) -> int:
        """When the first that goes up from the change on can be there."""
        varies_ns = self.geometry.earliest_extra_ns(terminal, True, self.time_ns)
        return self.geometry.user_ns(terminal, leg.satellite, True, self.time_ns) + varies_ns

    def _longest_down_ns(self, terminal: int, leg: Leg, until_ns: int) -> int:
        """The most that the leg's user link takes downwards until so long after the change, what is on it included.

        Packets may enter it at any time until then: those that are anywhere on the way when the routes move.
        """
        _, most_ns = self.geometry.extreme_extra_ns(terminal, False, self.time_ns, self.time_ns + until_ns)
        most_ns = max(most_ns, self.geometry.latest_extra_ns(terminal, False, self.time_ns))
        return self.geometry.user_ns(terminal, leg.satellite, False, self.time_ns) + most_ns

    def _least_down_ns(self, terminal: int, leg: Leg, until_ns: int) -> int:
        """The least that it takes until then; a later packet does not come before one that entered it then."""
        least_ns, _ = self.geometry.extreme_extra_ns(terminal, False, self.time_ns, self.time_ns + until_ns)
        least_ns = min(least_ns, self.geometry.earliest_extra_ns(terminal, False, self.time_ns + until_ns))
        return self.geometry.user_ns(terminal, leg.satellite, False, self.time_ns) + least_ns

    def _delay_ns(self, hop: Hop) -> int:
        if hop not in self._delays_ns:
            ends = (hop.satellite, hop.ground, self.time_ns)
            self._delays_ns[hop] = (
                self.geometry.between_ns(*ends) if hop.kind == "isl" else self.geometry.beyond_ns(*ends, hop.pop)
            )
        return self._delays_ns[hop]
