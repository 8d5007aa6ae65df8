"""What topologies share: parameters that mean the same everywhere, the text of what they assume, rates and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from testbed.orbits.sites import Site
from testbed.plan.delays import Overheads
from testbed.plan.denial import Denials, parse_denials
from testbed.plan.losses import NO_LOSS
from testbed.plan.policies import POLICIES
from testbed.plan.scenario import OUTAGES_MS, Access, Choice, Gateway, Losses, Parameter, Switch, Whole
from testbed.plan.variation import WORDS, Variation, VariationName, variation
from topologies.threats import THREATS, threat

KEYS = ("manual", "cnsa2", "eu-hybrid", "classic", "strongswan")
"""Keys made for the run, the profiles of traffic.profiles, and strongSwan's IKEv2 with the kernel's ESP."""

HANDOVER: Final[tuple[Parameter, ...]] = (
    Choice("order", "hold", "what a handover does to packets in flight", ("hold", "drop", "reorder")),
    Whole("outage_ms", "20", "how long a handover cuts the user link; only with order=drop", 1, 5_000, OUTAGES_MS),
)

POLICY: Final = Choice("policy", "measured", "how a terminal's satellite is chosen", tuple(POLICIES))

VARIATION: Final = Choice(
    "variation", "off", "what access delays do: stay, move from slot to slot, or scatter within slots too", tuple(WORDS)
)

LOST: Final = Losses("lost", "none", "gateways and PoPs out of service, with seconds from the start: gw-foggia@20-40")

DENIED: Final = Denials("denied", NO_LOSS, "whom the operator denies service, and when: account@8-16")

DENIAL: Final[Mapping[str, str]] = {"denied": "account@8-16"}
"""What `testbed compare` tries where an operator can switch off."""

LASERS: Final = Switch("lasers", "off", "links between satellites")

ROUTING: Final = Choice(
    "routing", "plan", "who sets the routes: the plan, or FRR (OSPF) in every router", ("plan", "frr")
)

TRAFFIC: Final[tuple[Parameter, ...]] = (
    Switch("esn", "on", "extended sequence numbers of ESP (RFC 4303)"),
    Whole("window", "1024", "anti-replay window of ESP, packets", 64, 4_096),
    Choice(
        "ledger", "auto", "taps as ground truth; auto: edges if there is an attacker", ("auto", "off", "edges", "hops")
    ),
    Choice("profile", "manual", "where keys come from: by hand, or by an exchange with these algorithms", KEYS),
    Whole("rekey_s", "3600", "seconds after which keys are renewed; with a profile other than manual", 1, 86_400),
    Choice("generator", "struct", "what builds the packets; Scapy gets fewer to build", ("struct", "scapy")),
    *THREATS,
)
"""Parameters that the traffic package gives meaning: see `traffic_of`."""

FEEDER_BPS = 1_000_000_000
"""Assumption: a gateway's share for these users; never the bottleneck."""

FIBRE_BPS = 10_000_000_000
"""Assumption: a core fibre's wavelength."""

USER_BUFFER_NS = 80_000_000
"""Assumption: loaded round trips rise by 60 to 100 ms (textbook), so the bottleneck holds 80 ms of its rate."""

CORE_BUFFER_NS = 10_000_000
"""Assumption: buffers elsewhere."""

LANDING_ASSUMPTIONS = {
    "highest": "a satellite lands at the gateway that it sees highest when it is first used there",
    "delay": "a satellite lands at the gateway with the least delay to the PoP, fibre included, when it is first used",
}

ROUTING_ASSUMPTIONS = {
    "plan": "routes move at the slot's boundary, everywhere at once",
    "frr": "OSPF in one area, in every router of the domain: hello 1 s, dead 4 s; a link costs its one-way delay when "
    "it first comes up",
}

ORDER_ASSUMPTIONS = {
    "hold": "handovers hold: the new path waits until the old one has drained, plus 2 ms for late timers; "
    "packets that wait in a full buffer of the old path may still be overtaken",
    "drop": "handovers drop: the user link is down from the slot's boundary for the declared outage, what is in "
    "flight on it is lost",
    "reorder": "handovers reorder: routes move at the slot's boundary, packets on a shorter new path overtake",
}


