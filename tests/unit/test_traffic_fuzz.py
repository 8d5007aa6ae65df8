"""Whatever arrives gets a typed verdict, and only what was sent passes for genuine.

TESTBED_FUZZ_SECONDS=600 lets the last test search that long; a failure names the seed that repeats it.
"""

from __future__ import annotations

import os
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from traffic_pair import EPOCH, ESP_AT, ETHERNET, KEY, SALT, SPI, Pair, altered, frame

from traffic.esp import AES_256_GCM, CHACHA20_POLY1305, OutboundSa
from traffic.fragments import Reassembly
from traffic.verdicts import Judgement, Verdict

SECONDS = float(os.environ.get("TESTBED_FUZZ_SECONDS", "2"))
SIX = bytes(12) + b"\x86\xdd"
STARTS = [0, 1, 900, EPOCH - 1000, EPOCH - 20, EPOCH + 5, 7 * EPOCH - 3, (1 << 64) - 300]


@settings(max_examples=300)
@given(data=st.data())
def test_any_mutation_of_a_genuine_frame_gets_a_verdict(data: st.DataObject) -> None:
    pair = Pair()
    genuine = pair.send()
    mutated = bytearray(genuine)
    for _ in range(data.draw(st.integers(1, 5))):
        action = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        position = data.draw(st.integers(0, max(len(mutated) - 1, 0)))
        if action == "cut":
            del mutated[position:]
        elif action == "insert":
            mutated[position:position] = data.draw(st.binary(min_size=1, max_size=8))
        elif mutated:
            mutated[position] ^= 1 << data.draw(st.integers(0, 7))
    judgement = pair.endpoint.judge(bytes(mutated))
    check(judgement, bytes(mutated), {genuine[ESP_AT:]})


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"", ETHERNET, SIX]))
def test_any_bytes_get_a_verdict(noise: bytes, head: bytes) -> None:
    check(Pair().endpoint.judge(head + noise), head + noise, set())


@settings(max_examples=300)
@given(st.binary(max_size=1500), st.booleans())
def test_any_payload_of_port_4500_gets_a_verdict(noise: bytes, known_spi: bool) -> None:
    data = frame((SPI.to_bytes(4, "big") if known_spi else b"") + noise)
    check(Pair().endpoint.judge(data), data, set())


@pytest.mark.parametrize("esn", [True, False])
def test_every_length_up_to_a_full_frame_gets_a_verdict(esn: bool) -> None:
    """As a frame, as an IPv4 and an IPv6 packet, as ESP, as ESP of the known association."""
    pair, dice = Pair(esn=esn), random.Random(7)
    for length in range(1501):
        noise = dice.randbytes(length)
        for data in (noise, ETHERNET + noise, SIX + noise, frame(noise), frame(SPI.to_bytes(4, "big") + noise)):
            check(pair.endpoint.judge(data), data, set())
        whole = bytes([0x45, 0]) + length.to_bytes(2, "big") + noise[4:]  # a packet that is as long as it says
        for data in (ETHERNET + whole, SIX + bytes([0x60]) + noise[1:4] + (length - 40 & 0xFFFF).to_bytes(2, "big")):
            check(pair.endpoint.judge(data), data, set())
    assert pair.inbound.window.highest == 0


def check(judgement: Judgement | None, data: bytes, sent: set[bytes]) -> None:
    """A verdict of one packet, and an innocent one only for ESP bytes that were sent."""
    if judgement is None:
        return
    assert isinstance(judgement.verdict, Verdict)
    assert judgement.verdict < Verdict.SUSPECT_DROP, "no single packet is judged so"
    if not judgement.verdict.is_alarm:
        assert any(esp in data for esp in sent), judgement


