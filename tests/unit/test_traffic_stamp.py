"""traffic.stamp and stamp_sender. Scapy's STAMP layer and `cryptography` are the authorities on what is on the wire."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from scapy.contrib.stamp import (
    ErrorEstimate,
    STAMPSessionReflectorTestUnauthenticated,
    STAMPSessionSenderTestUnauthenticated,
)

from traffic.errors import ConfigurationError
from traffic.stamp import (
    Probe,
    Reflector,
    ReflectorRules,
    Reply,
    error_estimate,
    networks,
    ntp,
    open_stamp,
    pack_probe,
    pack_reply,
    parse_probe,
    parse_reply,
    read_key,
    receive_one,
    unix_ns,
    write_key,
)
from traffic.stamp_sender import StampResult, document, run_sender

KEY = bytes(range(32))
NOW_NS = 1_795_600_000_123_456_789
PROBE = Probe(7, ntp(NOW_NS), 0x8A05, 0x1234)
REPLY = Reply(9, ntp(NOW_NS + 5), 0x0101, 0x1234, ntp(NOW_NS + 3), 7, ntp(NOW_NS), 0x8A05, 253)
HERE = networks(["127.0.0.1"])


def test_scapy_reads_our_probe() -> None:
    theirs = STAMPSessionSenderTestUnauthenticated(pack_probe(PROBE))
    assert (theirs.seq, theirs.ssid, theirs.mbz) == (7, 0x1234, 0)
    assert (theirs.err_estimate.S, theirs.err_estimate.Z) == (1, 0)
    assert (theirs.err_estimate.scale, theirs.err_estimate.multiplier) == (0x0A, 5)
    assert round(theirs.ts, 9) == Decimal(NOW_NS) / 10**9 + 2_208_988_800  # Scapy has it in seconds since 1900


def test_scapy_reads_our_reply() -> None:
    theirs = STAMPSessionReflectorTestUnauthenticated(pack_reply(REPLY))
    assert (theirs.seq, theirs.ssid, theirs.seq_sender, theirs.ttl_sender) == (9, 0x1234, 7, 253)
    assert (theirs.mbz1, theirs.mbz2, theirs.tlv_objects) == (0, 0, [])
    assert theirs.err_estimate_sender.multiplier == 5
    assert bytes(theirs) == pack_reply(REPLY)


def test_we_read_scapys() -> None:
    estimate = ErrorEstimate(S=1, scale=3, multiplier=9)
    theirs = STAMPSessionSenderTestUnauthenticated(seq=77, ssid=5, ts=4_004_588_800.5, err_estimate=estimate)
    assert parse_probe(bytes(theirs)) == Probe(77, 4_004_588_800 << 32 | 1 << 31, 0x8309, 5)


def test_authenticated_packets_have_112_bytes_and_cryptographys_hmac() -> None:
    for packed in (pack_probe(PROBE, KEY), pack_reply(REPLY, KEY)):
        assert len(packed) == 112
        mac = HMAC(KEY, hashes.SHA256())
        mac.update(packed[:96])
        assert packed[96:] == mac.finalize()[:16]
    assert (parse_probe(pack_probe(PROBE, KEY), KEY), parse_reply(pack_reply(REPLY, KEY), KEY)) == (PROBE, REPLY)


def test_fields_of_authenticated_packets_lie_where_the_standard_puts_them() -> None:
    # RFC 8762, figures 4 and 7: offsets in bytes.
    probe, reply = pack_probe(PROBE, KEY), pack_reply(REPLY, KEY)
    assert [probe.index(part) for part in (PROBE.time.to_bytes(8, "big"), b"\x8a\x05")] == [16, 24]
    assert reply[0:4] == (9).to_bytes(4, "big")
    assert reply[16:24] == REPLY.time.to_bytes(8, "big")
    assert reply[32:40] == REPLY.received.to_bytes(8, "big")
    assert reply[48:52] == (7).to_bytes(4, "big")
    assert reply[64:72] == REPLY.sender_time.to_bytes(8, "big")
    assert reply[72:74] == b"\x8a\x05"
    assert reply[80] == 253
    assert not any(reply[4:16] + reply[40:48] + reply[52:64] + reply[74:80] + reply[81:96])


def test_each_altered_bit_of_an_authenticated_packet_is_noticed() -> None:
    packed = pack_reply(REPLY, KEY)
    for bit in range(0, 8 * len(packed), 7):
        altered = bytearray(packed)
        altered[bit >> 3] ^= 1 << (bit & 7)
        assert parse_reply(bytes(altered), KEY) is None


def test_ntp_time() -> None:
    assert ntp(0) == 2_208_988_800 << 32  # RFC 868
    assert ntp(500_000_000) & 0xFFFFFFFF == 1 << 31
    for time_ns in (NOW_NS, NOW_NS + 1, NOW_NS - 1, 1_700_000_000_999_999_999):
        assert unix_ns(ntp(time_ns)) == pytest.approx(time_ns, abs=1)


@pytest.mark.parametrize("error_s", [1e-10, 1e-6, 0.001, 1.0, 100.0])
def test_error_estimate_bounds_the_error(error_s: float) -> None:
    estimate = error_estimate(error_s, synchronised=True)
    told_s = (estimate & 0xFF) * 2.0 ** ((estimate >> 8 & 0x3F) - 32)  # RFC 4656, 4.1.2
    assert estimate & 0x8000
    assert not estimate & 0x4000
    assert estimate & 0xFF
    assert max(error_s, 2**-32) <= told_s < 1.02 * max(error_s, 2**-32)


def test_a_reflector_answers_whom_it_was_told_of_and_never_more_than_it_got() -> None:
    reflector = Reflector(ReflectorRules(networks(["192.0.2.0/24", "2001:db8::7"])))
    probe = pack_probe(PROBE)
    for size in (44, 45, 112, 1000):
        answer = reflector.reply(probe.ljust(size, b"\x80"), ("192.0.2.9", 40000), NOW_NS, 60)
        assert answer is not None
        assert len(answer) == size
    assert reflector.reply(probe, ("2001:db8::7", 40000, 0, 0), NOW_NS, 60) is not None
    for stranger in ("192.0.3.9", "2001:db8::8", "0.0.0.0"):
        assert reflector.reply(probe, (stranger, 40000), NOW_NS, 60) is None
    for size in range(44):
        assert reflector.reply(probe[:size], ("192.0.2.9", 40000), NOW_NS, 60) is None
    assert reflector.counts == {"reflected": 5, "unknown peer": 3, "too short": 44}


def test_a_reflector_with_a_key_is_silent_without_it() -> None:
    reflector = Reflector(ReflectorRules(HERE, key=KEY))
    source = ("127.0.0.1", 5000)
    assert reflector.reply(pack_probe(PROBE), source, NOW_NS, 60) is None
    assert reflector.reply(pack_probe(PROBE, bytes(32)), source, NOW_NS, 60) is None
    answer = reflector.reply(pack_probe(PROBE, KEY), source, NOW_NS, 60)
    assert answer is not None
    assert len(answer) == 112
    reply = parse_reply(answer, KEY)
    assert reply is not None
    assert (reply.received, reply.sender_time, reply.sender_ttl) == (ntp(NOW_NS), PROBE.time, 60)
    assert reflector.counts == {"too short": 1, "wrong HMAC": 1, "reflected": 1}


@pytest.mark.parametrize(("stateful", "expected"), [(True, [0, 1, 2, 0]), (False, [10, 12, 13, 99])])
def test_stateful_reflectors_count_and_stateless_ones_copy(stateful: bool, expected: list[int]) -> None:
    reflector = Reflector(ReflectorRules(HERE, stateful=stateful, most_sessions=2))
    numbers = []
    for sequence, port in ((10, 1), (12, 1), (13, 1), (99, 2)):
        answer = reflector.reply(pack_probe(PROBE._replace(sequence=sequence)), ("127.0.0.1", port), NOW_NS, 60)
        reply = parse_reply(answer or b"")
        assert reply is not None
        numbers.append(reply.sequence)
    assert numbers == expected
    third = reflector.reply(pack_probe(PROBE), ("127.0.0.1", 3), NOW_NS, 60)
    assert (third is None) == stateful  # memory is for so many sessions and no more


@contextmanager
def reflecting(wants: Callable[[int, str], bool], **rules: object) -> Iterator[tuple[str, int]]:
    """A reflector on the loopback; `wants`: (number, "there" or "back") of what is not to be lost."""
    reflector = Reflector(ReflectorRules(HERE, **rules))  # type: ignore[arg-type]
    stop = threading.Event()

    def serve(sock: socket.socket) -> None:
        number = 0
        while not stop.is_set():
            arrived = receive_one(sock)
            if arrived is None:
                time.sleep(0.001)
                continue
            if wants(number, "there"):
                answer = reflector.reply(*arrived)
                if answer is not None and wants(number, "back"):
                    sock.sendto(answer, arrived[1])
            number += 1

    with open_stamp("127.0.0.1") as sock:
        thread = threading.Thread(target=serve, args=(sock,))
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            stop.set()
            thread.join()


def probe(to: tuple[str, int], count: int = 30, key: bytes | None = None) -> StampResult:
    with open_stamp("127.0.0.1", tx_stamps=True) as sock:
        return run_sender(sock, to, count=count, interval_s=0.002, waiting_s=0.4, key=key, padding_bytes=100)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_session_over_real_sockets(key: bytes | None) -> None:
    with reflecting(lambda _n, _way: True, key=key) as address:
        result = probe(address, key=key)
    told = document(result, stateful=True, waiting_s=0.4)
    assert told["loss"] == {
        "sent": 30, "answered": 30, "lost": 0, "lost_there": 0, "lost_back": 0, "undetermined": 0
    }  # fmt: skip
    assert (result.t1_ns <= result.t2_ns).all()
    assert (result.t2_ns <= result.t3_ns).all()
    assert (result.t3_ns <= result.t4_ns).all()
    assert told["round_trip_ms"]["min"] > 0
    assert told["hops"] == 0


def test_loss_is_told_apart_by_direction() -> None:
    lost = {(3, "there"), (4, "there"), (10, "there"), (5, "back"), (29, "back"), (28, "there")}
    with reflecting(lambda number, way: (number, way) not in lost) as address:
        result = probe(address)
    loss = document(result, stateful=True, waiting_s=0.4)["loss"]
    assert loss == {"sent": 30, "answered": 24, "lost": 6, "lost_there": 3, "lost_back": 1, "undetermined": 2}
    assert document(result, stateful=None, waiting_s=0.4)["loss"] == loss  # the numbers alone show that it counts


def test_without_a_counting_reflector_there_is_no_direction() -> None:
    with reflecting(lambda number, way: (number, way) != (3, "there"), stateful=False) as address:
        loss = document(probe(address), stateful=None, waiting_s=0.4)["loss"]
    assert loss == {"sent": 30, "answered": 29, "lost": 1}


def test_nobody_answers() -> None:
    with reflecting(lambda _n, _way: True) as address, open_stamp("127.0.0.1", tx_stamps=True) as sock:
        result = run_sender(sock, address, count=3, interval_s=0.001, waiting_s=0.05, key=KEY)  # 112 bytes, other HMAC
    told = document(result, stateful=True, waiting_s=0.05)
    assert told["loss"] == {"sent": 3, "answered": 0, "lost": 3}
    assert result.foreign == 3
    assert told["round_trip_ms"]["min"] is None


def test_keys_and_peers_that_cannot_be_used(tmp_path: Path) -> None:
    write_key(tmp_path / "key")
    assert len(read_key(tmp_path / "key")) == 32
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "short").write_text("00ff\n")
    with pytest.raises(ConfigurationError, match="no key of 32 bytes"):
        read_key(tmp_path / "short")
    with pytest.raises(ConfigurationError, match="make one with"):
        read_key(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="does not appear to be an IPv4 or IPv6 network"):
        networks(["rome"])
    assert networks(["::1"]) == (ipaddress.ip_network("::1/128"),)
