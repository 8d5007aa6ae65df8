"""Hosts that send in the clear: what arrives is counted and believed."""

from __future__ import annotations

import socket

import pytest

from traffic.clear import ClearEndpoint, announcement
from traffic.errors import ConfigurationError
from traffic.keys import make_associations
from traffic.packets import INNER_PORT, TAG, udp_packet
from traffic.session import SessionOptions
from traffic.verdicts import Content, Verdict

CANARY = b"canary of flow 3"
ETHERNET = bytes(12) + b"\x08\x00"
ASSOCIATIONS = list(make_associations([("rome", "milan", 46)]).values())


def endpoint(*, rtp: bool = False) -> ClearEndpoint:
    return ClearEndpoint(ASSOCIATIONS, [Content(3, ASSOCIATIONS[0].spi, CANARY, rtp)])


def frame(payload: bytes, port: int = INNER_PORT) -> bytes:
    return ETHERNET + udp_packet("10.0.0.1", "10.0.0.2", 40_001, port, payload)


def test_a_packet_is_known_by_canary_and_number_and_its_sender_by_its_address() -> None:
    judgement = endpoint().judge(frame(CANARY + TAG.pack(3, 7)))
    assert judgement is not None
    assert (judgement.verdict, judgement.flow, judgement.sequence) == (Verdict.GENUINE, 3, 7)
    assert judgement.spi == ASSOCIATIONS[0].spi
    assert judgement.source == (socket.inet_aton("10.0.0.1"), 40_001)


def test_voice_has_its_canary_behind_the_rtp_header() -> None:
    judgement = endpoint(rtp=True).judge(frame(bytes(12) + CANARY + TAG.pack(3, 7)))
    assert judgement is not None
    assert judgement.sequence == 7
    assert endpoint(rtp=True).judge(frame(CANARY + TAG.pack(3, 7))) is None


def test_an_altered_packet_passes_and_a_copy_is_dropped_without_an_alarm() -> None:
    judge = endpoint().judge
    altered = judge(frame(CANARY + TAG.pack(3, 7) + b"altered"))
    copy = judge(frame(CANARY + TAG.pack(3, 7)))
    assert altered is not None
    assert copy is not None
    assert (altered.verdict, copy.verdict) == (Verdict.GENUINE, Verdict.DUP_LINK)
    assert not copy.verdict.is_alarm


def test_an_announcement_teaches_the_address_and_shows_no_key() -> None:
    packet = announcement(ASSOCIATIONS[0])
    judgement = endpoint().judge(frame(packet))
    assert judgement is not None
    assert (judgement.spi, judgement.flow) == (ASSOCIATIONS[0].spi, None)
    assert packet not in ASSOCIATIONS[0].key


@pytest.mark.parametrize(
    "bytes_",
    [b"", frame(CANARY), frame(CANARY + TAG.pack(4, 7)), frame(b"x" * 40), frame(CANARY + TAG.pack(3, 7), 862)],
)
def test_everything_else_is_passed_over(bytes_: bytes) -> None:
    assert endpoint().judge(bytes_) is None


def test_no_length_raises() -> None:
    whole = frame(bytes(12) + CANARY + TAG.pack(3, 7))
    judge = endpoint(rtp=True).judge
    assert [judge(whole[:size]) for size in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize("wrong", [{"profile": "classic"}, {"generator": "scapy"}])
def test_keys_and_scapy_have_no_place_where_hosts_send_in_the_clear(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="hosts that send in the clear"):
        SessionOptions(encryption="operator", **wrong)


def test_unknown_encryption_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="encryption 'none' is unknown: use overlay or operator or both"):
        SessionOptions(encryption="none")  # type: ignore[arg-type]