def access_rules(access: Access, lost: str = NO_LOSS) -> Iterator[str]:
    """What the rules of access assume, as they were asked for; `lost`: as people write it."""
    yield f"a terminal gets {POLICIES[access.policy].meaning}, among those that have a way down for the whole slot"
    yield LANDING_ASSUMPTIONS[access.landing_by]
    yield "satellites land " + (f"in {', '.join(access.landing)} alone" if access.landing else "at any gateway known")
    if access.antennas < 1.0:
        yield (
            f"a gateway has an antenna free for a satellite that would land there with a chance of {access.antennas:g} "
            "(52 % is fitted on Italy, docs/delays.md)"
        )
    if access.gso_deg:
        yield f"satellites within {access.gso_deg:g}° of the geostationary arc are not used"
    else:
        yield "the geostationary arc is not avoided"
    if access.beams:
        yield f"a satellite has {access.beams} beams for these terminals; those declared first choose first"
    if lost != NO_LOSS:
        yield f"the loss of a gateway or PoP is noticed and mended after {access.detection_ns / 1e9:g} s"


MOVING_POLICIES: Final = ("measured", "random")
"""Policies under which the way itself moves from slot to slot as measured: levels of its own would count that twice."""


def variation_of(values: Mapping[str, Any], overheads: Overheads) -> Variation:
    """What a topology's parameter `variation` means with its `policy`."""
    return variation(values["variation"], overheads, slots=float(values["policy"] not in MOVING_POLICIES))


def variation_rule(values: Mapping[str, Any]) -> str:
    """What is assumed of how access delays vary."""
    word: VariationName = values["variation"]
    if word == "off" or values["policy"] not in MOVING_POLICIES:
        return WORDS[word]
    scatter = ", and packets scatter within a slot as measured (eBPF-trace)" if word == "measured" else ""
    return f"steps from slot to slot come from the satellites alone (policy={values['policy']}){scatter}"


def gateways(
    sites: Mapping[Site, str], mask_deg: float, pops: tuple[str, ...], feeder_bps: int = FEEDER_BPS
) -> tuple[Gateway, ...]:
    """A gateway at each of the sites, which stand in these countries, with fibre to these PoPs."""
    return tuple(
        Gateway(f"gw-{site.name}", site, mask_deg, pops, feeder_bps, country) for site, country in sites.items()
    )


def sky_rules(access: Access, values: Mapping[str, Any], mask_deg: float) -> Iterator[str]:
    """What is assumed where all sites see satellites above one elevation, and the plan sets the routes."""
    yield f"users and gateways see satellites from {mask_deg:g}° on"
    yield from access_rules(access, values["lost"])
    yield from denial_rule(values, access.detection_ns)
    yield lasers_rule(on=values["lasers"])
    yield ORDER_ASSUMPTIONS[values["order"]]
    yield ROUTING_ASSUMPTIONS["plan"]


def denial_rule(values: Mapping[str, Any], detection_ns: int) -> Iterator[str]:
    """What is assumed of the operator's denial, if there is one."""
    for denial in parse_denials(values["denied"]):
        end = "the end" if denial.end_ns is None else f"second {denial.end_ns / 1e9:g}"
        yield (
            f"the operator denies the {values['denied'].split('@')[0]} from second {denial.begin_ns / 1e9:g} to {end}: "
            "links go dark at once, with what is in flight on them; terminals are let in again "
            f"{detection_ns / 1e9:g} s after it (not published), and sessions live on"
        )


def lasers_rule(*, on: bool) -> str:
    """What is assumed of links between satellites."""
    if not on:
        return "there are no laser links: a satellite serves only while it sees a gateway"
    return (
        "laser links join each satellite to four neighbours of its shell (+grid), dark where the beam would come below "
        "80 km; packets take the way of least delay to the PoP"
    )


def traffic_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's `traffic` from a topology's values."""
    named = [parameter.name for parameter in TRAFFIC if parameter not in THREATS and parameter.name in values]
    return {name: values[name] for name in named} | threat(values)
