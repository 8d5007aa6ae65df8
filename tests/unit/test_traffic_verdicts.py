"""Each class of attack gets its own verdict, every time; genuine packets never raise an alarm."""

from __future__ import annotations

import itertools
import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation, _ESPPlain
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from traffic_pair import CANARY, EPOCH, ESP_AT, FLOW, KEY, SALT, SPI, TRIALS, Pair, altered, frame

from testbed.report.words import HARMLESS, MEANINGS
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305, OutboundSa
from traffic.packets import InnerFlow, InnerPackets
from traffic.verdicts import Content, InboundEndpoint, Verdict

MAC = "02:00:00:00:00:01"  # given, so that Scapy does not ask the network for it
ETHER = Ether(src=MAC, dst=MAC)


@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
@pytest.mark.parametrize("esn", [True, False])
def test_genuine_packets_are_identified(esn: bool, suite: str) -> None:
    pair = Pair(esn=esn, suite=suite)
    for number, data in enumerate(pair.send_many(TRIALS)):
        judgement = pair.judge(data)
        assert judgement.verdict is Verdict.GENUINE
        assert (judgement.spi, judgement.esp_sequence, judgement.flow, judgement.sequence) == (
            SPI,
            number + 1,
            7,
            number,
        )
        assert judgement.source == (socket.inet_aton("192.0.2.1"), 4500)


@pytest.mark.parametrize("esn", [True, False])
def test_every_flipped_bit_is_a_forgery_and_moves_nothing(esn: bool) -> None:
    pair, dice = Pair(esn=esn, sequence=1000), random.Random(1)
    genuine = pair.send_many(TRIALS)
    fields = {"sequence": (4, 8), "IV": (8, 16), "ciphertext": (16, -16), "ICV": (-16, None)}
    for first, end in fields.values():
        positions = range(len(genuine[0]))[ESP_AT:][first:end]
        forged = [altered(data, dice.choice(positions), dice.randrange(8)) for data in genuine]
        assert pair.verdicts(forged) == {Verdict.FORGED: TRIALS}
    assert pair.inbound.window.highest == 1000
    assert pair.verdicts(genuine) == {Verdict.GENUINE: TRIALS}


@pytest.mark.parametrize("esn", [True, False])
def test_other_keys_splices_and_noise_are_forgeries(esn: bool) -> None:
    pair, dice = Pair(esn=esn, sequence=1000), random.Random(2)
    stranger = OutboundSa(SPI, bytes(32), SALT, esn=esn, sequence=1000)
    genuine = pair.send_many(TRIALS + 1)
    other_key = [frame(stranger.encrypt(pair.packets.build(0))) for _ in range(TRIALS)]
    middle = len(genuine[0]) // 2
    spliced = [a[:middle] + b[middle:] for a, b in itertools.pairwise(genuine)]
    noise = [frame(SPI.to_bytes(4, "big") + dice.randbytes(4 * dice.randrange(8, 100))) for _ in range(TRIALS)]
    for forged in (other_key, spliced, noise):
        assert pair.verdicts(forged) == {Verdict.FORGED: TRIALS}
    assert pair.verdicts(genuine) == {Verdict.GENUINE: TRIALS + 1}


def test_unknown_spi() -> None:
    pair, dice = Pair(), random.Random(3)
    for data in pair.send_many(TRIALS):
        judgement = pair.judge(altered(data, ESP_AT + dice.randrange(4), dice.randrange(8)))
        assert judgement.verdict is Verdict.UNKNOWN_SPI
        assert judgement.spi is None


@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
@pytest.mark.parametrize("esn", [True, False])
def test_every_truncation_is_truncated_or_forged(esn: bool, suite: str) -> None:
    pair = Pair(esn=esn, suite=suite)
    data = pair.send()
    esp = data[ESP_AT:]
    for length in range(len(esp)):  # the attacker adapts the lengths in the headers
        verdict = pair.judge(frame(esp[:length])).verdict
        assert verdict in (Verdict.TRUNCATED, Verdict.FORGED)
        assert (verdict is Verdict.TRUNCATED) == (length < 36 or length % 4 != 0)
    for length in range(len(data)):  # or does not
        assert pair.judge(data[:length]).verdict is Verdict.TRUNCATED
    assert pair.judge(data).verdict is Verdict.GENUINE


