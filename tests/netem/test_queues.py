"""Every queue message on a real kernel, read back by others: tc, and pyroute2 where tc rounds to 64 ns."""

from __future__ import annotations

import random
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from netem_line import LEFT, RIGHT, Line, command, settle, tc
from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.tcmsg import sched_netem

from testbed.ground.errors import KernelError
from testbed.kernel import links, queues
from testbed.kernel.namespaces import Namespace, set_sysctl
from testbed.kernel.netlink import Netlink
from testbed.kernel.queues import NOMINAL_RATE_BPS, Bottleneck, Impairment

LO = links.LOOPBACK_INDEX
EDGES_NS = [0, 1, 63, 64, 65, 999, 1_000, 5_050_000, 9_624_137, 12_345_678, 270_000_000]
EDGES_NS += [274_877_906_880, 274_877_906_944, 299_999_999_999, 300_000_000_000]  # tc's 64 ns ticks end at 2³²
LARGE = 1_000  # bytes
LOCAL_EXPERIMENT = 0x88B5  # IEEE 802, an EtherType that is neither IPv4 nor IPv6


class NetemOptions(sched_netem.options):
    """pyroute2's decoder, with the attributes it lacks (linux/pkt_sched.h)."""

    nla_map = (
        *sched_netem.options.nla_map,
        ("TCA_NETEM_ECN", "uint32"),
        ("TCA_NETEM_RATE64", "uint64"),
        ("TCA_NETEM_PAD", "hex"),
        ("TCA_NETEM_LATENCY64", "int64"),
        ("TCA_NETEM_JITTER64", "int64"),
    )


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    space = Namespace()
    yield space
    space.close()


@pytest.fixture
def netlink(namespace: Namespace) -> Iterator[Netlink]:
    with namespace.entered():
        sock = Netlink()
    yield sock
    sock.close()


