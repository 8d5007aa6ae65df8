"""What is asked of a plan: who stands where, how access works, which traffic runs.

A topology makes a `Scenario` from its parameters; `build` turns it into a plan. Everything here is declared, nothing
is computed from orbits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal

from testbed.ground.errors import ScenarioError
from testbed.orbits.horizon import Horizon
from testbed.orbits.lasers import Lasers
from testbed.orbits.sites import Site
from testbed.orbits.tracks import Place, Track
from testbed.plan.capacity import Capacity
from testbed.plan.cuts import Cuts
from testbed.plan.delays import Overheads
from testbed.plan.denial import Denial, Denials
from testbed.plan.jamming import Jam
from testbed.plan.losses import NO_LOSS, Loss, parse_losses
from testbed.plan.model import Routing
from testbed.plan.policies import PolicyName
from testbed.plan.sound import check
from testbed.plan.sovereignty import Sovereignty
from testbed.plan.texts import Text, Time, nearest
from testbed.plan.variation import Variation

Order = Literal["hold", "drop", "reorder"]
LandingBy = Literal["highest", "delay"]

_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class Terminal:
    """A host behind a user terminal. `site`: where it stands, or a track along which it moves, from the plan's start if
    that has none of its own. `mask_deg`: least elevation of a satellite that may serve it.

    bound: it keeps its satellite for a whole slot. Moving or obstructed terminals also switch inside slots (arXiv
    2601.13790), when the satellite falls below the mask. Assumption: fixed terminals with a free view are bound.
    horizon: mountains around it, above the mask; without it the view is free. cell: the base station (a `Cell`) that
    serves it while that stands, before any satellite.
    """

    host: str
    site: Place
    mask_deg: float
    up_bps: int
    down_bps: int
    bound: bool = True
    horizon: Horizon | None = None
    cell: str = ""

    @property
    def name(self) -> str:
        """The terminal's node."""
        return f"ut-{self.host}"


@dataclass(frozen=True)
class Gateway:
    """A ground station. `pops`: the points of presence its fibre leads to, in order of preference.

    country: where it stands, two letters (ISO 3166-1), for the rules of landing.
    """

    name: str
    site: Site
    mask_deg: float
    pops: tuple[str, ...]
    feeder_bps: int
    country: str = ""


@dataclass(frozen=True)
class Cell(Gateway):
    """A terrestrial base station: it serves phones by itself, and no satellite lands there. up_ns, down_ns: what its
    radio takes one way, all in all; up_bps, down_bps: a phone's rates.
    """

    up_ns: int = 0
    down_ns: int = 0
    up_bps: int = 0
    down_bps: int = 0


@dataclass(frozen=True)
class Backup:
    """Other satellites, for terminals that no satellite of the system serves: it is lost, denied, or jammed.

    constellation: built-in catalogues of theirs; from_m: all satellites of this mean altitude or more are theirs.
    hosts: who has an antenna for them. gateway: where they land, and nothing else does. overheads, up_bps and down_bps
    are those of their user links. leaves_at: a terminal leaves the system for them where jamming takes this share of
    its packets or more.
    """

    constellation: tuple[str, ...]
    from_m: float
    hosts: tuple[str, ...]
    gateway: str
    overheads: Overheads
    up_bps: int
    down_bps: int
    leaves_at: float


@dataclass(frozen=True)
class Pop:
    """The operator's point of presence: the end of its network, where carrier-grade NAT is done."""

    name: str
    site: Site


@dataclass(frozen=True)
class Carrier:
    """A terrestrial carrier's router, between the PoP and a data centre."""

    router: str
    site: Site


@dataclass(frozen=True)
class Centre:
    """A data centre's host behind `router`, reached over fibre from every PoP; `pop`: where what it sends goes.

    carrier: between the two; the network is then three domains: the operator's, the carrier's and the government's.
    """

    host: str
    site: Site
    router: str
    pop: str
    carrier: Carrier | None = None