@pytest.mark.parametrize(("esn", "sequence"), [(False, 0), (True, 0), (True, EPOCH - 200)])
def test_replays_inside_the_window(esn: bool, sequence: int) -> None:
    pair = Pair(esn=esn, window=1024, sequence=sequence)
    genuine = pair.send_many(TRIALS)
    assert pair.verdicts(genuine) == {Verdict.GENUINE: TRIALS}
    random.Random(4).shuffle(genuine)
    assert pair.verdicts(genuine) == {Verdict.REPLAY_IN_WINDOW: TRIALS}
    judgement = pair.judge(genuine[0])
    assert judgement.sequence is not None
    assert judgement.detail == f"lag {TRIALS - 1 - judgement.sequence}"


@pytest.mark.parametrize(
    ("esn", "sequence"), [(False, 0), (True, 0), (True, EPOCH - 300), (True, EPOCH - 564), (True, 2 * EPOCH - 500)]
)
def test_replays_outside_the_window_and_genuine_packets_that_come_too_late(esn: bool, sequence: int) -> None:
    """Both lie below the window; with ESN both fail with the inferred epoch first. Neither may be called forged."""
    pair = Pair(esn=esn, window=64, sequence=sequence)
    late, replayed = [], []
    for number, data in enumerate(pair.send_many(2 * TRIALS)):
        (late if number % 2 else replayed).append(data)
    assert pair.verdicts(replayed) == {Verdict.GENUINE: TRIALS}
    assert pair.verdicts(pair.send_many(64)) == {Verdict.GENUINE: 64}
    assert pair.verdicts(replayed) == {Verdict.REPLAY_OLD: TRIALS}
    assert pair.verdicts(late) == {Verdict.LATE_OUTSIDE_WINDOW: TRIALS}
    assert pair.verdicts(late) == {Verdict.REPLAY_OLD: TRIALS}  # late once, but replayed the second time
    assert pair.verdicts([altered(data, -1) for data in late + replayed]) == {Verdict.FORGED: 2 * TRIALS}


def test_last_slot_of_the_window() -> None:
    pair = Pair(window=64)
    frames = pair.send_many(100)
    assert pair.judge(frames[-1]).verdict is Verdict.GENUINE  # T = 100
    assert pair.judge(frames[36 - 1]).verdict is Verdict.LATE_OUTSIDE_WINDOW  # T - W
    assert pair.judge(frames[37 - 1]).verdict is Verdict.GENUINE  # T - W + 1


