"""SRTP inside ESP: libsrtp against the RFCs' vectors, and the verdicts on sealed calls."""

from __future__ import annotations

import json
import stat
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic_pair import CANARY, ETHERNET, FLOW, Pair, frame

from traffic.errors import SessionError
from traffic.esp import InboundSa, OutboundSa
from traffic.packets import SEAL_BYTES, TAG, InnerFlow, InnerPackets, udp_packet
from traffic.srtp import CallKey, Opener, Sealer, make_call_keys, save_call_keys
from traffic.verdicts import Content, InboundEndpoint, Verdict

SPI, KEY, SALT = 0x01020304, bytes(range(32)), b"salt"


def derived(master: bytes, salt: bytes, label: int, size: int) -> bytes:
    """A session key by AES-CM (RFC 3711, 4.3; a salt of 96 bits is padded on the right: RFC 7714, 11)."""
    x = bytearray(salt.ljust(14, b"\0"))
    x[7] ^= label
    keystream = Cipher(AES(master), CTR(bytes(x) + bytes(2))).encryptor()
    return keystream.update(bytes(size))


def protected(key: bytes, salt: bytes, rtp: bytes, rollover: int = 0) -> bytes:
    """An SRTP packet by AEAD_AES_GCM under session key and salt (RFC 7714, 8.1 and 9.1)."""
    counter = bytes(2) + rtp[8:12] + struct.pack(">I", rollover) + rtp[2:4]
    iv = bytes(a ^ b for a, b in zip(counter, salt, strict=True))
    return rtp[:12] + AESGCM(key).encrypt(iv, rtp[12:], rtp[:12])


def test_the_oracle_is_rfc_7714_and_rfc_6188() -> None:
    # RFC 7714, 16.1.1 and 16.2.1
    rtp = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
    salt = bytes.fromhex("517569642070726f2071756f")
    assert protected(bytes(range(16)), salt, rtp)[12:].hex() == (
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
    )
    assert protected(bytes(range(32)), salt, rtp)[12:].hex() == (
        "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
    )
    # RFC 6188, 7.2: key derivation with AES-256
    master = bytes.fromhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6")
    master_salt = bytes.fromhex("3b04803de51ee7c96423ab5b78d2")
    expected = "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
    assert derived(master, master_salt, 0, 32).hex() == expected
    assert derived(master, master_salt, 2, 14).hex() == "fa31791685ca444a9e07c6c64e93"


@settings(deadline=None)
@given(key=st.binary(min_size=44, max_size=44), speech=st.binary(min_size=1, max_size=400))
def test_what_we_send_is_rfc_7714(key: bytes, speech: bytes) -> None:
    call = CallKey(0x5501A0B2, key)
    session_key, session_salt = derived(key[:32], key[32:], 0, 32), derived(key[:32], key[32:], 2, 12)
    sealer = Sealer(call)
    for number in (0, 1, 65_535):
        rtp = struct.pack(">BBHII", 0x80, 0, number, number * 160, call.ssrc) + speech
        sealed = sealer(rtp)
        assert sealed == protected(session_key, session_salt, rtp)
        assert len(sealed) == len(rtp) + SEAL_BYTES


def test_the_counter_rolls_over() -> None:
    call = CallKey(7, bytes(44))
    key, salt = derived(bytes(32), bytes(12), 0, 32), derived(bytes(32), bytes(12), 2, 12)
    sealer, opener = Sealer(call), Opener(call, 7, CANARY, 160, 1024)
    packets = [sealed_rtp(call, number, sealer) for number in range(65_530, 65_545)]
    assert packets[-1] == protected(key, salt, plain_rtp(call, 65_544), rollover=1)
    assert [opener(packet, True) for packet in packets] == list(range(65_530, 65_545))


def plain_rtp(call: CallKey, number: int) -> bytes:
    header = struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, call.ssrc)
    return header + CANARY + TAG.pack(7, number) + bytes(100)


def sealed_rtp(call: CallKey, number: int, sealer: Sealer) -> bytes:
    return sealer(plain_rtp(call, number))


def test_an_opener_takes_its_own_packets_alone() -> None:
    keys = make_call_keys([7, 8])
    sealer, opener = Sealer(keys[7]), Opener(keys[7], 7, CANARY, 160, 64)
    first, second = (sealed_rtp(keys[7], number, sealer) for number in range(2))
    assert opener(first, True) == 0
    assert opener(first[:-1] + b"\0", True) is None
    assert opener(sealed_rtp(keys[8], 1, Sealer(keys[8])), True) is None
    assert opener(b"", True) is None
    assert opener(bytes(2000), True) is None
    assert opener(second, True) == 1
    assert opener(second, True) is None  # SRTP has seen it, though ESP calls it new
    assert opener(second, False) == 1
    other_flow = Opener(keys[7], 8, CANARY, 160, 64)
    assert other_flow(sealed_rtp(keys[7], 2, sealer), True) is None


@pytest.mark.parametrize("window", [64, 1024])
def test_srtp_loses_nothing_that_esps_window_takes(window: int) -> None:
    call = make_call_keys([7])[7]
    sealer, opener = Sealer(call), Opener(call, 7, CANARY, 160, window)
    packets = [sealed_rtp(call, number, sealer) for number in range(window)]
    assert opener(packets[-1], True) == window - 1
    assert [opener(packet, True) for packet in packets[:-1]] == list(range(window - 1))


