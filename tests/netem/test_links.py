"""What a link end does to packets: delay, order, loss, a loaded bottleneck, darkness, diversion."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from netem_line import LEFT, MS, Line, S, Stream, every, read_number, send_on_time, settle, wait_until

from testbed.kernel import filters, queues
from testbed.kernel.queues import Bottleneck, Impairment
from traffic.timestamps import open_tap, receive

FREE = Bottleneck(10**9, 10**6)
LIMIT = 10_000
EF, CS6 = 46, 48


@pytest.fixture
def line() -> Iterator[Line]:
    """Two nodes, 10 ms."""
    with Line(2, Impairment(10 * MS, 0.0, LIMIT), FREE) as line:
        yield line


def change_while_sending(line: Line, changes: int, packets_per_change: int, *, stamped: bool = True) -> Stream:
    """Packets as fast as they go, a change after every few: every fiftieth is a jump of 30 ms up or down."""
    numbered = line.stream(stamped=stamped)
    for number in range(changes):
        base_ns = 40 * MS if number // 50 % 2 == 0 else 10 * MS
        line.change(Impairment(base_ns + number, 0.0, LIMIT))
        for _ in range(packets_per_change):
            numbered.send()
    settle([numbered], 60 * MS)
    return numbered


def test_a_thousand_changes_lose_and_reorder_nothing(line: Line) -> None:
    numbered = change_while_sending(line, 1_000, 4)
    assert (numbered.lost, numbered.reordered, numbered.duplicated) == ([], 0, 0)
    assert numbered.delays_ns.min() > 10 * MS
    assert numbered.delays_ns[:200].min() > 40 * MS  # the changes were real
    assert np.median(numbered.delays_ns[-20:]) < 40 * MS


def test_five_thousand_packets_a_second_cross_a_thousand_changes(
    line: Line, record_property: Callable[[str, object], None]
) -> None:
    """As fast as the machine sends, and without stamps, which would slow it down: an idle one sends more than 5,000."""
    begin = time.monotonic()
    numbered = change_while_sending(line, 1_000, 25, stamped=False)
    record_property("packets_per_s", round(25_000 / (time.monotonic() - begin)))
    assert (numbered.lost, numbered.reordered, numbered.duplicated) == ([], 0, 0)


def test_the_same_changes_reorder_where_netem_has_no_rate(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "NOMINAL_RATE_BPS", 0)
    numbered = change_while_sending(line, 100, 4)
    assert numbered.lost == []
    assert numbered.reordered > 0


def test_loss_is_drawn_for_each_packet(line: Line) -> None:
    numbered = line.stream()
    for loss, expected in ((0.0, (0, 0)), (0.2, (120, 280)), (1.0, (1_000, 1_000))):  # ± 6 standard deviations
        line.change(Impairment(10 * MS, loss, LIMIT))
        before = len(numbered.arrived)
        for _ in range(1_000):
            numbered.send()
        settle([numbered], 30 * MS)
        low, high = expected
        assert low <= 1_000 - (len(numbered.arrived) - before) <= high


def test_the_limit_counts_packets_in_flight(line: Line) -> None:
    line.change(Impairment(300 * MS, 0.0, 50))
    numbered = line.stream()
    for _ in range(80):
        numbered.send()
    settle([numbered], 350 * MS)
    places = len(numbered.arrived)
    assert places in (49, 50)  # one may hold a report of the kernel's own on IPv6 multicast
    assert numbered.lost == list(range(places, 80))


def test_a_loaded_link_delays_best_effort_by_its_buffer_and_nothing_else() -> None:
    rate_bps, buffer_bytes, base_ns = 4_000_000, 50_000, 10 * MS
    buffer_ns = buffer_bytes * 8 * S // rate_bps
    with Line(2, Impairment(base_ns, 0.0, LIMIT), Bottleneck(rate_bps, buffer_bytes)) as line:
        bulk = line.stream(payload_bytes=1_000 - 42)
        lone = {
            (version, dscp): line.stream(version, 6_000 + dscp, dscp=dscp) for version in (4, 6) for dscp in (EF, CS6)
        }
        unmarked = {version: line.stream(version, 6_000) for version in (4, 6)}
        beside = [*lone.values(), *unmarked.values()]
        schedule = every(1 * MS, 1_700 * MS, bulk)  # twice the rate
        for number, one in enumerate(beside):
            schedule += every(40 * MS, 1_700 * MS, one, 200 * MS + 6 * MS * number)  # once the buffer is full
        send_on_time(schedule)
        settle([bulk, *beside], 200 * MS)

        waits_ns = bulk.delays_ns[np.array(bulk.arrived) > 300] - base_ns
        assert np.median(waits_ns) == pytest.approx(buffer_ns, rel=0.1)
        assert bulk.reordered == 0

        arrivals = np.array(sorted((at, one.wire_bytes) for one in (bulk, *beside) for at in one.arrived_ns))
        passed_bytes = np.r_[0, np.cumsum(arrivals[:, 1])]
        edges = np.searchsorted(arrivals[:, 0], [bulk.sent_ns[bulk.arrived], bulk.arrived_ns], side="right")
        ahead_bytes = np.diff(passed_bytes[edges], axis=0)  # of each: what arrives between its sending and its arrival
        in_flight_bytes = rate_bps * base_ns // (8 * S)
        assert ahead_bytes.max() == pytest.approx(buffer_bytes + in_flight_bytes, rel=0.1)

        busy = arrivals[(arrivals[:, 0] >= bulk.sent_ns[300]) & (arrivals[:, 0] <= bulk.sent_ns[-1])]
        goodput_bps = busy[1:, 1].sum() * 8 * S / (busy[-1, 0] - busy[0, 0])
        assert goodput_bps == pytest.approx(rate_bps, rel=0.05)

        packet_ns = 1_000 * 8 * S // rate_bps
        for (version, dscp), one in lone.items():
            assert one.lost == [], f"IPv{version}, DSCP {dscp}"
            assert base_ns < np.median(one.delays_ns) < base_ns + packet_ns + MS, f"IPv{version}, DSCP {dscp}"
        for version, one in unmarked.items():  # the same packets without their mark
            assert np.median(one.delays_ns) > base_ns + 0.8 * buffer_ns, f"IPv{version}"


def test_every_protocol_is_delayed_alike(line: Line) -> None:
    source, sink = line.spaces
    near, far = (str(line.address(1, LEFT, version)) for version in (4, 6))
    echo, echo6 = struct.pack("!BBHHH", 8, 0, 0xF7FE, 1, 0), struct.pack("!BBHHH", 128, 0, 0, 1, 0)
    with source.entered():
        kinds = {
            (4, socket.IPPROTO_UDP): (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), bytes(8), (near, 9)),
            (4, socket.IPPROTO_ESP): (
                socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ESP),
                bytes(40),
                (near, 0),
            ),
            (4, socket.IPPROTO_ICMP): (
                socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
                echo,
                (near, 0),
            ),
            (6, socket.IPPROTO_UDP): (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), bytes(8), (far, 9)),
            (6, socket.IPPROTO_ICMPV6): (
                socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
                echo6,
                (far, 0),
            ),
        }
    with sink.entered():
        tap = open_tap("n1-eth0")
    for delay_ns in (20 * MS, 5 * MS):
        line.change(Impairment(delay_ns, 0.0, LIMIT))
        sent_ns = {kind: [] for kind in kinds}
        for _ in range(15):
            for kind, (sock, payload, to) in kinds.items():
                sent_ns[kind].append(time.time_ns())
                sock.sendto(payload, to)
            time.sleep(0.003)
        time.sleep(0.03)
        arrived_ns = {kind: [] for kind in kinds}
        for frame, _, time_ns in receive(tap):
            version = frame[14] >> 4
            kind = version, frame[23] if version == 4 else frame[20]
            if kind in kinds:  # the kernel itself says hello over IPv6
                arrived_ns[kind].append(time_ns)
        for kind in kinds:
            delays_ns = np.array(arrived_ns[kind]) - sent_ns[kind]
            assert delay_ns < np.median(delays_ns) < delay_ns + MS, kind
    for sock, _, _ in kinds.values():
        sock.close()
    tap.close()


def test_a_dark_end_loses_what_is_in_flight_until_it_is_lit_again(line: Line) -> None:
    line.change(Impairment(250 * MS, 0.0, LIMIT))
    both = [line.stream(version) for version in (4, 6)]

    def burst() -> None:
        for _ in range(10):
            for one in both:
                one.send()

    def all_have(count: int) -> bool:
        settle(both, 0)
        return all(len(one.arrived) >= count for one in both)

    burst()  # 0..9 arrive before
    wait_until(lambda: all_have(10))
    burst()  # 10..19 are in flight
    line.netlinks[1].send([filters.darken(LEFT, "node 1")])
    burst()  # 20..29 meet the dark
    time.sleep(0.35)
    line.netlinks[1].send([filters.relight(LEFT, "node 1")])
    burst()  # 30..39 arrive
    wait_until(lambda: all_have(20))
    for one in both:
        assert one.arrived == [*range(10), *range(30, 40)]


def test_only_what_is_selected_is_diverted_and_a_tap_still_sees_it() -> None:
    with Line(3, Impairment(0, 0.0, LIMIT), FREE) as line, ExitStack() as stack:
        chosen, other, six = line.stream(port=6_001), line.stream(port=6_002), line.stream(6, 6_001)
        port_word = (20, 0x0000FFFF, 6_001)  # UDP's destination port, after an IPv4 header without options
        to_node_2 = (16, 0xFFFFFFFF, int(line.address(2, LEFT)))
        line.netlinks[1].send([filters.divert(LEFT, [port_word, to_node_2], "node 1")])
        with line.spaces[1].entered():
            tap = open_tap("n1-eth0")
        stack.callback(tap.close)
        for _ in range(10):
            for one in (chosen, other, six):
                one.send()
        settle([chosen, other, six], 30 * MS)
        seen = Counter(read_number(frame) for frame, _, _ in receive(tap))
        for number in range(10):
            assert (seen[6_001, number], seen[6_002, number]) == (2, 1)  # of port 6001 one in each family
        assert (len(chosen.arrived), len(other.arrived), len(six.arrived)) == (0, 10, 10)
