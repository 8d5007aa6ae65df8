"""Reassembly: what Scapy takes apart comes together again in any order; overlaps and gaps are named, every time."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from traffic_pair import CANARY, ESP_AT, ETHERNET, FLOW, TRIALS, Pair

from traffic.fragments import MOST_BYTES, TIMEOUT_NS, Outcome, Reassembly
from traffic.packets import Kind, ip_header, parse_frame
from traffic.verdicts import Judgement, Verdict

BEGIN_NS = 1_781_416_800_000_000_000
MAC = "02:00:00:00:00:01"
SIX = Ether(src=MAC, dst=MAC, type=0x86DD)


def part(number: int, offset: int, data: bytes, *, more: bool, protocol: int = 17, source: str = "192.0.2.1") -> bytes:
    """A frame with one fragment of the IPv4 packet that has this identification."""
    header = bytearray(ip_header(source, "192.0.2.2", protocol, len(data)))
    header[4:8] = struct.pack(">HH", number % 65536, offset // 8 | (0x2000 if more else 0))
    return ETHERNET + bytes(header) + data


def cut(data: bytes, number: int, size: int = 64) -> list[bytes]:
    """The frames of all fragments of a frame's UDP datagram."""
    datagram = data[34:]
    return [
        part(number, at, datagram[at : at + size], more=at + size < len(datagram))
        for at in range(0, len(datagram), size)
    ]


def judge_all(pair: Pair, frames: list[bytes], time_ns: int = BEGIN_NS) -> list[Judgement]:
    judged = (pair.endpoint.judge(data, time_ns) for data in frames)
    return [judgement for judgement in judged if judgement is not None]


def test_our_fragments_are_scapys() -> None:
    data = Pair().send()
    whole = Ether(data)
    whole[IP].id, whole[IP].flags = 77, 0
    theirs = fragment(whole, fragsize=64)
    assert (
        [bytes(each)[:24] + bytes(each)[26:] for each in theirs]
        == [  # but for the checksum, which we leave
            each[:24] + each[26:] for each in cut(data, 77)
        ]
    )


@settings(deadline=None)
@given(data=st.data(), version=st.sampled_from([4, 6]))
def test_what_scapy_fragments_comes_together_in_any_order(data: st.DataObject, version: int) -> None:
    """With exact copies in between, which links make."""
    pair = Pair()
    esp = pair.send()[ESP_AT:]
    udp = UDP(sport=4500, dport=4500, chksum=0) / Raw(esp)
    if version == 4:
        frames = [bytes(each) for each in fragment(Ether(src=MAC, dst=MAC) / IP(dst="192.0.2.2", id=9) / udp, 48)]
    else:
        way = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrHopByHop()
        frames = [bytes(SIX / each) for each in fragment6(way / IPv6ExtHdrFragment(id=9) / udp, 120)]
    assert len(frames) > 2
    order = data.draw(st.permutations(frames))
    last = order.pop()
    order += data.draw(st.lists(st.sampled_from(order), max_size=5))
    assert judge_all(pair, order) == []
    (judgement,) = judge_all(pair, [last])
    assert (judgement.verdict, judgement.sequence) == (Verdict.GENUINE, 0)
    assert judgement.source is not None
    assert judgement.source[1] == 4500
    assert pair.endpoint.overdue(None) == []


def test_500_genuine_packets_in_fragments_mixed_with_each_other_are_genuine() -> None:
    pair = Pair(window=1024)
    frames = [each for number, data in enumerate(pair.send_many(TRIALS)) for each in cut(data, number)]
    random.Random(1).shuffle(frames)
    assert Counter(each.verdict for each in judge_all(pair, frames)) == {Verdict.GENUINE: TRIALS}
    assert pair.endpoint.overdue(None) == []
    assert Counter(each.verdict for each in judge_all(pair, frames)) == {Verdict.REPLAY_IN_WINDOW: TRIALS}


def _overlapping(kind: str, number: int, dice: random.Random) -> list[bytes]:
    """Fragments of one datagram, of which at least two contradict each other."""
    body = dice.randbytes(200)
    if kind == "partly":
        frames = [
            part(number, 0, body[:80], more=True),
            part(number, 8 * dice.randrange(1, 10), body[:120], more=False),
        ]
    elif kind == "inside":
        frames = [part(number, 0, body[:120], more=True), part(number, 8 * dice.randrange(1, 14), body[:8], more=True)]
    elif kind == "over all":
        frames = [part(number, 64, body[:16], more=True), part(number, 0, body[:160], more=True)]
    elif kind == "other bytes":
        frames = [part(number, 8, body[:16], more=True), part(number, 8, body[16:32], more=True)]
    elif kind == "two ends":
        frames = [part(number, 64, body[:8], more=False), part(number, 128, body[:8], more=False)]
    elif kind == "end or not":
        frames = [part(number, 64, body[:8], more=False), part(number, 64, body[:8], more=True)]
    else:
        assert kind == "beyond the end"
        frames = [part(number, 64, body[:8], more=False), part(number, 72, body[:8], more=True)]
    dice.shuffle(frames)
    return frames