@pytest.fixture
def decoder(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[IPRoute]:
    monkeypatch.setattr(sched_netem, "options", NetemOptions)
    with namespace.entered():
        decoder = IPRoute()
    yield decoder
    decoder.close()


def decoded(decoder: IPRoute) -> Any:
    return decoder.get_qdiscs(LO)[0].get_attr("TCA_OPTIONS")


def test_any_delay_loss_and_limit_is_held_exactly(netlink: Netlink, decoder: IPRoute) -> None:
    chance = random.Random(1)
    delays_ns = EDGES_NS + [chance.randrange(300_000_000_001) for _ in range(50)]
    netlink.send([queues.add_netem(LO, Impairment(7, 0.5, 7), "lo")])
    for delay_ns in delays_ns:
        impairment = Impairment(delay_ns, chance.choice([0.0, chance.random(), 1.0]), chance.randrange(1 << 32))
        echoes = netlink.send([queues.change_netem(LO, impairment, "lo")])
        held = decoded(decoder)
        assert held.get_attr("TCA_NETEM_LATENCY64") == delay_ns
        assert held["limit"] == impairment.limit
        assert held["loss"] / 0xFFFFFFFF == pytest.approx(impairment.loss, abs=2**-32)
        assert held.get_attr("TCA_NETEM_RATE")["rate"] == NOMINAL_RATE_BPS // 8
        assert (held["gap"], held["duplicate"], held["jitter"], held.get_attr("TCA_NETEM_JITTER64")) == (0, 0, 0, 0)
        index, told = queues.parse_netem(echoes[0])
        assert told is not None
        assert (index, told.delay_ns, told.limit) == (LO, delay_ns, impairment.limit)
        assert told.loss == pytest.approx(impairment.loss, abs=2**-32)


def test_a_change_renews_all_that_others_have_set(namespace: Namespace, netlink: Netlink, decoder: IPRoute) -> None:
    netlink.send([queues.add_netem(LO, Impairment(1_000_000, 0.0, 500), "lo")])
    foreign = "delay 3ms 1ms 25% reorder 20% gap 5 corrupt 5% duplicate 2% rate 1mbit limit 77".split()
    command(namespace, "tc", "qdisc", "change", "dev", "lo", "root", "netem", *foreign)
    assert decoded(decoder)["limit"] == 77
    netlink.send([queues.change_netem(LO, Impairment(2_000_000, 0.0, 500), "lo")])
    held = tc(namespace, "qdisc", "show", "dev", "lo")[0]["options"]
    assert held.pop("delay") == {"delay": 0.002, "jitter": 0, "correlation": 0}
    assert held.pop("rate")["rate"] == NOMINAL_RATE_BPS // 8
    assert held == {"limit": 500, "ecn": False, "gap": 0}


def test_the_answer_shows_what_others_have_changed(namespace: Namespace, netlink: Netlink) -> None:
    ask = queues.held_netem(LO, "lo")
    assert netlink.send([ask]) == []  # no queue, no answer
    impairment = Impairment(10_000_000, 0.25, 400)
    netlink.send([queues.add_netem(LO, impairment, "lo")])
    _, held = queues.parse_netem(netlink.send([ask])[0])
    assert held is not None
    assert (held.delay_ns, held.limit) == (10_000_000, 400)
    command(namespace, *"tc qdisc change dev lo root netem delay 15ms limit 1000".split())
    assert queues.parse_netem(netlink.send([ask])[0]) == (LO, Impairment(15_000_000, 0.0, 1000))
    command(namespace, *"tc qdisc replace dev lo root handle 9: tbf rate 1mbit burst 3000 limit 9000".split())
    assert queues.parse_netem(netlink.send([ask])[0]) == (LO, None)


def test_a_thousand_changes_in_one_batch_are_all_acknowledged(netlink: Netlink) -> None:
    netlink.send([queues.add_netem(LO, Impairment(0, 0.0, 1), "lo")])
    wanted = [Impairment(number, 0.0, number) for number in range(1, 1001)]
    echoes = netlink.send([queues.change_netem(LO, impairment, "lo") for impairment in wanted])
    assert [queues.parse_netem(echo) for echo in echoes] == [(LO, impairment) for impairment in wanted]


def test_a_refused_queue_is_named(netlink: Netlink) -> None:
    message = queues.add_netem(LO, Impairment(0, 0.0, 1), "rome→NORAD1")
    netlink.send([message])
    with pytest.raises(KernelError, match=r"refused netem of rome→NORAD1: .*\(EEXIST\)"):
        netlink.send([message])
    with pytest.raises(KernelError, match=r"refused netem of rome→NORAD9: .*\(ENODEV\)"):
        netlink.send([queues.change_netem(99, Impairment(0, 0.0, 1), "rome→NORAD9")])


@pytest.mark.parametrize(
    ("rate_bps", "burst_bytes"), [(4_000_000, 3_028), (41_000_000, 5_125), (10**9, 125_000), (9 * 10**9, 1_125_000)]
)
def test_the_queues_of_a_link_end(namespace: Namespace, netlink: Netlink, rate_bps: int, burst_bytes: int) -> None:
    impairment, bottleneck = Impairment(9_624_000, 0.01, 1_234), Bottleneck(rate_bps, 100_000)
    netlink.send(queues.build(LO, impairment, bottleneck, "lo"))
    netem, tbf, *rest = tc(namespace, "qdisc", "show", "dev", "lo")
    assert (netem["kind"], netem["handle"], netem["root"]) == ("netem", "1:", True)
    assert netem["options"]["delay"]["delay"] == pytest.approx(0.009_624, abs=1e-6)
    assert netem["options"]["loss-random"]["loss"] == pytest.approx(0.01)
    assert (tbf["kind"], tbf["parent"]) == ("tbf", "1:1")
    assert tbf["options"]["rate"] * 8 == rate_bps
    burst, unit = re.fullmatch(r"(\d+)(K?)b/1", tbf["options"]["burst"]).groups()
    assert int(burst) * {"": 1, "K": 1024}[unit] == pytest.approx(burst_bytes, rel=0.002)
    prio = next(queue for queue in rest if queue["kind"] == "prio")
    assert (prio["parent"], prio["options"]["bands"], prio["options"]["priomap"]) == ("2:1", 4, [3] * 16)
    bands = {queue["parent"]: queue["options"]["limit"] for queue in rest if queue["kind"] == "bfifo"}
    assert bands == {"3:1": 65_536, "3:2": 65_536, "3:3": 65_536, "3:4": 100_000}

    netlink.send([queues.change_netem(LO, Impairment(10_000_000, 0.01, 1_234), "lo")])
    changed, *others = tc(namespace, "qdisc", "show", "dev", "lo")
    assert changed["options"].pop("delay")["delay"] == 0.01
    netem["options"].pop("delay")
    assert changed == netem
    assert others == [tbf, *rest]


def test_a_link_that_is_no_bottleneck_has_netem_alone(namespace: Namespace, netlink: Netlink) -> None:
    netlink.send(queues.build(LO, Impairment(9_624_000, 0.0, 1_234), None, "lo"))
    (only,) = tc(namespace, "qdisc", "show", "dev", "lo")
    assert (only["kind"], only["root"]) == ("netem", True)
    with pytest.raises(KernelError, match="tbf of lo"):
        netlink.send([queues.held_rate(LO, "lo")])


def test_a_full_buffer_loses_its_oldest_packet_where_that_is_asked_for(namespace: Namespace, netlink: Netlink) -> None:
    bottleneck = Bottleneck(10**8, 30 * 1514, drop="head")
    netlink.send(queues.build(LO, Impairment(0, 0.0, 1_234), bottleneck, "lo"))
    best_effort = [queue for queue in tc(namespace, "qdisc", "show", "dev", "lo") if queue.get("parent") == "3:4"]
    assert [(queue["kind"], queue["options"]["limit"]) for queue in best_effort] == [("pfifo_head_drop", 30)]


def test_a_rate_is_changed_without_loss_of_what_waits(namespace: Namespace, netlink: Netlink) -> None:
    with Line(2, Impairment(0, 0.0, 1000), Bottleneck(400_000, 100_000)) as line:
        stream = line.stream(payload_bytes=1_000)
        for _ in range(50):  # 51 kB at 50 kB/s: about a second's worth waits
            stream.send()
        waiting = tc(line.spaces[0], "qdisc", "show", "dev", "n0-eth1")
        assert sum(queue["backlog"] for queue in waiting if queue["kind"] == "bfifo") > 30_000
        faster = Bottleneck(8_000_000, 100_000)
        line.netlinks[0].send([queues.change_rate(RIGHT, faster, "node 0")])
        (answer,) = line.netlinks[0].send([queues.held_rate(RIGHT, "node 0")])
        assert queues.parse_rate(answer) == 8_000_000
        shown = tc(line.spaces[0], "qdisc", "show", "dev", "n0-eth1")
        assert [queue["options"]["rate"] for queue in shown if queue["kind"] == "tbf"] == [1_000_000]
        assert [queue["kind"] for queue in shown] == [queue["kind"] for queue in waiting]
        settle([stream], 500_000_000)
        assert (stream.lost, stream.reordered) == ([], 0)
        assert np.ptp(stream.arrived_ns) < 900_000_000  # at the old rate it would have taken a second


@pytest.mark.parametrize(
    ("impairment", "bottleneck"),
    [(Impairment(0, 0.5, 1_000), Bottleneck(10**8, 100_000)), (Impairment(0, 0.0, 1_000), Bottleneck(400_000, 20_000))],
)
def test_drops_are_counted_at_the_root_whatever_queue_they_are_from(
    impairment: Impairment, bottleneck: Bottleneck
) -> None:
    """By netem's loss, and by a full buffer below it: 20 of 50 packets and a few fit in."""
    with Line(2, impairment, bottleneck) as line:
        for space in line.spaces:
            with space.entered():
                set_sysctl("net/ipv6/conf/all/disable_ipv6", 1)  # its own packets would be lost and counted too
        stream = line.stream(payload_bytes=1_000)
        before = drops(line)
        for _ in range(50):
            stream.send()
        settle([stream], 700_000_000)
        assert 10 <= len(stream.lost) <= 40
        assert drops(line) - before == len(stream.lost)


def drops(line: Line) -> int:
    (answer,) = line.netlinks[0].send([queues.held_netem(RIGHT, "node 0")])
    return queues.parse_drops(answer)


def test_each_code_point_has_its_band_in_both_families() -> None:
    expected = dict.fromkeys(range(64), 4) | dict.fromkeys(range(8, 40), 3)
    expected |= {44: 2, 46: 2} | dict.fromkeys(range(48, 64), 1)
    found: dict[tuple[int, int], int] = {}
    with ExitStack() as stack:
        line = stack.enter_context(Line(2, Impairment(0, 0.0, 1000), Bottleneck(10**9, 10**6)))
        with line.spaces[0].entered():
            counter = IPRoute()
            stack.callback(counter.close)
            families = {4: socket.AF_INET, 6: socket.AF_INET6}
            sockets = {v: stack.enter_context(socket.socket(f, socket.SOCK_DGRAM)) for v, f in families.items()}
            raw = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        raw.bind(("n0-eth1", 0))

        def passed_bytes() -> dict[int, int]:
            classes = [row for row in counter.get_classes(RIGHT) if row.get_attr("TCA_KIND") == "prio"]
            return {row["handle"] & 0xFFFF: row.get_attr("TCA_STATS")["bytes"] for row in classes}

        before = passed_bytes()

        def band() -> int:
            """Which band a large packet has passed since the last call; the kernel's own words are small."""
            nonlocal before
            after = passed_bytes()
            (grown,) = (number for number in after if after[number] - before[number] > LARGE)
            before = after
            return grown

        for version, level, option in (
            (4, socket.IPPROTO_IP, socket.IP_TOS),
            (6, socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
        ):
            to = (str(line.address(1, LEFT, version)), 9)
            for dscp in range(64):
                congestion = dscp % 4  # the two bits of ECN must not matter
                sockets[version].setsockopt(level, option, dscp << 2 | congestion)
                sockets[version].sendto(bytes(LARGE), to)
                found[version, dscp] = band()
        raw.send(bytes(12) + struct.pack("!H", LOCAL_EXPERIMENT) + b"\xb8" * LARGE)
        assert band() == 4
    assert found == {(version, dscp): expected[dscp] for version in (4, 6) for dscp in range(64)}