class SealedPair(Pair):
    """A call with SRTP inside ESP, and the endpoint that judges it."""

    def __init__(self) -> None:
        super().__init__()
        self.call = make_call_keys([FLOW.index])[FLOW.index]
        flow = InnerFlow("10.77.0.1", "10.77.0.2", 46, 7, CANARY, 60, 160, self.call.ssrc, None, Sealer(self.call))
        self.packets = InnerPackets(flow)
        self.outbound = OutboundSa(SPI, KEY, SALT, esn=True)
        self.inbound = InboundSa(SPI, KEY, SALT, esn=True, window=64)
        opener = Opener(self.call, FLOW.index, CANARY, 160, 64)
        content = Content(FLOW.index, SPI, CANARY, True, self.call.ssrc.to_bytes(4, "big"), opener)
        self.endpoint = InboundEndpoint({SPI: self.inbound}, [content], [b"\x0a\x4d\x00\x01"])

    def sealed(self, number: int) -> bytes:
        return bytes(self.packets.build(number))


def test_sealed_calls_are_genuine_in_any_order_and_replays_are_replays() -> None:
    pair = SealedPair()
    frames = pair.send_many(200)
    order = [*range(20, 0, -1), 0, *range(21, 200)]
    for number in order:
        judgement = pair.judge(frames[number])
        assert (judgement.verdict, judgement.flow, judgement.sequence) == (Verdict.GENUINE, 7, number)
    for number, verdict in ((199, Verdict.REPLAY_IN_WINDOW), (3, Verdict.REPLAY_OLD)):
        judgement = pair.judge(frames[number])
        assert (judgement.verdict, judgement.sequence) == (verdict, number)


def test_a_late_packet_that_srtp_never_saw_is_late_and_no_forgery() -> None:
    pair = SealedPair()
    frames = pair.send_many(400)
    for data in frames[1:]:
        assert pair.judge(data).verdict is Verdict.GENUINE
    assert pair.judge(frames[0]).verdict is Verdict.LATE_OUTSIDE_WINDOW
    assert pair.judge(frames[0]).verdict is Verdict.REPLAY_OLD


def test_a_call_that_comes_without_srtp_is_not_taken() -> None:
    pair = SealedPair()
    pair.packets = InnerPackets(FLOW)
    assert pair.judge(pair.send()).verdict is Verdict.FORGED


def test_who_has_esps_key_alone_cannot_speak() -> None:
    pair = SealedPair()
    wrong = CallKey(pair.call.ssrc, bytes(44))
    flow = InnerFlow("10.77.0.1", "10.77.0.2", 46, 7, CANARY, 60, 160, wrong.ssrc, None, Sealer(wrong))
    assert pair.judge(frame(pair.outbound.encrypt(InnerPackets(flow).build(0)))).verdict is Verdict.FORGED
    old = pair.sealed(1)
    assert pair.judge(frame(pair.outbound.encrypt(old))).verdict is Verdict.GENUINE
    assert pair.judge(frame(pair.outbound.encrypt(old))).verdict is Verdict.FORGED  # repeated under a new number


def test_srtp_outside_esp_is_a_leak_though_the_canary_is_sealed() -> None:
    pair = SealedPair()
    inner = pair.sealed(0)
    assert CANARY not in inner
    as_it_is = pair.judge(ETHERNET + inner)
    assert (as_it_is.verdict, as_it_is.flow) == (Verdict.PLAINTEXT_LEAK, 7)
    outer = pair.judge(ETHERNET + udp_packet("192.0.2.1", "192.0.2.2", 5004, 5004, inner[28:]))
    assert (outer.verdict, outer.flow, outer.detail) == (Verdict.PLAINTEXT_LEAK, 7, "SRTP outside ESP")
    in_clear = pair.judge(ETHERNET + udp_packet("192.0.2.1", "192.0.2.2", 5004, 5004, plain_rtp(pair.call, 0)))
    assert (in_clear.verdict, in_clear.detail) == (Verdict.PLAINTEXT_LEAK, "canary in the clear")


def test_keys_are_for_the_owner_alone(tmp_path: Path) -> None:
    keys = make_call_keys([0, 3])
    assert len({key.ssrc for key in keys.values()}) == 2
    assert keys[0].master.hex() not in repr(keys[0])
    save_call_keys(keys, tmp_path)
    path = tmp_path / "srtp_keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = json.loads(path.read_text())
    assert [(entry["flow"], len(entry["key"]), len(entry["salt"])) for entry in written] == [(0, 64, 24), (3, 64, 24)]
    with pytest.raises(SessionError, match="never written over others"):
        save_call_keys(keys, tmp_path)


def test_a_call_goes_on_under_a_renewed_association() -> None:
    pair = SealedPair()
    assert pair.judge(pair.send()).verdict is Verdict.GENUINE
    pair.endpoint.install(InboundSa(SPI + 1, KEY[::-1], SALT), SPI)
    pair.outbound = OutboundSa(SPI + 1, KEY[::-1], SALT)
    judgement = pair.judge(pair.send())
    assert (judgement.verdict, judgement.flow, judgement.sequence) == (Verdict.GENUINE, 7, 1)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=120), first=st.integers(0, 255), fresh=st.booleans())
def test_no_bytes_upset_an_opener(data: bytes, first: int, fresh: bool) -> None:
    call = CallKey(0x01020304, bytes(44))
    opener = Opener(call, 7, CANARY, 160, 64)
    packet = bytes([first]) + data[:7].ljust(7, b"\0") + call.ssrc.to_bytes(4, "big") + data[7:]
    assert opener(packet, fresh) is None
    assert opener(packet[: len(data)], fresh) is None
    assert opener(sealed_rtp(call, 0, Sealer(call)), True) == 0
