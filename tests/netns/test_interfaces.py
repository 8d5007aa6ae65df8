"""testbed.kernel.links: every message on a real kernel, read back by the system's `ip`, and tried with a ping."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
from kernel_lab import LO, MACS, Pair, command, ip

from testbed.ground.errors import KernelError
from testbed.kernel import links, local
from testbed.kernel.local import await_local

pytestmark = pytest.mark.netns

A, B = 5, 9  # interface indices of the pair
OWN = [ipaddress.ip_address("10.0.0.0"), ipaddress.ip_address("fd00::")]
PEER = [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("fd00::1")]
LENGTHS = [31, 127]


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def wired(pair: Pair) -> Pair:
    """Up, with addresses and neighbours at both ends."""
    for number, (index, own, peer) in enumerate(((A, OWN, PEER), (B, PEER, OWN))):
        messages = [links.set_up(LO), links.set_up(index)]
        messages += [links.address(index, own[family], LENGTHS[family]) for family in (0, 1)]
        messages += [links.neighbour(index, peer[family], MACS[1 - number]) for family in (0, 1)]
        pair.netlinks[number].send(messages)
    return pair


def test_a_veth_pair_has_each_end_in_its_own_namespace(pair: Pair) -> None:
    for space, name, index, mac, peer in (
        (pair.spaces[0], "a-eth0", A, "02:00:00:00:00:01", B),
        (pair.spaces[1], "b-eth7", B, "02:00:00:00:00:02", A),
    ):
        lo, end = ip(space, "link", "show")
        assert lo["ifname"] == "lo"
        assert (end["ifname"], end["ifindex"], end["address"], end["mtu"]) == (name, index, mac, 1400)
        assert (end["linkinfo"]["info_kind"], end["link_index"]) == ("veth", peer)
        assert "UP" not in end["flags"]


def test_an_interface_goes_up_and_down(pair: Pair) -> None:
    for up in (True, False):
        for netlink, index in zip(pair.netlinks, (A, B), strict=True):
            netlink.send([links.set_up(index, up=up)])
        assert [("UP" in ip(space, "link", "show")[1]["flags"]) for space in pair.spaces] == [up, up]


def test_without_signal_ip_says_no_carrier_and_nothing_that_was_configured_is_lost(wired: Pair) -> None:
    space, netlink = wired.spaces[0], wired.netlinks[0]
    there = ipaddress.ip_network("10.9.0.0/24")
    netlink.send([links.route(there, A, PEER[0])])

    def configured() -> tuple[list[Any], ...]:
        return (
            [address["local"] for address in ip(space, "address", "show", "dev", "a-eth0")[0]["addr_info"]],
            [(entry["dst"], entry["lladdr"]) for entry in ip(space, "neigh", "show", "nud", "permanent")],
            [entry["dst"] for entry in ip(space, "route", "show")],
        )

    before = configured()
    assert all(before)
    for present in (False, True, True, False, False, True):  # said twice it holds as well
        netlink.send([links.signal(A, present=present)])
        (end,) = ip(space, "link", "show", "dev", "a-eth0")
        assert ("NO-CARRIER" in end["flags"], end["operstate"]) == (not present, "UP" if present else "DORMANT")
        assert configured() == before
    assert ip(wired.spaces[1], "link", "show", "dev", "b-eth7")[0]["operstate"] == "UP"  # each end has its own
    assert command(space, "ping", "-c1", "-W1", str(PEER[0])).returncode == 0


def test_deleting_one_end_deletes_both(pair: Pair) -> None:
    pair.netlinks[1].send([links.delete(B)])
    assert [len(ip(space, "link", "show")) for space in pair.spaces] == [1, 1]


@pytest.mark.parametrize(
    ("names", "indices", "words"),
    [
        (("a-eth0", "b-eth8"), (6, 10), "a-eth0–b-eth8: File exists"),
        (("a-eth1", "b-eth8"), (5, 10), "a-eth1–b-eth8: .*E(EXIST|BUSY)"),
        (("a-eth1", "sixteen-letters-"), (6, 10), "a-eth1–sixteen-letters-: Numerical result out of range"),
    ],
)
def test_a_refused_link_is_named(pair: Pair, names: tuple[str, str], indices: tuple[int, int], words: str) -> None:
    with pytest.raises(KernelError, match=f"^the kernel refused the link {words}"):
        pair.netlinks[0].send([pair.veth(names, indices)])
    assert [len(ip(space, "link", "show")) for space in pair.spaces] == [2, 2]


def test_addresses_are_there_at_once_in_both_families(wired: Pair) -> None:
    (end,) = ip(wired.spaces[0], "address", "show", "dev", "a-eth0")
    found = {(entry["family"], entry["local"], entry["prefixlen"]): entry for entry in end["addr_info"]}
    assert {("inet", "10.0.0.0", 31), ("inet6", "fd00::", 127)} <= set(found)
    six = found["inet6", "fd00::", 127]
    assert six["nodad"]
    assert not six.get("tentative")
    wired.netlinks[0].send([links.address(A, OWN[0], 31)])  # a second time is no error
    with pytest.raises(KernelError, match=r"refused address 10\.0\.0\.0/31 on interface 77: No such device"):
        wired.netlinks[0].send([links.address(77, OWN[0], 31)])


def test_once_awaited_every_ipv6_address_is_local_and_one_that_never_is_gets_named(
    wired: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [ipaddress.ip_address(f"fd01::{number:x}") for number in range(1, 201)]
    for own in many:
        wired.netlinks[0].send([links.address(A, own, 64)])
        await_local(wired.netlinks[0], [own, OWN[0]])
        assert ip(wired.spaces[0], "-6", "route", "show", "table", "local", "type", "local", str(own)), own
    monkeypatch.setattr(local, "_LONGEST_S", 0.05)
    with pytest.raises(KernelError, match=r"^address fd01::fff is not local"):  # on the link, and nobody's
        await_local(wired.netlinks[0], [many[0], ipaddress.ip_address("fd01::fff")])


def test_neighbours_are_permanent_and_nothing_is_resolved(wired: Pair) -> None:
    found = {entry["dst"]: entry for entry in ip(wired.spaces[0], "neigh", "show", "dev", "a-eth0")}
    for peer in ("10.0.0.1", "fd00::1"):
        assert found[peer]["lladdr"] == "02:00:00:00:00:02"
        assert found[peer]["state"] == ["PERMANENT"]
        assert command(wired.spaces[0], "ping", "-c1", "-W5", peer).returncode == 0
    wired.netlinks[0].send([links.neighbour(A, PEER[0], b"\2\0\0\0\0\x63")])  # replaced
    assert command(wired.spaces[0], "ping", "-c1", "-W0.3", "10.0.0.1").returncode == 1


@pytest.mark.parametrize(("family", "destination"), [(0, "default"), (1, "default"), (0, "far"), (1, "far")])
def test_a_route_takes_the_place_of_the_one_before(wired: Pair, family: int, destination: str) -> None:
    space, netlink = wired.spaces[0], wired.netlinks[0]
    netlink.send([wired.veth(("a-eth1", "b-eth8"), (6, 10)), links.set_up(6)])
    wired.netlinks[1].send([links.set_up(10)])
    second = [ipaddress.ip_address("10.0.0.2"), ipaddress.ip_address("fd00::2")]
    other = [ipaddress.ip_address("10.0.0.3"), ipaddress.ip_address("fd00::3")]
    netlink.send([links.address(6, second[family], LENGTHS[family])])
    wanted = {
        "default": ("0.0.0.0/0", "::/0"),
        "far": ("198.51.100.8/29", "2001:db8:1::/64"),
    }[destination][family]
    prefix = ipaddress.ip_network(wanted)

    def held() -> list[dict[str, Any]]:
        shown = "default" if destination == "default" else wanted
        return [entry for entry in ip(space, f"-{(4, 6)[family]}", "route", "show") if entry["dst"] == shown]

    for index, gateway, device in ((A, PEER, "a-eth0"), (6, other, "a-eth1"), (A, PEER, "a-eth0")):
        netlink.send([links.route(prefix, index, gateway[family])])
        (route,) = held()
        assert (route["dev"], route["gateway"]) == (device, str(gateway[family]))
        assert (route["protocol"], route["type"]) == ("static", "unicast")


def test_a_refused_route_speaks_in_the_kernels_own_words(wired: Pair) -> None:
    far = ipaddress.ip_network("198.51.100.8/29")
    with pytest.raises(KernelError) as refusal:
        wired.netlinks[0].send([links.route(far, A, ipaddress.ip_address("192.0.2.9"))])
    assert str(refusal.value) == (
        "the kernel refused route to 198.51.100.8/29 via 192.0.2.9: Network is unreachable: "
        "Nexthop has invalid gateway (ENETUNREACH)"
    )


def test_a_link_is_one_queue_and_may_be_told_to_send_single_frames(pair: Pair) -> None:
    def shown() -> Any:
        return ip(pair.spaces[0], "-d", "link", "show", "dev", "a-eth0")[0]

    assert (shown()["num_tx_queues"], shown()["num_rx_queues"]) == (1, 1)
    assert shown()["gso_max_segs"] > 1
    pair.netlinks[0].send([links.single_frames(A)])
    assert shown()["gso_max_segs"] == 1


def test_a_route_may_name_the_address_that_its_own_packets_take(wired: Pair) -> None:
    own = ipaddress.ip_address("172.16.0.7")
    wired.netlinks[0].send(
        [links.address(LO, own, 32), links.route(ipaddress.ip_network("172.16.8.0/24"), A, PEER[0], own)]
    )
    (route,) = ip(wired.spaces[0], "route", "get", "172.16.8.1")
    assert (route["gateway"], route["prefsrc"]) == ("10.0.0.1", "172.16.0.7")


@pytest.mark.parametrize("version", [4, 6])
def test_what_arrives_at_an_interface_has_a_table_of_its_own_to_look_in_first(wired: Pair, version: int) -> None:
    """As the system's own `ip` asks the kernel: from elsewhere the main table decides."""
    space, netlink = wired.spaces[0], wired.netlinks[0]
    near, far = ("10.0.0.1", "10.0.0.2") if version == 4 else ("fd00::1", "fd00::2")
    network, length = ("192.0.2.0/24", 24) if version == 4 else ("2001:db8::/64", 64)
    netlink.send(
        [
            links.address(5, ipaddress.ip_address(near), length),
            links.neighbour(5, ipaddress.ip_address(far), MACS[1]),
            links.route(ipaddress.ip_network(network), 5, ipaddress.ip_address(far), table=100),
            links.rule_for_arrivals("a-eth0", 100, version),
        ]
    )
    (rule,) = [rule for rule in ip(space, f"-{version}", "rule", "show") if rule.get("iif") == "a-eth0"]
    assert (rule["priority"], rule["table"]) == (100, "100")
    (route,) = ip(space, f"-{version}", "route", "show", "table", "100")
    assert (route["dst"], route["gateway"], route["dev"]) == (network, far, "a-eth0")
    assert network not in {found["dst"] for found in ip(space, f"-{version}", "route", "show")}