def test_rollover_loses_nothing() -> None:
    """Packets of the previous epoch are accepted inside the window, across the rollover."""
    pair, dice = Pair(window=128, sequence=EPOCH - TRIALS // 2), random.Random(5)
    frames = pair.send_many(TRIALS)
    order = sorted(range(TRIALS), key=lambda number: number + dice.randrange(100))
    assert pair.verdicts([frames[number] for number in order]) == {Verdict.GENUINE: TRIALS}


@settings(max_examples=30)
@given(seed=st.integers(0, 1 << 30), start=st.sampled_from([0, EPOCH - 100, 3 * EPOCH + 5]))
def test_verdicts_do_not_depend_on_forgeries_in_between(seed: int, start: int) -> None:
    dice = random.Random(seed)
    alone, disturbed = Pair(sequence=start), Pair(sequence=start)
    frames = alone.send_many(200)
    order = sorted(range(200), key=lambda number: number + dice.randrange(120))
    order += dice.choices(range(200), k=50)
    for number in order:
        forged = bytearray(frames[dice.randrange(200)])
        forged[ESP_AT + 4 : ESP_AT + 8] = dice.randbytes(4)  # any number, once in 2³² its own
        assert disturbed.judge(bytes(forged)).verdict is Verdict.FORGED
        assert disturbed.judge(frames[number]) == alone.judge(frames[number])


def test_clear_text() -> None:
    pair = Pair()
    v4 = IP(src="192.0.2.1", dst="192.0.2.2")
    v6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
    for allowed in (
        ETHER / ARP(),
        ETHER / v4 / ICMP(),
        ETHER / v6 / ICMPv6ND_NS(),
        ETHER / v4 / UDP(dport=862) / Raw(b"probe"),
        ETHER / v4 / UDP(sport=4500, dport=4500) / Raw(b"\xff"),  # NAT keepalive
    ):
        assert pair.endpoint.judge(bytes(allowed)) is None
    for refused in (
        ETHER / v4 / UDP(dport=863) / Raw(b"order"),
        ETHER / v4 / UDP(sport=862, dport=5060) / Raw(b"order"),
        ETHER / v6 / UDP(dport=863) / Raw(b"order"),
        ETHER / v4 / TCP(dport=80),
        ETHER / IP(proto=4) / v4 / UDP(),
        Ether(src=MAC, dst=MAC, type=0x88CC) / Raw(b"order"),
    ):
        assert pair.judge(bytes(refused)).verdict is Verdict.PLAINTEXT_IN
    dice = random.Random(6)
    injected = [
        bytes(ETHER / v4 / UDP(sport=4500, dport=dice.choice([1, 500, 5060])) / Raw(dice.randbytes(40)))
        for _ in range(TRIALS)
    ]
    assert pair.verdicts(injected) == {Verdict.PLAINTEXT_IN: TRIALS}


def test_tcp_is_in_the_clear_on_the_ports_of_services_alone() -> None:
    pair = Pair(clear_tcp_ports=[8443])
    v4, v6 = IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
    for ip in (v4, v6):
        assert pair.endpoint.judge(bytes(ETHER / ip / TCP(sport=40_000, dport=8443) / Raw(b"request"))) is None
        assert pair.endpoint.judge(bytes(ETHER / ip / TCP(sport=8443, dport=40_000) / Raw(b"answer"))) is None
        for ports in ({"sport": 40_000, "dport": 443}, {"sport": 862, "dport": 40_000}, {"sport": 443, "dport": 862}):
            refused = pair.judge(bytes(ETHER / ip / TCP(**ports) / Raw(b"order")))
            assert (refused.verdict, refused.detail) == (Verdict.PLAINTEXT_IN, f"TCP to port {ports['dport']}")
    assert pair.judge(bytes(ETHER / v4 / UDP(dport=8443))).verdict is Verdict.PLAINTEXT_IN
    leak = pair.judge(bytes(ETHER / v4 / TCP(dport=8443) / Raw(b"x" * 700 + CANARY)))  # nor is a canary allowed there
    assert (leak.verdict, leak.flow) == (Verdict.PLAINTEXT_LEAK, FLOW.index)
    inner = pair.judge(bytes(ETHER / IP(src="10.77.0.1", dst="192.0.2.2") / TCP(dport=8443)))
    assert inner.verdict is Verdict.PLAINTEXT_LEAK
    short = pair.judge(bytes(ETHER / v4 / TCP(dport=8443))[: 14 + 20 + 12])
    assert short.verdict is Verdict.TRUNCATED
    nobody = Pair()
    assert nobody.judge(bytes(ETHER / v4 / TCP(dport=8443))).verdict is Verdict.PLAINTEXT_IN


def test_leaks_are_found_wherever_they_are() -> None:
    pair = Pair()
    inner = bytes(pair.packets.build(0))
    outer = IP(src="192.0.2.1", dst="192.0.2.2")
    for leak in (
        ETHER / IP(inner),  # not encrypted at all
        ETHER / outer / UDP(dport=862) / Raw(b"x" * 5 + CANARY),  # even where clear text is allowed
        ETHER / outer / ICMP() / Raw(CANARY),
        ETHER / outer / UDP(dport=4500) / Raw(SPI.to_bytes(4, "big") + bytes(12) + inner + bytes(16)),  # NULL cipher
        ETHER / outer / UDP(dport=4500) / Raw(bytes(7) + CANARY),
        Ether(src=MAC, dst=MAC, type=0x88CC) / Raw(CANARY),
    ):
        judgement = pair.judge(bytes(leak))
        assert (judgement.verdict, judgement.flow) == (Verdict.PLAINTEXT_LEAK, FLOW.index)
    address_only = pair.judge(bytes(ETHER / IP(src="10.77.0.1", dst="192.0.2.2") / ICMP()))
    assert (address_only.verdict, address_only.flow) == (Verdict.PLAINTEXT_LEAK, None)


def test_500_leaks_at_any_place_of_any_frame_are_found() -> None:
    pair, dice = Pair(), random.Random(8)
    heads = [bytes(ETHER / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(dport=port)) for port in (862, 4500, 5060)] + [
        bytes(ETHER / ARP()),
        bytes(ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2")),
        dice.randbytes(14),
        b"",
    ]
    for _ in range(TRIALS):
        leak = dice.choice(heads) + dice.randbytes(dice.randrange(1200)) + CANARY + dice.randbytes(dice.randrange(50))
        judgement = pair.judge(leak)
        assert (judgement.verdict, judgement.flow, judgement.spi) == (Verdict.PLAINTEXT_LEAK, FLOW.index, SPI)


def test_esp_without_udp_is_judged_as_well() -> None:
    pair = Pair()
    esp = pair.send()[ESP_AT:]
    judgement = pair.judge(bytes(ETHER / IP(proto=50) / Raw(esp)))
    assert (judgement.verdict, judgement.sequence, judgement.source) == (Verdict.GENUINE, 0, None)


def test_dummies_are_genuine_and_carry_nothing() -> None:
    pair = Pair()
    judgement = pair.judge(frame(pair.outbound.encrypt(bytes(16), 59)))
    assert (judgement.verdict, judgement.flow, judgement.sequence) == (Verdict.GENUINE, None, None)


def test_authentic_packets_with_foreign_content_are_refused() -> None:
    pair = Pair()
    good = bytes(pair.packets.build(0))
    other_flow = bytes(InnerPackets(InnerFlow("10.77.0.1", "10.77.0.2", 46, 8, CANARY, 60, 160)).build(0))
    without_rtp = bytes(InnerPackets(InnerFlow("10.77.0.1", "10.77.0.2", 46, 7, CANARY, 60)).build(0))
    for inner, next_header in (
        (altered(good, 45), 4),  # the canary
        (other_flow, 4),
        (without_rtp, 4),
        (good[:50], 4),
        (good, 41),
        (b"", 4),
        (bytes(3), 41),
    ):
        assert pair.judge(frame(pair.outbound.encrypt(inner, next_header))).verdict is Verdict.FORGED
    # Another association's flow in this one: as if the classes were mixed up.
    stranger = InboundEndpoint({SPI: pair.inbound}, [Content(FLOW.index, SPI + 1, CANARY, True)])
    assert stranger.judge(pair.send()).verdict is Verdict.FORGED


def test_bad_padding_and_unknown_next_header_are_refused() -> None:
    """Made by Scapy's cipher, since ours cannot make them."""
    pair = Pair(esn=False)
    theirs = SecurityAssociation(ESP, spi=SPI, crypt_algo="AES-GCM", crypt_key=KEY + SALT)
    for number, (padding, next_header, verdict) in enumerate(
        [(b"\1\2", 4, Verdict.GENUINE), (b"\2\1", 4, Verdict.FORGED), (b"\1\2", 6, Verdict.FORGED)], start=1
    ):
        inner = bytes(InnerPackets(FLOW).build(number))
        plain = _ESPPlain(
            spi=SPI,
            seq=number,
            iv=number.to_bytes(8, "big"),
            data=inner,
            padding=padding,
            padlen=len(padding),
            nh=next_header,
        )
        packet = theirs.crypt_algo.encrypt(theirs, plain, theirs.crypt_key)
        assert len(inner + padding) % 4 == 2
        assert pair.judge(frame(bytes(packet))).verdict is verdict


def test_the_report_knows_every_verdict_and_the_same_ones_are_alarms() -> None:
    assert {verdict.name for verdict in Verdict} == set(MEANINGS)
    assert {verdict.name for verdict in Verdict if not verdict.is_alarm} == HARMLESS


def test_codes_never_change() -> None:
    """They stand in flows.npy."""
    names = (
        "GENUINE LATE_OUTSIDE_WINDOW REPLAY_IN_WINDOW REPLAY_OLD FORGED TRUNCATED UNKNOWN_SPI PLAINTEXT_IN "
        "PLAINTEXT_LEAK FRAG_OVERLAP FRAG_INCOMPLETE DOWNGRADE NONCE_REUSE SEQ_EXHAUSTED EXPIRED_SA DUP_LINK "
        "SUSPECT_DROP DELAY_ATTACK REORDER_ATTACK KEX_FAIL EXPOSURE UNPROTECTED SECOND_COPY"
    )
    assert [verdict.name for verdict in sorted(Verdict)] == names.split()
    assert [int(verdict) for verdict in sorted(Verdict)] == list(range(23))
