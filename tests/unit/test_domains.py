"""A network of three domains: the plan's ways through a carrier, who announces what, and what bgpd is told."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from emulated import wire
from orbit_data import START_NS
from plan_data import S, dense, italy, walk

from testbed.emulation.frr import config
from testbed.emulation.frr.config import Adjacency, Peer, Router, Speaker
from testbed.emulation.frr.daemons import protocols
from testbed.emulation.frr.domains import announced, learned, speakers
from testbed.emulation.frr.routers import routers
from testbed.emulation.frr.ways import Ways
from testbed.ground.errors import PlanError, ScenarioError
from testbed.plan.build import build_plan
from testbed.plan.expected import path_delay_ns
from testbed.plan.model import Plan
from testbed.plan.scenario import Centre

OPERATOR = {"203.0.113.0/24", "2001:db8::/48", "2001:db8:1::/48"}
GOVERNMENT = {"198.51.100.0/24", "2001:db8:2::/48"}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(italy(routing="frr", domains="three"), dense(), START_NS, 20 * S)


@pytest.fixture(scope="module")
def found(plan: Plan) -> dict[str, Router]:
    return {router.name: router for router in routers(wire(plan))}


def test_the_carrier_is_on_every_way_and_costs_no_time(plan: Plan) -> None:
    """It stands on the PoP's campus: the delays are those of one domain, to the nanosecond."""
    one = build_plan(italy(), dense(), START_NS, 20 * S)
    assert all("pe-milan" in step.nodes for path in plan.paths for step in path)
    assert {node.domain for node in one.nodes} == {""}
    for path, plain in zip(plan.paths, one.paths, strict=True):
        instants = plan.steps["time_ns"]
        assert [tuple(name for name in step.nodes if name != "pe-milan") for step in path] == [
            step.nodes for step in plain
        ]
        assert (path_delay_ns(plan, path, instants) == path_delay_ns(one, plain, instants)).all()


def test_with_the_plans_routes_packets_pass_the_carrier_both_ways() -> None:
    plan = build_plan(italy(domains="three"), dense(), START_NS, 20 * S)
    up = [(t, "ut-rome", "dc-rome", "ce-rome") for t in range(0, 19 * S, S)]
    down = [(t, "ce-rome", "rome", "ut-rome") for t in range(0, 19 * S, S)]
    assert None not in walk(plan.links, plan.steps, plan.routes, up + down)
    assert not [link for link in plan.links if {link.a, link.b} == {"pop-milan", "ce-rome"}]


def test_nodes_say_who_runs_them(plan: Plan) -> None:
    domains: dict[str, set[str]] = {}
    for node in plan.nodes:
        domains.setdefault(node.domain, set()).add(node.role)
    assert domains == {
        "operator": {"host", "terminal", "satellite", "gateway", "pop"},
        "carrier": {"router"},
        "government": {"host", "router"},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {"centres": (*s.centres, Centre("dc2", s.pops[0].site, "ce-two", "pop-milan"))},
            "every data centre",
        ),
        (
            lambda s: {
                "centres": tuple(
                    replace(c, carrier=c.carrier and replace(c.carrier, router="milan")) for c in s.centres
                )
            },
            "'milan' must be named pe-<site>",
        ),
    ],
)
def test_carriers_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    scenario = italy(domains="three")
    with pytest.raises(ScenarioError, match=message):
        replace(scenario, **change(scenario))


def test_a_carrier_behind_two_pops_is_refused() -> None:
    with pytest.raises(ScenarioError, match="a carrier behind 2 PoPs is not modelled"):
        italy(domains="three", fallback="frankfurt")


def test_each_domain_announces_what_the_world_may_know(plan: Plan) -> None:
    wiring = wire(plan)
    assert {str(network) for network in announced(wiring, "operator")} == OPERATOR
    assert {str(network) for network in announced(wiring, "government")} == GOVERNMENT
    assert announced(wiring, "carrier") == ()
    edges = speakers(wiring)
    assert learned(edges) == {"pop-milan": GOVERNMENT, "pe-milan": OPERATOR | GOVERNMENT, "ce-rome": OPERATOR}


def test_as_numbers_are_those_for_documentation_one_for_each_domain(plan: Plan) -> None:
    edges = speakers(wire(plan))
    assert all(64_496 <= edge.system <= 64_511 for edge in edges.values())  # RFC 5398, section 4
    assert len({edge.system for edge in edges.values()}) == 3
    for edge in edges.values():
        assert edge.system not in {peer.system for peer in edge.peers}
    assert [name for name, edge in edges.items() if edge.transit] == ["pe-milan"]


def test_one_domain_has_no_edges() -> None:
    plan = build_plan(italy(routing="frr"), dense(), START_NS, S)
    wiring = wire(plan)
    assert speakers(wiring) == {}
    assert all(protocols(router) == ["ospfd", "ospf6d"] for router in routers(wiring))


def test_ospf_stays_inside_the_operator(plan: Plan, found: dict[str, Router]) -> None:
    spoken = {name: protocols(router) for name, router in found.items()}
    assert spoken.pop("pop-milan") == ["ospfd", "ospf6d", "bgpd"]
    assert spoken.pop("pe-milan") == spoken.pop("ce-rome") == ["bgpd"]
    assert set(map(tuple, spoken.values())) == {("ospfd", "ospf6d")}
    wiring = wire(plan)
    towards_the_carrier = wiring.interface("pop-milan", "pe-milan").name
    assert towards_the_carrier not in {adjacency.interface for adjacency in found["pop-milan"].adjacencies}
    for text in (config.ospfd, config.ospf6d):
        assert " default-information originate always\n" in text(found["pop-milan"])
        assert "default-information" not in text(found["ut-rome"])


