"""Captures judged afterwards: what is learned from authentic packets, and what is not an alarm."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic.judge import as_json, judge_capture, learn
from traffic.keys import Association, make_associations
from traffic.packets import INNER_PORT, InnerFlow, InnerPackets, udp_packet
from traffic.pcapng import Captured
from traffic.verdicts import Verdict

MS = 1_000_000
ASSOCIATIONS = list(make_associations([("a", "b", 46), ("b", "a", 0)]).values())
CANARY = os.urandom(16)


def frame(payload: bytes, port: int = 4500) -> bytes:
    return bytes(12) + b"\x08\x00" + udp_packet("192.0.2.1", "192.0.2.2", port, port, payload)


def flow(association: Association, count: int, rtp: bool = False, canary: bytes = CANARY) -> list[bytes]:
    """ESP of a flow's first packets."""
    outbound = association.outbound()
    packets = InnerPackets(InnerFlow("10.0.0.1", "10.0.0.2", 46, 3, canary, 172, 160 if rtp else None, 7))
    return [outbound.encrypt(packets.build(number)) for number in range(count)]


def captured(*frames: bytes, interface: int = 0) -> list[Captured]:
    return [Captured(interface, place * MS, data) for place, data in enumerate(frames)]


def names(packets: list[Captured], associations: list[Association] = ASSOCIATIONS, **options: object) -> dict[str, int]:
    finding = judge_capture(packets, associations, **options)  # type: ignore[arg-type]
    return {verdict.name: count for verdict, count in finding.verdicts.items()}


@pytest.mark.parametrize("rtp", [False, True])
def test_both_directions_of_an_interface_are_judged(rtp: bool) -> None:
    there, back = flow(ASSOCIATIONS[0], 5, rtp), flow(ASSOCIATIONS[1], 5)
    packets = captured(*(frame(esp) for pair in zip(there, back, strict=True) for esp in pair))
    finding = judge_capture(packets, ASSOCIATIONS)
    assert finding.verdicts == {Verdict.GENUINE: 10}
    assert [judgement.sequence for _, judgement in finding.judged] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert {judgement.flow for _, judgement in finding.judged} == {3}


def test_the_same_packet_at_two_interfaces_is_no_replay_and_at_one_it_is() -> None:
    frames = [frame(esp) for esp in flow(ASSOCIATIONS[0], 3)]
    twice = captured(*frames) + captured(*frames, interface=1)
    assert names(twice) == {"GENUINE": 6}
    assert names(captured(*frames, *frames)) == {"GENUINE": 3, "REPLAY_IN_WINDOW": 3}


@pytest.mark.parametrize(("a", "b"), [("192.0.2.1", "192.0.2.2"), ("fd00::1", "fd00::2")])
def test_packets_towards_a_nat_have_another_port(a: str, b: str) -> None:
    ethertype = b"\x86\xdd" if ":" in a else b"\x08\x00"
    esp = flow(ASSOCIATIONS[0], 4)
    frames = [bytes(12) + ethertype + udp_packet(a, b, 4500, 49_685, packet) for packet in esp]
    assert names(captured(*frames)) == {"GENUINE": 4}


def test_a_leak_before_the_first_encrypted_packet_is_found() -> None:
    clear = frame(b"x" * 20 + CANARY, port=53)
    esp = [frame(packet) for packet in flow(ASSOCIATIONS[0], 2)]
    assert names(captured(clear, *esp)) == {"PLAINTEXT_LEAK": 1, "GENUINE": 2}
    assert names(captured(frame(b"x" * 36, port=53), *esp)) == {"GENUINE": 2}
    assert names(captured(frame(b"x" * 36, port=53), *esp), only_esp=True) == {"PLAINTEXT_IN": 1, "GENUINE": 2}
    allowed = {"only_esp": True, "clear_udp_ports": (53,)}
    assert names(captured(frame(b"x" * 36, port=53), *esp), **allowed) == {"GENUINE": 2}


def test_packets_that_other_programs_encrypted_are_genuine_as_well() -> None:
    inner = udp_packet("10.0.0.1", "10.0.0.2", 1, 2, b"not laid out as ours")
    outbound = ASSOCIATIONS[0].outbound()
    finding = judge_capture(
        captured(frame(outbound.encrypt(inner)), frame(outbound.encrypt(bytes(8), 59))), ASSOCIATIONS
    )
    assert finding.verdicts == {Verdict.GENUINE: 2}
    assert [judgement.flow for _, judgement in finding.judged] == [None, None]


def test_altered_foreign_and_short_packets() -> None:
    esp = flow(ASSOCIATIONS[0], 3)
    altered = esp[1][:40] + bytes([esp[1][40] ^ 1]) + esp[1][41:]
    foreign = flow(next(iter(make_associations([("x", "y", 0)]).values())), 1)[0]
    packets = captured(*(frame(data) for data in (esp[0], altered, foreign, esp[2][:30], b"\xff", bytes(4) + b"IKE")))
    assert names(packets) == {"GENUINE": 1, "FORGED": 1, "UNKNOWN_SPI": 1, "TRUNCATED": 1}
    document = as_json(judge_capture(packets, ASSOCIATIONS), ASSOCIATIONS)
    assert document["verdict"] == "attacked"
    assert [alarm["packet"] for alarm in document["alarms"]] == [2, 3, 4]
    assert document["associations"][0]["counts"] == {"GENUINE": 1, "FORGED": 1, "TRUNCATED": 1}


def test_a_capture_that_proves_nothing_is_not_valid() -> None:
    assert as_json(judge_capture([], ASSOCIATIONS), ASSOCIATIONS)["verdict"] == "invalid"
    esp = frame(flow(ASSOCIATIONS[0], 1)[0])
    cut = [Captured(0, 0, esp), Captured(0, 1, esp[:60], cut=True)]
    finding = judge_capture(cut, ASSOCIATIONS)
    assert finding.verdicts == {Verdict.GENUINE: 1}  # what the capture cut says nothing about the packet
    assert finding.invalid_reasons == ["1 of 2 packets were cut when captured: capture whole packets"]


def test_a_canary_that_begins_like_rtp_is_not_taken_for_it() -> None:
    canary = b"\x80\x00" + bytes(range(14))
    finding = judge_capture(captured(*(frame(esp) for esp in flow(ASSOCIATIONS[0], 4, canary=canary))), ASSOCIATIONS)
    assert [judgement.sequence for _, judgement in finding.judged] == [0, 1, 2, 3]


@given(inner=st.binary(max_size=120))
def test_whatever_was_encrypted_raises_nothing(inner: bytes) -> None:
    learn(300, 4, inner)
    learn(300, 41, udp_packet("fd00::1", "fd00::2", INNER_PORT, INNER_PORT, inner))
    learn(300, 4, udp_packet("10.0.0.1", "10.0.0.2", INNER_PORT, INNER_PORT, inner))
