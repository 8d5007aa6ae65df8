"""Bulk TCP by a real iperf3 between namespaces, and the tap that looks at few of its frames."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

import pytest
from traffic_hosts import MILAN, ROME, S, routed
from traffic_lab import Lab

from traffic.bulk import TcpFlow, Transfer, client_command, parse_report, server_command
from traffic.declared import busy_percent, cpu_ticks, limited_by
from traffic.errors import ServiceError
from traffic.packets import Kind, parse_frame
from traffic.pages import open_listener, open_stream
from traffic.sampling import SHARE, thin
from traffic.timestamps import open_tap, open_udp, receive, tap_statistics

pytestmark = pytest.mark.netns

PORT = 5201
RATE_BPS = 10_000_000


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        routed(lab)
        yield lab


def transfer(
    lab: Lab, algorithm: str, *, reverse: bool = False, serve: bool = True, more: Sequence[str] = ()
) -> Transfer:
    """One second from rome to milan, or the other way; the connection is rome's."""
    flow = TcpFlow("upload", "tcp", "rome", "milan", 10, algorithm, "none", 1, 0, 2 * S)
    enter = ["ip", "netns", "exec"]
    server = subprocess.Popen(
        [*enter, lab.name("milan"), *server_command(MILAN, PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if serve:
            time.sleep(0.5)
        else:
            server.terminate()
            server.wait()
        command = [*client_command(flow, MILAN, PORT, reverse=reverse), *more]
        done = subprocess.run([*enter, lab.name("rome"), *command], capture_output=True, check=False, timeout=30)
        return parse_report(done.stdout)
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(("algorithm", "reverse"), [("cubic", False), ("bbr", False), ("cubic", True)])
def test_goodput_stays_within_a_shapers_rate(lab: Lab, algorithm: str, reverse: bool) -> None:
    shaped = "r-eth0" if reverse else "r-eth1"
    lab.tc("router", f"qdisc add dev {shaped} root tbf rate {RATE_BPS}bit burst 3000 latency 50ms")
    told = transfer(lab, algorithm, reverse=reverse)
    assert 0.5 * RATE_BPS < told.goodput_bps < RATE_BPS
    assert told.algorithm == algorithm
    assert told.retransmits is not None
    assert told.rtt_ms["min"] is not None
    assert told.rtt_ms["max"] is not None
    assert 0 < told.rtt_ms["min"] <= told.rtt_ms["max"] < 500
    assert limited_by(told.generator_percent, None) == "network"


def test_a_transfer_that_its_generator_limits_says_so(lab: Lab) -> None:
    """It writes 64 bytes at a time and takes a whole processor, or on a busy machine what there is."""
    before = cpu_ticks()
    told = transfer(lab, "cubic", more=["--length", "64"])
    assert limited_by(told.generator_percent, busy_percent(before, cpu_ticks())) in ("generator", "machine")


def test_nobody_there_is_an_error_with_iperf3s_reason(lab: Lab) -> None:
    with pytest.raises(ServiceError, match=r"iperf3: unable to connect to server.*Connection refused"):
        transfer(lab, "cubic", serve=False)


@pytest.mark.parametrize("ports", [(PORT,), (PORT, 5202, 4501)])
def test_a_tap_shows_few_frames_of_a_transfer_and_all_others(lab: Lab, ports: tuple[int, ...]) -> None:
    tap = lab.within("milan", open_tap, "h-eth0")
    thin(tap, ports)
    count = 4_000
    udp = lab.within("rome", open_udp, ROME)
    for number in range(count):
        udp.sendto(number.to_bytes(2, "big"), (MILAN, ports[-1] if number % 2 else 4500))
    listener = lab.within("milan", open_listener, MILAN, 8443)
    stream = lab.within("rome", open_stream)
    stream.connect((MILAN, 8443))
    stream.close()
    listener.close()
    frames = [parse_frame(frame) for frame, _, _ in receive(tap)]
    assert tap_statistics(tap)[1] == 0
    sampled = [frame for frame in frames if frame.kind is Kind.UDP and frame.destination_port == ports[-1]]
    numbers = [frame.payload for frame in frames if frame.kind is Kind.UDP and frame.destination_port == 4500]
    assert numbers == [number.to_bytes(2, "big") for number in range(0, count, 2)]
    assert any(frame.kind is Kind.TCP and frame.destination_port == 8443 for frame in frames)
    # By chance: 31 expected, with a standard deviation of 5.5.
    assert 0 < len(sampled) < 3 * count / 2 / SHARE


def test_ipv6_frames_are_sampled_too(lab: Lab) -> None:
    lab.ip("rome", "address add 2001:db8::1/64 dev h-eth0 nodad")
    lab.ip("router", "address add 2001:db8::2/64 dev r-eth0 nodad")
    tap = lab.within("router", open_tap, "r-eth0")
    thin(tap, (PORT,))
    udp = lab.within("rome", open_udp, "2001:db8::1")
    for number in range(4_000):
        udp.sendto(b"x", ("2001:db8::2", PORT if number % 2 else 4500))
    frames = [parse_frame(frame) for frame, _, _ in receive(tap)]
    ports = [frame.destination_port for frame in frames if frame.kind is Kind.UDP]
    assert ports.count(4500) == 2_000
    assert 0 < ports.count(PORT) < 100
    assert any(frame.kind is Kind.ICMP for frame in frames)  # neighbour solicitation: neither TCP nor UDP


def test_without_ports_a_tap_shows_everything(lab: Lab) -> None:
    tap = lab.within("milan", open_tap, "h-eth0")
    thin(tap, ())
    udp = lab.within("rome", open_udp, ROME)
    for _ in range(200):
        udp.sendto(b"x", (MILAN, PORT))
    assert sum(parse_frame(frame).kind is Kind.UDP for frame, _, _ in receive(tap)) == 200


def test_sampled_tcp_segments_can_have_any_options(lab: Lab) -> None:
    """The answer's port is the transfer's too: it is told by either end's port."""
    tap = lab.within("rome", open_tap, "h-eth0")
    thin(tap, (PORT,))
    listener = lab.within("milan", open_listener, MILAN, PORT)
    stream = lab.within("rome", open_stream)
    stream.connect((MILAN, PORT))
    served = listener.accept()[0]
    served.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2_000):
        served.send(b"x")
        stream.recv(16)
    served.close()
    seen = [parse_frame(frame) for frame, _, _ in receive(tap)]
    assert 0 < sum(frame.kind is Kind.TCP for frame in seen) < 100