def _mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(len(changed) + 1)
        action = dice.randrange(5)
        if action == 0:
            del changed[at:]
        elif action == 1:
            changed[at:at] = dice.randbytes(dice.randrange(1, 9))
        elif action == 2:
            del changed[at : at + dice.randrange(1, 9)]
        elif action == 3 and len(changed) > ESP_AT:  # headers are where parsers go wrong
            changed[dice.randrange(12, ESP_AT)] = dice.choice(
                (0, 1, 4, 0x20, 44, 50, 60, 0x60, 0xFF, dice.randrange(256))
            )
        elif at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _arrival(dice: random.Random, sent: list[bytes], esn: bool) -> bytes:
    """Something an attacker without the key, a careless peer or a bad link may bring."""
    data, kind = dice.choice(sent), dice.randrange(9)
    if kind == 0:
        return dice.randbytes(dice.randrange(1501))
    if kind == 1:
        return dice.choice((ETHERNET, SIX)) + dice.choice((b"\x45", b"\x60", b"")) + dice.randbytes(dice.randrange(200))
    if kind == 2:
        return frame(SPI.to_bytes(4, "big") + dice.randbytes(dice.randrange(1400)))
    if kind == 3:  # fragments, whole in themselves or not
        place = dice.choice((0, 0, dice.randrange(1 << 16)))
        header = bytes([0x45, 0]) + len(data[14:]).to_bytes(2, "big") + dice.randbytes(1)[:1] * 2
        return ETHERNET + header + place.to_bytes(2, "big") + data[22:]
    if kind == 4:
        inner = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=dice.choice((0, 17, 43, 44, 50, 60))) / data[ESP_AT:]
        return bytes(Ether(SIX) / inner)
    if kind == 5 and esn:
        return frame(OutboundSa(SPI, KEY, SALT, esn=False, sequence=dice.randrange(EPOCH - 1)).encrypt(bytes(60)))
    if kind == 6:
        other = dice.choice(sent)
        at = dice.randrange(len(data))
        return data[:at] + other[at:]
    if kind == 7:
        return altered(data, dice.randrange(len(data)), dice.randrange(8))
    return _mutated(data, dice)


def _search(seed: int) -> int:
    """One life of an endpoint under attack; how many frames it judged."""
    dice = random.Random(seed)
    esn, suite = dice.random() < 0.7, dice.choice((AES_256_GCM, CHACHA20_POLY1305))
    start = dice.choice([number for number in STARTS if esn or number < EPOCH - 500])
    options = {"longest_lag_ns": dice.choice((None, 1000)), "reassembly": Reassembly(500, 1 << 14)}
    pair = Pair(esn=esn, suite=suite, sequence=start, window=dice.choice((32, 64, 1024)), **options)
    sent = [pair.send()]
    esps = {sent[0][ESP_AT:]}
    assert pair.judge(sent[0], 1).verdict is Verdict.GENUINE
    frames = 200
    for time_ns in range(2, 2 + frames):
        if dice.random() < 0.2:
            sent.append(pair.send())
            esps.add(sent[-1][ESP_AT:])
            assert pair.judge(sent[-1], time_ns).verdict is Verdict.GENUINE
        data = _arrival(dice, sent, esn)
        check(pair.endpoint.judge(data, dice.choice((0, time_ns))), data, esps)
        for judgement in pair.endpoint.overdue(time_ns):
            assert judgement.verdict is Verdict.FRAG_INCOMPLETE
        assert pair.inbound.window.highest == pair.outbound.sequence
    pair.endpoint.overdue(None)
    return frames


def test_endpoints_under_attack_judge_everything_and_serve_on() -> None:
    end, seed, frames = time.monotonic() + SECONDS, int(os.environ.get("TESTBED_FUZZ_SEED", "0")), 0
    while time.monotonic() < end:
        try:
            frames += _search(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed} (TESTBED_FUZZ_SEED={seed} repeats it): {error!r}") from error
        seed += 1
    print(f"{frames} frames")  # noqa: T201 - told with pytest -s
    assert frames > 0
