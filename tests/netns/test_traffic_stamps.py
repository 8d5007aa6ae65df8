"""traffic.timestamps against the kernel: its queues, its taps, its counters."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from traffic_lab import Lab

from traffic.errors import SocketError
from traffic.timestamps import (
    MSG_ERRQUEUE,
    NO_STAMP,
    SO_TIMESTAMPING,
    SOF_OPT_ID,
    SOF_OPT_TSONLY,
    SOF_SOFTWARE,
    SOF_TX_SCHED,
    deafen,
    open_tap,
    open_udp,
    receive,
    tap_statistics,
    tx_stamps,
)

pytestmark = pytest.mark.netns

TX_SOFTWARE = 1 << 1
COUNT = 10


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.add("a")
        lab.add("b")
        lab.link("a", "a-eth0", "10.0.0.1/24", "b", "b-eth0", "10.0.0.2/24")
        yield lab


def wait_for(ready: Callable[[], bool]) -> None:
    """Until the kernel has done its part; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline, "the kernel did not answer in ten seconds"
        time.sleep(0.005)


def collect(drain: Callable[[], list[tuple]], count: int) -> list[tuple]:
    items: list[tuple] = []

    def enough() -> bool:
        items.extend(drain())
        return len(items) >= count

    wait_for(enough)
    return items


def wait_until_stamped(sender: socket.socket, receiver: socket.socket, address: tuple[str, int]) -> None:
    """The kernel begins to stamp arrivals a little after the first socket has asked for it; resolve ARP as well."""

    def stamped() -> bool:
        sender.sendto(b"warm", address)
        time.sleep(0.005)
        return any(rx_ns != NO_STAMP for *_, rx_ns in receive(receiver))

    wait_for(stamped)
    time.sleep(0.05)
    receive(receiver)
    tx_stamps(sender)


def raw_stamps(sock: socket.socket) -> list[tuple[int, int, int]]:
    """(kind, counter, ns) of all records, read without the module under test; kind 1 is SCHED, 0 is SOFTWARE."""
    records = []
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(0, 512, MSG_ERRQUEUE)
        except BlockingIOError:
            return records
        by_kind = {(level, kind): data for level, kind, data in ancillary}
        seconds, nanoseconds = struct.unpack_from("@ll", by_kind[socket.SOL_SOCKET, SO_TIMESTAMPING])
        info, counter = struct.unpack_from("=II", by_kind[socket.IPPROTO_IP, 11], 8)
        records.append((info, counter, seconds * 10**9 + nanoseconds))


def test_sched_is_taken_before_the_queue_and_software_after_it(lab: Lab) -> None:
    # 1,042 bytes on the wire at 800 kbit/s take 10.4 ms each: the last of ten waits for nine.
    lab.tc("a", "qdisc add dev a-eth0 root tbf rate 800kbit burst 1100 limit 100000")
    sender = lab.within("a", open_udp, "10.0.0.1", tx_stamps=True)
    receiver = lab.within("b", open_udp, "10.0.0.2", 5000, rx_stamps=True)
    wait_until_stamped(sender, receiver, ("10.0.0.2", 5000))
    flags = SOF_SOFTWARE | SOF_TX_SCHED | TX_SOFTWARE | SOF_OPT_ID | SOF_OPT_TSONLY
    sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
    for _ in range(COUNT):
        sender.sendto(bytes(1000), ("10.0.0.2", 5000))
    arrivals = collect(lambda: receive(receiver), COUNT)
    records = collect(lambda: raw_stamps(sender), 2 * COUNT)
    sched = sorted(ns for kind, _, ns in records if kind == 1)
    software = sorted(ns for kind, _, ns in records if kind == 0)
    least_wait_ns = 9 * 1042 * 8 * 10**9 // 800_000 - 15_000_000  # the bucket holds one packet at the start
    assert arrivals[-1][2] - sched[-1] > least_wait_ns
    assert software[-1] - sched[-1] > least_wait_ns  # a send time taken here would hide the queue

    # Even on a socket that has TX_SOFTWARE enabled, only SCHED records come back.
    for _ in range(COUNT):
        sender.sendto(bytes(1000), ("10.0.0.2", 5000))
    arrivals = collect(lambda: receive(receiver), COUNT)
    time.sleep(0.05)
    stamps = tx_stamps(sender)
    assert len(stamps) == COUNT
    assert arrivals[-1][2] - stamps[-1][1] > least_wait_ns


