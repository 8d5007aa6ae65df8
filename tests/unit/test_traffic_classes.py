"""What a peer with the key can do wrong, and what depends on time: each named rightly, every time.

Nonces reused, counters wrapped, ESN left out, associations expired and offered too weak, copies made by a link.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic_pair import EPOCH, ESP_AT, FLOW, KEY, SALT, SPI, TRIALS, Pair, altered, frame

from traffic.errors import ConfigurationError
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305, InboundSa, OutboundSa
from traffic.lint import Protection
from traffic.packets import InnerPackets, udp_packet
from traffic.verdicts import REFUSED_KEPT, Verdict

MS = 1_000_000
BEGIN_NS = 1_781_416_800_000_000_000  # 14 June 2026, as the kernel stamps


def sealed(number: int, iv: int, inner: bytes, *, esn: bool = True) -> bytes:
    """A frame of whoever has the key and obeys no rule, made with the cipher alone (RFC 4106, 3 to 5)."""
    low, vector = struct.pack(">I", number % EPOCH), struct.pack(">Q", iv)
    spi = SPI.to_bytes(4, "big")
    associated = spi + struct.pack(">Q", number) if esn else spi + low
    pad = -(len(inner) + 2) % 4
    plain = inner + bytes(range(1, pad + 1)) + bytes([pad, 4])
    return frame(spi + low + vector + AESGCM(KEY).encrypt(SALT + vector, plain, associated))


def inner_packets(count: int) -> list[bytes]:
    """Such as the flow carries, none like another."""
    packets = InnerPackets(FLOW)
    return [bytes(packets.build(number)) for number in range(count)]


@pytest.mark.parametrize("esn", [True, False])
def test_what_is_sealed_by_the_rules_is_what_our_sender_makes(esn: bool) -> None:
    pair = Pair(esn=esn)
    assert [sealed(n + 1, n + 1, inner, esn=esn) for n, inner in enumerate(inner_packets(9))] == pair.send_many(9)


@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
@pytest.mark.parametrize(("esn", "start"), [(False, 0), (True, 0), (True, EPOCH - 250)])
def test_a_counter_started_again_with_the_same_key_is_nonce_reuse(suite: str, esn: bool, start: int) -> None:
    """Inside the window and below it; exact duplicates in between stay replays, forgeries forged."""
    pair = Pair(esn=esn, sequence=start, suite=suite)
    genuine = pair.send_many(TRIALS)
    assert pair.verdicts(genuine) == {Verdict.GENUINE: TRIALS}
    again = OutboundSa(SPI, KEY, SALT, esn=esn, suite=suite, sequence=start)
    others = inner_packets(2 * TRIALS)[TRIALS:]
    reused = [frame(again.encrypt(inner)) for inner in others]
    same = slice(ESP_AT, ESP_AT + 16)  # SPI, number, IV
    assert [data[same] for data in genuine] == [data[same] for data in reused]
    assert {data[ESP_AT + 16 :] for data in genuine}.isdisjoint(data[ESP_AT + 16 :] for data in reused)
    for _ in range(2):  # what is judged changes nothing: the same again
        assert pair.verdicts(reused) == {Verdict.NONCE_REUSE: TRIALS}
        assert pair.verdicts(genuine) == {Verdict.REPLAY_OLD: TRIALS - 64, Verdict.REPLAY_IN_WINDOW: 64}
        assert pair.verdicts([altered(data, -1) for data in reused]) == {Verdict.FORGED: TRIALS}
    judgement = pair.judge(reused[0])
    assert (judgement.spi, judgement.esp_sequence, judgement.flow) == (SPI, start + 1, None)
    assert judgement.detail == f"IV {start + 1:#x} came before with another ciphertext"


@pytest.mark.parametrize("esn", [True, False])
def test_a_random_iv_that_repeats_under_a_new_number_is_nonce_reuse(esn: bool) -> None:
    pair, dice = Pair(esn=esn), random.Random(1)
    ivs = [dice.getrandbits(64) for _ in range(TRIALS)]
    first = [sealed(n + 1, iv, p, esn=esn) for n, (iv, p) in enumerate(zip(ivs, inner_packets(TRIALS), strict=True))]
    assert pair.verdicts(first) == {Verdict.GENUINE: TRIALS}
    repeats = [sealed(TRIALS + n + 1, iv, FLOW.canary, esn=esn) for n, iv in enumerate(ivs)]
    assert pair.verdicts(repeats) == {Verdict.NONCE_REUSE: TRIALS}
    assert pair.inbound.window.highest == 2 * TRIALS  # they are authentic


def test_whoever_has_no_key_cannot_raise_nonce_reuse() -> None:
    """The same IV over a ciphertext that does not authenticate is a forgery, before the genuine packet and after it."""
    pair, dice = Pair(), random.Random(2)
    for data in pair.send_many(TRIALS):
        forged = altered(data, dice.randrange(ESP_AT + 16, len(data)), dice.randrange(8))
        judged = [pair.judge(each).verdict for each in (forged, data, forged)]
        assert judged == [Verdict.FORGED, Verdict.GENUINE, Verdict.FORGED]


def test_an_old_replay_pushes_no_later_iv_out_of_memory() -> None:
    """Number 1 has the same place in the memory as 4,097, which came later."""
    pair = Pair(remembered_ivs=4096)
    frames = pair.send_many(5000)
    assert pair.verdicts(frames) == {Verdict.GENUINE: 5000}
    assert pair.verdicts(frames[:TRIALS]) == {Verdict.REPLAY_OLD: TRIALS}
    reused = [sealed(number, number, FLOW.canary) for number in range(4097, 4097 + TRIALS)]
    assert pair.verdicts(reused) == {Verdict.NONCE_REUSE: TRIALS}
    forgotten = sealed(1, 1, inner_packets(9)[8])
    assert pair.judge(forgotten).verdict is Verdict.REPLAY_OLD  # as docs/traffic.md says


@pytest.mark.parametrize("iv_goes_on", [True, False])
def test_32_bit_numbers_that_wrap_are_seq_exhausted(iv_goes_on: bool) -> None:
    pair = Pair(esn=False, sequence=EPOCH - 11)
    last = pair.send_many(10)
    assert pair.verdicts(last) == {Verdict.GENUINE: 10}
    wrapped = [
        sealed(number, number + (EPOCH if iv_goes_on else 0), inner, esn=False)
        for number, inner in enumerate(inner_packets(TRIALS))
    ]
    assert pair.verdicts(wrapped) == {Verdict.SEQ_EXHAUSTED: TRIALS}
    assert pair.inbound.window.highest == EPOCH - 1
    assert pair.verdicts(last) == {Verdict.REPLAY_IN_WINDOW: 10}
    assert pair.verdicts(wrapped) == {Verdict.REPLAY_OLD: TRIALS}  # the very same bytes again


def test_what_may_be_a_replay_after_2_to_the_32_packets_is_called_one() -> None:
    """Its IV is long forgotten; only an IV beyond the number shows that the counter wrapped."""
    pair = Pair(esn=False, sequence=EPOCH - 11)
    assert pair.verdicts(pair.send_many(10)) == {Verdict.GENUINE: 10}
    pair.inbound.seen.add(5)
    assert pair.judge(sealed(5, 5, inner_packets(1)[0], esn=False)).verdict is Verdict.REPLAY_OLD
    assert pair.judge(sealed(5, EPOCH + 5, inner_packets(1)[0], esn=False)).verdict is Verdict.SEQ_EXHAUSTED


def test_64_bit_numbers_that_wrap_are_seq_exhausted() -> None:
    pair = Pair(sequence=(1 << 64) - 11)
    assert pair.verdicts(pair.send_many(10)) == {Verdict.GENUINE: 10}
    wrapped = [sealed(number, number, inner) for number, inner in enumerate(inner_packets(TRIALS))]
    assert pair.verdicts(wrapped) == {Verdict.SEQ_EXHAUSTED: TRIALS}
    late = sealed((1 << 64) - 100, (1 << 64) - 100, inner_packets(1)[0])
    assert pair.judge(late).verdict is Verdict.LATE_OUTSIDE_WINDOW


def test_old_packets_near_the_end_of_the_numbers_are_no_wrap() -> None:
    pair = Pair(esn=False, sequence=EPOCH - 1000)
    frames = pair.send_many(999)
    late, sent = frames[:TRIALS], frames[TRIALS:]
    assert pair.verdicts(sent) == {Verdict.GENUINE: 499}
    assert pair.verdicts(late) == {Verdict.LATE_OUTSIDE_WINDOW: TRIALS}
    assert pair.verdicts(late) == {Verdict.REPLAY_OLD: TRIALS}


def test_a_sender_that_leaves_esn_out_is_a_downgrade() -> None:
    pair = Pair(esn=True, sequence=1000)
    weaker = OutboundSa(SPI, KEY, SALT, esn=False, sequence=1000)
    assert pair.verdicts([frame(weaker.encrypt(inner)) for inner in inner_packets(TRIALS)]) == {
        Verdict.DOWNGRADE: TRIALS
    }
    assert pair.inbound.window.highest == 1000
    assert pair.verdicts(pair.send_many(TRIALS)) == {Verdict.GENUINE: TRIALS}


def test_a_shortened_icv_is_a_truncation_for_whoever_sees_it() -> None:
    """Cutting 4 or 8 bytes off a genuine packet makes the same bytes as a sender with an ICV of 12 or 8."""
    pair = Pair()
    for data in pair.send_many(TRIALS):
        for cut in (4, 8):
            assert pair.judge(frame(data[ESP_AT:-cut])).verdict is Verdict.FORGED


@pytest.mark.parametrize(
    ("weakness", "reason"),
    [
        ({"suite": "NULL"}, "cipher suite 'NULL' is refused"),
        ({"suite": "AES-128-GCM-16"}, "cipher suite 'AES-128-GCM-16' is refused"),
        ({"icv_bytes": 8}, "an ICV of 8 bytes is refused"),
        ({"icv_bytes": 12}, "an ICV of 12 bytes is refused"),
        ({"window": 0}, "anti-replay window 0 is refused"),
        ({"esn": False}, "32-bit sequence numbers are refused"),
        ({"random_ivs": True}, "random IVs are refused"),
    ],
)
def test_weak_offers_are_downgrades_and_carry_no_data(weakness: dict[str, object], reason: str) -> None:
    pair = Pair()
    assert pair.endpoint.offer(0x5000, Protection()) is None
    for number in range(TRIALS):
        spi = 0x10000 + number
        judgement = pair.endpoint.offer(spi, replace(Protection(), **weakness))  # type: ignore[arg-type]
        assert judgement is not None
        assert judgement.verdict is Verdict.DOWNGRADE
        assert judgement.detail.startswith(f"SPI {spi:#010x}: {reason}")
        data = frame(OutboundSa(spi, KEY, SALT).encrypt(inner_packets(1)[0]))
        under = pair.judge(data)
        assert (under.verdict, under.spi, under.flow, under.detail) == (
            Verdict.DOWNGRADE,
            None,
            None,
            judgement.detail,
        )
        with pytest.raises(ConfigurationError, match=f"SPI {spi:#x} instead of {SPI:#x} is refused"):
            pair.endpoint.install(InboundSa(spi, KEY, SALT), SPI)


def test_what_the_policy_does_not_demand_is_no_downgrade() -> None:
    pair = Pair()
    assert pair.endpoint.offer(0x5000, Protection(esn=False), demand_esn=False) is None


def test_an_offer_cannot_harm_an_association_and_a_better_one_mends_it() -> None:
    pair = Pair()
    assert pair.endpoint.offer(SPI, Protection(window=0)) is not None
    assert pair.judge(pair.send()).verdict is Verdict.GENUINE
    assert pair.endpoint.offer(0x5000, Protection(window=0)) is not None
    assert pair.endpoint.offer(0x5000, Protection()) is None
    pair.endpoint.install(InboundSa(0x5000, KEY, SALT), SPI)


def test_refused_offers_are_remembered_within_bounds() -> None:
    pair = Pair()
    for spi in range(0x10000, 0x10000 + REFUSED_KEPT + 1):
        pair.endpoint.offer(spi, Protection(window=0))
    verdicts = [
        pair.judge(frame(OutboundSa(spi, KEY, SALT).encrypt(b""))).verdict
        for spi in (0x10000, 0x10001, 0x10000 + REFUSED_KEPT)
    ]
    assert verdicts == [Verdict.UNKNOWN_SPI, Verdict.DOWNGRADE, Verdict.DOWNGRADE]


def test_a_retired_association_is_accepted_within_its_grace_and_expired_after_it() -> None:
    pair = Pair()
    new = OutboundSa(0x5000, KEY[::-1], SALT)
    pair.endpoint.install(InboundSa(0x5000, KEY[::-1], SALT), SPI)
    end_ns = BEGIN_NS + 1000 * MS
    assert pair.verdicts(pair.send_many(TRIALS), BEGIN_NS) == {Verdict.GENUINE: TRIALS}
    pair.endpoint.retire(SPI, end_ns)
    assert pair.verdicts(pair.send_many(TRIALS), end_ns) == {Verdict.GENUINE: TRIALS}
    assert pair.verdicts(pair.send_many(TRIALS), end_ns + 1) == {Verdict.EXPIRED_SA: TRIALS}
    assert pair.verdicts(pair.send_many(TRIALS), end_ns) == {Verdict.EXPIRED_SA: TRIALS}  # its keys are gone
    judgement = pair.judge(pair.send())
    assert (judgement.spi, judgement.flow, judgement.detail) == (SPI, None, "its association is retired")
    renewed = [frame(new.encrypt(inner)) for inner in inner_packets(TRIALS)]
    assert [pair.judge(data).flow for data in renewed] == [FLOW.index] * TRIALS
    assert pair.verdicts(renewed[-64:]) == {Verdict.REPLAY_IN_WINDOW: 64}


def test_the_grace_ends_without_a_packet_too() -> None:
    pair = Pair()
    pair.endpoint.retire(SPI, BEGIN_NS)
    assert pair.endpoint.overdue(BEGIN_NS + 1) == []
    assert pair.judge(pair.send()).verdict is Verdict.EXPIRED_SA  # although it bears no stamp


def test_rekeyed_twice_the_flow_is_still_known_and_nothing_is_installed_twice() -> None:
    pair = Pair()
    for new, old in ((0x5000, SPI), (0x6000, 0x5000)):
        pair.endpoint.install(InboundSa(new, KEY, SALT), old)
    assert pair.judge(frame(OutboundSa(0x6000, KEY, SALT).encrypt(inner_packets(1)[0]))).flow == FLOW.index
    for new, old in ((0x5000, SPI), (SPI, 0x5000), (0x7000, 0x8000)):
        with pytest.raises(ConfigurationError, match=f"SPI {new:#x} instead of {old:#x} is refused"):
            pair.endpoint.install(InboundSa(new, KEY, SALT), old)
    with pytest.raises(ConfigurationError, match="SPI 0x8000 cannot be retired"):
        pair.endpoint.retire(0x8000, 0)


@pytest.mark.parametrize("window", [64, 1024])
def test_copies_within_the_longest_lag_are_the_links_and_later_ones_replays(window: int) -> None:
    """Of both positions: still inside the window, and already below it."""
    pair = Pair(window=window, longest_lag_ns=60 * MS)
    frames = pair.send_many(TRIALS)
    times = [BEGIN_NS + number * MS // 10 for number in range(TRIALS)]  # 10,000 packets/s
    judged = [pair.judge(data, at) for data, at in zip(frames, times, strict=True)]
    assert {each.verdict for each in judged} == {Verdict.GENUINE}
    copies = [pair.judge(data, at + 60 * MS) for data, at in zip(frames, times, strict=True)]
    assert Counter(each.verdict for each in copies) == {Verdict.DUP_LINK: TRIALS}
    assert (copies[3].flow, copies[3].sequence, copies[3].detail) == (FLOW.index, 3, "60.000 ms after the first")
    later = Counter(pair.judge(data, at + 60 * MS + 1).verdict for data, at in zip(frames, times, strict=True))
    inside = min(window, TRIALS)
    expected = Counter({Verdict.REPLAY_IN_WINDOW: inside, Verdict.REPLAY_OLD: TRIALS - inside})
    assert later == +expected
    assert {pair.judge(altered(data, -1), at).verdict for data, at in zip(frames, times, strict=True)} == {
        Verdict.FORGED
    }


@pytest.mark.parametrize(
    ("longest_lag_ns", "first_ns", "second_ns"),
    [
        (None, BEGIN_NS, BEGIN_NS),
        (60 * MS, BEGIN_NS, 0),  # without a stamp
        (60 * MS, 0, 1),
        (60 * MS, 0, 0),
        (60 * MS, BEGIN_NS, BEGIN_NS - 1),  # the clock was set
    ],
)
def test_without_the_longest_lag_or_stamps_every_copy_is_a_replay(
    longest_lag_ns: int | None, first_ns: int, second_ns: int
) -> None:
    pair = Pair(longest_lag_ns=longest_lag_ns)
    data = pair.send()
    assert pair.judge(data, first_ns).verdict is Verdict.GENUINE
    assert pair.judge(data, second_ns).verdict is Verdict.REPLAY_IN_WINDOW


def _invented(kind: str, pair: Pair, data: bytes, dice: random.Random) -> bytes:
    """A packet of an attacker without the key, of a certain class, made from a genuine frame."""
    if kind == "flip":
        return altered(data, dice.randrange(ESP_AT + 4, len(data)), dice.randrange(8))
    if kind == "number":
        return data[: ESP_AT + 4] + dice.randbytes(4) + data[ESP_AT + 8 :]
    if kind == "SPI":
        return altered(data, ESP_AT + dice.randrange(4), dice.randrange(8))
    if kind == "cut":
        return frame(data[ESP_AT : dice.randrange(ESP_AT, len(data))])
    if kind == "other key":
        number = dice.getrandbits(64)
        return frame(OutboundSa(SPI, KEY[::-1], SALT, sequence=number).encrypt(pair.packets.build(0)))
    if kind == "no ESN":
        return frame(OutboundSa(SPI, KEY, SALT, esn=False, sequence=dice.randrange(EPOCH - 1)).encrypt(bytes(60)))
    assert kind == "clear"
    return data[:14] + udp_packet("192.0.2.1", "192.0.2.2", 4500, 5060, dice.randbytes(20))


CERTAIN = {
    "flip": {Verdict.FORGED},
    "number": {Verdict.FORGED},
    "SPI": {Verdict.UNKNOWN_SPI},
    "cut": {Verdict.FORGED, Verdict.TRUNCATED},
    "other key": {Verdict.FORGED},
    "no ESN": {Verdict.DOWNGRADE},
    "clear": {Verdict.PLAINTEXT_IN},
}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    start=st.sampled_from([0, EPOCH - 100, 3 * EPOCH + 5]),
    kinds=st.lists(st.sampled_from(sorted(CERTAIN)), min_size=1),
)
def test_no_class_of_forgery_moves_the_window_or_changes_another_verdict(
    seed: int, start: int, kinds: list[str]
) -> None:
    """Genuine packets, late ones and replays are judged alike with forgeries before and after each of them."""
    dice = random.Random(seed)
    alone, disturbed = Pair(sequence=start), Pair(sequence=start)
    frames = alone.send_many(150)
    order = sorted(range(150), key=lambda number: number + dice.randrange(120)) + dice.choices(range(150), k=50)
    for number in order:
        kind = dice.choice(kinds)
        forged = _invented(kind, alone, dice.choice(frames), dice)
        before = disturbed.inbound.window.highest
        assert disturbed.judge(forged).verdict in CERTAIN[kind]
        assert disturbed.inbound.window.highest == before
        assert disturbed.judge(frames[number]) == alone.judge(frames[number])
        assert disturbed.judge(forged).verdict in CERTAIN[kind]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), data=st.data())
def test_verdicts_of_forged_and_genuine_packets_do_not_depend_on_their_order(seed: int, data: st.DataObject) -> None:
    """All within one window, each packet once: whatever the order, each frame has the same verdict."""
    dice = random.Random(seed)
    sender = Pair()
    genuine = sender.send_many(20)
    expected = {each: {Verdict.GENUINE} for each in genuine}
    for kind, allowed in CERTAIN.items():
        expected[_invented(kind, sender, dice.choice(genuine), dice)] = allowed
    receiver = Pair()
    for each in data.draw(st.permutations(list(expected))):
        assert receiver.judge(each).verdict in expected[each]
    assert receiver.inbound.window.highest == 20