OUTAGES_MS: Mapping[str, int] = {"bent-pipe": 25, "isl": 490}
"""Measured lengths of break-before-make: bursts of about two pings, 20 to 30 ms, on a bent pipe (Osnabrück, May 2024);
465 to 513 ms over inter-satellite links (LEONetEM, one trace, August 2024)."""


@dataclass(frozen=True)
class Access:
    """How terminals reach satellites, what a handover does to packets, and where satellites land.

    order: hold (the new path waits until the old one has drained), drop (the user link is down for `outage_ns`, what
    is in flight on it is lost) or reorder (the routes move, nothing else). Hold and reorder are make-before-break, by
    `lead_ns` and `drain_ns`; drop is break-before-make. policy: who serves (`plan.policies`).
    landing_by: 'highest' (the gateway that the satellite sees highest) or 'delay' (the least delay to the PoP, fibre
    included). antennas: chance that a gateway has an antenna free for a satellite that would land there from a slot on.
    landing: countries where satellites may land; anywhere when empty. gso_deg: satellites within this angle
    of the geostationary arc, as seen from a terminal or a gateway, are not used there. beams: how many of these
    terminals a satellite serves at most.
    """

    order: Order
    outage_ns: int
    policy: PolicyName = "highest"
    margin_ns: int = 2_000_000  # Assumption: lateness of timers that a hold must absorb
    lead_ns: int = 1_000_000_000  # Assumption: a link is made this long before its slot
    drain_ns: int = 1_000_000_000  # Assumption: and kept this long after it
    landing_by: LandingBy = "highest"
    landing: tuple[str, ...] = ()
    antennas: float = 1.0
    detection_ns: int = 1_000_000_000  # Assumption: from the loss of a gateway or PoP to the new assignment
    switch_ns: int = 2_000_000_000  # Assumption: a terminal's change between systems: another antenna, or network
    learning_ns: int = 500_000_000  # Assumption: until all hosts behind a NAT that took over have sent something
    gso_deg: float | None = None
    beams: int | None = None


@dataclass(frozen=True)
class Scenario:
    """A system and its users.

    pairs: (terminal host, centre host) whose paths are audited, each in both directions. flows: from the plan's
    duration in ns to the declared traffic. A buffer holds what its link sends in `user_buffer_ns` or `core_buffer_ns`.
    constellation: built-in catalogues that are taken where none is asked for; Starlink's where it names none.
    Raises ScenarioError when names are unfit or do not fit together.
    """

    name: str
    title: str
    terminals: tuple[Terminal, ...]
    gateways: tuple[Gateway, ...]
    pops: tuple[Pop, ...]
    centres: tuple[Centre, ...]
    pairs: tuple[tuple[str, str], ...]
    minimum_altitude_m: float  # satellites below do not serve these terminals
    access: Access
    overheads: Overheads
    fibre_bps: int
    user_buffer_ns: int
    core_buffer_ns: int
    flows: Callable[[int], tuple[dict[str, Any], ...]]
    constellation: tuple[str, ...] = ()
    maximum_altitude_m: float = inf  # nor do satellites above, which may pass packets on
    lost: tuple[Loss, ...] = ()
    jams: tuple[Jam, ...] = ()
    denied: tuple[Denial, ...] = ()  # by the operator itself
    backup: Backup | None = None  # another system's satellites
    lasers: Lasers | None = None  # links between satellites; without them each lands for itself
    capacity: Capacity | None = None  # user links' rates drawn for each slot; without it the terminal's, constant
    variation: Variation | None = None  # of access delays, from slot to slot and within slots
    rain_percent: float | None = None  # weather as bad at each user as in this share of the year; needs `capacity`
    routing: Routing = "plan"
    translated: bool = True  # users sit behind carrier-grade NAT at the PoP; else their addresses are public
    traffic: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    sovereignty: Sovereignty | None = None

    def __post_init__(self) -> None:
        check(self)

    def starting_at(self, start_ns: int) -> Scenario:
        """The scenario whose moving terminals begin their tracks at this UTC instant, where they say no other."""
        started = tuple(
            replace(user, site=user.site.starting_at(start_ns)) if isinstance(user.site, Track) else user
            for user in self.terminals
        )
        return self if started == self.terminals else replace(self, terminals=started)

    @property
    def cells(self) -> dict[str, tuple[int, Cell]]:
        """Base stations by name, each with its index among the gateways."""
        return {one.name: (number, one) for number, one in enumerate(self.gateways) if isinstance(one, Cell)}

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """Each carrier's router once, in the order of the centres."""
        return tuple(dict.fromkeys(centre.carrier for centre in self.centres if centre.carrier))

    @property
    def open_gateways(self) -> tuple[int, ...]:
        """Which gateways the rules of landing allow, as indices."""
        countries = self.access.landing
        return tuple(n for n, gateway in enumerate(self.gateways) if not countries or gateway.country in countries)


