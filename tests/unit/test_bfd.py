"""testbed.emulation.bfd: the packets are RFC 5880's, and so are the states and their times."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.emulation.bfd import PORT, SLOW_NS, Diagnostic, Packet, Session, State, parse

MS = 1_000_000
INTERVAL_NS = 100 * MS
MULTIPLIER = 3


class Line:
    """Two sessions and what lies between them, each way: a delay, and whether it lets packets through."""

    def __init__(self, delay_ns: int = 10 * MS) -> None:
        self.ends = [Session(number, INTERVAL_NS, MULTIPLIER, lambda: 1.0) for number in (1, 2)]
        self.delay_ns, self.now_ns = delay_ns, 0
        self.open = [True, True]  # by the end that sends
        self.flying: list[tuple[int, int, bytes]] = []  # arrival, receiving end, packet
        self.states: list[tuple[int, int, State]] = []

    def run(self, until_ns: int) -> None:
        """Live on, a millisecond at a time."""
        while self.now_ns < until_ns:
            self.now_ns += MS
            for arrival in [one for one in self.flying if one[0] <= self.now_ns]:
                self.flying.remove(arrival)
                packet = parse(arrival[2])
                assert packet is not None
                if self.ends[arrival[1]].receive(packet, arrival[0]):
                    self.states.append((self.now_ns, arrival[1], self.ends[arrival[1]].state))
            for number, end in enumerate(self.ends):
                if end.expire(self.now_ns):
                    self.states.append((self.now_ns, number, end.state))
                if end.due_ns <= self.now_ns:
                    packed = end.send(self.now_ns)
                    if self.open[number]:
                        self.flying.append((self.now_ns + self.delay_ns, 1 - number, packed))


def test_a_session_comes_up_in_three_flights() -> None:
    line = Line()
    line.run(3 * line.delay_ns + 3 * MS)
    assert [end.state for end in line.ends] == [State.UP, State.UP]


@pytest.mark.parametrize("dead", [(0,), (1,), (0, 1)])
def test_both_ends_leave_a_path_that_is_broken_either_way_within_the_promise(dead: tuple[int, ...]) -> None:
    line = Line()
    line.run(1_000 * MS)
    broken_ns = line.now_ns
    for number in dead:
        line.open[number] = False
    line.run(broken_ns + MULTIPLIER * INTERVAL_NS + 2 * line.delay_ns + 2 * MS)
    assert not any(end.is_up for end in line.ends)
    assert all(end.fell for end in line.ends)
    if len(dead) == 1:  # the one that is not heard hears of it
        assert line.ends[dead[0]].diagnostic is Diagnostic.NEIGHBOUR
        assert line.ends[1 - dead[0]].diagnostic is Diagnostic.EXPIRED
    line.run(broken_ns + 10_000 * MS)
    assert not any(end.is_up for end in line.ends)


def test_losses_below_the_multiplier_change_nothing() -> None:
    line = Line()
    line.run(1_000 * MS)
    line.open = [False, False]
    line.run(1_000 * MS + (MULTIPLIER - 1) * INTERVAL_NS)
    line.open = [True, True]
    line.run(3_000 * MS)
    assert all(end.is_up and not end.fell for end in line.ends)


def test_a_mended_path_is_up_again_within_the_promise() -> None:
    line = Line()
    line.run(1_000 * MS)
    line.open = [False, False]
    line.run(5_000 * MS)
    line.open = [True, True]
    line.run(5_000 * MS + SLOW_NS + 3 * line.delay_ns + 5 * MS)
    assert all(end.is_up for end in line.ends)


def test_a_session_that_is_down_sends_once_a_second_at_most() -> None:
    """RFC 5880, 6.8.3."""
    session = Session(1, INTERVAL_NS, MULTIPLIER, lambda: 0.0)
    session.send(0)
    assert session.due_ns == round(0.75 * SLOW_NS)  # jitter takes a quarter off at most (6.8.7)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        bytes(24),
        Packet(State.UP, 0, 3, 1, 2, 100, 100).pack()[:23],
        Packet(State.UP, 0, 0, 1, 2, 100, 100).pack(),
        Packet(State.UP, 0, 3, 0, 2, 100, 100).pack(),
        Packet(State.UP, 0, 3, 1, 0, 100, 100).pack(),
    ],
    ids=["nothing", "zeros", "cut", "multiplier 0", "no discriminator", "up without the other's"],
)
def test_what_must_be_discarded_is(damaged: bytes) -> None:
    """RFC 5880, 6.8.6."""
    assert parse(damaged) is None


def test_tshark_reads_the_packets(tmp_path: Path) -> None:
    if shutil.which("tshark") is None or shutil.which("text2pcap") is None:
        pytest.skip("tshark is not installed")
    packet = Packet(State.INIT, Diagnostic.EXPIRED, 3, 7, 9, 1_000_000, 100_000, poll=True)
    assert parse(packet.pack()) == packet
    text = " ".join(f"{byte:02x}" for byte in packet.pack())
    (tmp_path / "packet.txt").write_text(f"0000 {text}\n")
    capture = tmp_path / "packet.pcap"
    ports = f"{49_152},{PORT}"
    subprocess.run(["text2pcap", "-q", "-u", ports, tmp_path / "packet.txt", capture], check=True, capture_output=True)
    fields = ["sta", "diag", "flags.p", "detect_time_multiplier", "my_discriminator", "your_discriminator"]
    fields += ["desired_min_tx_interval", "required_min_rx_interval"]
    asked = [word for name in fields for word in ("-e", f"bfd.{name}")]
    command = ["tshark", "-r", capture, "-T", "fields", "-E", "separator=,", *asked]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    values = done.stdout.strip().replace("True", "1").split(",")
    assert [int(value, 0) for value in values] == [State.INIT, Diagnostic.EXPIRED, 1, 3, 7, 9, 1_000_000, 100_000]