@pytest.mark.parametrize(
    "kind", ["partly", "inside", "over all", "other bytes", "two ends", "end or not", "beyond the end"]
)
def test_500_overlaps_are_frag_overlap_in_either_order(kind: str) -> None:
    pair, dice = Pair(), random.Random(kind)
    for number in range(TRIALS):
        first, second = _overlapping(kind, number, dice)
        (judgement,) = judge_all(pair, [first, second])
        assert (judgement.verdict, judgement.detail) == (Verdict.FRAG_OVERLAP, Outcome.OVERLAP.value)
        assert [each.verdict for each in judge_all(pair, [first])] == [Verdict.FRAG_OVERLAP]  # never silent
    assert pair.endpoint.overdue(None) == []  # each was judged already


def test_500_gaps_are_frag_incomplete_when_their_time_is_over() -> None:
    pair, dice = Pair(), random.Random(2)
    for number, data in enumerate(pair.send_many(TRIALS)):
        frames = cut(data, number, 48)
        del frames[dice.randrange(len(frames))]
        assert judge_all(pair, frames, BEGIN_NS + number) == []
    assert pair.endpoint.overdue(BEGIN_NS + TIMEOUT_NS) == []
    assert len(pair.endpoint.overdue(BEGIN_NS + TIMEOUT_NS + 100)) == 100
    rest = pair.endpoint.overdue(BEGIN_NS + 2 * TIMEOUT_NS)
    assert Counter(judgement.verdict for judgement in rest) == {Verdict.FRAG_INCOMPLETE: TRIALS - 100}
    assert {judgement.spi for judgement in rest} == {None}
    assert rest[0].detail.endswith(" bytes in 2 fragments")
    assert pair.verdicts(pair.send_many(TRIALS), BEGIN_NS) == {Verdict.GENUINE: TRIALS}


def test_what_still_waits_at_the_end_is_incomplete() -> None:
    pair = Pair()
    assert judge_all(pair, [part(1, 0, bytes(64), more=True), part(2, 64, bytes(5), more=False)]) == []
    assert [judgement.detail for judgement in pair.endpoint.overdue(None)] == [
        "64 of ? bytes in 1 fragments",
        "5 of 69 bytes in 1 fragments",
    ]


def test_a_flood_is_named_and_held_within_bounds_and_the_genuine_packet_survives_it() -> None:
    pair = Pair()
    flood = [part(number, 0, bytes(1480), more=True, source=f"192.0.3.{number >> 16}") for number in range(70_000)]
    first, *rest = cut(pair.send(), 1)
    named = Counter[Verdict]()
    for begin in range(0, len(flood), 1000):
        assert judge_all(pair, flood[begin : begin + 1000]) == []
        named.update(judgement.verdict for judgement in pair.endpoint.overdue(BEGIN_NS))
    held = len(flood) - named[Verdict.FRAG_INCOMPLETE]
    assert 0 < held * (1480 + 512) <= MOST_BYTES
    assert [judgement.verdict for judgement in judge_all(pair, [first, *rest])] == [Verdict.GENUINE]
    named.update(judgement.verdict for judgement in pair.endpoint.overdue(None))
    assert named == {Verdict.FRAG_INCOMPLETE: len(flood)}


@pytest.mark.parametrize(
    ("offset", "size", "more"),
    [(0, 0, True), (8, 0, False), (0, 63, True), (65_528, 8, False), (65_528, 16, True), (65_000, 1400, False)],
)
def test_fragments_that_no_sender_makes_are_truncated_and_harm_nothing(offset: int, size: int, more: bool) -> None:
    pair = Pair()
    first, *rest = cut(pair.send(), 1)
    judged = judge_all(pair, [first, part(1, offset, bytes(size), more=more), *rest])
    assert [each.verdict for each in judged] == [Verdict.TRUNCATED, Verdict.GENUINE]
    assert judged[0].detail == Outcome.BROKEN.value


def test_datagrams_are_told_apart_by_both_addresses_protocol_and_identification() -> None:
    pair = Pair()
    first, *rest = cut(pair.send(), 1)
    datagram = bytes(64)
    others = [
        part(2, 0, datagram, more=True),
        part(1, 0, datagram, more=True, protocol=50),
        part(1, 0, datagram, more=True, source="192.0.2.3"),
    ]
    assert [each.verdict for each in judge_all(pair, [*others, first, *rest])] == [Verdict.GENUINE]
    assert len(pair.endpoint.overdue(None)) == 3


