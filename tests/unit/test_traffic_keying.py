"""What a session demands of its keys, and how exchanges pass the endpoint."""

from __future__ import annotations

import pytest

from topologies import common, starlink_italy
from traffic.errors import ConfigurationError
from traffic.keying import make_terms
from traffic.packets import udp_packet
from traffic.profiles import PROFILES
from traffic.session import SessionOptions
from traffic.verdicts import InboundEndpoint, Verdict

S = 1_000_000_000
ETHERNET = bytes(12) + b"\x08\x00"


def test_terms_follow_from_the_declared_lifetime() -> None:
    hour = make_terms(3600, 0, 1 << 31, 1.0, 1024)
    assert (hour.lifetime.soft_ns, hour.lifetime.hard_ns) == (3600 * S, 5400 * S)
    assert (hour.lifetime.soft_packets, hour.lifetime.hard_packets) == (1 << 31, (1 << 32) - 1)  # RFC 4303, 3.3.3
    assert (hour.grace_ns, hour.timing.first_ns, hour.timing.limit_ns) == (2 * S, S, 15 * S)
    quick = make_terms(15, 0, 1000, 0.2, 64)
    assert (quick.lifetime.hard_ns, quick.lifetime.hard_packets, quick.window) == (45 * S, 2000, 64)
    # Two attempts and the pause after each fit between soft and hard.
    assert 2 * (quick.timing.limit_ns + quick.timing.first_ns) <= quick.lifetime.hard_ns - quick.lifetime.soft_ns
    shortest = make_terms(1, 4.2, 1, 0, 1024)
    assert shortest.timing.limit_ns == 1_500_000_000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"profile": "ikev2"}, "profile 'ikev2' is unknown: use manual, cnsa2, eu-hybrid, classic"),
        ({"profile": "cnsa2", "suite": "CHACHA20-POLY1305"}, "cnsa2 with suite 'CHACHA20-POLY1305' is refused"),
        ({"profile": "classic", "generator": "scapy"}, "profile classic with generator scapy is refused: use struct"),
        ({"profile": "classic", "rekey_s": 0.0}, "rekey_s 0 with expire_s 0 is refused: leave 3.2 s between"),
        ({"profile": "classic", "rekey_s": 5.0, "expire_s": 8.0}, "rekey_s 5 with expire_s 8 is refused"),
        ({"profile": "classic", "rekey_packets": 0}, "rekey_packets 0 is refused: use 1 to 2147483648"),
        ({"profile": "classic", "longest_delay_s": -1.0}, "longest_delay_s -1 is refused: use 0 to the hard lifetime"),
    ],
)
def test_contradictions_are_refused_before_anything_is_sent(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        SessionOptions(**options)  # type: ignore[arg-type]


def test_the_topology_offers_the_profiles_there_are() -> None:
    assert ("manual", *PROFILES, "strongswan") == common.KEYS
    asked = starlink_italy.scenario(profile="eu-hybrid", rekey_s="15").traffic
    options = SessionOptions(**{name: asked[name] for name in ("esn", "window", "generator", "profile", "rekey_s")})
    assert options.terms().lifetime.soft_ns == 15 * S


def test_the_endpoint_hands_exchanges_over_and_calls_them_no_esp_without() -> None:
    endpoint = InboundEndpoint({}, ())
    frame = ETHERNET + udp_packet("10.0.0.1", "10.0.0.2", 4500, 4500, bytes(4) + b"\x01" * 60)
    other = ETHERNET + udp_packet("10.0.0.1", "10.0.0.2", 4500, 4501, bytes(4) + b"\x01" * 60)
    judgement = endpoint.judge(frame)
    assert judgement is not None
    assert judgement.verdict is Verdict.UNKNOWN_SPI
    taken: list[tuple[bytes, tuple[bytes, int]]] = []
    endpoint.key_exchange = lambda datagram, source: taken.append((datagram, source))
    assert endpoint.judge(frame) is None
    assert taken == [(bytes(4) + b"\x01" * 60, (b"\x0a\0\0\x01", 4500))]
    judgement = endpoint.judge(other)
    assert judgement is not None
    assert judgement.verdict is Verdict.PLAINTEXT_IN
    assert len(taken) == 1