def test_two_edges_of_a_domain_are_refused(plan: Plan) -> None:
    nodes = tuple(replace(node, domain="carrier") if node.name == "gw-foggia" else node for node in plan.nodes)
    with pytest.raises(PlanError, match=r"are both edges of '(operator|carrier)'"):
        speakers(wire(replace(plan, nodes=nodes)))


def test_more_domains_than_numbers_are_refused(plan: Plan) -> None:
    nodes = [replace(node, domain=f"d{number}") for number, node in enumerate(plan.nodes)]
    nodes += [replace(nodes[0], name=f"more{number}", domain=f"more{number}") for number in range(16)]
    with pytest.raises(PlanError, match=r"domains; RFC 5398 has AS numbers for 16"):
        speakers(wire(replace(plan, nodes=tuple(nodes))))


def edge(*, transit: bool) -> Router:
    peers = tuple(
        Peer((ipaddress.ip_address(f"10.0.0.{n}"), ipaddress.ip_address(f"fd00::{n}")), 64_500 + n) for n in (1, 3)
    )
    own = (ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/48"))
    speaker = Speaker(64_496, peers, own, transit)
    return Router("pop-x", ipaddress.IPv4Address("0.0.0.9"), (Adjacency("lo", 1, passive=True),), bgp=speaker)


def test_what_bgpd_is_told() -> None:
    """In the words of FRR's documentation (BGP, "Basic Config Commands"); bgpd itself reads it in the netem tier."""
    assert config.bgpd(edge(transit=False)).splitlines() == [
        "hostname pop-x",
        "ip prefix-list own4 permit 203.0.113.0/24",
        "ip prefix-list own4 deny any",
        "ipv6 prefix-list own6 permit 2001:db8::/48",
        "ipv6 prefix-list own6 deny any",
        "router bgp 64496",
        " bgp router-id 0.0.0.9",
        " no bgp default ipv4-unicast",
        " no bgp network import-check",
        " timers bgp 3 9",
        " no bgp ebgp-requires-policy",
        " neighbor 10.0.0.1 remote-as 64501",
        " neighbor 10.0.0.1 timers connect 1",
        " neighbor fd00::1 remote-as 64501",
        " neighbor fd00::1 timers connect 1",
        " neighbor 10.0.0.3 remote-as 64503",
        " neighbor 10.0.0.3 timers connect 1",
        " neighbor fd00::3 remote-as 64503",
        " neighbor fd00::3 timers connect 1",
        " address-family ipv4 unicast",
        "  network 203.0.113.0/24",
        "  neighbor 10.0.0.1 activate",
        "  neighbor 10.0.0.1 prefix-list own4 out",
        "  neighbor 10.0.0.3 activate",
        "  neighbor 10.0.0.3 prefix-list own4 out",
        " exit-address-family",
        " address-family ipv6 unicast",
        "  network 2001:db8::/48",
        "  neighbor fd00::1 activate",
        "  neighbor fd00::1 prefix-list own6 out",
        "  neighbor fd00::3 activate",
        "  neighbor fd00::3 prefix-list own6 out",
        " exit-address-family",
    ]


def test_who_hands_on_filters_nothing_and_who_has_nothing_to_say_says_nothing() -> None:
    assert " out" not in config.bgpd(edge(transit=True))
    plain = edge(transit=False)
    assert plain.bgp is not None
    silent = config.bgpd(replace(plain, bgp=replace(plain.bgp, announced=())))
    assert "permit" not in silent
    assert silent.count("prefix-list own4 out") == 2  # it denies all
    with pytest.raises(ValueError, match="no neighbour in another domain"):
        config.bgpd(replace(plain, bgp=None))


def test_a_way_follows_defaults_and_the_longest_prefix(plan: Plan) -> None:
    """OSPF's default inside the operator, BGP's /24 from the PoP on; a longer prefix wins wherever there is one."""
    wiring = wire(plan)
    ways = Ways(wiring)
    up, down = plan.paths[0][0].nodes, plan.paths[1][0].nodes

    def via(here: str, there: str) -> str:
        return str(wiring.interface(there, here).addresses[0])

    routes = {(here, "0.0.0.0/0"): via(here, there) for here, there in pairwise(up[1:5])}
    routes |= {(here, "198.51.100.0/24"): via(here, there) for here, there in pairwise(up[4:7])}
    routes |= {(here, "203.0.113.0/24"): via(here, there) for here, there in pairwise(down[1:4])}
    routes |= {(here, "100.64.0.0/24"): via(here, there) for here, there in pairwise(down[3:7])}
    assert ways.follow(routes, up[0], up[-1]) == up
    assert ways.follow(routes, down[0], down[-1]) == down
    wrong = routes | {("pop-milan", "198.51.100.16/29"): via("pop-milan", "gw-foggia")}
    assert ways.follow(wrong, up[0], up[-1]) != up
    del routes["pe-milan", "203.0.113.0/24"]
    assert ways.follow(routes, down[0], down[-1]) is None