@dataclass(frozen=True)
class Choice:
    """A topology parameter that is one of a few words."""

    name: str
    default: str
    meaning: str
    choices: tuple[str, ...]

    def parse(self, text: str) -> str:
        """The word itself; raises ValueError with what is wrong."""
        if text not in self.choices:
            raise ValueError(f"is not one of {', '.join(self.choices)}{nearest(text, self.choices)}")
        return text


@dataclass(frozen=True)
class Switch:
    """A topology parameter that is on or off."""

    name: str
    default: str
    meaning: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The two words."""
        return ("on", "off")

    def parse(self, text: str) -> bool:
        """True for 'on'; raises ValueError with what is wrong."""
        if text not in self.choices:
            raise ValueError("is not one of on, off")
        return text == "on"


@dataclass(frozen=True)
class Whole:
    """A topology parameter that is a whole number from `minimum` to `maximum`, or a word for one (`named`)."""

    name: str
    default: str
    meaning: str
    minimum: int
    maximum: int
    named: Mapping[str, int] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[str, ...]:
        """The range, as help shows it, and the words."""
        return (f"{self.minimum}..{self.maximum}", *self.named)

    def parse(self, text: str) -> int:
        """The number; raises ValueError with what is wrong."""
        if text in self.named:
            return self.named[text]
        if not _INTEGER.fullmatch(text) or not self.minimum <= int(text) <= self.maximum:
            words = "".join(f", nor '{word}'" for word in self.named)
            raise ValueError(f"is not a whole number from {self.minimum} to {self.maximum}{words}")
        return int(text)


@dataclass(frozen=True)
class Losses:
    """A topology parameter that says which gateways and PoPs are lost; its value stays the text (`parse_losses`)."""

    name: str
    default: str
    meaning: str

    @property
    def choices(self) -> tuple[str, ...]:
        """How it is written."""
        return (NO_LOSS, "NODE[@BEGIN_S[-END_S]],…")

    def parse(self, text: str) -> str:
        """The text itself; raises ValueError with what is wrong."""
        parse_losses(text)
        return text


Parameter = Choice | Switch | Whole | Losses | Cuts | Denials | Text | Time


def parse_parameters(topology: str, declared: Sequence[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """Every declared parameter's value, given or default, in the declared order; raises ScenarioError."""
    known = [parameter.name for parameter in declared]
    for name in given:
        if name not in known:
            raise ScenarioError(
                f"{topology}: unknown parameter '{name}'{nearest(name, known)}; it takes {', '.join(known) or 'none'}"
            )
    values: dict[str, Any] = {}
    for parameter in declared:
        text = given.get(parameter.name, parameter.default)
        try:
            values[parameter.name] = parameter.parse(text)
        except ValueError as error:
            raise ScenarioError(f"{topology}: parameter {parameter.name}='{text}' {error}") from None
    return values
