"""traffic.esp held against published packets, Scapy and tshark."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

from traffic.errors import ConfigurationError, SequenceExhausted
from traffic.esp import (
    AES_256_GCM,
    CHACHA20_POLY1305,
    SMALLEST_BYTES,
    InboundSa,
    OutboundSa,
    split_trailer,
)
from traffic.keys import make_associations, wireshark_lines
from traffic.packets import InnerFlow, InnerPackets, udp_packet

KEY, SALT, SPI = bytes(range(32)), b"salt", 0x01020304
SUITES = [AES_256_GCM, CHACHA20_POLY1305]
SCAPY_SUITES = {AES_256_GCM: "AES-GCM", CHACHA20_POLY1305: "CHACHA20-POLY1305"}

VECTORS = {
    # draft-mcgrew-gcm-test-01, section 4: the four cases with a key of 256 bits; sequence numbers of 16 digits are ESN.
    "SYN": (
        AES_256_GCM,
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344",
        "00000002",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020201",
        "4a2cbfe3000000020102030405060708"
        "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99d"
        "ef842d8eb335f4eecfdbf831824b4c4915956c96",
    ),
    "ACK with ESN": (
        AES_256_GCM,
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab73616c74",
        "156f3126dd0db99b",
        "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
        "17405e67dd0db99b616e640169766563"
        "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e451626c2415771e3"
        "b7eebca614c89b35",
    ),
    "text with ESN": (
        AES_256_GCM,
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab73616c74",
        "156f3126dd0db99b",
        "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e6f6c6f6769657301746861"
        "7477696c6c01646566696e65746f6d6f72726f7701020201",
        "17405e67dd0db99b616e640169766563"
        "d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb56831226508bebd2dceb18d0a6df10e5487df074113e14c641024e"
        "3e6773d91a62ee429b043a10e3efe6b012a49363412364f8c0cac587f249e56b11e24f30e44ccc76",
    ),
    "last number of ESN": (
        AES_256_GCM,
        "6c6567616c697a656d6172696a75616e61616e64646f69746265666f726569617475726e",
        "ffffffffffffffff",
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201",
        "796b6963ffffffff333021696765746d"
        "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe82"
        "1dcc63b9d0937ba2945f669368661a329fb4c053",
    ),
    # RFC 8439, 2.8.2: its 12 bytes of associated data are the SPI and a number of 64 bits, its nonce a salt and an IV
    "ChaCha20-Poly1305 with ESN": (
        CHACHA20_POLY1305,
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f07000000",
        "c0c1c2c3c4c5c6c7",
        "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a20496620492063"
        "6f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
        "637265656e20776f756c642062652069742e",
        "50515253c4c5c6c74041424344454647"
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
        "1ae10b594f09e26a7e902ecbd0600691",
    ),
    # RFC 7634, appendix A
    "ChaCha20-Poly1305": (
        CHACHA20_POLY1305,
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3",
        "00000005",
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f10111213"
        "1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
        "01020304000000051011121314151617"
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f7"
        "2aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0"
        "76aaa8266b7fb0f7b11b369907e1ad43",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_published_packets_are_decrypted(name: str) -> None:
    suite, keys, sequence, plain, packet = VECTORS[name]
    key, salt = bytes.fromhex(keys[:64]), bytes.fromhex(keys[64:])
    data, esn = bytes.fromhex(packet), len(sequence) == 16
    sa = InboundSa(int.from_bytes(data[:4], "big"), key, salt, esn=esn, suite=suite)
    high = int(sequence, 16) >> 32
    assert sa.decrypt(data, high) == bytes.fromhex(plain)
    if esn:
        assert sa.decrypt(data, high ^ 1) is None  # the upper half is authenticated, though it is not sent
    for position in (0, 7, 8, 16, -1):
        altered = bytearray(data)
        altered[position] ^= 1
        assert sa.decrypt(bytes(altered), high) is None


def scapy_sa(suite: str, esn: bool, high: int = 0) -> SecurityAssociation:
    return SecurityAssociation(
        ESP,
        spi=SPI,
        crypt_algo=SCAPY_SUITES[suite],
        crypt_key=KEY + SALT,
        esn_en=esn,
        esn=high,
        tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"),
        nat_t_header=UDP(sport=4500, dport=4500),
    )


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("sequence", [None, 1, 0xFFFFFFFF, (1 << 32) + 1, (5 << 32) + 77], ids=str)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 1172])
def test_scapy_decrypts_ours(suite: str, sequence: int | None, version: int, size: int) -> None:
    esn = sequence is not None
    ours = OutboundSa(SPI, KEY, SALT, esn=esn, suite=suite, sequence=(sequence or 42) - 1)
    header = IP(src="10.77.0.1", dst="10.77.0.2") if version == 4 else IPv6(src="fd77::1", dst="fd77::2")
    inner = bytes(header / UDP(sport=5004, dport=5004) / Raw(bytes(size)))
    packet = ours.encrypt(inner, 4 if version == 4 else 41)
    theirs = scapy_sa(suite, esn, (sequence or 0) >> 32)
    decrypted = theirs.decrypt(IP(bytes(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=4500, dport=4500) / packet)))
    assert bytes(decrypted) == inner
    assert packet[8:16] == (sequence or 42).to_bytes(8, "big")  # the IV is the counter


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("sequence", [None, 1, 0xFFFFFFFF, (1 << 32) + 1], ids=str)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 1172])
def test_we_decrypt_scapys(suite: str, sequence: int | None, size: int) -> None:
    esn, number = sequence is not None, sequence or 42
    inner = IP(src="10.77.0.1", dst="10.77.0.2") / UDP(sport=5004, dport=5004) / Raw(bytes(size))
    theirs = scapy_sa(suite, esn).encrypt(inner, seq_num=number & 0xFFFFFFFF, iv=os.urandom(8), esn=number >> 32)
    sa = InboundSa(SPI, KEY, SALT, esn=esn, suite=suite)
    plain = sa.decrypt(bytes(theirs[UDP].payload), number >> 32)
    assert plain is not None
    assert split_trailer(plain) == (4, bytes(inner))


def test_tshark_decrypts_ours_and_finds_every_icv_good(tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    (association,) = make_associations([("rome", "milan", 46)], esn=False).values()
    sa = association.outbound()
    voice = InnerPackets(InnerFlow("10.77.0.1", "10.77.0.2", 46, 0, os.urandom(16), 172, 160, 0x12345678))
    no_rtp = b"\0" + os.urandom(15)  # tshark would take a random first byte for a broken RTP header, one time in six
    six = InnerPackets(InnerFlow("fd77::1", "fd77::2", 0, 1, no_rtp, 1201))
    esp = [sa.encrypt(voice.build(number)) for number in range(10)]
    esp += [sa.encrypt(six.build(number), 41) for number in range(10)]
    esp.append(sa.encrypt(bytes(16), 59))
    forged = bytearray(esp[0])
    forged[30] ^= 1
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)  # pcap, Ethernet
    for packet in (*esp, bytes(forged)):
        frame = bytes(12) + b"\x08\x00" + udp_packet("192.0.2.1", "192.0.2.2", 4500, 4500, packet)
        capture += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    (tmp_path / "esp.pcap").write_bytes(capture)
    command = ["tshark", "-r", str(tmp_path / "esp.pcap"), "-d", "udp.port==5004,rtp", "-V"]
    command += ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
    command += ["-o", "udp.check_checksum:TRUE"]
    for line in wireshark_lines([association]):
        command += ["-o", f"uat:esp_sa:{line}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    frames = told.split("\nFrame ")
    assert len(frames) == 22
    bad = [frame for frame in frames[:21] if not re.search(r"ESP ICV: .*\[correct\]", frame)]
    assert not bad, bad[0]
    assert not re.search(r"ESP ICV: .*\[correct\]", frames[21])
    assert all("Synchronization Source identifier: 0x12345678" in frame for frame in frames[:10])
    assert all("Destination Address: fd77::2" in frame for frame in frames[10:20])
    assert all("ESP Pad Length: " in frame and "Checksum Status: Good" in frame for frame in frames[:20])


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("esn", [True, False])
@given(inner=st.binary(max_size=300), sequence=st.integers(0, (1 << 32) - 2))
def test_what_is_encrypted_comes_back(suite: str, esn: bool, inner: bytes, sequence: int) -> None:
    packet = OutboundSa(SPI, KEY, SALT, esn=esn, suite=suite, sequence=sequence).encrypt(inner)
    assert len(packet) == 16 + -(-(len(inner) + 2) // 4) * 4 + 16  # no more padding than to 4 bytes
    plain = InboundSa(SPI, KEY, SALT, esn=esn, suite=suite).decrypt(packet)
    assert plain is not None
    assert split_trailer(plain) == (4, inner)


def test_shortest_packet() -> None:
    assert len(OutboundSa(SPI, KEY, SALT).encrypt(b"", 59)) == SMALLEST_BYTES


@pytest.mark.parametrize(
    ("plain", "inside"),
    [
        (b"data\x01\x02\x02\x04", (4, b"data")),
        (b"\x00\x04", (4, b"")),
        (b"data\x02\x01\x02\x04", None),  # padding not 1, 2
        (b"data\x00\x00\x02\x04", None),
        (b"data\x09\x04", None),  # longer than there is
        (b"\x04", None),
        (b"", None),
        (bytes(range(1, 256)) + b"\xff\x29", (41, b"")),
    ],
)
def test_padding_is_verified(plain: bytes, inside: tuple[int, bytes] | None) -> None:
    assert split_trailer(plain) == inside


@given(st.binary(max_size=600))
def test_any_trailer_is_taken_apart_or_refused(plain: bytes) -> None:
    inside = split_trailer(plain)
    if inside is not None:
        pad = len(plain) - 2 - len(inside[1])
        assert plain == inside[1] + bytes(range(1, pad + 1)) + bytes([pad, inside[0]])


@pytest.mark.parametrize(("esn", "last"), [(False, (1 << 32) - 1), (True, (1 << 64) - 1)])
def test_sequence_numbers_are_never_used_twice(esn: bool, last: int) -> None:
    sa = OutboundSa(SPI, KEY, SALT, esn=esn, sequence=last - 1)
    assert sa.encrypt(b"last")[4:8] == b"\xff\xff\xff\xff"
    for _ in range(2):
        with pytest.raises(SequenceExhausted, match="SPI 0x1020304 has sent its last sequence number"):
            sa.encrypt(b"one too many")


@pytest.mark.parametrize(
    ("spi", "key", "salt"), [(0, KEY, SALT), (255, KEY, SALT), (SPI, KEY[:16], SALT), (SPI, KEY, b"")]
)
def test_reserved_spi_and_short_keys_are_refused(spi: int, key: bytes, salt: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"SPI {spi}"):
        OutboundSa(spi, key, salt)
    with pytest.raises(ConfigurationError, match=f"SPI {spi}"):
        InboundSa(spi, key, salt)
