"""testbed.emulation.addresses: nobody shares a name or an address, and what does not fit is refused."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from itertools import chain

import pytest
from orbit_data import START_NS
from plan_data import S, dense, italy, small_plan

from testbed.emulation import addresses
from testbed.emulation.network import PlanTopo
from testbed.ground.errors import PlanError
from testbed.plan.build import build_plan
from testbed.plan.model import Lan, Node, Plan


def with_lans(inside: int, outside: int) -> Plan:
    """The small plan with other hosts: those inside first."""
    plan = small_plan()
    hosts = [Node(f"in{n}", "host") for n in range(inside)]
    hosts += [Node(f"out{n}", "host", inside=False) for n in range(outside)]
    router = next(node.name for node in plan.nodes if node.role == "router")
    others = tuple(node for node in plan.nodes if node.role != "host")
    lans = tuple(Lan(host.name, router) for host in hosts)
    return replace(plan, nodes=(*hosts, *others), lans=lans, routes=(), paths=(), flows=())


def test_no_two_interfaces_of_a_network_share_name_or_hardware_address() -> None:
    links = PlanTopo(small_plan()).links(withKeys=False, withInfo=True)
    names = [link[2][key] for link in links for key in ("intfName1", "intfName2")]
    macs = [link[2][key] for link in links for key in ("addr1", "addr2")]
    assert len(links) > 10
    assert len(set(names)) == len(names)
    assert len(set(macs)) == len(macs)
    assert max(len(name) for name in names) <= 15
    for mac in macs:
        assert int(mac[:2], 16) & 0b11 == 0b10  # locally administered, not a group (IEEE 802, 8.4)


@pytest.mark.parametrize(
    ("node", "port", "expected"),
    [
        (Node("rome", "host"), 0, "rome-eth0"),
        (Node("ut-rome", "terminal"), 1, "rome-ut1"),
        (Node("NORAD57698", "satellite"), 12, "57698-eth12"),
        (Node("A71-09", "satellite"), 3, "A71-09-eth3"),
        (Node("gw-milano", "gateway"), 12, "milano-gw12"),
        (Node("ninechars", "host"), 99, "ninechars-eth99"),
    ],
)
def test_names(node: Node, port: int, expected: str) -> None:
    assert addresses.interface(node, port) == expected


def test_a_name_too_long_for_linux_is_refused_in_one_line() -> None:
    with pytest.raises(PlanError) as refusal:
        addresses.interface(Node("ten-letters", "host"), 1)
    assert str(refusal.value) == (
        "interface name 'ten-letters-eth1' has more than 15 characters: shorten the name 'ten-letters'"
    )


@pytest.mark.parametrize(("inside", "outside"), [(3, 1), (40, 2), (256, 0), (0, 32)])
def test_no_two_lans_overlap_and_each_is_where_it_belongs(inside: int, outside: int) -> None:
    plan = with_lans(inside, outside)
    lans = [addresses.lan(plan, number) for number in range(inside + outside)]
    for family in (0, 1):
        networks = [lan.networks[family] for lan in lans]
        assert len(set(chain.from_iterable((lan.router[family], lan.host[family]) for lan in lans))) == 2 * len(lans)
        for one, other in zip(sorted(networks), sorted(networks)[1:], strict=False):
            assert not one.overlaps(other)
        for lan in lans:
            assert lan.router[family] in lan.networks[family]
            assert lan.host[family] in lan.networks[family]
    assert all(lan.networks[0].subnet_of(addresses.SHARED_SPACE) for lan in lans[:inside])  # the NAT's source
    assert not any(lan.networks[0].overlaps(addresses.SHARED_SPACE) for lan in lans[inside:])
    assert len({lan.inner for lan in lans}) == len(lans)


@pytest.mark.parametrize(("inside", "outside", "host"), [(257, 0, "in256"), (5, 33, "out32")])
def test_too_many_lans_are_refused(inside: int, outside: int, host: str) -> None:
    plan = with_lans(inside, outside)
    with pytest.raises(PlanError, match=rf"^plan of starlink-italy: no addresses left for the LAN of '{host}': take"):
        addresses.lan(plan, inside + outside - 1)


def test_links_and_lans_have_nothing_in_common() -> None:
    plan = with_lans(256, 0)
    seen: set[object] = set()
    for number in range(0, 20_000, 7):
        ends = addresses.link_ends(number)
        for family, length in ((0, 31), (1, 127)):
            network = ipaddress.ip_network(f"{ends[0][family]}/{length}")
            assert {ends[0][family], ends[1][family]} == set(network)  # exactly the two of a /31 or /127
        assert not seen & {*ends[0], *ends[1]}
        seen |= {*ends[0], *ends[1]}
    hosts = [addresses.lan(plan, number) for number in range(256)]
    assert not seen & set(chain.from_iterable((*lan.host, *lan.router) for lan in hosts))
    assert addresses.PUBLIC_ADDRESS not in seen


def test_the_default_route_has_no_length() -> None:
    assert [addresses.default(family).prefixlen for family in (0, 1)] == [0, 0]
    assert [addresses.default(family).version for family in (0, 1)] == [4, 6]


def test_each_pop_translates_to_an_address_of_its_own() -> None:
    plan = build_plan(italy(fallback="frankfurt"), dense(), START_NS, 5 * S)
    found = [addresses.public(plan, name) for name in ("pop-milan", "pop-frankfurt")]
    assert [str(address) for address in found] == ["203.0.113.1", "203.0.113.2"]
    assert addresses.public(small_plan(), "pop-milan") == addresses.PUBLIC_ADDRESS