@pytest.mark.parametrize(("source", "destination"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_counter_numbers_the_packets_and_the_class_is_on_the_wire(lab: Lab, source: str, destination: str) -> None:
    if ":" in source:
        lab.ip("a", f"address add {source}/64 dev a-eth0 nodad")
        lab.ip("b", f"address add {destination}/64 dev b-eth0 nodad")
    sender = lab.within("a", open_udp, source, dscp=46, tx_stamps=True)
    receiver = lab.within("b", open_udp, destination, 5000, rx_stamps=True)
    tap = lab.within("b", open_tap, "b-eth0")
    wait_until_stamped(sender, receiver, (destination, 5000))
    receive(tap)
    sender.sendto(b"begin", (destination, 5000))
    ((before, _),) = collect(lambda: tx_stamps(sender), 1)
    for number in range(COUNT):
        sender.sendto(bytes([number]), (destination, 5000))
    stamps = collect(lambda: tx_stamps(sender), COUNT)
    assert [counter for counter, _ in stamps] == list(range(before + 1, before + 1 + COUNT))
    arrivals = collect(lambda: receive(receiver), COUNT + 1)[1:]
    assert [payload for payload, _, _ in arrivals] == [bytes([number]) for number in range(COUNT)]
    assert all(arrival[2] >= sent for arrival, (_, sent) in zip(arrivals, stamps, strict=True))
    frames = [(frame, ns) for frame, _, ns in collect(lambda: receive(tap), COUNT + 1) if frame[-1:] != b"n"]
    frames = [(frame, ns) for frame, ns in frames if ns in {arrival[2] for arrival in arrivals}]
    assert len(frames) == COUNT  # the tap and the UDP socket show the same stamp
    version = struct.unpack(">I", frames[0][0][14:18])[0]
    assert (version >> 20 & 0xFF if ":" in source else version >> 16 & 0xFF) == 46 << 2


def test_tap_sees_what_arrives_and_not_what_leaves(lab: Lab) -> None:
    sender = lab.within("a", open_udp, "10.0.0.1", 4500, no_checksum=True)
    lab.within("b", open_udp, "10.0.0.2", 5000)  # no ICMP that would quote the packet
    taps = {name: lab.within(name, open_tap, f"{name}-eth0") for name in "ab"}
    sender.sendto(b"one way", ("10.0.0.2", 5000))
    arrived: list[bytes] = []

    def found() -> bool:
        arrived.extend(frame for frame, *_ in receive(taps["b"]))
        return any(frame.endswith(b"one way") for frame in arrived)

    wait_for(found)
    (wanted,) = [frame for frame in arrived if frame.endswith(b"one way")]
    assert wanted[40:42] == b"\0\0"  # UDP checksum 0
    assert not any(frame.endswith(b"one way") for frame, *_ in receive(taps["a"]))


def test_tap_statistics_show_drops_and_reset(lab: Lab) -> None:
    sender = lab.within("a", open_udp, "10.0.0.1")
    tap = lab.within("b", open_tap, "b-eth0", buffer_bytes=2048)
    for _ in range(200):
        sender.sendto(bytes(1000), ("10.0.0.2", 5000))
    seen = [0, 0]

    def all_counted() -> bool:
        packets, drops = tap_statistics(tap)
        seen[0] += packets
        seen[1] += drops
        return seen[0] >= 200

    wait_for(all_counted)
    assert seen[1] > 0
    time.sleep(0.05)
    tap_statistics(tap)
    assert tap_statistics(tap)[1] == 0


def test_deaf_socket_keeps_its_stamps_and_its_port(lab: Lab) -> None:
    a = lab.within("a", open_udp, "10.0.0.1", 4500, tx_stamps=True)
    b = lab.within("b", open_udp, "10.0.0.2", 4500, tx_stamps=True)
    deafen(b)
    a.connect(("10.0.0.2", 4500))  # so that an ICMP 'port unreachable' would be heard
    for _ in range(20):
        a.send(bytes(1000))
    b.sendto(b"x", ("10.0.0.1", 4500))
    assert len(collect(lambda: tx_stamps(b), 1)) == 1
    assert receive(b) == []
    assert receive(a)[0][0] == b"x"


def test_sockets_that_the_kernel_refuses_are_named() -> None:
    with pytest.raises(SocketError, match=r"192\.0\.2\.77 port 4500"):
        open_udp("192.0.2.77", 4500)
    with pytest.raises(SocketError, match="IPv6 needs its UDP checksum"):
        open_udp("::1", no_checksum=True)
    with pytest.raises(SocketError, match="DSCP 64"):
        open_udp("127.0.0.1", dscp=64)
    with pytest.raises(SocketError, match="no-such0"):
        open_tap("no-such0")
