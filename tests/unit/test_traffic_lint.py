"""What protects too little is refused before data flows, each in one line that says what to do (acceptance A10)."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from traffic.errors import ConfigurationError
from traffic.esp import AES_256_GCM, CHACHA20_POLY1305
from traffic.lint import Protection, check, check_socket, refusals

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"suite": "NULL"}, "cipher suite 'NULL' is refused: use AES-256-GCM-16 or CHACHA20-POLY1305"),
    ({"suite": "AES-128-CBC"}, "cipher suite 'AES-128-CBC' is refused: use AES-256-GCM-16 or CHACHA20-POLY1305"),
    ({"icv_bytes": 0}, "an ICV of 0 bytes is refused: use 16"),
    ({"icv_bytes": 8}, "an ICV of 8 bytes is refused: use 16"),
    ({"icv_bytes": 12}, "an ICV of 12 bytes is refused: use 16"),
    ({"window": 0}, "anti-replay window 0 is refused: choose 32 to 4096 packets"),
    ({"window": 31}, "anti-replay window 31 is refused: choose 32 to 4096 packets"),
    ({"window": 4097}, "anti-replay window 4097 is refused: choose 32 to 4096 packets"),
    ({"random_ivs": True}, "random IVs are refused, because they may repeat: use the sequence counter"),
    (
        {"key_used_to": 1},
        "first number 1 is refused, because this key has protected up to 1: go on from there or make a new key",
    ),
    (
        {"key_used_to": 5000, "first_sequence": 5000},
        "first number 5000 is refused, because this key has protected up to 5000: go on from there or make a new key",
    ),
    (
        {"dscps": frozenset({46, 0}), "window": 1023},
        "window 1023 for DSCP 0, 46 in one association is refused: make one for each class, or a window of 1024",
    ),
]


@pytest.mark.parametrize(("weakness", "line"), REFUSED)
def test_each_weakness_is_refused_in_one_line(weakness: dict[str, Any], line: str) -> None:
    assert refusals(Protection(**weakness)) == [line]
    with pytest.raises(ConfigurationError) as refused:
        check(Protection(**weakness))
    assert str(refused.value) == line


@pytest.mark.parametrize(
    "strength",
    [
        {},
        {"suite": CHACHA20_POLY1305},
        {"suite": AES_256_GCM, "window": 32},
        {"window": 4096},
        {"esn": False},
        {"key_used_to": 5000, "first_sequence": 5001},
        {"dscps": frozenset({46, 0}), "window": 1024},
        {"dscps": frozenset({46}), "window": 32},
    ],
)
def test_what_protects_is_accepted(strength: dict[str, Any]) -> None:
    check(Protection(**strength))


def test_esn_is_demanded_where_the_policy_does() -> None:
    line = "32-bit sequence numbers are refused: use ESN"
    assert refusals(Protection(esn=False), demand_esn=True) == [line]
    assert refusals(Protection(), demand_esn=True) == []


def test_all_weaknesses_are_told_together() -> None:
    weak = Protection("NULL", 0, 0, False, frozenset({0, 46}), True, 1, 9)
    assert len(refusals(weak, demand_esn=True)) == 7
    with pytest.raises(ConfigurationError, match=r"^cipher suite 'NULL' .*; an ICV of 0 .*; anti-replay window 0 "):
        check(weak)


def test_other_sockets_cannot_bypass_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        check_socket(sock)
