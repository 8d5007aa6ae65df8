"""The kernel's own reassembly as a foreign judge of fragments: the same datagrams whole, the same overlaps and gaps.

Linux forgives a fragment inside what it has, whatever its bytes (inet_frag_queue_insert); there we are stricter.
"""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from traffic_lab import Lab

from traffic.fragments import Outcome, Reassembly
from traffic.packets import checksum, ip_header, parse_frame
from traffic.timestamps import open_tap, open_udp, receive

pytestmark = pytest.mark.netns

TRIALS = 500
PORT = 7000


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.add("a")
        lab.add("b")
        lab.link("a", "a-eth0", "10.0.0.1/24", "b", "b-eth0", "10.0.0.2/24")
        lab.command("b", "sysctl -qw net.ipv4.ipfrag_time=1 net.ipv4.ipfrag_max_dist=0")
        yield lab


def wait(done: Callable[[], bool], seconds: float = 2.0) -> bool:
    """The kernel may put its work off when the processor is busy."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Both:
    """Fragments given to the kernel of one namespace and to our reassembly."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._sender = lab.within("a", open_tap, "a-eth0")
        self._inside = lab.within("b", open_udp, "10.0.0.2", PORT)
        mac = lab.within("b", open_tap, "b-eth0").getsockname()[4]
        self._ethernet = mac + bytes.fromhex("020000000001") + b"\x08\x00"
        self._reassembly = Reassembly()

    def give(self, number: int, offset: int, data: bytes, more: bool) -> bytes | Outcome:
        """Our outcome: the payload if it is whole, empty if UDP says that there should be more."""
        header = bytearray(ip_header("10.0.0.1", "10.0.0.2", 17, len(data)))
        header[4:8] = struct.pack(">HH", number, offset // 8 | (0x2000 if more else 0))
        header[10:12] = bytes(2)
        header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
        frame = self._ethernet + bytes(header) + data
        self._sender.send(frame)
        outcome = self._reassembly.add(parse_frame(frame), 0)
        return outcome if isinstance(outcome, Outcome) else outcome[0].payload

    def delivered(self, expected: int) -> list[bytes]:
        """What the kernel has put together since the last call; waits up to 2 s for so many."""
        payloads: list[bytes] = []
        wait(lambda: payloads.extend(each for each, _, _ in receive(self._inside, 70_000)) or len(payloads) >= expected)
        return payloads

    def counter(self, name: str) -> int:
        """Of /proc/net/snmp or netstat, in the receiving namespace."""

        def read() -> str:
            return Path("/proc/thread-self/net/snmp").read_text() + Path("/proc/thread-self/net/netstat").read_text()

        lines = self._lab.within("b", read).splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            if names.startswith("Ip") and name in names.split():
                return int(values.split()[names.split().index(name)])
        raise AssertionError(f"the kernel counts no {name}")


def datagram(payload: bytes) -> bytes:
    return struct.pack(">HHHH", PORT, PORT, 8 + len(payload), 0) + payload


def test_every_order_of_fragments_makes_the_same_datagrams(lab: Lab) -> None:
    both, dice = Both(lab), random.Random(1)
    for number in range(TRIALS):
        payload = dice.randbytes(dice.randrange(100, 3000))
        whole, size = datagram(payload), 8 * dice.randrange(5, 60)
        parts = [(at, whole[at : at + size], at + size < len(whole)) for at in range(0, len(whole), size)]
        if len(parts) == 1:
            continue
        dice.shuffle(parts)
        outcomes = [both.give(number, *each) for each in (*parts[:1], *parts)]  # the first one twice
        assert outcomes[:-1] == [Outcome.WAITING] * len(parts)
        assert both.delivered(1) == [payload] == [outcomes[-1]]
    assert both.counter("ReasmOverlaps") == 0


def test_500_overlaps_are_overlaps_for_the_kernel(lab: Lab) -> None:
    both, dice = Both(lab), random.Random(2)
    before = both.counter("ReasmOverlaps")
    for number in range(TRIALS):
        whole = datagram(dice.randbytes(200))
        start = 8 * dice.randrange(1, 10)
        parts = [(0, whole[:80], True), (start, whole[start:], False)]
        dice.shuffle(parts)
        assert both.give(number, *parts[0]) is Outcome.WAITING
        assert both.give(number, *parts[1]) is Outcome.OVERLAP
    assert wait(lambda: both.counter("ReasmOverlaps") - before >= TRIALS)
    assert both.counter("ReasmOverlaps") - before == TRIALS
    assert both.delivered(0) == []


def test_500_gaps_time_out_in_the_kernel(lab: Lab) -> None:
    both, dice = Both(lab), random.Random(3)
    for number in range(TRIALS):
        whole = datagram(dice.randbytes(200))
        parts = [(at, whole[at : at + 64], at + 64 < len(whole)) for at in range(0, len(whole), 64)]
        del parts[dice.randrange(len(parts))]
        assert {both.give(number, *each) for each in parts} == {Outcome.WAITING}
    assert wait(lambda: both.counter("ReasmTimeout") >= TRIALS, 10.0)
    assert both.counter("ReasmTimeout") == TRIALS
    assert len(both._reassembly.given_up(None)) == TRIALS
    assert both.delivered(0) == []


def test_what_is_whole_for_us_is_whole_for_the_kernel(lab: Lab) -> None:
    """Any fragments: ours never makes a datagram that the kernel does not, nor other bytes."""
    both, dice = Both(lab), random.Random(4)
    told = Counter[str]()
    for number in range(1000):
        payload = dice.randbytes(8 * dice.randrange(4, 9))
        whole = datagram(payload)
        outcomes = []
        for _ in range(dice.randrange(3, 9)):
            at = 8 * dice.randrange(len(whole) // 8)
            stop = min(at + 8 * dice.randrange(1, 6), len(whole))
            if at == 0 and stop == len(whole):
                continue
            more = stop < len(whole) if dice.random() < 0.95 else dice.random() < 0.5
            outcomes.append(both.give(number, at, whole[at:stop], more or at == 0))
        ours = [outcome for outcome in outcomes if isinstance(outcome, bytes) and outcome]
        kernels = both.delivered(len(ours))
        assert [each for each in ours if each not in kernels] == []
        told["whole"] += len(ours)
        told["overlap"] += Outcome.OVERLAP in outcomes
    assert told["whole"] > 20
    assert told["overlap"] > 200