def test_plaintext_and_leaks_in_fragments_are_found() -> None:
    pair = Pair()
    clear = ETHERNET + ip_header("192.0.2.1", "192.0.2.2", 17, 208) + struct.pack(">HHHH", 9, 5060, 208, 0) + bytes(200)
    assert [each.verdict for each in judge_all(pair, cut(clear, 1))] == [Verdict.PLAINTEXT_IN]
    leak = clear[:60] + CANARY + clear[76:]
    in_one = judge_all(pair, [cut(leak, 2)[0]])
    assert [(each.verdict, each.flow) for each in in_one] == [(Verdict.PLAINTEXT_LEAK, FLOW.index)]
    across = clear[: 34 + 56] + CANARY + clear[34 + 72 :]  # in none of its fragments whole
    assert [each.verdict for each in judge_all(pair, cut(across, 3))] == [Verdict.PLAINTEXT_LEAK]


def test_atomic_fragments_are_whole_packets() -> None:
    """RFC 6946: offset 0 and nothing to come. They wait for nobody, whatever else has their identification."""
    pair = Pair()
    udp = UDP(sport=4500, dport=4500) / Raw(pair.send()[ESP_AT:])
    way = IPv6(src="2001:db8::1", dst="2001:db8::2")
    assert judge_all(pair, [bytes(SIX / way / IPv6ExtHdrFragment(id=5, m=1, nh=17) / Raw(bytes(64)))]) == []
    atomic = bytes(SIX / way / IPv6ExtHdrFragment(id=5) / udp)
    assert [each.verdict for each in judge_all(pair, [atomic])] == [Verdict.GENUINE]


def test_extension_headers_behind_the_fragment_header_are_passed_over() -> None:
    pair = Pair()
    udp = UDP(sport=4500, dport=4500) / Raw(pair.send()[ESP_AT:])
    way = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=6) / IPv6ExtHdrDestOpt() / udp
    frames = [bytes(SIX / each) for each in fragment6(way, 150)]
    assert len(frames) > 1
    assert [each.verdict for each in judge_all(pair, frames)] == [Verdict.GENUINE]


def test_times_are_counted_from_the_first_part_and_do_not_go_back() -> None:
    reassembly = Reassembly(timeout_ns=100)
    first, second = (parse_frame(each) for each in cut(Pair().send(), 1, 48)[:2])
    assert first.kind is Kind.FRAGMENT
    assert reassembly.add(first, 1000) is Outcome.WAITING
    assert reassembly.add(second, 1100) is Outcome.WAITING
    assert reassembly.given_up(1100) == []
    assert len(reassembly.given_up(1101)) == 1
    assert reassembly.given_up(None) == []


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 40), st.booleans(), st.integers(0, 1)),
        max_size=25,
    )
)
def test_reassembly_agrees_with_a_map_of_bytes(parts: list[tuple[int, int, int, bool, int]]) -> None:
    """An overlap is refused and nothing whole is ever made of bytes that were not sent in these places."""
    reassembly = Reassembly()
    held: dict[int, dict[int, int]] = {}
    seen: dict[int, set[tuple[int, bytes, bool]]] = {}
    refused: set[int] = set()
    for number, place, size, more, value in parts:
        offset, data = 8 * place, bytes([value]) * size
        if offset == 0 and not more:  # no fragment at all
            continue
        outcome = reassembly.add(parse_frame(part(number, offset, data, more=more, protocol=99)), 0)
        if not data or (more and size % 8):
            assert outcome is Outcome.BROKEN
            continue
        if number in refused:
            assert outcome is Outcome.OVERLAP
            continue
        known = seen.setdefault(number, set())
        if (offset, data, more) in known:
            assert outcome is Outcome.WAITING
            continue
        bytes_held = held.setdefault(number, {})
        places = range(offset, offset + size)
        ends = {at + len(body) for at, body, following in known if not following}
        ends |= set() if more else {offset + size}
        top = max([*bytes_held, offset + size - 1])
        open_top = {at + len(body) for at, body, following in known | {(offset, data, more)} if following}
        if bytes_held.keys() & set(places) or len(ends) > 1 or (ends and (top >= min(ends) or max(ends) in open_top)):
            assert outcome is Outcome.OVERLAP
            refused.add(number)
            continue
        known.add((offset, data, more))
        bytes_held.update(dict.fromkeys(places, value))
        if ends and len(bytes_held) == min(ends):
            assert not isinstance(outcome, Outcome)
            assert outcome[1] == bytes(bytes_held[at] for at in range(len(bytes_held)))
            del held[number], seen[number]
        else:
            assert outcome is Outcome.WAITING
